"""Asking a model the items of a task: by its own probabilities where the task wants them, else for responses.

A model is somebody who responds to conversations. One of our own also tells how likely it finds a text; one behind an
address (`Responds` alone) does not, and is refused tasks that need that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from tutelage.data.chat import ChatTemplate
from tutelage.errors import ConfigError, ModelError
from tutelage.evaluation.graders import cut, grade, metrics_of, over_all
from tutelage.evaluation.likelihood import Choices, choice_logprobs, encode_choices
from tutelage.evaluation.metrics.likelihood import choose, pass_at_k, share_of
from tutelage.evaluation.tasks import Item, Loaded
from tutelage.evaluation.twins import BETWEEN, both_forms, compare_forms
from tutelage.generation.engine import Engine, Response, decode
from tutelage.messages import Messages, messages_to_json, record_id
from tutelage.models.load import load_policy, load_tokenizer
from tutelage.protocols import Score
from tutelage.records import Prompt, Sample, Sampling
from tutelage.runs.signals import stop_if_asked
from tutelage.seeds import stream_seed

SLOTS = 64


class Said(Protocol):
    """A response, and whether it came to its end."""

    @property
    def text(self) -> str: ...

    @property
    def ended(self) -> bool: ...


class Responds(Protocol):
    """A model that only responds: one behind an address."""

    @property
    def name(self) -> str: ...

    def write(self, conversations: Sequence[Messages], sampling: Sampling) -> Sequence[Said]:
        """One response a conversation, in order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What one model made of one task: its marks an item, averaged over samples, and what it said."""

    task: str
    marks: Mapping[str, tuple[float, ...]]               # metric -> one mark an item; the task's own metric first
    responses: tuple[str, ...] = ()                      # the first of each item; empty where none was drawn
    ended: tuple[bool, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)      # of all items together; see `graders.over_all`

    def to_json(self) -> dict[str, Any]:
        return {"task": self.task, "marks": {name: list(row) for name, row in self.marks.items()},
                "responses": list(self.responses), "ended": list(self.ended), "facts": dict(self.facts)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Examined:
        return cls(task=value["task"], marks={name: tuple(row) for name, row in value["marks"].items()},
                   responses=tuple(value["responses"]), ended=tuple(value["ended"]), facts=value["facts"])


class Local:
    """A model of our own, loaded once for all its tasks."""

    def __init__(self, path: Path, precision: str, name: str) -> None:
        self.name, self.tokenizer = name, load_tokenizer(path)
        self.policy = load_policy(path, precision)
        self._path = path
        self._template: ChatTemplate | None = None

    @property
    def template(self) -> ChatTemplate:
        """Read when it is first wanted: a base model has none, and plain text needs none."""
        if self._template is None:
            self._template = ChatTemplate.load(self._path, self.tokenizer)
        return self._template

    def write(self, conversations: Sequence[Messages], sampling: Sampling) -> Sequence[Said]:
        prompts = [Prompt(id=record_id("asked", number, messages_to_json(messages)), messages=messages)
                   for number, messages in enumerate(conversations)]
        return Engine(self.policy, self.template, slots=SLOTS, name=self.name).generate(
            prompts, sampling, on_done=lambda _: stop_if_asked())

    def go_on(self, texts: Sequence[str], sampling: Sampling) -> Sequence[Said]:
        """What follows plain texts, up to the end of text."""
        return self.go_on_from([((), text) for text in texts], sampling)

    def go_on_from(self, openings: Sequence[tuple[Messages, str]], sampling: Sampling) -> Sequence[Said]:
        """What follows the opening of a response to a conversation; of no conversation, of plain text."""
        ids = [[*(self.template.render_prompt(asked) if asked else ()), *self.tokenizer.encode(text, add_special_tokens=False)]
               for asked, text in openings]
        drawn = [Response(row, stream_seed(sampling.seed, "go on", row, text)) for row, (_, text) in enumerate(openings)]
        stops = {*([] if self.tokenizer.eos_token_id is None else [self.tokenizer.eos_token_id]),
                 *(self.template.stop_ids if any(asked for asked, _ in openings) else ())}
        decode(self.policy, ids, drawn, sampling, sorted(stops), SLOTS, lambda _: stop_if_asked())
        return [_Text(self.tokenizer.decode(each.ids[:-1] if each.ended else each.ids), each.ended) for each in drawn]


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    ended: bool


def examine(model: Responds, task: Loaded, seed: int, rewards: Mapping[str, Score] | None = None) -> Examined:
    """Ask `model` every item of `task`.

    Args:
        rewards: what the task's reward names, where it has one.
    Raises:
        ConfigError: if the task needs probabilities or plain text, and the model only responds.
    """
    if task.head.twin:
        asked, forms = both_forms(task)
        found = examine(model, asked, seed, rewards)
        said = [BETWEEN.join(found.responses[place] for place in pair) for pair in forms] if found.responses else []
        return replace(found, marks=compare_forms(task.head, dict(found.marks), forms), responses=tuple(said),
                       ended=tuple(all(found.ended[place] for place in pair) for pair in forms if found.ended))
    if task.head.kind == "text":
        return _respond(model, task, seed, rewards or {})
    if not isinstance(model, Local):
        raise ConfigError(f"task {task.name} is of kind {task.head.kind}, which needs a model's probabilities; {model.name} only "
                          "gives responses. Leave one of them out.")
    return {"choice": _choose, "perplexity": _measure, "continuation": _go_on}[task.head.kind](model, task)


def _choose(model: Local, task: Loaded) -> Examined:
    """Choices by likelihood; of chat models after the opened response, of others as plain text."""
    if task.head.chat:
        rows = [Choices(model.template.render_prompt(task.conversation(item, ())), tuple(
            tuple(model.tokenizer.encode(choice.strip(), add_special_tokens=False)) for choice in item.choices))
                for item in task.items]
    else:
        rows = [encode_choices(model.tokenizer, task.plain(item), item.choices) for item in task.items]
    found = choice_logprobs(model.policy, rows)
    right, raw, chances, picked = [], [], [], []
    for item, row, logprobs in zip(task.items, rows, found, strict=True):
        pick = choose(logprobs, [choice.strip() for choice in item.choices], task.head.by,
                      [len(each) for each in row.continuations])
        right.append(float(pick == item.right))
        raw.append(float(choose(logprobs) == item.right))
        chances.append(share_of(logprobs, item.right))
        picked.append(item.shown[pick])
    return Examined(task=task.name, marks={"accuracy": tuple(right), "accuracy, raw": tuple(raw), "probability": tuple(chances)},
                    responses=tuple(picked), ended=(True,) * len(picked))


def _measure(model: Local, task: Loaded) -> Examined:
    """Bits a byte of each text, negated so that more is better as in every mark; perplexity of all beside it."""
    rows = [encode_choices(model.tokenizer, "", [item.text]) for item in task.items]
    nats = [-logprobs[0] for logprobs in choice_logprobs(model.policy, rows)]
    marks = [-each / math.log(2) / len(item.text.encode("utf-8", "surrogatepass"))
             for each, item in zip(nats, task.items, strict=True)]
    tokens, size = sum(row.num_tokens - 1 for row in rows), sum(len(item.text.encode("utf-8", "surrogatepass"))
                                                                for item in task.items)
    return Examined(task=task.name, marks={metrics_of(task.head)[0]: tuple(marks)}, facts={
        "perplexity": math.exp(math.fsum(nats) / tokens), "bits_per_byte": math.fsum(nats) / math.log(2) / size,
        "tokens": tokens})


def _go_on(model: Local, task: Loaded) -> Examined:
    """Whether the likeliest continuation of a training row's opening is the row's own, word for word. What the model said is
    not kept: it would be text of the row in a report.
    """
    said = model.go_on_from([(item.messages, item.opening) for item in task.items],
                            Sampling(temperature=0.0, max_new_tokens=task.head.max_new_tokens))
    same = [float(each.text.lstrip().startswith(item.answers[0].lstrip())) for each, item in zip(said, task.items, strict=True)]
    return Examined(task=task.name, marks={"not reproduced": tuple(1 - each for each in same), "reproduced": tuple(same)})


def _respond(model: Responds, task: Loaded, seed: int, rewards: Mapping[str, Score]) -> Examined:
    """Responses, `samples` of each item, the earlier turns of a conversation answered by the model itself."""
    asked = [item for item in task.items for _ in range(task.head.samples)]
    sampling = Sampling(temperature=task.head.temperature, max_new_tokens=task.head.max_new_tokens, seed=seed)
    said: list[list[Said]] = [[] for _ in asked]
    for turn in range(max(len(item.turns) for item in asked)):
        open_rows = [row for row, item in enumerate(asked) if len(item.turns) > turn]
        for row, response in zip(open_rows, _turn(model, task, asked, said, open_rows, sampling), strict=True):
            said[row].append(response)
    marks = [{} if task.head.grader == "reward" else grade(task.head, item, *(each.text for each in row))
             for item, row in zip(asked, said, strict=True)]
    if task.head.reward:
        scores = rewards[task.head.reward].score([_sample(task, item, row) for item, row in zip(asked, said, strict=True)])
        marks = [{**one, "reward": score} for one, score in zip(marks, scores.total, strict=True)]
    return _collected(task, marks, said)


def _sample(task: Loaded, item: Item, said: Sequence[Said]) -> Sample:
    """The last response as a reward takes it: text alone, for who is behind an address gives no more."""
    asked = task.conversation(item, [each.text for each in said[:-1]])
    prompt = Prompt(id=item.id, messages=asked, wanted=next(iter(item.answers), ""), meta=item.row)
    return Sample(id=record_id("asked", item.id, said[-1].text), prompt=prompt, prompt_ids=(), response_ids=(), logprobs=(),
                  response_mask=(), text=cut(said[-1].text, task.head.stop), ended=said[-1].ended)


def _turn(model: Responds, task: Loaded, asked: Sequence[Item], said: Sequence[Sequence[Said]], rows: Sequence[int],
          sampling: Sampling) -> Sequence[Said]:
    if task.head.chat:
        return model.write([task.conversation(asked[row], [each.text for each in said[row]]) for row in rows], sampling)
    if not isinstance(model, Local):
        raise ConfigError(f"task {task.name} asks in plain text (chat = false), which {model.name} cannot be given. Set "
                          f"chat = true.")
    if any(len(asked[row].turns) > 1 for row in rows):
        raise ConfigError(f"task {task.name} has turns, which need chat = true.")
    return model.go_on([task.plain(asked[row]) for row in rows], sampling)


def _collected(task: Loaded, marks: Sequence[Mapping[str, float]], said: Sequence[Sequence[Said]]) -> Examined:
    """Marks a sample to marks an item."""
    head, each = task.head, task.head.samples
    groups = [marks[start:start + each] for start in range(0, len(marks), each)]
    rows = {name: tuple(math.fsum(one[name] for one in group) / each for group in groups) for name in marks[0]}
    own = next(iter(rows))
    if head.pass_at:
        rows[f"pass@{head.pass_at}"] = tuple(pass_at_k(each, sum(one[own] >= 1 for one in group), head.pass_at)
                                             for group in groups)
    firsts = [row[-1] for row in said[::each]]
    return Examined(task=task.name, marks=rows, responses=tuple(cut(one.text, head.stop) for one in firsts),
                    ended=tuple(one.ended for one in firsts), facts=over_all(head, task.items, [one.text for one in firsts]))


def check_models(tasks: Sequence[Loaded], addresses: Sequence[str]) -> None:
    """Refuse before anything is loaded what `examine` would refuse after an hour.

    Raises:
        ConfigError: as `examine`, or if two tasks have one name.
    """
    names = [task.name for task in tasks]
    if len(set(names)) != len(names):
        raise ConfigError(f"the tasks are called {', '.join(names)}; wanted names of their own. Set name in their heads.")
    for task in tasks:
        if addresses and (task.head.kind != "text" or not task.head.chat):
            raise ConfigError(f"task {task.name} needs a model's probabilities or plain text; {addresses[0]} only gives "
                              f"responses in "
                              "chat. Leave one of them out.")


def load_examined(text: str) -> list[list[Examined]]:
    """What `json.dumps` of the marks of each model gave back.

    Raises:
        ModelError: if it is something else.
    """
    try:
        return [[Examined.from_json(each) for each in row] for row in json.loads(text)]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"the marks so far cannot be read: {error!r}. Prune this run and evaluate anew.") from None
