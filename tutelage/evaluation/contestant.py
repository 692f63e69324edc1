"""One model in a comparison: what it said, how that was graded, and what can be said of it alone.

Prompts are what is drawn at random here, not responses: several samples of one prompt are alike, so they are averaged
first and every interval is over prompts. n is therefore the number of prompts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from tutelage.errors import DataError
from tutelage.evaluation.behaviour import self_bleu
from tutelage.evaluation.refusing import refuses
from tutelage.records import Sample, Scores
from tutelage.statistics import Estimate, mean_interval, share_interval
from tutelage.text_metrics import count_words, ngrams, repetition_fraction


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model's samples and their grades, in the same order.

    Raises:
        DataError: if a row of numbers is not as long as the samples or not finite, or prompts have different numbers
            of samples (what is missing would bias every mean).
    """

    name: str
    samples: Sequence[Sample]
    grades: Scores                               # of the truth: `total`, and the parts it was made of; higher is better
    reward: Sequence[float] | None = None        # what the reward model gave, in its own units
    kl: Sequence[float] | None = None            # nats a response, KL(this || reference); see `measure.kl_to_reference`
    perplexity: Estimate | float | None = None   # on held-out responses; see `measure.perplexity`

    def __post_init__(self) -> None:
        rows: dict[str, Sequence[float] | None] = {
            "grades.total": self.grades.total, "reward": self.reward, "kl": self.kl,
            **{f"grades.parts[{name!r}]": values for name, values in self.grades.parts.items()}}
        for name, values in rows.items():
            if values is None:
                continue
            if len(values) != len(self.samples):
                raise DataError(f"contestant {self.name!r}: {name} has {len(values)} numbers for {len(self.samples)} "
                                "samples; wanted one each.")
            wrong = next((row for row, value in enumerate(values) if not math.isfinite(value)), None)
            if wrong is not None:
                raise DataError(f"contestant {self.name!r}: {name} is {values[wrong]} for sample "
                                f"{self.samples[wrong].id!r}; wanted a finite number. Mend the grader or the reward.")
        counts = Counter(sample.prompt.id for sample in self.samples)
        if not counts:
            raise DataError(f"contestant {self.name!r} has no samples; wanted at least one of each prompt.")
        if len(set(counts.values())) != 1:
            few, many = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
            raise DataError(f"contestant {self.name!r} has {counts[few]} samples of prompt {few!r} and {counts[many]} "
                            f"of {many!r}; wanted as many of each.")

    @property
    def rows(self) -> dict[str, list[int]]:
        """Places of each prompt's samples, by prompt id in sorted order: the same whatever order they came in."""
        found: dict[str, list[int]] = {}
        for row, sample in enumerate(self.samples):
            found.setdefault(sample.prompt.id, []).append(row)
        return dict(sorted(found.items()))

    def prompt_means(self, values: Sequence[float]) -> list[float]:
        """One mean a prompt, by prompt id; `fsum`, so that the order of samples changes nothing."""
        return [math.fsum(values[row] for row in rows) / len(rows) for rows in self.rows.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A contestant in numbers, each with its 95 % interval over prompts. None is not measured."""

    name: str
    num_prompts: int
    num_samples: int
    truth: Estimate
    parts: Mapping[str, Estimate]
    reward: Estimate | None
    kl: Estimate | None            # nats a response
    tokens: Estimate               # a response, end-of-turn token included
    words: Estimate                # a response; Han characters count as words
    ended: Estimate                # share of responses that ended by themselves
    distinct_1: Estimate
    distinct_2: Estimate
    repetition: Estimate           # share of 4-grams the response had said before
    self_bleu: Estimate | None     # BLEU of responses with others to the same prompt; None with one sample a prompt
    refused: Estimate              # share of responses that begin as a refusal does
    perplexity: Estimate | None


def summarise(contestant: Contestant, seed: int) -> Summary:
    """Everything that can be said of one contestant alone."""
    samples = contestant.samples

    def mean(values: Sequence[float]) -> Estimate:
        return mean_interval(contestant.prompt_means(values), seed=seed)

    def share(values: Sequence[float]) -> Estimate:
        return share_interval(contestant.prompt_means(values), seed=seed)

    def mean_or_none(values: Sequence[float] | None) -> Estimate | None:
        return None if values is None else mean(values)

    texts = [[samples[row].text for row in rows] for rows in contestant.rows.values()]
    perplexity = contestant.perplexity
    if isinstance(perplexity, float | int):
        perplexity = Estimate(float(perplexity), math.nan, math.nan, 0)      # somebody else's number: no interval known
    return Summary(
        name=contestant.name, num_prompts=len(texts), num_samples=len(samples),
        truth=mean(contestant.grades.total),
        parts={name: mean(values) for name, values in contestant.grades.parts.items()},
        reward=mean_or_none(contestant.reward), kl=mean_or_none(contestant.kl),
        tokens=mean([float(len(sample.response_ids)) for sample in samples]),
        words=mean([float(count_words(sample.text)) for sample in samples]),
        ended=share([float(sample.ended) for sample in samples]),
        distinct_1=distinct_interval(texts, 1), distinct_2=distinct_interval(texts, 2),
        repetition=share([repetition_fraction(sample.text) for sample in samples]), perplexity=perplexity,
        self_bleu=self_bleu(texts, seed), refused=share([float(refuses(sample.text)) for sample in samples]))


def distinct_interval(texts: Sequence[Sequence[str]], n: int) -> Estimate:
    """`text_metrics.distinct_n` over all texts, with an interval from leaving out one prompt at a time (jackknife).

    A bootstrap would be wrong: it draws prompts twice, and a text said twice is less varied by construction.

    Args:
        texts: the responses to each prompt.
        n: units in a run.
    """
    by_prompt = [Counter(gram for text in group for gram in ngrams(text, n)) for group in texts]
    everything: Counter[tuple[str, ...]] = Counter()
    for counter in by_prompt:
        everything.update(counter)
    total, count = everything.total(), len(by_prompt)
    value = len(everything) / total if total else 0.0
    if count < 2:
        return Estimate(value, math.nan, math.nan, count)
    left_out = []
    for counter in by_prompt:
        only_here = sum(1 for gram, times in counter.items() if times == everything[gram])
        rest = total - counter.total()
        left_out.append((len(everything) - only_here) / rest if rest else 0.0)
    centre = math.fsum(left_out) / count
    error = math.sqrt((count - 1) / count * math.fsum((each - centre) ** 2 for each in left_out))
    reach = float(stats.t.ppf(0.975, count - 1)) * error
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach), count)
