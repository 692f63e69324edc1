"""Which prompts a reward model is trained on and which are kept out, and what its artifact says of that later.

    split.json      {"train": [names of prompts], "heldout": [names of prompts]}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tutelage.data.datasets import Dataset, load_dataset, resolve_dataset
from tutelage.data.fingerprints import prompt_key
from tutelage.data.mixed import load_mixed
from tutelage.data.splits import leakage
from tutelage.errors import ArtifactError, DataError, TutelageError
from tutelage.messages import Messages, messages_id
from tutelage.project import Artifact, Project
from tutelage.records import Prompt, Term
from tutelage.rewards.reading import FEEDBACK, KINDS
from tutelage.training.heldout import kept_out
from tutelage.training.pairs import Group, Judged

SPLIT_FILE = "split.json"
G = TypeVar("G", Group, Judged)


def split_groups(groups: Sequence[G], fraction: float, seed: int) -> tuple[list[G], list[G]]:
    """Train and held-out groups: whole clusters of prompts that are nearly the same, so that none is on both sides.

    Raises:
        DataError: if nothing can be kept out, or no prompt is left to train on.
    """
    apart = kept_out([_asked(group) for group in groups], fraction, seed) if fraction else set()
    train = [group for place, group in enumerate(groups) if place not in apart]
    if not train:
        raise DataError(f"no prompt is left to train on: {len(groups)} prompts, heldout_fraction {fraction}.")
    return train, [group for place, group in enumerate(groups) if place in apart]


def refuse_leaks(train: Sequence[Group | Judged], heldout: Sequence[Group | Judged]) -> None:
    """
    Raises:
        DataError: if a held-out prompt is trained on, or one nearly like it: what is measured there would be memory.
    """
    leaks = leakage([_asked(group) for group in train], [_asked(group) for group in heldout])
    if leaks:
        first = max(leaks, key=lambda leak: leak.similarity)
        said = " ".join(_asked(heldout[first.heldout]).split())
        raise DataError(f"{len(leaks)} of {len(heldout)} held-out prompts are trained on too, or ones nearly like them (the "
                        f"likest, {first.similarity:.0%} alike: {said[:80]!r}). Accuracy on them would be memory. Take them "
                        "out of one side, or leave `heldout` empty: then a share of the prompts is kept out that is apart.")


def heldout_terms(project: Project, data: str) -> tuple[list[Term], Mapping[str, str], Mapping[str, str]]:
    """The judgments of the data set `data` that is kept out as a whole (its held-out split where it has one), and the parents
    and sources that a manifest names.

    Raises:
        DataError: if it holds no judgments.
    """
    found = judged_data(project, data, "heldout")
    return found.records, {f"heldout {role}": ref for role, ref in found.parents.items()}, \
        {f"heldout {name}": digest for name, digest in found.sources.items()}


def judged_data(project: Project, data: str, split: str) -> Dataset:
    """Judgments of any kind: of a data set its `split`, where it has one of that name, else all there is."""
    source = resolve_dataset(project, data)
    if isinstance(source, Artifact) and (source.path / f"{split}.jsonl").is_file():
        found = load_dataset(source, split)
        if found.kind not in KINDS:
            raise DataError(f"{source.ref} holds records of kind {found.kind}; wanted {', '.join(KINDS)}.")
        return found
    return load_mixed(source, KINDS)


def _asked(group: Group | Judged) -> str:
    return prompt_key(Prompt(id="", messages=group.prompt))


def prompt_name(prompt: Messages) -> str:
    """As `evaluation.judged_pairs` names it."""
    return messages_id("prompt", prompt)


def write_split(directory: Path, train: Sequence[Group | Judged], heldout: Sequence[Group | Judged]) -> None:
    names = {side: sorted(prompt_name(group.prompt) for group in groups)
             for side, groups in (("train", train), ("heldout", heldout))}
    (directory / SPLIT_FILE).write_text(json.dumps(names, indent=0) + "\n", encoding="utf-8")


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """Names of the prompts a reward model was trained on, and what they say; None for what is not known, `why` saying so."""

    prompts: frozenset[str] | None
    asked: tuple[str, ...] | None = None
    why: str = ""


def trained_on(artifact: Artifact, project: Project, feedback: Sequence[Messages] = ()) -> TrainedOn:
    """What `artifact` was trained on, as far as it is still here.

    Args:
        feedback: prompts of the project's judgments, where these are what it was trained on.
    Raises:
        ArtifactError: if its record cannot be read.
    """
    path = artifact.path / SPLIT_FILE
    if not path.is_file():
        return TrainedOn(None, why="it did not record its prompts")
    try:
        names = frozenset(json.loads(path.read_text(encoding="utf-8"))["train"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{SPLIT_FILE} of {artifact.ref} cannot be read: {error}. See: tutelage verify "
                            f"{artifact.ref}") from None
    data = trained_with(artifact)
    prompts = list(feedback) if FEEDBACK in data else []
    try:
        prompts += [record.prompt for name in data if name != FEEDBACK for record in judged_data(project, name, "train").records]
    except TutelageError:
        return TrainedOn(names, why=f"{', '.join(data)} cannot be read")
    asked = {prompt_name(prompt): prompt_key(Prompt(id="", messages=prompt)) for prompt in prompts}
    if missing := len(names - asked.keys()):
        return TrainedOn(names, why=f"{missing} of {len(names)} prompts are gone from {', '.join(data)}")
    return TrainedOn(names, tuple(asked[name] for name in sorted(names)))


def trained_with(artifact: Artifact) -> tuple[str, ...]:
    """The data that a reward model was asked to be trained with, as they were named."""
    asked = artifact.manifest.config
    return tuple(dict.fromkeys((str(asked.get("data", "")), *map(str, asked.get("also", ())))))


def known_of(each: Sequence[TrainedOn]) -> TrainedOn:
    """What any of several models was trained on; unknown where one of them, or nobody, says."""
    if not each or any(one.prompts is None for one in each):
        return TrainedOn(None)
    names = frozenset(name for one in each for name in one.prompts or ())
    if gone := next((one.why for one in each if one.asked is None), ""):
        return TrainedOn(names, why=gone)
    return TrainedOn(names, tuple(sorted({text for one in each for text in one.asked or ()})))
