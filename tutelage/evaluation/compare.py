"""Contestants against each other on the same prompts.

Paired throughout: the difference is taken prompt by prompt, and prompts are what the intervals resample. A verdict is
`better` or `worse` only where the 95 % interval of the difference leaves zero out and a paired randomisation test,
corrected for all differences of its family (Holm), stays below 0.05; else it is `tied`, which means that no difference was
shown, not that there is none. A family is one question asked of every pair: who wins, truth, the parts, the reward. Below
six prompts no verdict is given: with five, even five wins of five happen by chance in one comparison of sixteen (two-sided
sign test, p = 0.0625).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from tutelage.errors import DataError
from tutelage.evaluation.contestant import Contestant, Summary, summarise
from tutelage.evaluation.metrics.winning import LengthControlled, length_controlled_win_rate
from tutelage.reporting import Verdict
from tutelage.statistics import ALPHA, Estimate, holm, paired_difference, sign_flip_test, tied_groups, win_rate
from tutelage.text_metrics import count_words

FEWEST_PROMPTS = 6


@dataclass(frozen=True, slots=True)
class Difference:
    """First minus second, and what may be said of it."""

    estimate: Estimate
    verdict: Verdict
    p: float = 0.0             # of the paired test, two-sided
    p_holm: float = 0.0        # corrected for the family it was tested in

    def flipped(self) -> Difference:
        opposite: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
        return replace(self, estimate=mirrored(self.estimate, 0.0), verdict=opposite.get(self.verdict, self.verdict))

    def corrected(self, p_holm: float) -> Difference:
        """The same with the verdict that is left when its family is taken into account."""
        return replace(self, p_holm=p_holm, verdict=verdict_of(self.estimate, p_holm))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """`first` against `second`. The verdicts speak of `first`."""

    first: str
    second: str
    win_rate: Estimate                    # share of paired responses that `first` wins on truth, ties half; n prompts
    win: Difference                       # the win rate less a half
    length_controlled: LengthControlled | None      # the win rate at equal length; None below six prompts
    truth: Difference                     # in truth points
    longer: Estimate                      # words a response, first minus second
    parts: Mapping[str, Difference]
    reward: Difference | None             # in the reward model's units; None where either has none

    def flipped(self) -> Pair:
        return Pair(first=self.second, second=self.first, win_rate=mirrored(self.win_rate, 1.0), win=self.win.flipped(),
                    length_controlled=None if self.length_controlled is None else replace(
                        self.length_controlled, rate=mirrored(self.length_controlled.rate, 1.0),
                        quality=-self.length_controlled.quality),
                    truth=self.truth.flipped(), longer=mirrored(self.longer, 0.0),
                    parts={name: each.flipped() for name, each in self.parts.items()},
                    reward=None if self.reward is None else self.reward.flipped())


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The contestants in the order given, and every pair once; the reference is always the second of its pairs."""

    reference: str
    summaries: tuple[Summary, ...]
    pairs: tuple[Pair, ...]
    seed: int

    @property
    def num_prompts(self) -> int:
        return self.summaries[0].num_prompts

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """Contestants that were not shown to differ in truth, best first; one may be in several."""
        return tied_groups({each.name: each.truth.value for each in self.summaries},
                           [(pair.first, pair.second) for pair in self.pairs if pair.truth.verdict in ("better", "worse")])

    @property
    def part_names(self) -> tuple[str, ...]:
        return tuple(self.summaries[0].parts)

    def summary(self, name: str) -> Summary:
        """Raises DataError if nobody has that name."""
        for summary in self.summaries:
            if summary.name == name:
                return summary
        raise DataError(f"no contestant {name!r}; there are: {', '.join(each.name for each in self.summaries)}.")

    def pair(self, first: str, second: str) -> Pair:
        """`first` against `second`, whichever way round it was kept."""
        for pair in self.pairs:
            if (pair.first, pair.second) == (first, second):
                return pair
            if (pair.first, pair.second) == (second, first):
                return pair.flipped()
        raise DataError(f"no pair of {first!r} and {second!r}; the contestants are: "
                        f"{', '.join(each.name for each in self.summaries)}.")

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is not finite becomes None. Holds no text of anybody's."""
        return {"reference": self.reference, "num_prompts": self.num_prompts, "seed": self.seed,
                "summaries": [plain(summary) for summary in self.summaries],
                "pairs": [plain(pair) for pair in self.pairs], "groups": [list(group) for group in self.groups]}


def compare(contestants: Sequence[Contestant], reference_name: str, seed: int = 0) -> Comparison:
    """Measure every contestant and every pair of them.

    Args:
        contestants: two or more, over the same prompts, graded in the same parts.
        reference_name: the one the others are held against, usually the model before training.
        seed: of the resampling; the order of prompts, samples and contestants changes no number.

    Raises:
        DataError: if names repeat, the reference is missing, or prompts or parts differ.
    """
    _check(contestants, reference_name)
    pairs = []
    for later, contestant in enumerate(contestants):
        for earlier in contestants[:later]:
            first, second = (earlier, contestant) if contestant.name == reference_name else (contestant, earlier)
            pairs.append(_pair(first, second, seed))
    return Comparison(reference=reference_name, summaries=tuple(summarise(each, seed) for each in contestants),
                      pairs=tuple(_corrected(pairs)), seed=seed)


def verdict_of(difference: Estimate, p: float = 0.0) -> Verdict:
    """What an interval of a difference and its corrected p allow to be said; `difference.n` counts prompts."""
    if difference.n < FEWEST_PROMPTS:
        return "too_few"
    if p >= ALPHA:
        return "tied"
    if difference.low > 0:
        return "better"
    if difference.high < 0:
        return "worse"
    return "tied"


def _corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with their verdicts corrected, family by family."""
    wins, truths = (holm([each.p for each in family])
                    for family in ([pair.win for pair in pairs], [pair.truth for pair in pairs]))
    parts = iter(holm([each.p for pair in pairs for each in pair.parts.values()]))
    rewards = iter(holm([pair.reward.p for pair in pairs if pair.reward is not None]))
    return [replace(pair, win=pair.win.corrected(win), truth=pair.truth.corrected(truth),
                    parts={name: each.corrected(next(parts)) for name, each in pair.parts.items()},
                    reward=None if pair.reward is None else pair.reward.corrected(next(rewards)))
            for pair, win, truth in zip(pairs, wins, truths, strict=True)]


def _pair(first: Contestant, second: Contestant, seed: int) -> Pair:
    if first.name > second.name:      # computed one way round only, so that the order of contestants changes no digit
        return _pair(second, first, seed).flipped()

    def difference(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
        one, other = first.prompt_means(ours), second.prompt_means(theirs)
        return _difference(paired_difference(one, other, seed=seed),
                           [a - b for a, b in zip(one, other, strict=True)], seed)

    reward = None
    if first.reward is not None and second.reward is not None:
        reward = difference(first.reward, second.reward)
    rate, wins = _win_rate(first, second, seed)
    lead = Estimate(rate.value - 0.5, rate.low - 0.5, rate.high - 0.5, rate.n)
    lengths = [each.prompt_means([float(count_words(sample.text)) for sample in each.samples]) for each in (first, second)]
    controlled = length_controlled_win_rate(wins, *lengths, seed=seed) if rate.n >= FEWEST_PROMPTS else None
    return Pair(
        first=first.name, second=second.name, win_rate=rate, win=_difference(lead, [win - 0.5 for win in wins], seed),
        length_controlled=controlled, truth=difference(first.grades.total, second.grades.total),
        longer=paired_difference(lengths[0], lengths[1], seed=seed),
        parts={name: difference(values, second.grades.parts[name]) for name, values in first.grades.parts.items()},
        reward=reward)


def _difference(estimate: Estimate, by_prompt: Sequence[float], seed: int) -> Difference:
    p = sign_flip_test(by_prompt, seed=seed)
    return Difference(estimate, verdict_of(estimate, p), p, p)


def _win_rate(first: Contestant, second: Contestant, seed: int) -> tuple[Estimate, list[float]]:
    """Every sample of the one against every sample of the other with the same prompt, resampled by prompt; and the rate of
    each prompt.
    """
    ours, theirs, clusters, rates = [], [], [], []
    for prompt, (our_rows, their_rows) in enumerate(zip(first.rows.values(), second.rows.values(), strict=True)):
        met = [(our, their) for our in sorted(first.grades.total[row] for row in our_rows)
               for their in sorted(second.grades.total[row] for row in their_rows)]
        rates.append(math.fsum((our > their) + 0.5 * (our == their) for our, their in met) / len(met))
        for our, their in met:
            ours.append(our)
            theirs.append(their)
            clusters.append(prompt)
    estimate = win_rate(ours, theirs, clusters=clusters, seed=seed)
    return Estimate(estimate.value, estimate.low, estimate.high, len(first.rows)), rates


def _check(contestants: Sequence[Contestant], reference_name: str) -> None:
    names = [contestant.name for contestant in contestants]
    if len(names) < 2 or len(set(names)) != len(names):
        raise DataError(f"compare got the contestants {names}; wanted at least two, each with its own name.")
    if reference_name not in names:
        raise DataError(f"the reference {reference_name!r} is not among the contestants: {', '.join(names)}.")
    first = contestants[0]
    for other in contestants[1:]:
        odd = sorted(set(first.rows) ^ set(other.rows))
        if odd:
            raise DataError(f"{first.name!r} and {other.name!r} did not answer the same prompts: {len(odd)} were "
                            f"answered by one only (first: {odd[0]!r}). Sample both on the same prompts.")
        if set(first.grades.parts) != set(other.grades.parts):
            raise DataError(f"{first.name!r} is graded in the parts {sorted(first.grades.parts)}, {other.name!r} in "
                            f"{sorted(other.grades.parts)}. Grade both with the same grader.")


def mirrored(estimate: Estimate, total: float) -> Estimate:
    """The same estimate seen from the other side: total - x."""
    return Estimate(total - estimate.value, total - estimate.high, total - estimate.low, estimate.n)


def plain(value: Any) -> Any:
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
