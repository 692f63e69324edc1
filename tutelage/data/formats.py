"""The shapes of rows other people's files have, by name: how each is known, read into records and written back.

    alpaca            instruction, input, output; system, history                       -> Instruction
    messages          messages: [{role, content}]; tools                                -> Instruction
    sharegpt          conversations: [{from, value}]; system, tools                     -> Instruction
    prompt-response   prompt, response (or completion)                                  -> Instruction
    seed-tasks        instruction, instances: [{input, output}]                         -> Instruction, one an instance
    prompts           prompt alone; kind, key_facts                                     -> Prompt
    text              text alone                                                        -> Document
    labels            text, label (or labels)                                           -> Label
    chosen-rejected   prompt (or instruction, input), chosen, rejected; margin, label    -> Preference
    sharegpt-pairs    conversations, chosen, rejected as turns; margin, label           -> Preference
    hh                chosen, rejected as "\\n\\nHuman: … \\n\\nAssistant: …"               -> Preference
    revisions         prompt, response and its revision (with a critique) or a demonstration -> Preference
    marks             prompt, response and marks: [{start, end, mark}]                  -> Marked
    critiques         prompt, response and a critique, without a revision               -> Critique
    kto               one response and a boolean label                                  -> Thumb
    ratings           one response and scores by aspect, or several with scores each    -> Rating, one a response
    rankings          responses and their ranks                                         -> Ranking

Everywhere: `id`, `annotator`, and of judged rows `person`, `weight`, `judgment_ids`; other single values go to `meta`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.data import instructions, judgments, remarks, writing
from tutelage.data.fields import RowObject
from tutelage.data.turns import is_transcript
from tutelage.errors import DataError
from tutelage.records import AnnotatorKind, Record

# Goes up whenever a converter changes: a data set is imported again then, not found again.
READER = 4


@dataclass(frozen=True, slots=True)
class Format:
    """One shape of rows. `keys` says it in words, `write` undoes `read`."""

    kind: str                     # of the records, as in `records.RECORD_TYPES`
    keys: str
    read: Callable[[RowObject, AnnotatorKind], Record | tuple[Record, ...]]
    write: Callable[[Any], dict[str, Any]]


FORMATS: Mapping[str, Format] = {
    "alpaca": Format("instruction", "instruction, output", instructions.alpaca, writing.alpaca),
    "messages": Format("instruction", "messages", instructions.messages, writing.messages),
    "prompt-response": Format("instruction", "prompt, response", instructions.prompt_response, writing.prompt_response),
    "prompts": Format("prompt", "prompt", instructions.prompts, writing.prompts),
    "sharegpt": Format("instruction", "conversations", instructions.sharegpt, writing.sharegpt),
    "seed-tasks": Format("instruction", "instruction, instances", instructions.seed_tasks, writing.seed_tasks),
    "text": Format("document", "text", instructions.text, writing.text),
    "labels": Format("label", "text, label", instructions.labels, writing.labels),
    "chosen-rejected": Format("preference", "chosen, rejected", judgments.chosen_rejected, writing.chosen_rejected),
    "sharegpt-pairs": Format("preference", "conversations, chosen, rejected", judgments.chosen_rejected, writing.sharegpt_pairs),
    "hh": Format("preference", "chosen, rejected as transcripts", judgments.hh, writing.hh),
    "revisions": Format("preference", "prompt, response, revision or demonstration", judgments.revisions, writing.revisions),
    "marks": Format("marked", "prompt, response, marks", remarks.marked, writing.marked),
    "critiques": Format("critique", "prompt, response, critique", remarks.critique, writing.critique),
    "kto": Format("thumb", "messages or prompt and response, and a boolean label", judgments.thumbs, writing.thumbs),
    "ratings": Format("rating", "prompt, response, scores", judgments.ratings, writing.ratings),
    "rankings": Format("ranking", "prompt, responses, ranks", judgments.rankings, writing.rankings),
}

_CONVERSED = {"messages", "conversations", "completion", "response", "output"}
_RANKS = {"rank", "overall_rank"}


def detect(rows: Sequence[RowObject], name: str) -> str:
    """The format most of the first rows have by their keys; rows of another are refused later, each with a reason.

    Raises:
        DataError: if they have none.
    """
    votes = Counter(found for row in rows if (found := _format_of(row)))
    if not votes:
        keys = ", ".join(sorted({str(key) for row in rows for key in row})) or "none"
        known = ", ".join(f"{each} ({format.keys})" for each, format in FORMATS.items())
        raise DataError(f"{name} has rows of a format that is not known. Keys seen: {keys[:300]}. Wanted one of: {known}. "
                        "Say which column is which (--map prompt=QUESTION response=ANSWER), or name the format with --format.")
    return votes.most_common(1)[0][0]


def _format_of(row: RowObject) -> str:
    has = row.keys()
    if "chosen" in has and "rejected" in has:
        return _pairs(row)
    if {"prompt", "response"} <= has and has & {"revision", "demonstration"}:
        return "revisions"
    if {"prompt", "response"} <= has and has & {"marks", "critique"}:
        return "marks" if "marks" in has else "critiques"
    if _is_thumb(row):
        return "kto"
    several = next((key for key in judgments.ALTERNATIVES if isinstance(row.get(key), list)), None)
    if several is not None and (found := _alternatives(row, row[several], several)):
        return found
    if has & _CONVERSED and _is_rated(row):
        return "ratings"
    for key, found in (("messages", "messages"), ("conversations", "sharegpt"), ("instances", "seed-tasks")):
        if key in has:
            return found
    if "instruction" in has and "output" in has:
        return "alpaca"
    if "prompt" in has:
        return "prompt-response" if has & {"response", "completion"} else "prompts"
    if "text" in has:
        return "labels" if has & {"label", "labels"} else "text"
    return ""


def _pairs(row: RowObject) -> str:
    if "prompt" not in row and is_transcript(row["chosen"]) and is_transcript(row["rejected"]):
        return "hh"
    return "sharegpt-pairs" if "conversations" in row else "chosen-rejected"


def _is_thumb(row: RowObject) -> bool:
    labelled = isinstance(row.get("label"), bool) or isinstance(row.get("kto_tag"), bool)
    return labelled and bool(row.keys() & _CONVERSED)


def _alternatives(row: RowObject, items: Sequence[Any], key: str) -> str:
    if row.keys() & {"ranks", "ranking"} or key == "ranked_responses":
        return "rankings"
    objects = [item for item in items if isinstance(item, dict)]
    if objects and all(item.keys() & _RANKS for item in objects):
        return "rankings"
    if isinstance(row.get("scores"), list) or any(item.keys() & ({"annotations"} | judgments.ASPECTS) for item in objects):
        return "ratings"
    return ""


def _is_rated(row: RowObject) -> bool:
    """Scores beside one response. A single `score` is taken for one too: what was rated is no wanted response unseen."""
    if any(isinstance(row.get(key), dict) for key in ("scores", "ratings")):
        return True
    return any(isinstance(row[key], int | float) and not isinstance(row[key], bool) for key in judgments.ASPECTS & row.keys())
