"""Label Studio's JSON export: tasks with `data` and `annotations`, each a list of results (not JSON-MIN, which loses who).

Read are the results pairwise, ranker, rating, choices, textarea and labels (spans). Its pairwise page shows the first
object on the left to everybody, so those sides are known. Predictions are a model's, and skipped annotations nobody's
answer: both are counted, not taken. A person is known by their number only, never by their e-mail address.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.exchange.meaning import Answer, Item, Meaning, Unclear, told_of_answer
from tutelage.feedback.exchange.told import Told
from tutelage.messages import Message
from tutelage.records import Judgment, Sample


class LabelStudioReader:
    """Reads one task; see `Reader`."""

    def __init__(self, meaning: Meaning) -> None:
        self.meaning = meaning
        self.left_out: dict[str, int] = Counter()

    def told(self, row: Mapping[str, Any]) -> Iterator[Told]:
        data, annotations = row.get("data"), row.get("annotations")
        if not isinstance(data, Mapping) or not isinstance(annotations, list):
            raise DataError("has no data and annotations; wanted Label Studio's JSON export (not JSON-MIN)")
        if row.get("predictions"):
            self._leave_out("tasks with predictions of a model")
        listed = {name: value for name, value in data.items() if isinstance(value, list)
                  and value and all(isinstance(each, Mapping) and "id" in each for each in value)}
        item, rest = self.meaning.item({name: value for name, value in data.items() if name not in listed})
        for name in rest:
            self._leave_out(f"data {name}")
        for annotation in annotations:
            if annotation.get("was_cancelled"):
                self._leave_out("skipped annotations")
            else:
                yield from self._annotation(item, listed, annotation)

    def _annotation(self, item: Item, listed: Mapping[str, Any], annotation: Mapping[str, Any]) -> Iterator[Told]:
        person = _person(annotation.get("completed_by"))
        scores: dict[int, dict[str, int]] = {}
        spans: list[Mapping[str, Any]] = []
        for result in annotation.get("result") or []:
            kind, value = result.get("type"), result.get("value") or {}
            try:
                if kind == "labels":
                    spans.append(_span(value, item))
                    continue
                of = _listed(item, listed) if kind == "ranker" else item
                found = self._result(str(result.get("from_name")), str(kind), value, of, str(result.get("to_name", "")))
            except Unclear as why:
                self._leave_out(f"result {result.get('from_name')} ({kind}): {why}")
                continue
            if found.kind == "rating":
                scores.setdefault(found.about[0], {}).update(found.answer["scores"])
            else:
                yield told_of_answer(found, of, person, as_shown=kind == "pairwise")
        for about, each in scores.items():
            yield told_of_answer(Answer("rating", (about,), {"scores": each}), item, person)
        if spans:
            yield told_of_answer(Answer("spans", (0,), {"marks": spans}), item, person)

    def _result(self, name: str, kind: str, value: Mapping[str, Any], item: Item, objects: str) -> Answer:
        if kind == "pairwise":
            selected = value.get("selected")
            if selected not in ("left", "right") or len(item.names) != 2:
                raise Unclear(f"{selected!r} of {len(item.names)} responses")
            sides = [each.strip() for each in objects.split(",")]
            left = item.names.index(sides[0]) if len(sides) == 2 and set(sides) == set(item.names) else 0
            chosen = left if selected == "left" else 1 - left
            return Answer("comparison", (left, 1 - left), {"winner": "a" if chosen == left else "b", "strength": 1})
        if kind == "ranker":
            return self.meaning.answer(name, _order(value.get("ranker")), item)
        if kind == "rating":
            return self.meaning.answer(name, value.get("rating"), item)
        if kind == "choices":
            choices = value.get("choices") or []
            return self.meaning.answer(name, choices[0] if len(choices) == 1 else choices, item)
        if kind == "textarea":
            text = value.get("text")
            return self.meaning.answer(name, "\n".join(text) if isinstance(text, list) else text, item)
        raise Unclear("a type of result that is not read here")

    def _leave_out(self, what: str) -> None:
        self.left_out[what] += 1


def _person(completed_by: Any) -> str:
    number = completed_by.get("id") if isinstance(completed_by, Mapping) else completed_by
    return f"label-studio:{number}" if number is not None else ""


def _listed(item: Item, listed: Mapping[str, Any]) -> Item:
    """The responses of a List: objects with an id and a body."""
    if len(listed) != 1:
        raise Unclear(f"a ranking with {len(listed)} lists of responses")
    [each] = listed.values()
    bodies = [one.get("body") or one.get("text") or one.get("title") for one in each]
    if not all(isinstance(body, str) for body in bodies):
        raise Unclear("a list whose objects have no body of text")
    return Item(item.prompt, tuple(str(one["id"]) for one in each), tuple((Message.of("assistant", body),) for body in bodies))


def _order(ranker: Any) -> Any:
    """The order of the ids: a plain list, or the one bucket there is ("_" holds those that were not put into any)."""
    if not isinstance(ranker, Mapping):
        return ranker
    buckets = {name: ids for name, ids in ranker.items() if name != "_"}
    if len(buckets) != 1 or ranker.get("_"):
        raise Unclear("responses in several buckets, or in none; which are no order of all")
    return next(iter(buckets.values()))


def _span(value: Mapping[str, Any], item: Item) -> Mapping[str, Any]:
    """A mark in code points. Label Studio counts UTF-16 units: where the text it quotes is not there, they are turned."""
    labels = [str(each).lower() for each in value.get("labels") or []]
    if len(item.responses) != 1 or len(labels) != 1 or labels[0] not in ("wrong", "unsafe", "good"):
        raise Unclear("a span that is not marked wrong, unsafe or good in the one response")
    start, end = value.get("start"), value.get("end")
    if not isinstance(start, int) or not isinstance(end, int):
        raise Unclear("a span without offsets into the text")
    whole = item.responses[0][0].text
    units = whole.encode("utf-16-le")
    turned = [len(units[:2 * at].decode("utf-16-le", "ignore")) for at in (start, end)]
    quoted = value.get("text")
    if isinstance(quoted, str) and whole[turned[0]:turned[1]] != quoted:
        raise Unclear("a span whose offsets do not meet the text it quotes")
    return {"start": turned[0], "end": turned[1], "mark": labels[0]}


def label_studio_task(number: int, judgment: Judgment, samples: Sequence[Sample]) -> dict[str, Any]:
    """A comparison as a task of the template for human preferences: prompt, answer1, answer2, and who chose which.

    Raises:
        DataError: if it is no comparison, or has no winner: the pairwise page cannot say a tie.
    """
    if judgment.kind != "comparison" or judgment.answer["winner"] not in ("a", "b"):
        raise DataError(f"{judgment.kind} answers without a winner of two" if judgment.kind == "comparison"
                        else f"{judgment.kind} answers, which the pairwise page cannot say")
    if len(judgment.prompt.messages) != 1:
        raise DataError("prompts of several turns, which the pairwise page cannot show")
    selected = "left" if judgment.answer["winner"] == "a" else "right"
    result = {"id": judgment.id[:10], "from_name": "comparison", "to_name": "answer1,answer2", "type": "pairwise",
              "value": {"selected": selected}}
    return {"id": number, "data": {"prompt": judgment.prompt.messages[0].text, "answer1": samples[0].text,
                                   "answer2": samples[1].text},
            "annotations": [{"id": number, "completed_by": number_of(judgment.annotator_id), "result": [result],
                             "was_cancelled": False, "ground_truth": False}]}


def number_of(person: str) -> int:
    """A number for somebody whom Label Studio knows by one: their own if they came from there."""
    own = person.removeprefix("label-studio:")
    return int(own) if own.isdigit() else 1_000_000 + zlib.crc32(person.encode())
