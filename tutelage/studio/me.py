"""A person's own page: what they gave, how it agrees with others, contesting a verdict, taking it along, API keys."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from tutelage.feedback import kinds
from tutelage.records import Judgment
from tutelage.store import Store
from tutelage.store.questions import Campaign, Task
from tutelage.studio.differing import WRITTEN, apart
from tutelage.studio.export import personal
from tutelage.studio.gold import as_shown, in_item_order, matches
from tutelage.web import SIGNED_IN, Refused, Routes
from tutelage.web.i18n import N_
from tutelage.web.pages import render, values_of
from tutelage.web.passwords import check_password, hash_password

SHOWN = 100            # answers of a campaign on the page; the download has all


@dataclass(frozen=True, slots=True)
class Given:
    """One answer of theirs. `verdict` is "right" or "wrong" where the answer is known or a reviewer has spoken."""

    task: Task
    words: str
    verdict: str
    known: str
    is_settled: bool       # a reviewer's word, not an answer known beforehand
    is_contested: bool


@dataclass(frozen=True, slots=True)
class Share:
    """One campaign: what they gave, and on how many items they said what most others said."""

    campaign: Campaign
    answered: int
    compared: int
    agreeing: float
    gold: int
    gold_right: int
    given: list[Given]


def add_routes(routes: Routes) -> None:
    @routes.get("/me", roles=SIGNED_IN)
    def me(request: Request) -> Response:
        return _page(request)

    @routes.get("/me/download", roles=SIGNED_IN)
    def download(request: Request) -> Response:
        return personal(request.app.state.store, request.state.visitor.person)

    @routes.post("/me/contest", roles=SIGNED_IN)
    def contest(request: Request) -> Response:
        given = values_of(request.state.form, "task", "note")
        store: Store = request.app.state.store
        store.review.contest(given["task"], request.state.visitor.person, given["note"].strip()[:2000], time.time())
        return RedirectResponse("/me", status_code=303)

    @routes.post("/me/password", roles=SIGNED_IN)
    def password(request: Request) -> Response:
        given = values_of(request.state.form, "before", "password")
        store, person = request.app.state.store, request.state.visitor.person
        if not check_password(given["before"], store.accounts.password_hash(person)):
            raise Refused(422, N_("The password so far is another one."))
        store.accounts.set_password(person, hash_password(given["password"]), person, time.time())
        return RedirectResponse("/sign-in", status_code=303)

    @routes.post("/me/api-keys", roles=SIGNED_IN)
    def make_key(request: Request) -> Response:
        name = values_of(request.state.form, "name")["name"].strip()[:80] or "key"
        store: Store = request.app.state.store
        key, _ = store.access.make_api_key(request.state.visitor.person, name, time.time())
        return _page(request, new_key=key)

    @routes.post("/me/api-keys/{key}/revoke", roles=SIGNED_IN)
    def revoke_key(request: Request, key: str) -> Response:
        store: Store = request.app.state.store
        store.access.revoke_api_key(key, request.state.visitor.person, time.time())
        return RedirectResponse("/me", status_code=303)


def _page(request: Request, new_key: str = "") -> Response:
    store: Store = request.app.state.store
    person, language = request.state.visitor.person, request.state.visitor.language
    shares = [share for campaign in store.campaigns.all() if (share := _share(store, campaign, person, language)).answered]
    values: dict[str, Any] = {"shares": shares, "consents": store.consents(person), "new_key": new_key, "written": WRITTEN,
                              "keys": [key for key in store.access.api_keys(person) if key.revoked_at is None]}
    return render(request, "studio/me.html.j2", **values)


def _share(store: Store, campaign: Campaign, person: str, language: str) -> Share:
    mine = store.progress.of_person(campaign.id, person)
    compared, agreeing = 0, 0.0
    if mine.num_answered:
        for _, said in store.review.item_judgments(campaign.id, person):
            own = [judgment for judgment in said if judgment.annotator_id == person][:1]
            others = [judgment for judgment in said if judgment.annotator_id != person]
            found = [sum(pairs) / len(pairs) for other in others if own and (pairs := apart([own[0], other]))]
            if found:
                compared += 1
                agreeing += 1 - sum(found) / len(found)
    given = list(_given(store, campaign, person, language)) if mine.num_answered else []
    return Share(campaign, mine.num_answered, compared, agreeing / compared if compared else 0.0, mine.num_gold,
                 mine.num_gold_right, given)


def _given(store: Store, campaign: Campaign, person: str, language: str) -> Iterator[Given]:
    tasks = [task for task in store.tasks.of_person(person, campaign.id, SHOWN) if task.judgment]
    contested = {each.task for each in store.review.contests(campaign.id, person, open_only=False)}
    verdicts = {each.item: each.judgment for each in store.review.resolutions(campaign.id) if each.decision == "judged"}
    wanted = {task.judgment for task in tasks} | {verdicts[task.item] for task in tasks if task.item in verdicts}
    said = {judgment.id: judgment for judgment in store.judgments(ids=[id for id in wanted if id])}
    kind = kinds.kind(campaign.kind)
    for task in tasks:
        if (own := said.get(task.judgment or "")) is None:
            continue
        verdict, words = "", ""
        if (known := _known(task, said.get(verdicts.get(task.item) or ""))) is not None:
            verdict = "right" if matches(task.kind, in_item_order(task.kind, own.answer, task.order), known) else "wrong"
            words = kind.in_words(as_shown(task.kind, known, task.order), language)
        yield Given(task, kind.in_words(own.answer, language), verdict, words, task.item in verdicts, task.id in contested)


def _known(task: Task, resolution: Judgment | None) -> dict[str, Any] | None:
    """The answer that counts as right, in the item's own order: a reviewer's word before what was known beforehand."""
    if resolution is None:
        return None if task.gold is None else dict(task.gold)
    own = [""] * len(task.samples)
    for place, sample in zip(task.order, task.samples, strict=True):
        own[place] = sample.id
    return in_item_order(task.kind, resolution.answer, [own.index(id) for id in resolution.samples])
