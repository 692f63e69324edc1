"""The lead's pages: campaigns, how they stand, how far people agree, and what comes out of them."""

from __future__ import annotations

import time
from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from tutelage.feedback import kinds
from tutelage.project import Project
from tutelage.store import Store
from tutelage.store.questions import Campaign, NewItem
from tutelage.studio import agreement, new_campaign
from tutelage.studio.annotate import find_campaign, guideline_of
from tutelage.studio.differing import differs
from tutelage.studio.drawing_pages import drawings_of
from tutelage.studio.items import models, sources, written_prompt, written_sample
from tutelage.web import Refused, Routes
from tutelage.web.i18n import N_
from tutelage.web.pages import render, say, say_error, values_of

KEPT_STANDINGS = 64
# A flag is raised, never asked for.
KIND_NAMES = {
    "comparison": N_("comparison"), "ranking": N_("ranking"), "rating": N_("rating"), "thumbs": N_("thumbs"),
    "label": N_("label"), "spans": N_("marked passages"), "critique": N_("critique"), "edit": N_("edit"),
    "demonstration": N_("demonstration"), "instruction": N_("instruction and response")}


def add_routes(routes: Routes, project: Project) -> None:
    @routes.get("/campaigns", roles={"lead"})
    def all_campaigns(request: Request) -> Response:
        store: Store = request.app.state.store
        rows = [(campaign, store.progress.of_campaign(campaign.id)) for campaign in store.campaigns.all()]
        return render(request, "studio/campaigns.html.j2", rows=rows, kind_names=KIND_NAMES,
                      drawings=drawings_of(request.app, project).all())

    @routes.get("/campaigns/new", roles={"lead"})
    def form(request: Request) -> Response:
        return _form(request, project, new_campaign.Draft(), "")

    @routes.post("/campaigns/new", roles={"lead"})
    def create(request: Request) -> Response:
        draft, lead = new_campaign.Draft.of(request.state.form), request.state.visitor.person
        try:
            if draft.models:
                drawing = drawings_of(request.app, project).begin(draft, lead, time.time())
                return RedirectResponse(f"/drawings/{drawing.id}", status_code=303)
            campaign = new_campaign.create(request.app.state.store, project, draft, lead, time.time())
        except ValueError as error:                    # TutelageErrors of every room, each with its words
            return _form(request, project, draft, say_error(request, error), 422)
        return RedirectResponse(f"/campaigns/{campaign.id}", status_code=303)

    @routes.get("/campaigns/{campaign}", roles={"lead"})
    def page(request: Request, campaign: str) -> Response:
        return _campaign_page(request, find_campaign(request, campaign))

    @routes.get("/campaigns/{campaign}/progress", roles={"lead"})
    def progress(request: Request, campaign: str) -> Response:
        """The live part of the page, fetched again every few seconds."""
        return render(request, "studio/campaign_progress.html.j2", **_standing(request, find_campaign(request, campaign)))

    @routes.post("/campaigns/{campaign}/state", roles={"lead"})
    def set_state(request: Request, campaign: str) -> Response:
        wanted = values_of(request.state.form, "state")["state"]
        store: Store = request.app.state.store
        asked = find_campaign(request, campaign)
        if wanted not in ("open", "paused", "closed"):
            raise Refused(422, N_("A campaign is open, paused or closed."))
        store.campaigns.set_state(asked.id, wanted, request.state.visitor.person, time.time())  # type: ignore[arg-type]
        return RedirectResponse(f"/campaigns/{asked.id}", status_code=303)

    @routes.post("/campaigns/{campaign}/gold", roles={"lead"})
    def add_gold(request: Request, campaign: str) -> Response:
        return _add_gold(request, find_campaign(request, campaign))

    @routes.get("/campaigns/{campaign}/export", roles={"lead"})
    def export(request: Request, campaign: str) -> Response:
        from tutelage.studio.export import download

        return download(request.app.state.store, find_campaign(request, campaign))


def _form(request: Request, project: Project, draft: new_campaign.Draft, message: str, status: int = 200) -> Response:
    store: Store = request.app.state.store
    language = request.state.visitor.language
    asked = [(name, kinds.kind(name).QUESTION[language], kinds.kind(name).NUM_SAMPLES) for name in KIND_NAMES]
    found = sources(project)
    return render(request, "studio/new_campaign.html.j2", status, draft=draft, message=message, kinds=asked,
                  kind_names=KIND_NAMES, sources=found, models=models(project),
                  prompt_sets=[name for name, kind in found if kind != "samples"], aspects=agreement.aspect_words(language),
                  quizzes=store.campaigns.all())


def _standing(request: Request, campaign: Campaign) -> dict[str, Any]:
    """How the campaign stands. Counts are always fresh; what reads every judgment is as of the last change of the
    counts, or the minute: many leads may leave the page open."""
    store: Store = request.app.state.store
    language = request.state.visitor.language
    counts = store.progress.of_campaign(campaign.id)
    asked = (campaign.id, language, counts, int(time.time() // 60))
    if not hasattr(request.app.state, "standings"):
        request.app.state.standings = {}
    known: dict[tuple[Any, ...], dict[str, Any]] = request.app.state.standings
    if asked not in known:
        while len(known) >= KEPT_STANDINGS:
            known.pop(next(iter(known)), None)
        known[asked] = _measured(store, campaign, language)
    return {"campaign": campaign, "kind_names": KIND_NAMES, "progress": counts,
            "num_samples": kinds.kind(campaign.kind).NUM_SAMPLES[0], **known[asked]}


def _measured(store: Store, campaign: Campaign, language: str) -> dict[str, Any]:
    people = {account.person: account.name for account in store.accounts.all()}
    said = [judgment for _, judgments in store.review.item_judgments(campaign.id) for judgment in judgments]
    return {"people": [(people.get(each.person, each.person), each) for each in store.progress.of_people(campaign.id)],
            "agreement": agreement.measures(said, language), "biases": agreement.habits(said, language),
            "num_differing": len(store.review.disagreements(campaign.id, differs)),
            "num_flags": len(store.review.flags(campaign.id)), "num_contests": len(store.review.contests(campaign.id))}


def _campaign_page(request: Request, campaign: Campaign, message: str = "", status: int = 200) -> Response:
    store: Store = request.app.state.store
    language = request.state.visitor.language
    kind = kinds.kind(campaign.kind)
    guideline, guideline_name = guideline_of(store, campaign, language)
    whole = [(name, action.words[language]) for name, action in kind.ACTIONS.items() if action.answer is not None]
    return render(request, "studio/campaign.html.j2", status, message=message, question=kind.QUESTION[language],
                  guideline=guideline, guideline_name=guideline_name, known_answers=whole,
                  labels=campaign.terms.settings.get("labels", ()), **_standing(request, campaign))


def _add_gold(request: Request, campaign: Campaign) -> Response:
    """A question whose answer is known: written by the lead, asked like any other."""
    given = values_of(request.state.form, "prompt", "first", "second", "answer", "attention")
    store: Store = request.app.state.store
    kind, lead = kinds.kind(campaign.kind), request.state.visitor.person
    texts = [text for text in (given["first"], given["second"])[: kind.NUM_SAMPLES[0]]]
    answer = {"labels": [given["answer"]]} if campaign.kind == "label" else dict(
        getattr(kind.ACTIONS.get(given["answer"]), "answer", None) or {})
    if not given["prompt"].strip() or not all(text.strip() for text in texts) or not answer or len(set(texts)) < len(texts):
        wrong = say(request, "A known question needs a prompt, its different responses and the right answer.")
        return _campaign_page(request, campaign, wrong, 422)
    prompt = written_prompt(given["prompt"].strip())
    samples = [written_sample(prompt, text.strip(), "lead") for text in texts]
    store.add_samples(samples)
    store.campaigns.add_items(campaign.id, [NewItem(prompt=prompt, samples=tuple(sample.id for sample in samples), gold=answer,
                                                    is_attention=given["attention"] == "yes")])
    store.audit.add(time.time(), lead, "campaign.gold", [campaign.id])
    return RedirectResponse(f"/campaigns/{campaign.id}", status_code=303)
