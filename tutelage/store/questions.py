"""What is asked of people, as plain records: campaigns, the items in them, and the tasks a person is given.

Times are seconds since 1970 (UTC). An order is a permutation: `order[k]` is the place, in the item, of the sample that
was shown as number k; so `(1, 0)` is a pair with its sides changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tutelage.records import Judgment, Prompt, Sample

CampaignState = Literal["open", "paused", "closed"]
TaskState = Literal["open", "answered", "late", "expired", "skipped"]
Purpose = Literal["work", "gold", "attention"]
STATES: tuple[str, ...] = ("open", "paused", "closed")
PURPOSES: tuple[str, ...] = ("work", "gold", "attention")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiz:
    """What a person must have passed before a campaign gives them work: gold items, here or of another campaign."""

    pass_mark: float                   # share of right answers, 0–1
    campaign: str = ""                 # id of a campaign whose gold items are the questions, or
    items: tuple[str, ...] = ()        # ids of gold items, asked before anything else

    def to_json(self) -> dict[str, Any]:
        return {"pass_mark": self.pass_mark, "campaign": self.campaign, "items": list(self.items)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a lead decides about a campaign, and may change later: each change is a new version, kept."""

    settings: Mapping[str, Any] = field(default_factory=dict)    # the kind's own: aspects, labels, longest ranking …
    guideline: str = ""                # name and version of what people are told; "" is the kind's own text
    overlap: int = 1                   # people an item is given to
    quota: int | None = None           # tasks one person may answer; None is no limit
    expertise: tuple[str, ...] = ()    # tags a person must have, all of them
    languages: tuple[str, ...] = ()    # a person must know one of them; () asks for none
    gold_share: float = 0.0            # of a person's tasks, those with a known answer, 0–1
    duplicate_share: float = 0.0       # of a person's tasks, those they have answered before, 0–1
    quiz: Quiz | None = None
    lease_s: float = 900.0             # seconds a task stays with a person who does not answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    id: str
    name: str
    kind: str                          # the kind of judgment it asks for
    terms: Terms
    state: CampaignState = "open"
    version: int = 1                   # of the terms
    seed: int = 0                      # of the order in which things are asked
    created_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewItem:
    """A question to be: a prompt and the samples to judge (none where people write the response)."""

    prompt: Prompt
    samples: tuple[str, ...] = ()              # ids; the store must hold them
    language: str = ""
    tags: tuple[str, ...] = ()                 # people with one of these tags are given it first
    gold: Mapping[str, Any] | None = None      # the known answer, with the samples in the item's own order
    is_attention: bool = False                 # an answer that anybody who reads gets right


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    id: str
    campaign: str
    prompt: Prompt
    samples: tuple[str, ...]
    language: str
    tags: tuple[str, ...]
    purpose: Purpose
    gold: Mapping[str, Any] | None
    num_taken: int                     # people it is with or who have answered it
    num_answered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An item with one person. The page shows `samples` as they stand; `purpose` and `gold` are not for its eyes."""

    id: str
    campaign: str
    item: str
    person: str
    kind: str
    prompt: Prompt
    samples: tuple[Sample, ...]        # in displayed order
    order: tuple[int, ...]
    settings: Mapping[str, Any]
    guideline: str
    language: str
    purpose: Purpose
    gold: Mapping[str, Any] | None
    is_repeat: bool                    # the person has answered it before, in another order
    state: TaskState
    lease_expires: float
    judgment: str | None = None        # the current answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the store says to an answer. The same key again gets the same receipt, with `is_new` false."""

    judgment: str
    task: str
    is_new: bool
    state: TaskState                   # "late": kept, but the item had been given to somebody else meanwhile


# What `feedback.assignment` decides with, and what it decides.

@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What the plan may know of the person it plans for."""

    person: str
    num_given: int                     # tasks of this campaign so far
    balance: int                       # times the item's first sample was shown first, minus times it was not
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An item that the person may be given now."""

    item: str
    purpose: Purpose | Literal["quiz"]          # "quiz": a known answer that is asked for its own sake, in this order
    num_samples: int
    num_taken: int = 0
    balance: int = 0                   # as in Worker, over the people who were given it
    tags: tuple[str, ...] = ()
    earlier: tuple[int, ...] | None = None      # the order they saw it in, where this would be a repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    item: str
    order: tuple[int, ...]
    is_repeat: bool = False


Plan = Callable[[Campaign, Worker, Sequence[Candidate], int], list[Choice]]
Differs = Callable[[Sequence[Judgment]], float]       # how much judgments of one item differ: 0 is not at all
