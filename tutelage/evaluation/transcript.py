"""Responses as plain Markdown: the first sample of the first prompts, chosen by nobody."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.evaluation.contestant import Contestant


def transcript(contestants: Sequence[Contestant], count: int = 20) -> str:
    """For each of the first `count` prompts, in the data's order, the first sample of every contestant."""
    prompts = list(dict.fromkeys(sample.prompt.id for sample in contestants[0].samples))[:count]
    blocks = []
    for place, prompt in enumerate(prompts, start=1):
        first = {each.name: next(sample for sample in each.samples if sample.prompt.id == prompt) for each in contestants}
        asked = next(iter(first.values())).prompt.messages[-1].text
        lines = [f"**{place}. {_inline(asked)}**", ""]
        lines += [f"- *{name}*: {_inline(sample.text)}{'' if sample.ended else ' […]'}" for name, sample in first.items()]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def before_and_after(contestants: Sequence[Contestant], before: str, after: str, count: int = 3) -> list[dict[str, str]]:
    """The first sample of two contestants for a few prompts spread over the data."""
    by_name = {each.name: each for each in contestants}
    prompts = list(by_name[before].rows)
    chosen = prompts[:: max(1, len(prompts) // count)][:count]
    found = []
    for prompt in chosen:
        pair = {name: by_name[name].samples[by_name[name].rows[prompt][0]] for name in (before, after)}
        found.append({"prompt": pair[before].prompt.messages[-1].text, before: pair[before].text, after: pair[after].text})
    return found


def _inline(text: str) -> str:
    """One line of Markdown that shows the text as it is: nothing in it is markup or a new paragraph."""
    shown = " ⏎ ".join(line.strip() for line in text.strip().splitlines() if line.strip()) or "(nothing)"
    return "".join(f"\\{char}" if char in "\\`*_<>[]#|" else char for char in shown)
