"""Every judgment in its own words: terms for a model of all kinds together, nothing combined and nobody outvoted.

    comparison, ranking, rating, thumbs     what the person said
    edit                                    the edited response over the one it was made of
    critique                                the same, where the person who edited it had first said in words what was wrong
    words                                   what they said, of one response
    spans                                   the passages that somebody marked in a response
    demonstration                           what somebody wrote over the responses there are to the same prompt, together one

`source` of a term says which it was. What a reviewer overruled is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace

from tutelage.feedback import kinds
from tutelage.feedback.aggregation import with_samples
from tutelage.lineage import canonical_json
from tutelage.messages import Messages, messages_to_json, record_id
from tutelage.records import (
    AnnotatorKind,
    Critique,
    Instruction,
    Judgment,
    Marked,
    Preference,
    Ranking,
    Rating,
    Sample,
    Term,
    Thumb,
)
from tutelage.store import Store

MOST_REPLACED = 8      # responses that a demonstration is set against; those of the smallest ids


def each_judgment(store: Store, annotator: AnnotatorKind | None = None, without: Set[str] = frozenset(),
                  without_prompts: Set[str] = frozenset()) -> tuple[list[Term], set[str]]:
    """The terms of every current judgment that says something of a response, by judgment id, and the ids of the samples that
    demonstrations are set against. What concerns the samples and prompts that are named by id is left out.
    """
    overruled = store.review.settled().overruled
    said = [(judgment, samples) for judgment, samples in with_samples(store, annotator, without)
            if judgment.id not in overruled and judgment.prompt.id not in without_prompts]
    criticised = {(judgment.annotator_id, sample) for judgment, _ in said if judgment.kind == "critique"
                  for sample in _criticised(judgment)}
    written = {_key(judgment.prompt.messages) for judgment, _ in said if judgment.kind == "demonstration"}
    answers = _answers(store, without, written) if written else {}
    terms = [term for judgment, samples in said for term in _terms(judgment, samples, criticised, answers)]
    return terms, {sample.id for samples in answers.values() for sample in samples}


def _terms(judgment: Judgment, samples: Mapping[str, Sample], criticised: Set[tuple[str, str]],
           answers: Mapping[str, Sequence[Sample]]) -> Iterator[Term]:
    for term in kinds.terms(judgment, samples):
        if isinstance(term, Instruction) and judgment.kind == "demonstration":
            yield from _over_others(judgment, term, answers.get(_key(term.prompt), ()))
        elif isinstance(term, Preference | Ranking | Rating | Thumb):
            in_words = judgment.kind == "edit" and (judgment.annotator_id, judgment.samples[0]) in criticised
            yield replace(term, source="critique" if in_words else judgment.kind)
        elif isinstance(term, Marked) or (isinstance(term, Critique) and term.response):
            yield replace(term, source="spans" if isinstance(term, Marked) else "words")


def _criticised(judgment: Judgment) -> Sequence[str]:
    """The samples that a critique is about: the one it names, or all that were shown."""
    place = judgment.answer.get("sample")
    if "text" not in judgment.answer:
        return ()
    return judgment.samples if place is None else judgment.samples[place:place + 1]


def _over_others(judgment: Judgment, shown: Instruction, answers: Sequence[Sample]) -> Iterator[Preference]:
    """Somebody wrote what they wanted: better than the responses there are, which together weigh as one judgment."""
    chosen = (shown.response,)
    others = [sample for sample in answers if sample.response != chosen]
    for sample in others:
        name = record_id("preference", messages_to_json(shown.messages), sample.text, judgment.annotator, [judgment.id])
        yield Preference(id=name, prompt=shown.prompt, chosen=chosen, rejected=sample.response, weight=1 / len(others),
                         annotator=judgment.annotator, person=judgment.annotator_id, judgment_ids=(judgment.id,),
                         source="demonstration")


def _answers(store: Store, without: Set[str], prompts: Set[str]) -> dict[str, list[Sample]]:
    """Responses in the store to these prompts, the same text once."""
    found: dict[str, dict[str, Sample]] = {prompt: {} for prompt in prompts}
    for sample in sorted(store.samples(), key=lambda sample: sample.id):
        texts = found.get(_key(sample.prompt.messages))
        if texts is not None and sample.id not in without and len(texts) < MOST_REPLACED:
            texts.setdefault(sample.text, sample)
    return {prompt: list(texts.values()) for prompt, texts in found.items()}


def _key(prompt: Messages) -> str:
    return canonical_json(messages_to_json(prompt))
