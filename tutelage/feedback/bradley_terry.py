"""How good each response is, by comparisons of unequal judges: Bradley and Terry (1952) with Davidson's ties (1970), a
reliability and a lean to one side for each judge, and priors that keep every fit finite.

    I responses · N comparisons · R judges

    eta = reliability_r (s_a - s_b) + position_r x,      x = 1 where a was shown first, -1 where b was, 0 unknown
    P(a) : P(b) : P(tie) = exp(eta / 2) : exp(-eta / 2) : exp(tie)

    s ~ N(0, strength^2),  reliability ~ N(1, reliability^2),  position ~ N(0, position^2),  tie ~ N(0, tie^2)

Who has a reliability of 0 answers at random, who has one below 0 says the opposite of what they see; twice as much is
twice as sure. The priors set the scale of s, so that one vote for a response makes it somewhat better and not infinitely
so, even where somebody won every time. Without a single tie in the data there is no tie parameter.

The maximum is found by L-BFGS from the fit with equal judges and polished by Newton steps; it is the most probable
state of what *most* judges say: of two who always contradict each other nobody could tell who is right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.sparse.linalg import LinearOperator, cg

from tutelage.errors import ShapeError
from tutelage.statistics import CONFIDENCE

Array = NDArray[np.float64]
_POLISHED = 1e-9             # largest entry of the gradient, a judgment


@dataclass(frozen=True, slots=True)
class Comparisons:
    """N comparisons as columns. `outcome` is 1 where a won, 0 where b did, 0.5 for a tie."""

    a: NDArray[np.int64]             # (N,) responses, 0 to num_items - 1
    b: NDArray[np.int64]             # (N,)
    outcome: Array                   # (N,) 0, 0.5, 1
    judge: NDArray[np.int64]         # (N,) 0 to num_judges - 1
    side: Array                      # (N,) 1, -1 or 0: x above
    weight: Array                    # (N,) how much of a judgment it is
    cluster: NDArray[np.int64]       # (N,) the prompt: what a bootstrap draws whole
    num_items: int
    num_judges: int

    def check(self) -> None:
        """Raises ShapeError if the columns do not fit together."""
        columns = (self.a, self.b, self.outcome, self.judge, self.side, self.weight, self.cluster)
        if len({len(column) for column in columns}) != 1 or not len(self.a):
            raise ShapeError(f"comparisons have columns of {', '.join(str(len(each)) for each in columns)} rows; wanted as "
                             "many in each, one or more.")
        wrong = (np.minimum(self.a, self.b) < 0) | (np.maximum(self.a, self.b) >= self.num_items) | (self.a == self.b)
        wrong |= (self.judge < 0) | (self.judge >= self.num_judges) | ~np.isin(self.outcome, (0.0, 0.5, 1.0))
        wrong |= ~np.isin(self.side, (-1.0, 0.0, 1.0)) | ~(self.weight >= 0)
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise ShapeError(f"{int(wrong.sum())} of {len(wrong)} comparisons name responses or judges that are none, or hold "
                             f"another outcome than 0, 0.5 and 1 (first: row {row}).")


@dataclass(frozen=True, slots=True)
class Spreads:
    """Standard deviations of the priors; 0 fixes what it is about at its mean."""

    strength: float = 1.0
    reliability: float = 1.0
    position: float = 1.0
    tie: float = 2.0


@dataclass(frozen=True, slots=True)
class Fit:
    """The most probable parameters. `gradient` is the largest entry of the gradient there, a judgment."""

    strength: Array                  # (I,)
    reliability: Array               # (R,)
    position: Array                  # (R,)
    tie: float                       # -inf where there was no tie
    objective: float                 # minus log posterior, up to a constant
    gradient: float
    converged: bool

    @property
    def usual(self) -> float:
        """The reliability of the judge in the middle, which a liar or two do not move; kept above 0."""
        return max(float(np.median(self.reliability)), 0.1)

    @property
    def relative(self) -> Array:
        """(R,) reliabilities over the usual one's: free of the scale, which is the priors'."""
        return self.reliability / self.usual

    def wins(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> Array:
        """P(a is called better than b) by the usual judge without a lean, a tie counting half."""
        eta = self.usual * (self.strength[a] - self.strength[b])
        first, _, tie = _log_shares(eta, self.tie)
        return np.exp(first) + np.exp(tie) / 2


@dataclass(frozen=True, slots=True)
class Interval:
    """(R,) each: 95 % percentile bounds over draws of whole prompts."""

    low: Array
    high: Array


def _log_shares(eta: Array, tie: float) -> tuple[Array, Array, Array]:
    """Log probabilities of a, b and a tie."""
    total = np.logaddexp(np.abs(eta) / 2 + np.log1p(np.exp(-np.abs(eta))), tie)      # log(e^(eta/2) + e^(-eta/2) + e^tie)
    return eta / 2 - total, -eta / 2 - total, tie - total


class Posterior:
    """Minus log posterior and its gradient over one vector: strengths, reliabilities, positions, tie."""

    def __init__(self, data: Comparisons, spreads: Spreads) -> None:
        data.check()
        self.data = data
        ties = bool((data.outcome[data.weight > 0] == 0.5).any())
        sizes = (data.num_items, data.num_judges, data.num_judges, 1)
        self.bounds = np.cumsum((0, *sizes))
        means, scales = (0.0, 1.0, 0.0, 0.0), (spreads.strength, spreads.reliability, spreads.position, spreads.tie * ties)
        self.mean = np.repeat(means, sizes)
        scale = np.repeat(scales, sizes)
        self.free = scale > 0
        self.precision = np.where(self.free, 1 / np.where(self.free, scale, 1.0) ** 2, 0.0)
        if not ties:
            self.mean[-1] = -np.inf

    def split(self, x: Array) -> tuple[Array, Array, Array, float]:
        parts = [x[start:end] for start, end in zip(self.bounds[:-1], self.bounds[1:], strict=True)]
        return parts[0], parts[1], parts[2], float(parts[3][0])

    def full(self, free: Array) -> Array:
        x = self.mean.copy()
        x[self.free] = free
        return x

    def __call__(self, free: Array) -> tuple[float, Array]:
        """The objective at the free parameters, and its gradient."""
        x = self.full(free)
        s, reliability, position, tie = self.split(x)
        data = self.data
        difference = s[data.a] - s[data.b]
        eta = reliability[data.judge] * difference + position[data.judge] * data.side
        won, lost, tied = _log_shares(eta, tie)
        happened = np.where(data.outcome == 1, won, np.where(data.outcome == 0, lost, tied))
        away = np.where(self.free, x - np.where(np.isfinite(self.mean), self.mean, 0.0), 0.0)
        objective = -(data.weight * happened).sum() + 0.5 * (self.precision * away**2).sum()
        pull = data.weight * (data.outcome - 0.5 - (np.exp(won) - np.exp(lost)) / 2)      # d log P / d eta
        gradient = np.zeros_like(x)
        on_s = pull * reliability[data.judge]
        start = self.bounds
        gradient[:start[1]] = np.bincount(data.b, on_s, data.num_items) - np.bincount(data.a, on_s, data.num_items)
        gradient[start[1]:start[2]] = -np.bincount(data.judge, pull * difference, data.num_judges)
        gradient[start[2]:start[3]] = -np.bincount(data.judge, pull * data.side, data.num_judges)
        gradient[start[3]] = -(data.weight * ((data.outcome == 0.5) - np.exp(tied))).sum()
        gradient += self.precision * away
        return float(objective), gradient[self.free]


def fit_comparisons(data: Comparisons, spreads: Spreads = Spreads()) -> Fit:
    """The most probable strengths, reliabilities, leans and tie.

    Raises:
        ShapeError: if the columns of `data` do not fit together.
    """
    posterior = Posterior(data, spreads)
    start = np.where(posterior.free, np.where(np.isfinite(posterior.mean), posterior.mean, 0.0), 0.0)
    if spreads.strength > 0 and spreads.reliability > 0:       # begin where all judges are alike
        start[:data.num_items] = fit_comparisons(data, replace(spreads, reliability=0.0, position=0.0)).strength
    return _fit(posterior, start[posterior.free], polish=True)


def _fit(posterior: Posterior, start: Array, polish: bool) -> Fit:
    scale = max(1.0, float(posterior.data.weight.sum()))
    options = {"maxiter": 2_000, "maxfun": 4_000, "maxcor": 30, "ftol": 1e-15 if polish else 1e-9,
               "gtol": 1e-7 if polish else 1e-3}
    found = optimize.minimize(posterior, start, jac=True, method="L-BFGS-B", options=options)
    x = _newton(posterior, found.x, _POLISHED) if polish else found.x
    objective, gradient = posterior(x)
    largest = float(np.abs(gradient).max(initial=0.0)) / scale
    s, reliability, position, tie = posterior.split(posterior.full(x))
    return Fit(s, reliability, position, tie, objective, largest, largest <= (_POLISHED if polish else 1e-4))


def _newton(posterior: Posterior, x: Array, enough: float, steps: int = 5) -> Array:
    """Newton steps with Hessian products by central differences of the gradient; a step that does not help is not taken."""
    for _ in range(steps):
        _, gradient = posterior(x)
        if np.abs(gradient).max(initial=0.0) <= enough * 1e-3:
            break

        def curvature(v: Array, at: Array = x) -> Array:
            small = 1e-5 / max(float(np.abs(v).max(initial=0.0)), 1e-12)
            return (posterior(at + small * v)[1] - posterior(at - small * v)[1]) / (2 * small)

        step, _ = cg(LinearOperator((len(x), len(x)), matvec=curvature, dtype=np.float64), -gradient, rtol=1e-6, maxiter=300)
        if np.abs(posterior(x + step)[1]).max() >= np.abs(gradient).max():
            break
        x = x + step
    return x


def intervals(data: Comparisons, fit: Fit, spreads: Spreads = Spreads(), resamples: int = 200,
              seed: int = 0) -> tuple[Interval, Interval]:
    """Of each judge's relative reliability and position: fits to draws of as many prompts as there are, with replacement."""
    posterior = Posterior(data, spreads)
    names, index = np.unique(data.cluster, return_inverse=True)
    whole = np.concatenate([fit.strength, fit.reliability, fit.position, [fit.tie]])
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)))
        posterior.data = replace(data, weight=data.weight * times[index])
        drawn = _fit(posterior, whole[posterior.free], polish=False)
        found.append((drawn.relative, drawn.position))
    tail = (1 - CONFIDENCE) / 2
    bounds = np.quantile(np.array(found), [tail, 1 - tail], axis=0)              # (2, 2, R)
    return Interval(bounds[0, 0], bounds[1, 0]), Interval(bounds[0, 1], bounds[1, 1])
