"""The dashboard as a room of the shell."""

from __future__ import annotations

from pathlib import Path

from tutelage.project import Project
from tutelage.studio.dashboard import artifacts, runs
from tutelage.studio.dashboard.feed import Feed
from tutelage.studio.dashboard.pages import LEADS
from tutelage.studio.dashboard.watch import Watch
from tutelage.web import NavItem, Room, Routes
from tutelage.web.i18n import N_


def dashboard_room(project: Project) -> Room:
    """Runs, artifacts and reports of the project, for those who lead."""
    routes, feed = Routes(), Feed(Watch(project).look)
    runs.add_routes(routes, project, feed)
    artifacts.add_routes(routes, project)
    nav = (NavItem("/runs", N_("Runs"), LEADS), NavItem("/artifacts", N_("Artifacts"), LEADS))
    return Room(name="dashboard", routes=routes, folder=Path(__file__).parent, nav=nav, stopping=(feed.close,))
