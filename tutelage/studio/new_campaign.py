"""The form of a new campaign, and making one out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from tutelage.errors import DataError
from tutelage.feedback import kinds
from tutelage.feedback.asked import Asked
from tutelage.messages import record_id
from tutelage.project import Project
from tutelage.store import Store
from tutelage.store.questions import Campaign, Quiz, Terms
from tutelage.studio import items


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What was typed, as it was typed, so that a form that is refused comes back filled in."""

    name: str = ""
    kind: str = "comparison"
    sources: tuple[str, ...] = ()
    typed: str = ""
    models: tuple[str, ...] = ()           # draw new samples from these first …
    prompts: str = ""                      # … to the prompts of this data set, or to those that were typed
    draws: str = "2"
    tokens: str = "128"
    temperature: str = "1"
    limit: str = ""
    per_prompt: str = "1"
    overlap: str = "2"
    quota: str = ""
    gold_share: str = "0"
    duplicate_share: str = "5"
    expertise: str = ""
    languages: tuple[str, ...] = ()
    aspects: tuple[str, ...] = ("helpful", "correct", "harmless")
    labels: str = ""
    multi: str = ""
    max_samples: str = "4"
    guideline_en: str = ""
    guideline_zh: str = ""
    lease_min: str = "15"
    quiz: str = ""
    pass_mark: str = "80"
    seed: str = "0"

    @classmethod
    def of(cls, form: Any) -> Self:
        many = ("sources", "models", "languages", "aspects")
        single: dict[str, Any] = {name: str(form.get(name, "")).replace("\r\n", "\n").strip()
                                  for name in cls.__dataclass_fields__ if name not in many}
        several: dict[str, Any] = {name: tuple(map(str, form.getlist(name))) for name in many}
        return cls(**single, **several)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        fields: dict[str, Any] = {name: tuple(each) if isinstance(each, list | tuple) else each for name, each in value.items()}
        return cls(**fields)


def check(store: Store, draft: Draft) -> None:
    """What can be known to be wrong before anything is made.

    Raises:
        DataError: if a field makes no sense, or the name is empty or taken.
    """
    kinds.kind(draft.kind)
    settings = _settings(draft)
    Asked.of(settings)
    _terms(draft, settings)
    _number("seed", draft.seed, 0, 2**31 - 1)
    _number("prompts at most", draft.limit or "0", 0, items.MOST_PROMPTS)
    _number("questions a prompt", draft.per_prompt, 1, 50)
    if not draft.name:
        raise DataError("the campaign needs a name.")
    if any(campaign.name == draft.name for campaign in store.campaigns.all()):
        raise DataError(f"there is a campaign {draft.name!r} already. Choose another name.")


def check_drawing(draft: Draft) -> None:
    """The fields about new samples, where models are named.

    Raises:
        DataError: if a field makes no sense, or what is drawn could never fill a question.
    """
    fewest, most = kinds.kind(draft.kind).NUM_SAMPLES
    draws = _number("responses a prompt", draft.draws, 1, 64)
    _number("tokens at most", draft.tokens, 1, 8192)
    try:
        temperature = float(draft.temperature)
    except ValueError:
        temperature = -1.0
    if not 0 <= temperature <= 5:
        raise DataError(f"temperature: got {draft.temperature!r}; wanted a number from 0 to 5.")
    if not draft.prompts and not items.typed(draft.typed):
        raise DataError("choose the prompts that the models are to answer, or type them.")
    if most == 0:
        raise DataError(f"a {draft.kind} shows no responses, so there is nothing to draw. Choose no model.")
    different = len(draft.models) * (draws if temperature > 0 else 1)
    if different < fewest:
        raise DataError(f"a {draft.kind} shows {fewest} different responses; {different} would be drawn. Draw more a prompt, "
                        "at a temperature above 0, or choose another model too.")


def create(store: Store, project: Project, draft: Draft, lead: str, now: float) -> Campaign:
    """The campaign with its items, open: all of it is there, or nothing.

    Raises:
        DataError, ArtifactError, StoreError: if a field makes no sense, or the sources hold nothing to ask.
    """
    check(store, draft)
    kind, settings = kinds.kind(draft.kind), _settings(draft)
    seed = _number("seed", draft.seed, 0, 2**31 - 1)
    limit = _number("prompts at most", draft.limit or "0", 0, items.MOST_PROMPTS)
    prompts, samples = items.read(project, draft.sources, limit)
    known = {items.key_of(prompt) for prompt in prompts}
    prompts += [prompt for prompt in items.typed(draft.typed) if items.key_of(prompt) not in known]
    if not prompts:
        raise DataError("there is nothing to ask: choose a source, or type prompts.")
    new = items.make(kind.NAME, settings, prompts, samples, _number("questions a prompt", draft.per_prompt, 1, 50), seed)
    terms = replace(_terms(draft, settings), guideline=_guideline(store, draft, lead, now))
    shown = {id for item in new for id in item.samples}
    store.add_samples(sample for sample in samples if sample.id in shown)
    return store.campaigns.create(draft.name, kind.NAME, terms, lead, now, seed, asks=new)


def _settings(draft: Draft) -> dict[str, Any]:
    if draft.kind == "rating":
        return {"aspects": list(draft.aspects)}
    if draft.kind == "ranking":
        return {"max_samples": _number("responses shown", draft.max_samples, 2, 6)}
    if draft.kind == "label":
        labels = [line.strip() for line in draft.labels.splitlines() if line.strip()]
        if not labels:
            raise DataError("labels: type the labels people choose from, one a line.")
        return {"labels": labels, "multi": draft.multi == "yes"}
    return {}


def _terms(draft: Draft, settings: Mapping[str, Any]) -> Terms:
    quiz = Quiz(pass_mark=_number("pass mark", draft.pass_mark, 0, 100) / 100, campaign=draft.quiz) if draft.quiz else None
    return Terms(
        settings=settings, overlap=_number("people an item", draft.overlap, 1, 1000),
        quota=_number("answers a person", draft.quota, 1, 10**9) if draft.quota else None,
        expertise=tuple(sorted({tag.strip() for tag in draft.expertise.split(",") if tag.strip()})), languages=draft.languages,
        gold_share=_number("known questions", draft.gold_share or "0", 0, 50) / 100,
        duplicate_share=_number("repeats", draft.duplicate_share or "0", 0, 50) / 100,
        quiz=quiz, lease_s=60.0 * _number("minutes a task stays with a person", draft.lease_min, 1, 24 * 60))


def _guideline(store: Store, draft: Draft, lead: str, now: float) -> str:
    """The label of the lead's own guideline; "" for the kind's."""
    texts = {language: text for language, text in (("en", draft.guideline_en), ("zh-CN", draft.guideline_zh)) if text}
    if not texts:
        return ""
    return store.campaigns.publish_guideline(f"guideline-{record_id(draft.name)[:8]}", texts, lead, now)


def _number(what: str, text: str, low: int, high: int) -> int:
    if not text.isdecimal() or not low <= int(text) <= high:
        raise DataError(f"{what}: got {text!r}; wanted a whole number from {low} to {high}.")
    return int(text)
