"""What the fields and questions of other annotation tools mean: by their names and values, or as somebody says.

Other tools let a lead call things as they like. `Meaning` finds the prompt and the responses among the fields, and for
each answered question the kind of judgment it is. `given` overrides: our word -> their names (`prompt`, `response`,
`comparison`, `ranking`, `label`, `thumbs`, `critique`, `edit`, `demonstration`, `rating`, `rating:correct`, `ignore`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.errors import DataError, UsageError
from tutelage.feedback.asked import ASPECTS, excerpt
from tutelage.feedback.exchange.told import Told, text_turn
from tutelage.feedback.kinds.spans import MARKS
from tutelage.messages import Messages, messages_from_json

PROMPTS = ("prompt", "instruction", "question", "query", "user", "input", "text")
_RESPONSE = re.compile(r"(?:model[-_ ]?)?(?:response|answer|completion|generation|generated|output|reply|chosen|rejected|text)"
                       r"[-_ ]?(?:\d{1,2}|[a-f])?", re.IGNORECASE)
_WINNERS = {
    "a": "a", "left": "a", "first": "a", "1": "a", "b": "b", "right": "b", "second": "b", "2": "b", "tie": "tie", "equal": "tie",
    "same": "tie", "draw": "tie", "bothgood": "tie", "bothbad": "both_bad", "neither": "both_bad", "none": "both_bad",
    "cannotjudge": "cannot_judge", "unsure": "cannot_judge", "cantchoose": "cannot_judge", "idk": "cannot_judge"}
_THUMBS = {"up": True, "thumbsup": True, "thumbup": True, "like": True, "good": True,
           "down": False, "thumbsdown": False, "thumbdown": False, "dislike": False, "bad": False}
_WORDS = {"critique": ("critique", "feedback", "comment", "reason", "rationale", "explanation", "justification", "note"),
          "edit": ("edit", "correct", "improve", "rewrite", "revis", "fix", "demonstration", "better")}
_OVERALL = ("rating", "quality", "score", "overall", "helpfulness")
_ASPECT_STEMS = {aspect: aspect.removesuffix("ful").removesuffix("less").removesuffix("e") for aspect in ASPECTS}
MEANINGS = ("prompt", "response", "comparison", "ranking", "label", "thumbs", "critique", "edit", "demonstration", "spans",
            "rating", "ignore")


@dataclass(frozen=True, slots=True)
class Item:
    """What was judged. `names` are the file's for the responses, in the order of its fields."""

    prompt: Messages
    names: tuple[str, ...]
    responses: tuple[Messages, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One question answered: the kind of judgment, which of the item's responses it is about, and the answer.

    A rating has one aspect here; those of one person and response are put together later.
    """

    kind: str
    about: tuple[int, ...]
    answer: Mapping[str, Any]


def told_of_answer(answer: Answer, item: Item, person: str, as_shown: bool = False) -> Told:
    return Told(kind=answer.kind, prompt=item.prompt, responses=tuple(item.responses[at] for at in answer.about),
                answer=answer.answer, person=person, as_shown=as_shown)


class Unclear(Exception):
    """Why a question cannot be carried; it is counted, and the rest of the row goes on."""


class Meaning:
    def __init__(self, given: Mapping[str, Sequence[str]] | None = None) -> None:
        """Raises UsageError if `given` has a word that means nothing here."""
        self.given = {word: tuple(names) for word, names in (given or {}).items()}
        for word in self.given:
            aspect = word.removeprefix("rating:") if word.startswith("rating:") else ""
            if word not in MEANINGS and aspect not in ASPECTS:
                raise UsageError(f"--map got {word!r}; wanted one of {', '.join(MEANINGS)}, or rating:ASPECT with one of "
                                 f"{', '.join(ASPECTS)}.")
        self._word = {name: word for word, names in self.given.items() for name in names}

    def item(self, fields: Mapping[str, Any]) -> tuple[Item, list[str]]:
        """The prompt and the responses among the fields of a row, and the names of the fields that are neither.

        Raises:
            DataError: if there is no prompt.
        """
        names = [name for name, value in fields.items() if name not in self.given.get("ignore", ()) and value]
        responses = list(self.given.get("response", ())) or sorted(
            (name for name in names if _RESPONSE.fullmatch(name) and self._word.get(name, "response") == "response"),
            key=_natural)
        asked = self.given.get("prompt") or [name for name in PROMPTS if name in names and name not in responses][:1]
        if asked == ["instruction"] and "input" in names:
            asked = ["instruction", "input"]
        if not asked and "text" in responses:          # the one text there is, to be labelled
            asked, responses = ["text"], [name for name in responses if name != "text"]
        if missing := [name for name in (*asked, *self.given.get("response", ())) if name not in fields]:
            raise DataError(f"has no field {missing[0]!r}, which --map names")
        if not asked:
            raise DataError(f"none of the fields {', '.join(fields) or '(none)'} is a prompt; say which with --map prompt=NAME")
        prompt = _prompt([fields[name] for name in asked])
        said = tuple(_turns(fields[name], "assistant") for name in responses)
        rest = [name for name in names if name not in asked and name not in responses]
        return Item(prompt, tuple(responses), said), rest

    def answer(self, name: str, value: Any, item: Item) -> Answer:
        """What somebody answered to the question `name`.

        Raises:
            Unclear: if it is no kind of judgment that is known here.
        """
        word = self._word.get(name, "")
        if word == "ignore":
            raise Unclear("left out as asked")
        kind, _, aspect = (word or self._kind(name, value, item)).partition(":")
        read = getattr(self, f"_{kind}")
        found: Answer = read(name, value, item, aspect) if kind == "rating" else read(name, value, item)
        return found

    def _kind(self, name: str, value: Any, item: Item) -> str:
        if isinstance(value, bool):
            return "thumbs"
        if isinstance(value, int | float):
            return "rating"
        if isinstance(value, list):
            return self._kind_of_list(value, item)
        if not isinstance(value, str):
            raise Unclear(f"an answer that is {type(value).__name__}")
        if len(item.names) == 2 and self._winner(value, item):
            return "comparison"
        if len(item.names) == 1 and _plain(value) in _THUMBS:
            return "thumbs"
        for kind, stems in _WORDS.items():
            if any(stem in name.lower() for stem in stems):
                return kind if kind == "critique" or item.names else "demonstration"
        if len(value) <= 80 and "\n" not in value:
            return "label"
        raise Unclear("a text whose name says no kind of judgment (say it with --map critique=NAME, edit=NAME …)")

    def _kind_of_list(self, value: list[Any], item: Item) -> str:
        if value and all(isinstance(each, dict) and {"start", "end"} <= each.keys() for each in value):
            return "spans"
        named = [each.get("value") if isinstance(each, dict) else each for each in value]
        if len(item.names) > 1 and set(map(str, named)) <= set(item.names):
            return "ranking"
        return "label"

    def _winner(self, value: str, item: Item) -> str:
        """a, b, tie …; "" if the value names none."""
        if value in item.names:
            return "ab"[item.names.index(value)]
        plain = _plain(value)
        same = [at for at, name in enumerate(item.names) if _plain(name) == plain]
        return "ab"[same[0]] if same else _WINNERS.get(plain, "")

    def _comparison(self, name: str, value: Any, item: Item) -> Answer:
        winner = self._winner(str(value), item) if len(item.names) == 2 else ""
        if not winner:
            raise Unclear(f"{excerpt(str(value), 30)!r}, which names neither of two responses")
        return Answer("comparison", (0, 1), {"winner": winner, **({"strength": 1} if winner in ("a", "b") else {})})

    def _ranking(self, name: str, value: Any, item: Item) -> Answer:
        if not isinstance(value, list) or len(value) != len(item.names) or len(value) < 2:
            raise Unclear(f"a ranking of {len(value) if isinstance(value, list) else 'no'} of {len(item.names)} responses")
        ranks: dict[str, int] = {}
        for place, each in enumerate(value, start=1):
            named, rank = (str(each.get("value")), each.get("rank") or place) if isinstance(each, dict) else (str(each), place)
            ranks[named] = rank
        if set(ranks) != set(item.names):
            raise Unclear("a ranking that names other things than the responses")
        return Answer("ranking", tuple(range(len(item.names))), {"ranks": [ranks[name] for name in item.names]})

    def _rating(self, name: str, value: Any, item: Item, aspect: str = "") -> Answer:
        about = self._one_response(name, item)
        if not isinstance(value, int | float) or isinstance(value, bool) or value not in (1, 2, 3, 4, 5):
            raise Unclear(f"a rating of {excerpt(str(value), 20)}; a rating is a whole number from 1 to 5")
        aspect = aspect or next((each for each, stem in _ASPECT_STEMS.items() if stem in name.lower()), "")
        if not aspect and any(word in name.lower() for word in _OVERALL):
            aspect = "helpful"
        if not aspect:
            raise Unclear(f"a rating of something that is none of {', '.join(ASPECTS)} (say it with --map rating:ASPECT={name})")
        return Answer("rating", (about,), {"scores": {aspect: int(value)}})

    def _thumbs(self, name: str, value: Any, item: Item) -> Answer:
        up = value if isinstance(value, bool) else _THUMBS.get(_plain(str(value)))
        if up is None:
            raise Unclear(f"{excerpt(str(value), 30)!r}, which is neither up nor down")
        return Answer("thumbs", (self._one_response(name, item),), {"up": up})

    def _label(self, name: str, value: Any, item: Item) -> Answer:
        if len(item.names) > 1:
            raise Unclear("a label beside several responses")
        return Answer("label", tuple(range(len(item.names))), {"labels": [str(each) for each in value]
                                                               if isinstance(value, list) else [str(value)]})

    def _critique(self, name: str, value: Any, item: Item) -> Answer:
        return Answer("critique", tuple(range(len(item.names))), {"text": str(value)})

    def _edit(self, name: str, value: Any, item: Item) -> Answer:
        about = self._one_response(name, item)
        if (str(value).strip(),) == tuple(message.text.strip() for message in item.responses[about]):
            raise Unclear("an edit that changed nothing")
        return Answer("edit", (about,), {"text": str(value)})

    def _demonstration(self, name: str, value: Any, item: Item) -> Answer:
        return Answer("demonstration", (), {"text": str(value)})

    def _spans(self, name: str, value: Any, item: Item) -> Answer:
        about = self._one_response(name, item)
        marks = []
        for each in value:
            mark = str(each.get("label", each.get("mark", ""))).lower()
            if mark not in MARKS or each.get("field", item.names[about]) != item.names[about]:
                raise Unclear(f"a span that is not {', '.join(MARKS)} in the one response")
            marks.append({"start": each["start"], "end": each["end"], "mark": mark})
        return Answer("spans", (about,), {"marks": marks})

    def _one_response(self, name: str, item: Item) -> int:
        """Of several responses the one whose number the question's name ends with."""
        if len(item.names) == 1:
            return 0
        number = re.search(r"(\d+|[-_ ][a-f])$", name)
        found = [at for at, each in enumerate(item.names) if number and re.search(r"(\d+|[-_ ]?[a-f])$", each)
                 and each.endswith(number[0].strip("-_ "))]
        if len(found) != 1:
            raise Unclear(f"a question about one of {len(item.names)} responses, without saying which")
        return found[0]


def _plain(value: str) -> str:
    return re.sub(r"[^a-z0-9]", "", value.lower())


def _natural(name: str) -> list[Any]:
    """response_2 before response_10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name.lower()) if part]


def _prompt(values: Sequence[Any]) -> Messages:
    """Texts are one turn of the user, a line break between them; messages follow each other."""
    if all(isinstance(value, str) for value in values):
        return text_turn("\n".join(values))
    return tuple(turn for value in values for turn in _turns(value, "user"))


def _turns(value: Any, role: str) -> Messages:
    if isinstance(value, str):
        return text_turn(value, role)
    if isinstance(value, list) and value and all(isinstance(each, dict) and "role" in each for each in value):
        return messages_from_json(value)
    raise DataError(f"a {'prompt' if role == 'user' else 'response'} that is {type(value).__name__}; wanted text or messages")
