"""Items of a campaign out of what the project has: samples artifacts, data sets of prompts, or typed prompts."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback import kinds
from tutelage.messages import Message, messages_to_json, record_id
from tutelage.project import Project
from tutelage.records import Prompt, Sample
from tutelage.store.questions import NewItem

MOST_PROMPTS = 100_000


def sources(project: Project) -> list[tuple[str, str]]:
    """(name, what it is) of everything a campaign can be made from, the newest version of each first."""
    from tutelage.data.datasets import builtin_names

    found = [(artifact.ref, artifact.kind) for artifact in project.artifacts() if not isinstance(artifact, Exception)
             and artifact.kind in ("samples", "dataset")]
    return [*reversed(found), *((f"builtin:{name}", "builtin") for name in builtin_names())]


def check_offered(project: Project, name: str) -> None:
    """A stage takes any file; a page takes what it offers, so that nobody reads the server's files by it.

    Raises:
        DataError: if `name` is no data set of the project and none that is built in.
    """
    if name not in {offered for offered, kind in sources(project) if kind != "samples"}:
        raise DataError(f"{name!r} is no data set of this project.")


def models(project: Project) -> list[str]:
    """What samples can be drawn from: the project's models, the newest version of each first, and built-in ones at hand."""
    from tutelage.models.builtin import BUILTIN, cached

    made = [artifact.ref for artifact in project.artifacts("model")]
    return [*reversed(made), *(name for name in BUILTIN if cached(name) is not None)]


def read(project: Project, names: Sequence[str], limit: int) -> tuple[list[Prompt], list[Sample]]:
    """The prompts of the sources, in their order, and the samples there are.

    Raises:
        ArtifactError, DataError: if a source is not there or holds no prompts.
    """
    prompts: dict[str, Prompt] = {}
    samples: list[Sample] = []
    for name in names:
        if name.startswith("samples/"):
            from tutelage.generation.samples import load_samples

            drawn = load_samples(project.artifact(name))
            samples += drawn
            found: Iterable[Prompt] = (sample.prompt for sample in drawn)
        else:
            from tutelage.data.datasets import load_dataset, prompts_of, resolve_dataset

            check_offered(project, name)
            found = prompts_of(load_dataset(resolve_dataset(project, name)).records)
        for prompt in found:
            prompts.setdefault(key_of(prompt), prompt)
    kept = list(prompts.items())[: limit or MOST_PROMPTS]
    keys = {key for key, _ in kept}
    return [prompt for _, prompt in kept], [sample for sample in samples if key_of(sample.prompt) in keys]


def typed(text: str) -> list[Prompt]:
    """A prompt a paragraph: prompts of several lines are parted by blank lines, or by lines if there is none."""
    parts = [part.strip() for part in (text.split("\n\n") if "\n\n" in text.strip() else text.splitlines())]
    return [written_prompt(part) for part in dict.fromkeys(parts) if part]


def written_prompt(text: str) -> Prompt:
    messages = (Message.of("user", text),)
    return Prompt(id=record_id("prompt", messages_to_json(messages)), messages=messages, kind="written")


def written_sample(prompt: Prompt, text: str, who: str) -> Sample:
    """A response that a person wrote: no tokens were sampled, so it has none."""
    return Sample(id=record_id("written", messages_to_json(prompt.messages), text, who), prompt=prompt, prompt_ids=(),
                  response_ids=(), logprobs=(), response_mask=(), text=text, ended=True, policy=f"written:{who}")


def make(kind: str, settings: Mapping[str, Any], prompts: Sequence[Prompt], samples: Sequence[Sample], per_prompt: int,
         seed: int, tags: Sequence[str] = ()) -> list[NewItem]:
    """The questions: for each prompt at most `per_prompt` choices of its samples, no two of which show the same texts.

    A kind that shows no responses asks once a prompt.

    Raises:
        DataError: if the kind shows more responses than any prompt has.
    """
    fewest, most = kinds.kind(kind).NUM_SAMPLES
    if most == 0 or (fewest == 0 and not samples):
        return [NewItem(prompt=prompt, language=language_of(prompt), tags=tuple(tags)) for prompt in prompts]
    size = min(most, settings.get("max_samples") or most) if kind == "ranking" else max(1, fewest)
    by_prompt: dict[str, dict[str, Sample]] = {}
    for sample in samples:
        if sample.text.strip():
            by_prompt.setdefault(key_of(sample.prompt), {}).setdefault(sample.text, sample)
    found = [item for prompt in prompts
             for item in _of_prompt(list(by_prompt.get(key_of(prompt), {}).values()), size, fewest, per_prompt, seed, tags)]
    if not found:
        raise DataError(f"a {kind} shows {fewest} different responses to a prompt; no prompt of these sources has as many. "
                        "Draw more samples a prompt (tutelage sample --per-prompt), or choose two sources.")
    return found


def _of_prompt(samples: list[Sample], size: int, fewest: int, per_prompt: int, seed: int,
               tags: Sequence[str]) -> Iterator[NewItem]:
    """Choices of samples drawn by the seed; those of different policies before those of one."""
    size = min(size, len(samples))
    if size < max(1, fewest):
        return
    dice = random.Random(f"{seed} {samples[0].prompt.id}")
    dice.shuffle(samples)
    choices = list(combinations(samples[:12], size))       # of more than twelve samples, twelve: enough to choose from
    dice.shuffle(choices)
    choices.sort(key=lambda chosen: -len({sample.policy for sample in chosen}))
    for chosen in choices[:per_prompt]:
        prompt = chosen[0].prompt
        yield NewItem(prompt=prompt, samples=tuple(sample.id for sample in chosen), language=language_of(prompt),
                      tags=tuple(tags))


def key_of(prompt: Prompt) -> str:
    """Prompts are the same that say the same, whatever file they came in."""
    return record_id(messages_to_json(prompt.messages))


def language_of(prompt: Prompt) -> str:
    """zh-CN where Han characters make up a good part of the last message, else en."""
    text = prompt.messages[-1].text
    han = sum("\u4e00" <= char <= "\u9fff" for char in text)
    return "zh-CN" if han * 4 > len(text.replace(" ", "")) else "en"
