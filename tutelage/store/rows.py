"""Records to rows of the tables and back, and the JSON of a judgment that its hash is taken of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.errors import StoreError
from tutelage.lineage import canonical_json, content_hash
from tutelage.records import Judgment, Prompt, Sample


def _hash(value: Any, what: str) -> str:
    try:
        return content_hash(value)
    except (ValueError, TypeError) as error:
        raise StoreError(f"{what} cannot be kept: {error}. Its values must be plain, finite JSON.") from None


def plain_json(value: Mapping[str, Any], what: str) -> str:
    """Canonical JSON, or a StoreError that names `what`."""
    try:
        return canonical_json(dict(value))
    except (ValueError, TypeError) as error:
        raise StoreError(f"{what} cannot be kept: {error}. Its values must be plain, finite JSON.") from None


def prompt_hash(prompt: Prompt) -> str:
    return _hash(prompt.to_json(), f"prompt {prompt.id!r}")


def prompt_row(prompt: Prompt) -> dict[str, Any]:
    return {"hash": prompt_hash(prompt), "id": prompt.id, "body": canonical_json(prompt.to_json())}


def prompt_from_row(row: Mapping[Any, Any]) -> Prompt:
    return Prompt.from_json(json.loads(row["prompt_body"]))


def sample_row(sample: Sample) -> dict[str, Any]:
    """The prompt and the text have columns of their own; `body` is the rest."""
    whole = sample.to_json()
    digest = _hash(whole, f"sample {sample.id!r}")
    rest = {name: value for name, value in whole.items() if name not in ("id", "prompt", "text", "policy")}
    return {"id": sample.id, "prompt_hash": prompt_hash(sample.prompt), "prompt_id": sample.prompt.id,
            "policy": sample.policy, "text": sample.text, "body": canonical_json(rest), "hash": digest}


def sample_from_row(row: Mapping[Any, Any]) -> Sample:
    return Sample.from_json({"id": row["id"], "prompt": json.loads(row["prompt_body"]), "text": row["text"],
                             "policy": row["policy"], **json.loads(row["body"])})


def judgment_json(judgment: Judgment) -> dict[str, Any]:
    """Everything that was said. Neither the consent nor the client's key is part of it."""
    return {"id": judgment.id, "kind": judgment.kind, "annotator_id": judgment.annotator_id,
            "annotator": judgment.annotator, "prompt": judgment.prompt.to_json(), "samples": list(judgment.samples),
            "answer": dict(judgment.answer), "guideline": judgment.guideline, "supersedes": judgment.supersedes}


def judgment_row(judgment: Judgment) -> dict[str, Any]:
    digest = _hash(judgment_json(judgment), f"judgment {judgment.id!r}")
    return {"id": judgment.id, "kind": judgment.kind, "person_id": judgment.annotator_id,
            "annotator": judgment.annotator, "prompt_hash": prompt_hash(judgment.prompt),
            "prompt_id": judgment.prompt.id, "answer": canonical_json(dict(judgment.answer)),
            "guideline": judgment.guideline, "supersedes": judgment.supersedes, "hash": digest}


def judgment_from_rows(rows: Sequence[Mapping[str, Any]]) -> Judgment:
    """`rows` are one judgment's, one a sample in displayed order (one row without a sample where it has none)."""
    row = rows[0]
    shown = tuple(each["sample_id"] for each in rows if each["sample_id"] is not None)
    return Judgment(id=row["id"], kind=row["kind"], annotator_id=row["person_id"], annotator=row["annotator"],
                    prompt=prompt_from_row(row), samples=shown, answer=json.loads(row["answer"]),
                    guideline=row["guideline"], supersedes=row["supersedes"])
