"""What people and models said: the records that travel between the rooms.

Every record converts to and from plain JSON values (`to_json`, `from_json`): that form is what data-set artifacts and the
store keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any, Literal, Self, cast

from tutelage.messages import Message, Messages, canonical, canonical_messages, messages_from_json, quoted

AnnotatorKind = Literal["human", "model", "scripted"]
GOOD = "good"      # of a passage's marks the one that speaks for it


class Record:
    """What a file's row or a judgment becomes. As JSON a field at its default is left out.

    Mappings (`meta`, `scores` …) count in comparisons but not in the hash, so that records can be keys.
    """

    __slots__ = ()

    id: str

    def to_json(self) -> dict[str, Any]:
        return {name: _plain(value) for name, default in _defaults(cast(Any, type(self)))
                if (value := getattr(self, name)) != default}

    def canonical(self) -> str:
        """`lineage.canonical_json` of `to_json()`, made faster."""
        return "{" + ",".join([
            f'"{name}":{write(value)}' for name, default, write in _written(cast(Any, type(self)))
            if (value := getattr(self, name)) != default]) + "}"

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        kinds = _declared(cast(Any, cls))
        return cls(**{name: _FROM_PLAIN.get(kinds[name], _same)(each) for name, each in value.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Message):
        return value.to_json()
    return dict(value) if isinstance(value, Mapping) else value


@cache
def _defaults(kind: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((each.name, each.default if each.default_factory is MISSING else each.default_factory())
                 for each in fields(kind))


@cache
def _written(kind: Any) -> tuple[tuple[str, Any, Callable[[Any], str]], ...]:
    """Fields by name, with their defaults and what writes them as canonical JSON."""
    ways: Mapping[str, Callable[[Any], str]] = {"str": quoted, "Messages": canonical_messages}
    kinds, defaults = _declared(kind), dict(_defaults(kind))
    return tuple((name, defaults[name], ways.get(kinds[name], _any_canonical)) for name in sorted(defaults))


def _any_canonical(value: Any) -> str:
    return canonical(_plain(value))


@cache
def _declared(kind: Any) -> Mapping[str, str]:
    return {each.name: str(each.type) for each in fields(kind)}


def _same(value: Any) -> Any:
    return value


# How a field of this declared type is made of its JSON value; any other is taken as it stands.
_FROM_PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "Messages": messages_from_json,
    "tuple[Messages, ...]": lambda value: tuple(messages_from_json(each) for each in value),
    "tuple[str, ...]": tuple, "tuple[int, ...]": tuple, "tuple[Mapping[str, Any], ...]": tuple,
    "tuple[tuple[str, ...], ...]": lambda value: tuple(tuple(each) for each in value)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(Record):
    """Raw text, for pre-training. `meta` here and below: what else the row said, by its own keys (licence, language …)."""

    id: str
    text: str
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt(Record):
    """What a model is asked. `key_facts` is its answer rubric: facts, each with the forms that count as saying it.

    The rubric belongs to graders and scripted annotators; no training code reads it. `wanted` is the response that an
    instruction wants, which only rewards compare with (`rule:exact` …).
    """

    id: str
    messages: Messages
    kind: str = ""
    key_facts: tuple[tuple[str, ...], ...] = ()
    wanted: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction(Record):
    """A conversation whose assistant turns are wanted responses; the last message is one of them.

    `annotator` and `person` say who wrote the responses, `judgment_ids` in which of the store's rows, `tools` holds JSON
    schemas of what the assistant may call.
    """

    id: str
    messages: Messages
    annotator: AnnotatorKind = "human"
    person: str = ""
    judgment_ids: tuple[str, ...] = ()
    tools: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def prompt(self) -> Messages:
        return self.messages[:-1]

    @property
    def response(self) -> Message:
        return self.messages[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Record):
    """A text and the classes it is in: none, one or several."""

    id: str
    text: str
    labels: tuple[str, ...]
    weight: float = 1.0
    annotator: AnnotatorKind = "human"
    person: str = ""
    judgment_ids: tuple[str, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Term(Record):
    """A neutral training term: what a judgment says of responses to one prompt, whatever kind of judgment it was.

    `weight` is its share in the loss, `annotator` and `person` who judged ("" where several did or nobody knows),
    `judgment_ids` the store's rows it was made from, `source` what kind of judgment it was where the term does not show it.
    """

    id: str
    prompt: Messages
    weight: float = 1.0
    annotator: AnnotatorKind = "human"
    person: str = ""
    judgment_ids: tuple[str, ...] = ()
    source: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference(Term):
    """Of two responses, `chosen` is the better; `label` is the probability that it wins (1.0 where the judgment was plain)."""

    chosen: Messages
    rejected: Messages
    margin: float = 0.0
    label: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking(Term):
    """K responses and the place of each: 1 is the best, equal places are ties."""

    responses: tuple[Messages, ...]
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating(Term):
    """A response and its scores by aspect (helpful, correct …); higher is better."""

    response: Messages
    scores: Mapping[str, float] = field(hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumb(Term):
    """A response that somebody liked or did not (a row of KTO)."""

    response: Messages
    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Critique(Term):
    """What somebody said of a response in words; of the prompt or of all that was shown, where there is no response."""

    text: str
    response: Messages = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked(Term):
    """A response and the passages somebody marked in it: `{start, end, mark}`, and a `note` where there is one.

    Offsets count Unicode code points of the response's text, from 0; `end` is the first one behind the passage. `mark` is
    `GOOD`, or a word for what is bad about it.
    """

    response: Messages
    marks: tuple[Mapping[str, Any], ...] = field(hash=False)

    @property
    def passages(self) -> tuple[tuple[int, int, bool], ...]:
        """(start, end, whether it is good) of each mark."""
        return tuple((int(mark["start"]), int(mark["end"]), mark["mark"] == GOOD) for mark in self.marks)


# What the records of one data set are, by name.
RECORD_TYPES: Mapping[str, type[Record]] = {
    "instruction": Instruction, "preference": Preference, "prompt": Prompt, "document": Document, "label": Label,
    "ranking": Ranking, "rating": Rating, "thumb": Thumb, "critique": Critique, "marked": Marked}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How a response is drawn. The defaults are plain sampling from the model: what RL needs.

    The distribution a token is drawn from is made in the order of these fields, `generation.sampler` tells how.
    """

    repetition_penalty: float = 1.0                     # above 1: tokens of the prompt and the response so far become less likely
    logit_bias: tuple[tuple[int, float], ...] = ()      # (token id, what is added to its logit)
    min_new_tokens: int = 0                             # before so many tokens no stop token has any probability
    temperature: float = 1.0                            # divides the logits; 0 takes the most likely token
    top_k: int = 0                                      # 0 is off
    top_p: float = 1.0                                  # nucleus kept before the draw; 1 keeps all
    min_p: float = 0.0                                  # least probability kept, as a share of the largest; 0 keeps all
    max_new_tokens: int = 64
    stop_strings: tuple[str, ...] = ()                  # a response ends where its text holds one of them
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """The settings everybody knows, and of the others those that are not at their default."""
        rest = {each.name: getattr(self, each.name) for each in fields(self) if getattr(self, each.name) != each.default}
        known = {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "max_new_tokens", "seed")}
        if self.logit_bias:
            rest["logit_bias"] = [list(pair) for pair in self.logit_bias]
        if self.stop_strings:
            rest["stop_strings"] = list(self.stop_strings)
        return {**known, **{name: value for name, value in rest.items() if name not in known}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(**{**value, "logit_bias": tuple((int(token), float(bias)) for token, bias in value.get("logit_bias", ())),
                      "stop_strings": tuple(value.get("stop_strings", ()))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a model gave, as it gave it: the ids are never made again from the text (D6).

    Where `ended` is true, `response_ids` end with the end-of-turn token, or with the one that completed a stop string (the
    text is cut before it); `logprobs` has one entry a response token,
    under the distribution that was sampled. `response_mask` is True on the tokens the policy chose (all of them in a
    single turn; tool output would be False).
    """

    id: str
    prompt: Prompt
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    response_mask: tuple[bool, ...]
    text: str
    ended: bool
    policy: str = ""              # artifact reference of the model that spoke
    sampling: Sampling = field(default_factory=Sampling)

    @property
    def response(self) -> Messages:
        return (Message.of("assistant", self.text),)

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, "prompt": self.prompt.to_json(), "prompt_ids": list(self.prompt_ids),
                "response_ids": list(self.response_ids), "logprobs": list(self.logprobs),
                "response_mask": list(self.response_mask), "text": self.text, "ended": self.ended,
                "policy": self.policy, "sampling": self.sampling.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(id=value["id"], prompt=Prompt.from_json(value["prompt"]), prompt_ids=tuple(value["prompt_ids"]),
                   response_ids=tuple(value["response_ids"]), logprobs=tuple(value["logprobs"]),
                   response_mask=tuple(value["response_mask"]), text=value["text"], ended=value["ended"],
                   policy=value.get("policy", ""), sampling=Sampling.from_json(value.get("sampling", {})))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgment:
    """One person's one answer. `samples` stand in the order they were shown; `answer` is the kind's own schema."""

    id: str
    kind: str                     # a file of feedback/kinds: comparison, ...
    annotator_id: str
    annotator: AnnotatorKind
    prompt: Prompt
    samples: tuple[str, ...]      # sample ids in displayed order
    answer: Mapping[str, Any]
    guideline: str = ""
    supersedes: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a `Score` gives for B samples: the total that is optimised and the parts it was made of.

    `per_token` holds one sequence of floats a sample (its response tokens) where the reward is dense, else None; `total` is
    the sum of each.
    `skipped` says of samples, by their place, why they have no score: their total is NaN, and whoever learns leaves them
    out. `costs` are what constraints are about, by name; `total` has nothing of them.
    """

    total: tuple[float, ...]                                  # (B,)
    per_token: tuple[tuple[float, ...], ...] | None = None    # B ragged rows
    parts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    skipped: Mapping[int, str] = field(default_factory=dict)
    costs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)     # name -> (B,)
