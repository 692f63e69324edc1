"""The first page: what there is to do for whoever came in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from tutelage.feedback import kinds
from tutelage.store import Store
from tutelage.store.progress import PersonProgress, Standing
from tutelage.store.questions import Campaign
from tutelage.web import SIGNED_IN, Routes, Visitor
from tutelage.web.pages import render


@dataclass(frozen=True, slots=True)
class Work:
    """A campaign as one annotator meets it."""

    campaign: Campaign
    question: str
    mine: PersonProgress
    standing: Standing

    @property
    def wanted(self) -> int:
        return self.mine.num_answered + self.mine.num_open + self.standing.num_left


def add_routes(routes: Routes) -> None:
    @routes.get("/", roles=SIGNED_IN)
    def home(request: Request) -> Response:
        visitor: Visitor = request.state.visitor
        if not visitor.may({"annotator"}):
            for role, path in (("lead", "/campaigns"), ("reviewer", "/review"), ("admin", "/people")):
                if visitor.may({role}):
                    return RedirectResponse(path, status_code=303)
        return render(request, "studio/home.html.j2", work=list(_work(request.app.state.store, visitor)))


def _work(store: Store, visitor: Visitor) -> Iterator[Work]:
    """Campaigns that are open to the visitor or that they have worked on, those with something left first."""
    found = []
    for campaign in store.campaigns.all():
        mine = store.progress.of_person(campaign.id, visitor.person)
        standing = store.progress.standing(campaign.id, visitor.person)
        if (campaign.state == "open" and standing.why not in ("expertise", "language")) or mine.num_answered:
            question = kinds.kind(campaign.kind).QUESTION[visitor.language]
            found.append(Work(campaign, question, mine, standing))
    yield from sorted(found, key=lambda each: (each.standing.why != "", each.campaign.name))
