"""The fit equals its oracle, its gradient is the objective's, and it knows bad judges from good ones."""

import choix
import numpy as np
import pytest
from scipy import optimize

from tutelage.errors import ShapeError
from tutelage.feedback.bradley_terry import Comparisons, Fit, Posterior, Spreads, fit_comparisons, intervals
from tutelage.statistics import fit_bradley_terry

PLAIN = Spreads(reliability=0.0, position=0.0)


def made(rows: list[tuple[int, int, float, int, float]], num_items: int, num_judges: int = 1) -> Comparisons:
    """a, b, outcome, judge, side."""
    a, b, outcome, judge, side = (np.array(column) for column in zip(*rows, strict=True))
    return Comparisons(a, b, outcome.astype(float), judge, side.astype(float), np.ones(len(rows)), a // 2, num_items, num_judges)


def simulated(seed: int, prompts: int = 40, judges: tuple[tuple[float, float], ...] = ((1.5, 0.0),) * 4, ties: float = -1.0,
              responses: int = 3) -> tuple[Comparisons, np.ndarray]:
    """Every judge on every pair of each prompt's responses; (reliability, lean) a judge. Also the true strengths."""
    rng = np.random.default_rng(seed)
    strength = rng.normal(size=prompts * responses)
    rows = []
    for prompt in range(prompts):
        for i in range(responses):
            for j in range(i):
                for judge, (reliability, lean) in enumerate(judges):
                    a, b, side = prompt * responses + i, prompt * responses + j, rng.choice([-1.0, 1.0])
                    eta = reliability * (strength[a] - strength[b]) + lean * side
                    odds = np.exp([eta / 2, -eta / 2, ties])
                    rows.append((a, b, rng.choice([1.0, 0.0, 0.5], p=odds / odds.sum()), judge, side))
    a, b, outcome, judge, side = (np.array(column) for column in zip(*rows, strict=True))
    return Comparisons(a, b, outcome, judge, side, np.ones(len(rows)), a // responses, prompts * responses, len(judges)), strength


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spread", [0.5, 1.0, 3.0])
def test_without_judges_and_ties_it_is_the_oracles_bradley_terry(seed: int, spread: float) -> None:
    data, _ = simulated(seed, prompts=4, ties=-np.inf, responses=6)
    fit = fit_comparisons(data, Spreads(strength=spread, reliability=0.0, position=0.0))
    wins = [(int(a), int(b)) if won else (int(b), int(a)) for a, b, won in zip(data.a, data.b, data.outcome, strict=True)]
    oracle = choix.opt_pairwise(data.num_items, wins, alpha=1 / (2 * spread**2), tol=1e-14)
    assert fit.converged and fit.tie == -np.inf
    np.testing.assert_allclose(fit.strength, oracle, atol=1e-8)
    np.testing.assert_allclose(fit.strength, fit_bradley_terry(wins, data.num_items, 1 / spread**2), atol=1e-6)


@pytest.mark.parametrize("spreads", [Spreads(), PLAIN, Spreads(strength=0.5, reliability=2.0, position=0.3, tie=1.0)])
def test_the_gradient_is_the_objectives(spreads: Spreads) -> None:
    data, _ = simulated(1, prompts=3)
    posterior = Posterior(data, spreads)
    at = np.random.default_rng(0).normal(size=int(posterior.free.sum()))
    numeric = optimize.approx_fprime(at, lambda x: posterior(x)[0], 1e-6)
    np.testing.assert_allclose(posterior(at)[1], numeric, atol=2e-5)


def test_one_pair_with_wide_priors_has_the_shares_that_were_seen() -> None:
    """5 wins, 3 ties, 2 losses: two free parameters meet two free shares, so the fit is exact."""
    rows = [(0, 1, 1.0, 0, 0.0)] * 5 + [(0, 1, 0.5, 0, 0.0)] * 3 + [(0, 1, 0.0, 0, 0.0)] * 2
    fit = fit_comparisons(made(rows, 2), Spreads(strength=1e4, reliability=0.0, position=0.0, tie=1e4))
    eta = fit.strength[0] - fit.strength[1]
    shares = np.exp([eta / 2, fit.tie, -eta / 2]) / np.exp([eta / 2, fit.tie, -eta / 2]).sum()
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=1e-6)
    assert eta == pytest.approx(np.log(5 / 2), abs=1e-6)                  # Davidson: the odds of a decided comparison
    assert fit.wins(np.array([0]), np.array([1]))[0] == pytest.approx(0.5 + 0.3 / 2, abs=1e-6)


def test_a_lean_alone_is_found_as_a_lean() -> None:
    """Sides counterbalanced, first wins 8 of 10: log odds of 8 to 2 with wide priors, no response better."""
    rows = [(0, 1, 1.0, 0, 1.0)] * 8 + [(0, 1, 0.0, 0, 1.0)] * 2 + [(0, 1, 0.0, 0, -1.0)] * 8 + [(0, 1, 1.0, 0, -1.0)] * 2
    fit = fit_comparisons(made(rows, 2), Spreads(strength=1.0, reliability=0.0, position=1e4))
    assert fit.position[0] == pytest.approx(np.log(4), abs=1e-6) and abs(fit.strength).max() < 1e-9


def test_who_won_every_time_is_finite() -> None:
    fit = fit_comparisons(made([(0, 1, 1.0, judge, 0.0) for judge in range(3)] * 200, 2, 3))
    assert fit.converged and np.isfinite(fit.strength).all() and 1 < fit.strength[0] - fit.strength[1] < 15
    assert 0.9 < fit.wins(np.array([0]), np.array([1]))[0] < 1


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_does_not_depend_on_the_order_of_rows_nor_on_which_is_a(seed: int) -> None:
    data, _ = simulated(seed)
    order = np.random.default_rng(9).permutation(len(data.a))
    turned = Comparisons(data.b[order], data.a[order], 1 - data.outcome[order], data.judge[order], -data.side[order],
                         data.weight[order], data.cluster[order], data.num_items, data.num_judges)
    one, other = fit_comparisons(data), fit_comparisons(turned)
    assert one.converged and other.converged
    for name in ("strength", "reliability", "position"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-7)


def test_a_weight_of_two_is_two_judgments() -> None:
    data, _ = simulated(5, prompts=10)
    twice = Comparisons(*(np.concatenate([getattr(data, name)] * 2) for name in
                          ("a", "b", "outcome", "judge", "side", "weight", "cluster")), data.num_items, data.num_judges)
    heavy = Comparisons(data.a, data.b, data.outcome, data.judge, data.side, 2 * data.weight, data.cluster, data.num_items,
                        data.num_judges)
    np.testing.assert_allclose(fit_comparisons(twice).strength, fit_comparisons(heavy).strength, atol=1e-8)


JUDGES = ((2.0, 0.0), (2.0, 0.0), (1.5, 0.0), (-2.0, 0.0), (0.5, 2.0))        # three good, one adversary, one leans


def right(fit_or_votes: Fit | np.ndarray, data: Comparisons, truth: np.ndarray) -> float:
    """Share of pairs whose better response is named."""
    pairs = np.unique(np.stack([data.a, data.b]), axis=1)
    if isinstance(fit_or_votes, Fit):
        share = fit_or_votes.wins(*pairs)
    else:
        share = np.array([data.outcome[(data.a == a) & (data.b == b)].mean() for a, b in pairs.T])
    better = truth[pairs[0]] > truth[pairs[1]]
    return float(np.where(share == 0.5, 0.5, (share > 0.5) == better).mean())


def test_it_beats_the_majority_where_one_lies_and_one_leans() -> None:
    better = []
    for seed in range(8):
        data, truth = simulated(seed, judges=JUDGES)
        fit = fit_comparisons(data)
        better.append(right(fit, data, truth) - right(data.outcome, data, truth))
        assert fit.converged and fit.reliability.argmin() == 3 and fit.reliability[3] < -0.5
        assert fit.position.argmax() == 4 and fit.position[4] > 1.0 and abs(np.delete(fit.position, 4)).max() < 0.7
    assert min(better) > 0 and np.mean(better) > 0.1


def test_intervals_name_both_and_clear_the_others() -> None:
    data, _ = simulated(0, judges=JUDGES)
    reliability, position = intervals(data, fit_comparisons(data), resamples=60)
    assert (reliability.high < 0).tolist() == [False, False, False, True, False]
    assert (position.low > 0.3).tolist() == [False, False, False, False, True]
    assert (reliability.low < reliability.high).all()


def test_columns_that_do_not_fit_are_refused() -> None:
    good = made([(0, 1, 1.0, 0, 0.0)], 2)
    for bad, words in [({"a": np.array([5])}, "are none"), ({"outcome": np.array([0.7])}, "0, 0.5 and 1"),
                       ({"b": np.array([0])}, "1 of 1"), ({"side": np.zeros(2)}, "columns of 1, 1")]:
        columns = {name: bad.get(name, getattr(good, name)) for name in good.__dataclass_fields__}
        with pytest.raises(ShapeError, match=words):
            fit_comparisons(Comparisons(**columns))
