"""Every problem of every row, by kind; what `data check` counts and `data clean` drops by."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tutelage.data.duplicates import THRESHOLD, Pair, clusters, near_duplicates
from tutelage.data.fingerprints import prompt_key
from tutelage.data.harmful import Classifier, HarmRules, harms, read_rules
from tutelage.data.quality import boilerplate, goes_in_circles, is_empty, is_refusal, truncated, wrong_language
from tutelage.data.splits import Leak, leakage
from tutelage.data.texts import all_texts, prompt_text, responses, whole_text
from tutelage.privacy import KINDS as PERSONAL
from tutelage.privacy import find
from tutelage.privacy.scan import MIN_CONFIDENCE

# kind -> what it means, in the order of the report
PROBLEMS: Mapping[str, str] = {
    "duplicate": "says exactly what an earlier row says",
    "near_duplicate": "says nearly what an earlier row says",
    "leak": "its prompt, or one nearly like it, is held out",
    "empty": "a prompt or response that says nothing",
    "truncated": "a response that ends in the middle",
    "boilerplate": "a model's phrases about itself",
    "refusal": "a response that declines",
    "repetition": "a response that goes round in circles",
    "wrong_language": "a response in another language than its prompt",
    "harmful": "a harmful request or instruction that is not declined",
    "harmful_declined": "a harmful request that is declined",
    "personal_data": "e-mail, telephone, identity or bank numbers, addresses, names",
    "no_licence": "does not say under which licence it may be used",
}
CLASSIFIED = 0.5      # from which a classifier's score counts as harmful
_LICENCE_KEYS = frozenset(("license", "licence", "licenses", "licences", "许可", "许可证"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What to look for, and how hard."""

    language: str = ""                                  # the one wanted; "" wants a response in its prompt's
    threshold: float = THRESHOLD                        # similarity from which texts are near duplicates
    min_confidence: float = MIN_CONFIDENCE              # of personal data
    harm_rules: HarmRules = field(default_factory=read_rules)
    classifier: Classifier | None = None

    def to_json(self) -> dict[str, Any]:
        return {"language": self.language, "threshold": self.threshold, "min_confidence": self.min_confidence,
                "harm_rules": self.harm_rules.sha256, "classifier": self.classifier is not None}


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, its split, and its row there from 1."""

    split: str
    row: int
    record: Any

    def __str__(self) -> str:
        return f"{self.split} row {self.row}"


@dataclass(slots=True)
class Examination:
    """The rows of a data set, the problems of each (kind -> detail), and what the rows have to do with each other."""

    entries: list[Entry]
    problems: list[dict[str, str]]
    personal: Counter[str]              # kind of personal data -> findings
    leaks: list[Leak]                   # places among the rows to train on and among those held out
    near: list[Pair]                    # places in `entries`

    def counts(self, places: Iterable[int] | None = None) -> dict[str, int]:
        """Problem -> rows that have it, of all rows or of those at `places`."""
        chosen = range(len(self.entries)) if places is None else places
        counts = Counter(kind for at in chosen for kind in self.problems[at])
        return {kind: counts[kind] for kind in PROBLEMS if counts[kind]}


def entries_of(splits: Mapping[str, Sequence[Any]]) -> list[Entry]:
    """All rows, those held out first: of two alike the one to train on is the duplicate."""
    return [Entry(split, row, record) for split in sorted(splits) for row, record in enumerate(splits[split], start=1)]


def examine(entries: list[Entry], filters: Filters, advance: Callable[[], None] = lambda: None) -> Examination:
    """Find every problem. `advance` is called once a row."""
    problems: list[dict[str, str]] = []
    personal: Counter[str] = Counter()
    for entry in entries:
        found, data = row_problems(entry.record, filters)
        problems.append(found)
        personal.update(data)
        advance()
    examination = Examination(entries, problems, personal, [], [])
    if filters.classifier is not None:
        _classify(examination, filters.classifier)
    _compare(examination, filters.threshold)
    _find_leaks(examination, filters.threshold)
    return examination


def row_problems(record: Any, filters: Filters) -> tuple[dict[str, str], Counter[str]]:
    """Problems that a row has by itself, and its personal data by kind. Details quote nothing of the row."""
    answers = responses(record)
    wanted = answers[0] if answers else ""
    found: dict[str, str] = {}
    if is_empty(prompt_text(record)) or any(is_empty(answer) for answer in answers):
        found["empty"] = "prompt" if is_empty(prompt_text(record)) else "response"
    if cut := next(filter(None, map(truncated, answers[:1])), ""):
        found["truncated"] = cut
    if phrases := boilerplate(wanted):
        found["boilerplate"] = ", ".join(phrases)
    if is_refusal(wanted):
        found["refusal"] = "declines"
    if any(map(goes_in_circles, answers)):
        found["repetition"] = "repeats itself"
    if other := wrong_language(prompt_text(record), wanted, filters.language):
        found["wrong_language"] = other
    rules, declined = harms(record, filters.harm_rules)
    if rules:
        found["harmful_declined" if declined else "harmful"] = ", ".join(rules)
    personal = Counter(each.kind for text in all_texts(record) for each in find(text, PERSONAL, filters.min_confidence))
    if personal:
        found["personal_data"] = ", ".join(f"{kind} {count}" for kind, count in sorted(personal.items()))
    if not any(str(key).casefold() in _LICENCE_KEYS and value for key, value in (getattr(record, "meta", None) or {}).items()):
        found["no_licence"] = "no licence field"
    return found, personal


def _classify(examination: Examination, classifier: Classifier) -> None:
    scores = classifier([whole_text(entry.record) for entry in examination.entries])
    for problems, score in zip(examination.problems, scores, strict=True):
        if score >= CLASSIFIED and "harmful_declined" not in problems:
            problems["harmful"] = ", ".join(filter(None, [problems.get("harmful"), f"classifier {score:.2f}"]))


def _compare(examination: Examination, threshold: float) -> None:
    """Mark exact duplicates, then near ones among the rest: in each group all but the first."""
    entries = examination.entries
    first: dict[str, int] = {}
    left: list[int] = []
    for at, entry in enumerate(entries):
        text = " ".join(unicodedata.normalize("NFKC", whole_text(entry.record)).split())
        if (same := first.setdefault(text, at)) == at:
            left.append(at)
        else:
            examination.problems[at]["duplicate"] = f"as {entries[same]}"
    pairs = near_duplicates([whole_text(entries[at].record) for at in left], threshold)
    examination.near = [Pair(left[pair.first], left[pair.second], pair.similarity) for pair in pairs]
    alike: dict[int, float] = {}
    for pair in pairs:
        for end in (pair.first, pair.second):
            alike[end] = max(alike.get(end, 0.0), pair.similarity)
    for place, head in enumerate(clusters(len(left), pairs)):
        if head != place:
            examination.problems[left[place]]["near_duplicate"] = f"{alike[place]:.2f} alike, group of {entries[left[head]]}"


def _find_leaks(examination: Examination, threshold: float) -> None:
    sides = {split: [at for at, entry in enumerate(examination.entries) if entry.split == split]
             for split in ("train", "heldout")}
    prompts = {split: [prompt_key(examination.entries[at].record) for at in places] for split, places in sides.items()}
    examination.leaks = leakage(prompts["train"], prompts["heldout"], threshold)
    # Seen from the other side: every row to train on whose prompt's group reaches a held-out one, to be dropped.
    for leak in leakage(prompts["heldout"], prompts["train"], threshold) if examination.leaks else ():
        held = examination.entries[sides["heldout"][leak.train]]
        examination.problems[sides["train"][leak.heldout]]["leak"] = f"{leak.similarity:.2f} like {held}"
