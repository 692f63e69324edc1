"""What a campaign brought, as a file: every current judgment with its prompt and responses, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fastapi.responses import Response, StreamingResponse

from tutelage.feedback.kinds import in_words
from tutelage.messages import messages_to_json
from tutelage.records import Judgment, Sample
from tutelage.store import Store
from tutelage.store.questions import Campaign


def download(store: Store, campaign: Campaign) -> Response:
    """The judgments of a campaign, streamed, by item. Where a reviewer has judged one, their word comes last and `counts`;
    those of the annotators are there and do not: `resolved_by` names what counts instead."""
    resolved = {each.item: each.judgment for each in store.review.resolutions(campaign.id) if each.judgment is not None}

    def lines() -> Iterator[str]:
        for item, judgments in store.review.item_judgments(campaign.id):
            word = resolved.get(item)
            for judgment in (*judgments, *(store.judgments(ids=[word]) if word else ())):
                row = {"campaign": campaign.name, "item": item, **as_row(store, judgment),
                       "counts": word in (None, judgment.id), "resolved_by": word if word != judgment.id else None}
                yield json.dumps(row, ensure_ascii=False) + "\n"

    return _file(lines(), f"{campaign.id}.jsonl")


def personal(store: Store, person: str) -> Response:
    """Everything a person gave, in the same form: theirs to take along."""
    def lines() -> Iterator[str]:
        for judgment in store.judgments(current=False, person=person):
            yield json.dumps(as_row(store, judgment), ensure_ascii=False) + "\n"

    return _file(lines(), "my-judgments.jsonl")


def as_row(store: Store, judgment: Judgment) -> dict[str, Any]:
    by_id: dict[str, Sample] = {sample.id: sample for sample in store.samples(judgment.samples)} if judgment.samples else {}
    return {"id": judgment.id, "kind": judgment.kind, "person": judgment.annotator_id, "annotator": judgment.annotator,
            "prompt": messages_to_json(judgment.prompt.messages), "answer": dict(judgment.answer), "in_words": in_words(judgment),
            "responses": [{"id": id, "text": by_id[id].text, "policy": by_id[id].policy} for id in judgment.samples],
            "guideline": judgment.guideline, "supersedes": judgment.supersedes}


def _file(lines: Iterator[str], name: str) -> Response:
    return StreamingResponse(lines, media_type="application/x-ndjson",
                             headers={"content-disposition": f'attachment; filename="{name}"'})
