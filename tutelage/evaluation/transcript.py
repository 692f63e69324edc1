"""Responses as plain Markdown: the first sample of the first prompts, chosen by nobody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tutelage.evaluation.contestant import Contestant
from tutelage.records import Sample

COUNT = 20      # prompts in a transcript


def transcript(contestants: Sequence[Contestant], count: int = COUNT) -> str:
    """For each of the first `count` prompts, in the data's order, the first sample of every contestant."""
    blocks = []
    for place, first in enumerate(_firsts(contestants, count), start=1):
        asked = next(iter(first.values())).prompt.messages[-1].text
        lines = [f"**{place}. {_inline(asked)}**", ""]
        lines += [f"- *{name}*: {_inline(sample.text)}{'' if sample.ended else ' […]'}" for name, sample in first.items()]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def transcript_ids(contestants: Sequence[Contestant], count: int = COUNT) -> list[str]:
    """Ids of the prompts and samples whose text `transcript` shows."""
    return _ids(sample for first in _firsts(contestants, count) for sample in first.values())


def _firsts(contestants: Sequence[Contestant], count: int) -> list[dict[str, Sample]]:
    """Per prompt the first sample of each contestant, by its name."""
    prompts = list(dict.fromkeys(sample.prompt.id for sample in contestants[0].samples))[:count]
    return [{each.name: next(sample for sample in each.samples if sample.prompt.id == prompt) for each in contestants}
            for prompt in prompts]


def before_and_after(contestants: Sequence[Contestant], before: str, after: str, count: int = 3) -> list[dict[str, str]]:
    """The first sample of two contestants for a few prompts spread over the data."""
    return [{"prompt": pair[before].prompt.messages[-1].text, before: pair[before].text, after: pair[after].text}
            for pair in _pairs(contestants, before, after, count)]


def before_and_after_ids(contestants: Sequence[Contestant], before: str, after: str, count: int = 3) -> list[str]:
    """Ids of the prompts and samples whose text `before_and_after` shows."""
    return _ids(sample for pair in _pairs(contestants, before, after, count) for sample in pair.values())


def _pairs(contestants: Sequence[Contestant], before: str, after: str, count: int) -> list[dict[str, Sample]]:
    by_name = {each.name: each for each in contestants}
    prompts = list(by_name[before].rows)
    chosen = prompts[:: max(1, len(prompts) // count)][:count]
    return [{name: by_name[name].samples[by_name[name].rows[prompt][0]] for name in (before, after)} for prompt in chosen]


def _ids(samples: Iterable[Sample]) -> list[str]:
    return sorted({each for sample in samples for each in (sample.id, sample.prompt.id)})


def _inline(text: str) -> str:
    """One line of Markdown that shows the text as it is: nothing in it is markup or a new paragraph."""
    shown = " ⏎ ".join(line.strip() for line in text.strip().splitlines() if line.strip()) or "(nothing)"
    return "".join(f"\\{char}" if char in "\\`*_<>[]#|" else char for char in shown)
