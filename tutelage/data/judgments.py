"""Rows that say what is better: pairs, transcripts of pairs, revisions, thumbs, ratings and rankings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tutelage.data.fields import (
    COMMON,
    RowObject,
    finite,
    first_of,
    given_id,
    judged,
    meta_of,
    optional_text,
    read_number,
    required_text,
)
from tutelage.data.instructions import (
    read_asked,
    read_history,
    read_prompt,
    read_response,
    read_responses,
)
from tutelage.data.rows import RowError, kind_of
from tutelage.data.turns import (
    check_conversation,
    is_transcript,
    pair,
    part,
    side,
    system_first,
    transcript,
    turns,
)
from tutelage.messages import Messages, messages_id, messages_to_json, record_id
from tutelage.records import AnnotatorKind, Preference, Ranking, Rating, Thumb

# Keys that are known to be scores of a response where a row has no object of scores.
ASPECTS = frozenset({"helpfulness", "correctness", "coherence", "complexity", "verbosity", "honesty", "truthfulness",
                     "harmlessness", "instruction_following", "quality", "toxicity", "humor", "creativity", "relevance",
                     "fluency", "accuracy", "safety", "overall", "rating", "score", "overall_score", "fine-grained_score"})
ALTERNATIVES = ("responses", "answers", "completions", "candidates", "outputs", "ranked_responses")
_SAID = ("response", "answer", "text", "completion", "output", "content")

_CONVERSED = COMMON | {"messages", "conversations", "prompt", "response", "completion", "instruction", "input", "output",
                       "history", "system", "tools"}
_PAIRS = COMMON | {"prompt", "conversations", "instruction", "input", "history", "chosen", "rejected", "margin", "label",
                   "system", "tools"}
_THUMBS = _CONVERSED | {"label", "kto_tag"}
_RATINGS = _CONVERSED | {"scores", "ratings", *ALTERNATIVES} | ASPECTS
_RANKINGS = COMMON | {"prompt", "instruction", "input", "system", "ranks", "ranking", "scores", *ALTERNATIVES}
_REVISIONS = COMMON | {"prompt", "response", "revision", "demonstration", "critique", "margin", "label", "system"}
KNOWN = _PAIRS | _THUMBS | _RATINGS | _RANKINGS | _REVISIONS


def chosen_rejected(row: RowObject, annotator: AnnotatorKind = "human") -> Preference:
    """Two responses to one prompt, or two conversations that begin alike: what they share is the prompt."""
    given: Messages | str | None = None
    if row.get("conversations") is not None:
        given = turns(row["conversations"], "conversations")
    elif isinstance(row.get("prompt"), list):
        given = turns(row["prompt"], "prompt")
    elif row.get("prompt") is not None:
        given = required_text(row, "prompt")
        given = transcript(given, "prompt") if is_transcript(given) else given
    elif row.get("instruction") is not None:      # as an alpaca row asks
        given = (*read_history(row), read_asked(row)[0])
    shared, chosen, rejected = pair(given, row.get("chosen"), row.get("rejected"))
    return _preference(row, system_first(row, shared), chosen, rejected, annotator)


def hh(row: RowObject, annotator: AnnotatorKind = "human") -> Preference:
    """Anthropic's HH: two transcripts that begin alike; the shared turns are the prompt."""
    better, worse = (transcript(required_text(row, key), key) for key in ("chosen", "rejected"))
    if better == worse:
        raise RowError("chosen == rejected: nothing is preferred")
    return _preference(row, *part(better, worse), annotator)


def revisions(row: RowObject, annotator: AnnotatorKind = "human") -> Preference:
    """A response and what is better than it: its `revision`, by a person or after somebody's `critique`, or a
    `demonstration`, which was written without it.
    """
    key = first_of(row, "revision", "demonstration")
    prompt = system_first(row, read_prompt(row))
    better, worse = (side(row.get(name), name) for name in (key, "response"))
    if better == worse:
        raise RowError(f"{key} == response: nothing is preferred")
    critique = optional_text(row, "critique")
    made = _preference(row, prompt, better, worse, annotator, _REVISIONS)
    source = key if key == "demonstration" else "critique" if critique else "edit"
    return replace(made, source=source, meta={**made.meta, "critique": critique} if critique else made.meta)


def _preference(row: RowObject, prompt: Messages, chosen: Messages, rejected: Messages, annotator: AnnotatorKind,
                known: frozenset[str] = _PAIRS) -> Preference:
    check_conversation(prompt + chosen, ends="assistant")
    check_conversation(prompt + rejected, ends="assistant")
    label = read_number(row, "label", 1.0)
    if not 0.0 <= label <= 1.0:
        raise RowError(f"label is {label}; wanted the probability that chosen wins, from 0 to 1")
    name = given_id(row) or messages_id("preference", prompt, chosen, rejected)
    return Preference(id=name, prompt=prompt, chosen=chosen, rejected=rejected, label=label,
                      margin=read_number(row, "margin", 0.0), meta=meta_of(row, known), **judged(row, annotator))


def thumbs(row: RowObject, annotator: AnnotatorKind = "human") -> Thumb:
    """KTO (Ethayarajh et al. 2024): one response, and whether it was liked."""
    key = first_of(row, "kto_tag", "label")
    up = row.get(key)
    if not isinstance(up, bool):
        raise RowError(f"{key} is {kind_of(up)}; wanted true or false" if key in row else "has no label")
    prompt, said = _conversed(row)
    name = given_id(row) or record_id("thumb", messages_to_json(prompt), messages_to_json(said), up)
    return Thumb(id=name, prompt=prompt, response=said, up=up, meta=meta_of(row, _THUMBS), **judged(row, annotator))


def ratings(row: RowObject, annotator: AnnotatorKind = "human") -> tuple[Rating, ...]:
    """Scores by aspect: of one response (HelpSteer), or of several to one prompt (UltraFeedback), a record each."""
    several = next((key for key in ALTERNATIVES if isinstance(row.get(key), list)), None)
    if several is None:
        scores = _scores(row)
        if not scores:
            raise RowError("has no score: neither scores nor an aspect such as helpfulness")
        return (_rating(row, *_conversed(row), scores, annotator),)
    prompt = _asked(row)
    said = _alternatives(row, several)
    listed = _listed_scores(row, len(said))
    made = []
    for number, (each, source) in enumerate(zip(said, row[several], strict=True), start=1):
        scores = listed[number - 1] if listed else _scores(source) if isinstance(source, dict) else {}
        if not scores:
            raise RowError(f"{several} {number} has no score")
        whole = {**row, **_extras(source), "id": f"{given_id(row)}#{number}" if given_id(row) else ""}
        made.append(_rating(whole, prompt, each, scores, annotator))
    return tuple(made)


def _rating(row: RowObject, prompt: Messages, said: Messages, scores: dict[str, float], annotator: AnnotatorKind) -> Rating:
    name = given_id(row) or record_id("rating", messages_to_json(prompt), messages_to_json(said), scores)
    return Rating(id=name, prompt=prompt, response=said, scores=scores, meta=meta_of(row, _RATINGS), **judged(row, annotator))


def rankings(row: RowObject, annotator: AnnotatorKind = "human") -> Ranking:
    """K responses and their places: `ranks` (1 the best, ties alike), `ranking` (their numbers from 0, best first), a rank or
    score in each response, or `ranked_responses` (best first).
    """
    key = next((key for key in ALTERNATIVES if key in row), "responses")
    said = _alternatives(row, key)
    if len(said) < 2:
        raise RowError(f"{key} holds one response; wanted two or more")
    places = _places(_standing(row, key, len(said)))
    if len(set(places)) == 1:
        raise RowError("all responses have the same place: nothing is preferred")
    prompt = _asked(row)
    for each in said:
        check_conversation(prompt + each, ends="assistant")
    name = given_id(row) or record_id("ranking", messages_to_json(prompt), [messages_to_json(each) for each in said], places)
    return Ranking(id=name, prompt=prompt, responses=said, ranks=tuple(places), meta=meta_of(row, _RANKINGS),
                   **judged(row, annotator))


def _standing(row: RowObject, key: str, count: int) -> list[float]:
    """A number a response, smaller is better."""
    items = row[key]
    if isinstance(row.get("ranks"), list):
        return _numbers(row["ranks"], "ranks", count)
    if isinstance(row.get("ranking"), list):
        order = row["ranking"]
        if sorted(map(str, order)) != sorted(map(str, range(count))):
            raise RowError(f"ranking is not the numbers 0 to {count - 1}, best first; for places write ranks")
        return [float([int(each) for each in order].index(place)) for place in range(count)]
    if isinstance(row.get("scores"), list):
        return [-score for score in _numbers(row["scores"], "scores", count)]
    if key == "ranked_responses":
        return [float(place) for place in range(count)]
    for word, sign in (("rank", 1), ("overall_rank", 1), ("score", -1), ("overall_score", -1), ("rating", -1)):
        if all(isinstance(item, dict) and word in item for item in items):
            return [sign * each for each in _numbers([item[word] for item in items], word, count)]
    raise RowError("has no ranks: neither ranks, ranking, scores nor a rank in each response")


def _places(standing: Sequence[float]) -> list[int]:
    order = sorted(set(standing))
    return [order.index(each) + 1 for each in standing]


def _numbers(values: Sequence[Any], name: str, count: int) -> list[float]:
    if len(values) != count:
        raise RowError(f"{name} has {len(values)} entries for {count} responses")
    return [finite(each, name) for each in values]


def _alternatives(row: RowObject, key: str) -> tuple[Messages, ...]:
    items = row.get(key)
    if not isinstance(items, list) or not items:
        raise RowError(f"{key} is {kind_of(items)}; wanted a list of responses" if key in row else f"has no {key}")
    found = []
    for number, item in enumerate(items, start=1):
        said = item
        if isinstance(item, dict) and "role" not in item and "from" not in item:
            said = item.get(first_of(item, *_SAID))
        found.append(side(said, f"{key} {number}"))
    return tuple(found)


def _asked(row: RowObject) -> Messages:
    given = read_prompt(row) if "prompt" in row else (*read_history(row), read_asked(row)[0])
    given = system_first(row, given)
    check_conversation(given, ends="user")
    return given


def _conversed(row: RowObject) -> tuple[Messages, Messages]:
    """(prompt, response) of a row with one response, whichever way it is written; the last turn is the response."""
    for key in ("messages", "conversations"):
        if key in row:
            whole = turns(row[key], key)
            break
    else:
        if "output" in row and "prompt" not in row:
            whole = (*read_history(row), read_asked(row)[0], read_response(row, "output"))
        else:
            whole = read_prompt(row) + read_responses(row, first_of(row, "response", "completion"))
    whole = system_first(row, whole)
    check_conversation(whole, ends="assistant")
    return whole[:-1], whole[-1:]


def _scores(row: RowObject) -> dict[str, float]:
    """The scores of one response: an object of them, UltraFeedback's annotations, or known aspects beside the text."""
    for key in ("scores", "ratings"):
        if isinstance(row.get(key), dict):
            return {str(aspect): finite(value, f"{key}.{aspect}") for aspect, value in row[key].items() if value is not None}
    found = {}
    annotations = row.get("annotations")
    if isinstance(annotations, dict):
        for aspect, given in annotations.items():
            value = given.get("Rating", given.get("rating")) if isinstance(given, dict) else given
            if value not in (None, "N/A"):
                found[str(aspect)] = _from_text(value, str(aspect))
    for aspect in sorted(ASPECTS & row.keys()):
        if row[aspect] is not None:
            found[aspect] = finite(row[aspect], aspect)
    return found


def _from_text(value: Any, name: str) -> float:
    try:
        return finite(float(value) if isinstance(value, str) else value, name)
    except ValueError:
        raise RowError(f"{name} is {str(value)[:40]!r}; wanted a number") from None


def _listed_scores(row: RowObject, count: int) -> list[dict[str, float]]:
    key = first_of(row, "scores", "ratings")
    if not isinstance(row.get(key), list):
        return []
    return [{"score": score} for score in _numbers(row[key], key, count)]


def _extras(source: Any) -> dict[str, Any]:
    """What one of several responses says of itself (its model, say), to go to its record's `meta`."""
    known = {*_SAID, *ASPECTS, *COMMON, "annotations", "role", "from", "value"}
    return {key: value for key, value in source.items() if key not in known} if isinstance(source, dict) else {}
