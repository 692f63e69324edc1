"""The annotating page and the calls it makes: the next tasks out, decisions in, each exactly once."""

from __future__ import annotations

import time
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from tutelage.errors import DataError, StoreError
from tutelage.feedback import assignment, kinds
from tutelage.feedback.asked import ASPECTS
from tutelage.feedback.kinds import flag as flags
from tutelage.feedback.kinds import rating
from tutelage.store import Store
from tutelage.store.questions import Campaign
from tutelage.studio import outbox
from tutelage.studio.config import Studio
from tutelage.studio.wire import Batch, OwnKeys, task_json
from tutelage.web import SIGNED_IN, Refused, Routes, Visitor
from tutelage.web.i18n import N_
from tutelage.web.limits import RateLimit
from tutelage.web.pages import render, say, say_error

MOST_WANTED = 10
MOST_HELD = 50
# Why somebody has nothing to do: the store's word -> the key of the page's words.
WHY = {"paused": "paused", "closed": "closed", "expertise": "not_qualified", "language": "not_qualified",
       "quiz": "quiz", "quiz failed": "quiz_failed", "quota": "quota", "nothing left": "nothing_more"}


def add_routes(routes: Routes, config: Studio) -> None:
    @routes.get("/annotate/{campaign}", roles={"annotator"})
    def page(request: Request, campaign: str) -> Response:
        asked = find_campaign(request, campaign)
        return render(request, "studio/annotate.html.j2", campaign=asked, config=page_config(request, asked, config),
                      question=kinds.kind(asked.kind).QUESTION[request.state.visitor.language], flag=_flag_form(request))

    @routes.get("/api/campaigns/{campaign}/tasks", roles={"annotator"})
    def tasks(request: Request, campaign: str, want: int = 3, held: str = "") -> Response:
        _slow_down(request)
        asked = find_campaign(request, campaign)
        return JSONResponse(_next(request, asked, max(1, min(want, MOST_WANTED)), held.split(",")[:MOST_HELD]))

    @routes.post("/api/outbox", roles={"annotator"})
    def take(request: Request, batch: Batch) -> Response:
        _slow_down(request)
        if batch.person != request.state.visitor.person:
            raise Refused(403, N_("These decisions are another person's. Sign in as they did."))
        taken = outbox.take(request.app.state.store, batch.person, batch.entries, time.time())
        for result in taken["results"]:
            if "message" in result:
                result["message"] = say_error(request, result["message"])
        return JSONResponse(taken)

    @routes.post("/api/keys", roles=SIGNED_IN)
    def keys(request: Request, chosen: OwnKeys) -> Response:
        _keep_keys(request, chosen)
        return JSONResponse({})


def find_campaign(request: Request, id: str) -> Campaign:
    store: Store = request.app.state.store
    try:
        return store.campaigns.get(id)
    except StoreError:
        raise Refused(404, N_("There is no such campaign.")) from None


def _next(request: Request, campaign: Campaign, want: int, held: list[str]) -> dict[str, Any]:
    """Up to `want` tasks that the page does not hold yet, and why there are none where there are none."""
    store: Store = request.app.state.store
    person, now, known = request.state.visitor.person, time.time(), {each for each in held if each}
    given = store.tasks.next(person, campaign.id, want + len(known), now, assignment.plan)
    fresh = [task for task in given if task.id not in known][:want]
    standing = store.progress.standing(campaign.id, person)
    # While the page holds tasks there may be more when they are done (a quiz that is passed, a repeat that falls due).
    done = not fresh and bool(standing.why)
    return {"tasks": [task_json(task) for task in fresh], "done": done, "reason": WHY.get(standing.why, "") if done else "",
            "progress": outbox.progress(store, campaign.id, person)}


def page_config(request: Request, campaign: Campaign, config: Studio) -> dict[str, Any]:
    """What the page's script has to know, in the visitor's language."""
    visitor: Visitor = request.state.visitor
    kind, language = kinds.kind(campaign.kind), visitor.language
    told, name = guideline_of(request.app.state.store, campaign, language)
    settings = dict(campaign.terms.settings)
    own = visitor.settings.get("keys", {}).get(campaign.kind, {})
    return {
        "person": visitor.person,
        "campaign": {"id": campaign.id, "name": campaign.name, "kind": campaign.kind, "settings": settings},
        "actions": [{"name": name, "key": action.key, "words": action.words[language],
                     "answer": None if action.answer is None else dict(action.answer)}
                    for name, action in kind.ACTIONS.items()],
        "page_actions": page_actions(request), "keys": own,
        "aspects": [{"name": aspect, "words": rating.ASPECT_NAMES[language][aspect],
                     "about": rating.ASPECT_TEXT[language][aspect]}
                    for aspect in settings.get("aspects") or ASPECTS],
        "guideline": told, "guideline_name": name, "min_view_ms": round(1000 * config.min_view_s),
        "break_after_min": config.break_after_min,
    }


def guideline_of(store: Store, campaign: Campaign, language: str) -> tuple[str, str]:
    """(text, name and version) of what people are told: the lead's own where there is one, else the kind's."""
    kind = kinds.kind(campaign.kind)
    own = store.campaigns.guideline(campaign.terms.guideline) if campaign.terms.guideline else {}
    if own:
        return own.get(language) or next(iter(own.values())), campaign.terms.guideline
    return kind.GUIDELINE_TEXT[language], kind.GUIDELINE


def page_actions(request: Request) -> dict[str, str]:
    return {"undo": say(request, "Undo"), "differences": say(request, "Differences"), "plain": say(request, "Plain text"),
            "skip": say(request, "Skip"), "flag": say(request, "Flag"), "guideline": say(request, "Guideline"),
            "pause": say(request, "Break"), "keys": say(request, "Keys")}


def _flag_form(request: Request) -> dict[str, Any]:
    language = request.state.visitor.language
    return {"question": flags.QUESTION[language],
            "reasons": [{"name": name, "key": action.key, "words": action.words[language]}
                        for name, action in flags.ACTIONS.items()]}


def _keep_keys(request: Request, chosen: OwnKeys) -> None:
    visitor: Visitor = request.state.visitor
    known = {*kinds.kind(chosen.kind).KEYS, *page_actions(request)}
    if unknown := sorted(set(chosen.keys) - known):
        raise DataError(f"there is no action {unknown[0]!r} to give a key to.")
    if len(set(chosen.keys.values())) != len(chosen.keys):
        raise DataError("two actions cannot have one key.")
    mine = {**visitor.settings.get("keys", {}), chosen.kind: dict(chosen.keys)}
    store: Store = request.app.state.store
    store.accounts.set_settings(visitor.person, {**visitor.settings, "keys": mine})


def _slow_down(request: Request) -> None:
    limit: RateLimit = request.app.state.request_limit
    if wait := limit.take(request.state.visitor.person):
        raise Refused(429, N_("Too many requests. Wait %(wait)s seconds."), wait=int(wait) + 1)
