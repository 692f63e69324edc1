"""What goes to the annotating page and what comes back: plain JSON, with nothing in it that annotators must not see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tutelage.reporting.showable import showable
from tutelage.store.questions import Task
from tutelage.studio.blinding import blind, names_of

Id = Annotated[str, Field(min_length=1, max_length=100)]


class Entry(BaseModel):
    """One entry of a browser's outbox."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    op: Literal["answer", "skip", "undo", "flag"]
    key: Annotated[str, Field(pattern=r"^[0-9a-zA-Z_-]{16,64}$")]
    task: Id
    answer: dict[str, Any] = Field(default_factory=dict)
    timings: dict[str, int | float | str] = Field(default_factory=dict)
    undoes: str = Field(default="", max_length=64)
    reason: str = Field(default="", max_length=40)
    note: str = Field(default="", max_length=2000)


class Batch(BaseModel):
    """What a browser sends: entries in the order in which they were decided, all of one person."""

    person: Id
    entries: Annotated[list[Entry], Field(min_length=1, max_length=50)]


class OwnKeys(BaseModel):
    kind: Id
    keys: Annotated[dict[str, Annotated[str, Field(min_length=1, max_length=20)]], Field(max_length=60)]


def task_json(task: Task) -> dict[str, Any]:
    """A task as the page gets it: no sample ids, no policies, no purpose, no known answer; sides as the store says.

    The text to be edited is not covered: the person has to mend all of it.
    """
    names = names_of(sample.policy for sample in task.samples)
    cover = task.kind != "edit"
    return {
        "id": task.id,
        "prompt": [{"role": message.role, "text": showable(message.text)} for message in task.prompt.messages],
        "responses": [blind(sample.text, names) if cover else showable(sample.text) for sample in task.samples],
    }


def kept_timings(timings: Mapping[str, Any]) -> dict[str, Any]:
    """Of what a page says of its times: what we know the meaning of, within reason."""
    kept: dict[str, Any] = {}
    for name in ("visible_ms", "undone"):
        value = timings.get(name)
        if isinstance(value, int | float) and 0 <= value < 1e9:
            kept[name] = int(value)
    if timings.get("input") in ("key", "pointer"):
        kept["input"] = timings["input"]
    return kept
