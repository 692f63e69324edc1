"""The studio as a room of the shell."""

from __future__ import annotations

from pathlib import Path

from tutelage.project import Project
from tutelage.studio import annotate, campaigns, drawing_pages, home, me, people, review
from tutelage.studio.config import Studio
from tutelage.web import NavItem, Room, Routes
from tutelage.web.i18n import N_


def studio_room(project: Project, config: Studio) -> Room:
    """Every page of the studio over the project's artifacts."""
    routes = Routes()
    home.add_routes(routes)
    annotate.add_routes(routes, config)
    campaigns.add_routes(routes, project)
    drawing_pages.add_routes(routes, project)
    review.add_routes(routes)
    me.add_routes(routes)
    people.add_routes(routes)
    nav = (NavItem("/", N_("Work"), {"annotator"}), NavItem("/review", N_("Review"), {"reviewer"}),
           NavItem("/campaigns", N_("Campaigns"), {"lead"}), NavItem("/people", N_("People"), {"lead", "admin"}),
           NavItem("/audit", N_("Audit"), {"admin"}))
    return Room(name="studio", routes=routes, folder=Path(__file__).parent, nav=nav)
