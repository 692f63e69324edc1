"""What one person's one judgment says of the scores of responses, whatever kind of judgment it was: one likelihood for all.

Every response has one score s, and every kind of judgment is a probability under it. A judge's reliability a scales what they
see: 1 is the usual judge, 0 answers at random, below 0 says the opposite, twice as much is twice as sure.

    comparison      P(a) : P(b) : P(tie) = exp(eta / 2) : exp(-eta / 2) : exp(tie),    eta = a (s_a - s_b)
    ranking         the same choice again and again, among those that are left
    rating, thumb   P(level <= k) = sigma(theta_k - a s),    theta the judge's own thresholds

An edit or a demonstration is a comparison with what it replaced. Each function gives one number a judgment, its negative log
probability in nats; `judgment_loss` adds them up.

M judgments · K ranked responses · L levels of a scale
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.algorithms.losses import LossSum
from tutelage.algorithms.shapes import check_shapes
from tutelage.errors import ShapeError

LEAST_GAP = 1e-3      # logits between two thresholds


def comparison_nll(first: Tensor, second: Tensor, label: Tensor, *, margin: Tensor | None = None,
                   reliability: Tensor | None = None, tie: Tensor | None = None) -> Tensor:
    """Which of two is better (Bradley & Terry 1952), with ties as an answer of their own (Davidson 1970, JASA 65:317).

        eta = a (first - second),    Z(eta) = exp(eta / 2) + exp(-eta / 2) + exp(tie)
        -log P(first) = log Z(eta - m) - (eta - m) / 2,    -log P(second) the same with -eta,    -log P(tie) = log Z(eta) - tie

    Davidson's nu is exp(tie); without `tie` there is none in Z. A soft label p costs p of the one and 1 - p of the other.
    The margin m is asked of either winner, as in `bradley_terry_loss`, whose summands these are for a = 1 without `tie`.

    Args:
        first, second: (M,) scores.
        label: (M,) probability that `first` is the better one. Exactly 0.5 is a tie where `tie` is given, else half of each.
        margin: (M,) >= 0 in units of eta; None is 0.
        reliability: (M,) of who judged; None is 1.
        tie: () log of Davidson's nu; None leaves ties out of the model.
    Returns:
        (M,) nats.
    Raises:
        ShapeError: if the shapes differ.
    """
    check_shapes("M", first=first, second=second, label=label, margin=margin, reliability=reliability)
    eta = _seen(first - second, reliability)
    needed = torch.zeros_like(eta) if margin is None else margin
    wins, loses = (_choice_nll(side - needed, tie) for side in (eta, -eta))
    decided = label * wins + (1 - label) * loses
    if tie is None:
        return decided
    tied = _choice_nll(eta, tie) + eta / 2 - tie
    return torch.where(label == 0.5, tied, decided)


def _choice_nll(eta: Tensor, tie: Tensor | None) -> Tensor:
    """log Z(eta) - eta / 2."""
    plain = F.softplus(-eta)                       # log(exp(eta / 2) + exp(-eta / 2)) - eta / 2
    return plain if tie is None else torch.logaddexp(plain, tie - eta / 2)


def strength_nll(ahead: Tensor, level: Tensor, cuts: Tensor, *, reliability: Tensor | None = None) -> Tensor:
    """How much better the winner is, given that it won: an answer on a scale, where a margin would only ask for more.

    A comparison without ties is the sign of z = a (s_a - s_b) + logistic noise; a winner is said to be better by level k where
    |z| lies between the cuts c_k and c_{k+1} (Agresti 1992, Applied Statistics 41:287, of cumulative logits):

        P(level = k | won) = (sigma(eta - c_k) - sigma(eta - c_{k+1})) / sigma(eta),    eta = a ahead,    c_0 = 0

    Times Bradley's and Terry's P(won) that is the probability of both, and the sum over all levels of both sides is 1.

    Args:
        ahead: (M,) score of the winner less that of the other.
        level: (M,) whole numbers from 0, the least.
        cuts: (T,) above 0 and rising; one less than there are levels.
        reliability: (M,); None is 1.
    Returns:
        (M,) nats.
    Raises:
        ShapeError: if the shapes differ, or a level is not on the scale.
    """
    check_shapes("M", ahead=ahead, level=level, reliability=reliability)
    check_shapes("T", cuts=cuts)
    edges = torch.cat([cuts.new_zeros(1), cuts]).expand(len(ahead), -1)                         # (M, T + 1)
    if len(level) and int(level.min()) < 0:
        raise ShapeError(f"levels go from {int(level.min())}; wanted 0 to {len(cuts)}.")
    return ordinal_nll(ahead, level + 1, edges, reliability=reliability) + F.logsigmoid(_seen(ahead, reliability))


def ranking_nll(scores: Tensor, ranks: Tensor, *, reliability: Tensor | None = None, tie: Tensor | None = None,
                most_tied: int = 1) -> Tensor:
    """K responses in order, equal places being ties (Plackett 1975; Luce 1959; Firth, Kosmidis & Turner 2019, arXiv:1909.07123).

    The ranking is made place by place: of the responses R that are left, the set S that shares the best place is chosen with

        P(S | R) = f(S) / sum_n sum_{T in R, |T| = n} f(T),    f(S) = exp((|S| - 1) tie + mean_{i in S} a s_i),    n = 1 .. D

    where D, `most_tied`, is the most responses that ever share a place. Of two responses with D = 2 this is Davidson's model,
    and with D = 1 Plackett's and Luce's. NOTE: the paper has a parameter for every size of a tie; we have one, and each
    further response that shares a place costs the same again. The inner sum is an elementary symmetric polynomial of
    exp(a s / n), which takes K n steps and not K choose n.

    Args:
        scores: (M, K); what stands where `ranks` is 0 does not matter.
        ranks: (M, K) whole numbers, 1 the best, equal ones tied; 0 where a judgment ranks fewer than K.
        reliability: (M,); None is 1.
        tie: (); None where no two share a place.
        most_tied: a property of all the data, not of this batch; without `tie` 1.
    Returns:
        (M,) nats.
    Raises:
        ShapeError: if the shapes differ, or more responses share a place than `most_tied`.
    """
    check_shapes("M K", scores=scores, ranks=ranks)
    if reliability is not None:
        check_shapes("M", {"M": len(scores)}, reliability=reliability)
        scores = reliability[:, None] * scores
    last = int(ranks.max()) if ranks.numel() else 0
    most = max((int((ranks == place).sum(1).max()) for place in range(1, last + 1)), default=0)
    if most > most_tied or (most_tied > 1 and tie is None):
        raise ShapeError(f"{most} responses share a place in a ranking; most_tied is {most_tied}, and there is "
                         f"{'no' if tie is None else 'a'} tie parameter.")
    total = scores.new_zeros(len(scores))
    for place in range(1, last + 1):
        total = total + _place_nll(scores, left=ranks >= place, best=ranks == place, tie=tie, most_tied=most_tied)
    return total


def _place_nll(scores: Tensor, left: Tensor, best: Tensor, tie: Tensor | None, most_tied: int) -> Tensor:
    """(M,) -log P(best | left); 0 where `best` is empty."""
    size = best.sum(1)
    top = scores.masked_fill(~left, -torch.inf).amax(1).detach()
    above = (scores - torch.where(left.any(1), top, 0.0)[:, None]).masked_fill(~left, 0.0)       # (M, K) <= 0
    said = (above * best).sum(1) / size.clamp(min=1)
    if tie is not None:
        said = said + (size - 1).clamp(min=0) * tie
    every = torch.where(left.any(1), _sum_of_sets(above, left, tie, most_tied), 1.0)
    return torch.where(size > 0, every.log() - said, 0.0)


def _sum_of_sets(above: Tensor, left: Tensor, tie: Tensor | None, most_tied: int) -> Tensor:
    """(M,) sum of f over all sets of at most `most_tied` of those left; at least 1, since the best one's is 1."""
    total = torch.zeros_like(above[:, 0])
    for n in range(1, most_tied + 1):
        roots = (above / n).exp() * left                                                         # (M, K)
        polynomial = [torch.ones_like(total)] + [torch.zeros_like(total) for _ in range(n)]      # of the responses so far
        for k in range(above.shape[1]):
            for size in range(min(n, k + 1), 0, -1):
                polynomial[size] = polynomial[size] + roots[:, k] * polynomial[size - 1]
        total = total + (polynomial[n] if tie is None else polynomial[n] * ((n - 1) * tie).exp())
    return total


def ordinal_nll(scores: Tensor, level: Tensor, thresholds: Tensor, *, reliability: Tensor | None = None) -> Tensor:
    """A level on a scale by cumulative logits (McCullagh 1980, JRSS B 42:109); a thumb is the scale of two levels.

        P(level <= k) = sigma(theta_k - a s),    P(level = k) = sigma(theta_k - a s) - sigma(theta_{k-1} - a s)

    theta_{-1} is -inf and theta_{L-1} is inf. The difference is computed as sigma(b) sigma(-a) (1 - exp(a - b)), which loses
    nothing however far off the score is.

    Args:
        scores: (M,).
        level: (M,) whole numbers from 0.
        thresholds: (M, L - 1) of who judged on this scale, each row rising; inf where the scale has fewer levels.
        reliability: (M,); None is 1.
    Returns:
        (M,) nats.
    Raises:
        ShapeError: if the shapes differ, or a level is not on the scale.
    """
    check_shapes("M", scores=scores, level=level, reliability=reliability)
    check_shapes("M T", {"M": len(scores)}, thresholds=thresholds)
    if len(level) and not 0 <= int(level.min()) <= int(level.max()) <= thresholds.shape[1]:
        raise ShapeError(f"levels go from {int(level.min())} to {int(level.max())}; wanted 0 to {thresholds.shape[1]}, with as "
                         "many thresholds.")
    end = thresholds.new_full((len(thresholds), 1), torch.inf)
    edges = torch.cat([-end, thresholds, end], 1)                                                # (M, L + 1)
    lower, upper = (edges.gather(1, (level + step)[:, None]).squeeze(1) for step in (0, 1))
    seen = _seen(scores, reliability)
    return -(F.logsigmoid(upper - seen) + F.logsigmoid(seen - lower) + (-torch.expm1(lower - upper)).log())


def rising(steps: Tensor) -> Tensor:
    """Thresholds in order whatever the numbers: (..., L - 1) from as many free ones, the first as it is and each further one
    above the last by softplus(step) and a little, so that no level is impossible."""
    return torch.cat([steps[..., :1], F.softplus(steps[..., 1:]) + LEAST_GAP], -1).cumsum(-1)


def steps_of(thresholds: Tensor) -> Tensor:
    """What `rising` makes these of."""
    gaps = (thresholds.diff(dim=-1) - LEAST_GAP).clamp(min=LEAST_GAP)
    return torch.cat([thresholds[..., :1], gaps + torch.log(-torch.expm1(-gaps))], -1)


def score_nll(scores: Tensor, target: Tensor, *, reliability: Tensor | None = None) -> Tensor:
    """A number somebody gave, seen with Gaussian noise of variance 1, up to a constant: (target - a s)^2 / 2.

    The loss of plain regression. (M,) each; ShapeError if they differ.
    """
    check_shapes("M", scores=scores, target=target, reliability=reliability)
    return 0.5 * (target - _seen(scores, reliability)).square()


def judgment_loss(nll: Tensor, weight: Tensor, level: Tensor | None = None, centring: float = 0.0) -> LossSum:
    """Judgments of one kind or several as one loss:  sum_i w_i (nll_i + centring * (2 level_i)^2).

    `level` is the mean score of the responses that a judgment is about, so that of a pair it is centred as
    `bradley_terry_loss` does. The count is the sum of the weights.

    Args:
        nll: (M,) as the functions above give it.
        weight: (M,) >= 0, how much of a judgment each is.
    Raises:
        ShapeError: if the shapes differ.
    """
    check_shapes("M", nll=nll, weight=weight, level=level)
    if centring and level is not None:
        nll = nll + centring * (2 * level).square()
    return LossSum((weight * nll).sum(), weight.sum())


def _seen(scores: Tensor, reliability: Tensor | None) -> Tensor:
    return scores if reliability is None else reliability * scores
