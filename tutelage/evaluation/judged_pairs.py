"""Judgments as the items a reward model is examined on: each pair of responses once, with all that was said of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from tutelage.data.languages import language
from tutelage.errors import DataError
from tutelage.messages import Messages, canonical_messages, messages_id, record_id
from tutelage.records import AnnotatorKind, Critique, Marked, Preference, Prompt, Ranking, Rating, Record, Sample, Thumb


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """What was said of one pair, by one judge or, where data were combined before, by several.

    `chosen_first`: whether the chosen response was shown first; None where nobody knows. `quotes` names the rows that hold
    the texts, for a report that shows them.
    """

    term: Preference
    kind: str = "comparison"
    chosen_first: bool | None = None
    quotes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgments:
    """Everything that was judged: voices on pairs, ratings and thumbs of single responses."""

    voices: tuple[Voice, ...] = ()
    ratings: tuple[Rating, ...] = ()
    thumbs: tuple[Thumb, ...] = ()

    def of_prompts(self, kept: frozenset[str]) -> Judgments:
        """Those of the prompts that `kept` names, by `prompt_name`."""
        return Judgments(voices=tuple(each for each in self.voices if prompt_name(each.term.prompt) in kept),
                         ratings=tuple(each for each in self.ratings if prompt_name(each.prompt) in kept),
                         thumbs=tuple(each for each in self.thumbs if prompt_name(each.prompt) in kept))

    @property
    def prompts(self) -> dict[str, Messages]:
        """By name, in the order in which they come."""
        prompts = [*(each.term.prompt for each in self.voices), *(each.prompt for each in (*self.ratings, *self.thumbs))]
        return {prompt_name(prompt): prompt for prompt in prompts}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Two responses to a prompt and what judges of one kind made of them; `better` has at least half of the votes.

    `share` is the share of votes for it, a tie being half of one; `agreement` the chance that two of its judges, who toss a
    coin over a tie, say the same (None with one judge); `margin` the mean margin for it; `shown` how much more often it was
    shown first than second, -1 to 1 (None where nobody knows).
    """

    prompt: Messages
    better: Messages
    worse: Messages
    share: float
    judges: int
    agreement: float | None
    margin: float
    kind: str
    annotator: AnnotatorKind
    shown: float | None
    language: str
    quotes: tuple[str, ...]

    @property
    def decided(self) -> bool:
        return self.share != 0.5


def prompt_name(prompt: Messages) -> str:
    """A prompt's name by its content, the same wherever the prompt stands."""
    return messages_id("prompt", prompt)


def judgments_of(records: Iterable[Record]) -> Judgments:
    """Records of a data set as judgments: pairs, rankings as their pairs, ratings also as pairs of one judge's scores.

    Raises:
        DataError: if a record is of another kind.
    """
    voices: list[Voice] = []
    ratings: list[Rating] = []
    thumbs: list[Thumb] = []
    for record in records:
        if isinstance(record, Preference):
            voices.append(Voice(term=record, kind=record.source or "comparison", quotes=(record.id,)))
        elif isinstance(record, Ranking):
            voices += _pairs_of_ranking(record)
        elif isinstance(record, Rating):
            ratings.append(record)
        elif isinstance(record, Thumb):
            thumbs.append(record)
        elif not isinstance(record, Marked | Critique):      # which say nothing of how good a response is as a whole
            raise DataError(f"a reward model is examined on preferences, rankings, ratings and thumbs; got a record of kind "
                            f"{type(record).__name__.lower()}.")
    return Judgments(voices=(*voices, *pairs_of_ratings(ratings)), ratings=tuple(ratings), thumbs=tuple(thumbs))


def _pairs_of_ranking(ranking: Ranking) -> Iterator[Voice]:
    for i, j in combinations(range(len(ranking.ranks)), 2):
        better, worse = (i, j) if ranking.ranks[i] <= ranking.ranks[j] else (j, i)
        yield Voice(kind="ranking", quotes=(ranking.id,), term=Preference(
            id=record_id("pair of a ranking", ranking.id, i, j), prompt=ranking.prompt, chosen=ranking.responses[better],
            rejected=ranking.responses[worse], label=0.5 if ranking.ranks[i] == ranking.ranks[j] else 1.0,
            annotator=ranking.annotator, person=ranking.person))


def pairs_of_ratings(ratings: Iterable[Rating]) -> Iterator[Voice]:
    """Each two responses to one prompt that the same judge rated in the same aspects: the higher mean is the better."""
    together: dict[tuple[Messages, str, str, tuple[str, ...]], list[Rating]] = {}
    for each in ratings:
        together.setdefault((each.prompt, each.annotator, each.person, tuple(sorted(each.scores))), []).append(each)
    for rated in together.values():
        for one, other in combinations(rated, 2):
            if one.response == other.response or not one.scores:
                continue
            gap = (sum(one.scores.values()) - sum(other.scores.values())) / len(one.scores)
            better, worse = (one, other) if gap >= 0 else (other, one)
            quotes = tuple(name for each in (one, other) for name in (each.judgment_ids or (each.id,)))
            yield Voice(kind="rating", quotes=quotes, term=Preference(
                id=record_id("pair of ratings", one.id, other.id), prompt=one.prompt, chosen=better.response,
                rejected=worse.response, label=1.0 if gap else 0.5, margin=abs(gap), annotator=one.annotator, person=one.person))


def items_of(voices: Iterable[Voice]) -> list[Item]:
    """Voices on the same two responses, by the same kind of annotator, as one item; in the order of their first voices."""
    heard: dict[tuple[str, str, str, str], list[Voice]] = {}
    for voice in voices:
        first, second = sorted((canonical_messages(voice.term.chosen), canonical_messages(voice.term.rejected)))
        heard.setdefault((canonical_messages(voice.term.prompt), first, second, voice.term.annotator), []).append(voice)
    return [_item(said, first) for (_, first, second, _), said in heard.items() if first != second]


@dataclass(slots=True)
class _Tally:
    """Votes on one pair, for its first response: how many, their sum, the sum of their squares."""

    judges: int = 0
    votes: float = 0.0
    squares: float = 0.0
    margin: float = 0.0
    shown: list[int] = field(default_factory=list)

    def agreement(self) -> float | None:
        """Mean over two different judges of a b + (1 - a) (1 - b), a and b being their votes."""
        if self.judges < 2:
            return None
        for_first = self.votes**2 - self.squares
        rest = self.judges - self.votes
        for_second = rest**2 - (self.judges - 2 * self.votes + self.squares)
        return (for_first + for_second) / (self.judges * (self.judges - 1))


def _item(said: Sequence[Voice], first: str) -> Item:
    tally = _Tally()
    for voice, towards in _by_judge(said, first):
        count = max(1, len(voice.term.judgment_ids))      # of a term that was combined of several votes, only the share is known
        tally.judges += count
        tally.votes += count * towards
        tally.squares += towards**2 if count == 1 else count * towards
        is_first = canonical_messages(voice.term.chosen) == first
        tally.margin += count * voice.term.margin * (1 if is_first else -1)
        if voice.chosen_first is not None:
            tally.shown.append(1 if voice.chosen_first == is_first else -1)
    term = said[0].term
    sides = {canonical_messages(side): side for side in (term.chosen, term.rejected)}
    other = next(side for text, side in sides.items() if text != first)
    share, turn = tally.votes / tally.judges, 1
    better, worse = sides[first], other
    if share < 0.5:
        share, turn, better, worse = 1 - share, -1, worse, better
    text = "\n".join(message.text for message in (*term.prompt, *better, *worse))
    return Item(prompt=term.prompt, better=better, worse=worse, share=share, judges=tally.judges, agreement=tally.agreement(),
                margin=max(0.0, turn * tally.margin / tally.judges), kind=" + ".join(sorted({each.kind for each in said})),
                annotator=term.annotator, shown=turn * sum(tally.shown) / len(tally.shown) if tally.shown else None,
                language=language(text), quotes=tuple(sorted({name for each in said for name in each.quotes})))


def _by_judge(said: Sequence[Voice], first: str) -> Iterator[tuple[Voice, float]]:
    """One voice a judge with their vote for `first`; who was asked twice has the mean of both. A row that nobody signed is a
    judge of its own, the same row twice is one."""
    by_judge: dict[str, dict[str, Voice]] = {}
    for voice in said:
        by_judge.setdefault(voice.term.person or f"row {voice.term.id}", {})[voice.term.id] = voice
    for mine in by_judge.values():
        votes = [voice.term.label if canonical_messages(voice.term.chosen) == first else 1 - voice.term.label
                 for voice in mine.values()]
        yield next(iter(mine.values())), sum(votes) / len(votes)


def sample_of(prompt: Messages, response: Messages) -> Sample:
    """A judged response as a reward takes it: by its text. What stands before its last message is read as prompt."""
    asked = (*prompt, *response[:-1])
    name = messages_id("judged", asked, response[-1:])
    return Sample(id=name, prompt=Prompt(id=prompt_name(prompt), messages=asked), prompt_ids=(), response_ids=(), logprobs=(),
                  response_mask=(), text=response[-1].text, ended=True)
