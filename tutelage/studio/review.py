"""The reviewer's pages: what people differ on, what they flagged and contest, and settling it.

A reviewer settles nothing that they have judged themselves. Who said what is not shown: an answer is weighed, not a name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from tutelage.errors import DataError, StoreError
from tutelage.feedback import kinds
from tutelage.feedback.asked import Asked, excerpt
from tutelage.lineage import canonical_json
from tutelage.records import Judgment, Sample
from tutelage.store import Store
from tutelage.store.campaigns import Campaigns
from tutelage.store.questions import Campaign, Item
from tutelage.store.review import Contest, Flag
from tutelage.studio.blinding import blind, names_of
from tutelage.studio.differing import differs
from tutelage.studio.gold import in_item_order
from tutelage.web import Refused, Routes
from tutelage.web.i18n import N_
from tutelage.web.pages import render, say, values_of

SHOWN = 200            # entries of the queue on one page


@dataclass(frozen=True, slots=True)
class Waiting:
    """One item of the queue, and why it is there."""

    campaign: Campaign
    item: str
    why: str               # differ, flag or contest
    words: str
    score: float = 0.0
    prompt: str = ""


def add_routes(routes: Routes) -> None:
    @routes.get("/review", roles={"reviewer"})
    def queue(request: Request) -> Response:
        waiting = list(_queue(request.app.state.store, request.state.visitor.language))
        items: Campaigns = request.app.state.store.campaigns
        shown = [replace(each, prompt=items.item(each.item).prompt.messages[-1].text) for each in waiting[:SHOWN]]
        return render(request, "studio/review.html.j2", waiting=shown, total=len(waiting))

    @routes.get("/review/{item}", roles={"reviewer"})
    def page(request: Request, item: str) -> Response:
        return _page(request, item)

    @routes.post("/review/{item}", roles={"reviewer"})
    def settle(request: Request, item: str) -> Response:
        return _settle(request, item)


def _queue(store: Store, language: str) -> Iterator[Waiting]:
    """Flags first (somebody may be hurt), then contests (somebody waits), then disagreements, the widest first."""
    differing = []
    for campaign in store.campaigns.all():
        for flag in store.review.flags(campaign.id):
            yield Waiting(campaign, flag.item, "flag", kinds.kind("flag").in_words(_flag_answer(flag), language))
        for contest in store.review.contests(campaign.id):
            yield Waiting(campaign, store.tasks.get(contest.task).item, "contest", contest.note)
        for each in store.review.disagreements(campaign.id, differs):
            differing.append(Waiting(campaign, each.item, "differ", "", each.score))
    yield from sorted(differing, key=lambda each: -each.score)


def _flag_answer(flag: Flag) -> dict[str, Any]:
    return {"reason": flag.reason, **({"note": flag.note} if flag.note else {})}


@dataclass(frozen=True, slots=True)
class _Case:
    """All that belongs to an item, its answers turned into the item's own order."""

    campaign: Campaign
    item: Item
    samples: list[Sample]
    judgments: list[tuple[Judgment, dict[str, Any]]]
    flags: list[Flag]
    contests: list[Contest]


def _case(request: Request, id: str) -> _Case:
    store: Store = request.app.state.store
    try:
        item = store.campaigns.item(id)
    except StoreError:
        raise Refused(404, N_("There is no such item.")) from None
    campaign = store.campaigns.get(item.campaign)
    by_id = {sample.id: sample for sample in store.samples(item.samples)} if item.samples else {}
    said = next((said for found, said in store.review.item_judgments(campaign.id) if found == id), [])
    if any(judgment.annotator_id == request.state.visitor.person for judgment in said):
        raise Refused(403, N_("You have judged this item yourself; another reviewer has to settle it."))
    turned = [(judgment, in_item_order(campaign.kind, judgment.answer, [item.samples.index(each) for each in judgment.samples]))
              for judgment in said]
    contests = [each for each in store.review.contests(campaign.id) if store.tasks.get(each.task).item == id]
    return _Case(campaign, item, [by_id[each] for each in item.samples], turned,
                 [flag for flag in store.review.flags(campaign.id) if flag.item == id], contests)


def _page(request: Request, id: str, message: str = "", status: int = 200) -> Response:
    case, language = _case(request, id), request.state.visitor.language
    kind = kinds.kind(case.campaign.kind)
    names = names_of(sample.policy for sample in case.samples)
    texts = [blind(sample.text, names) for sample in case.samples]
    return render(
        request, "studio/review_item.html.j2", status, campaign=case.campaign, item=case.item, message=message,
        prompt=[{"role": each.role, "text": each.text} for each in case.item.prompt.messages],
        responses=texts,
        question=kind.QUESTION[language], choices=_choices(case, language, texts),
        known=_in_words(case, case.item.gold, language, texts) if case.item.gold else "",
        flags=[(flag, kinds.kind("flag").in_words(_flag_answer(flag), language)) for flag in case.flags], contests=case.contests)


def _in_words(case: _Case, answer: Mapping[str, Any], language: str, texts: list[str]) -> str:
    """The answer, and of marks what they stand on (a covered name is as long as the name)."""
    kind = kinds.kind(case.campaign.kind)
    said = kind.in_words(answer, language)
    marked = [f"{kind.ACTIONS[mark['mark']].words[language]}: “{excerpt(texts[0][mark['start'] : mark['end']])}”"
              + (f" ({mark['note']})" if mark.get("note") else "") for mark in answer.get("marks", ())]
    return " · ".join([said, *marked]) if marked else said


def _choices(case: _Case, language: str, texts: list[str]) -> list[tuple[str, str, int]]:
    """(answer as JSON, in words, people who gave it): the answers given and those that are one key."""
    kind = kinds.kind(case.campaign.kind)
    count: dict[str, int] = {}
    for _, answer in case.judgments:
        count[canonical_json(answer)] = count.get(canonical_json(answer), 0) + 1
    for action in kind.ACTIONS.values():
        if action.answer is not None:
            count.setdefault(canonical_json(dict(action.answer)), 0)
    if case.campaign.kind == "label":
        for label in case.campaign.terms.settings.get("labels", ()):
            count.setdefault(canonical_json({"labels": [label]}), 0)
    return [(answer, _in_words(case, json.loads(answer), language, texts), number)
            for answer, number in sorted(count.items(), key=lambda each: -each[1])]


def _settle(request: Request, id: str) -> Response:
    """The reviewer's word on the item: an answer, or that a flag or contest stands ("upheld") or does not ("dismissed")."""
    form = request.state.form
    given = values_of(form, "decision", "answer", "note")
    case, store = _case(request, id), request.app.state.store
    answer = None
    if given["decision"] == "judged":
        try:
            asked = Asked.of(case.campaign.terms.settings, len(case.samples), [sample.text for sample in case.samples])
            answer = kinds.kind(case.campaign.kind).check_answer(json.loads(given["answer"] or "{}"), asked)
        except (ValueError, DataError):
            return _page(request, id, say(request, "Choose an answer first."), 422)
    elif given["decision"] not in ("upheld", "dismissed"):
        return _page(request, id, say(request, "Choose an answer first."), 422)
    reviewer, note = request.state.visitor.person, given["note"].strip()[:2000]
    flags = [each.id for each in case.flags if given["decision"] == "judged" or each.id in form.getlist("flag")]
    contests = [each.id for each in case.contests if given["decision"] == "judged" or each.id in form.getlist("contest")]
    # One word settles all that waits on the item: the answer itself, then each flag and contest it closes.
    if answer is not None:
        store.review.resolve(id, reviewer, "judged", time.time(), answer, note=note)
    closing = "upheld" if answer is not None else given["decision"]
    for flag in flags:
        store.review.resolve(id, reviewer, closing, time.time(), note=note, flag=flag)
    for contest in contests:
        store.review.resolve(id, reviewer, closing, time.time(), note=note, contest=contest)
    return RedirectResponse("/review", status_code=303)
