"""The page of samples that are being drawn for a campaign: how far it is, what went wrong, stop and try again."""

from __future__ import annotations

import threading

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from tutelage.errors import DataError
from tutelage.project import Project
from tutelage.studio.drawing import Drawing, Drawings, progress
from tutelage.web import Refused, Routes
from tutelage.web.i18n import N_
from tutelage.web.pages import render, say_error

_MAKING = threading.Lock()


def drawings_of(app: FastAPI, project: Project) -> Drawings:
    """The drawings of the app's project; there is one object an app, so that one process draws at a time."""
    with _MAKING:
        if not hasattr(app.state, "drawings"):
            app.state.drawings = Drawings(project, app.state.store)
    drawings: Drawings = app.state.drawings
    return drawings


def add_routes(routes: Routes, project: Project) -> None:
    def find(request: Request, id: str) -> Drawing:
        try:
            return drawings_of(request.app, project).get(id)
        except DataError:
            raise Refused(404, N_("There is no such drawing.")) from None

    @routes.get("/drawings/{drawing}", roles={"lead"})
    def page(request: Request, drawing: str) -> Response:
        found = find(request, drawing)
        if found.state == "done":
            return RedirectResponse(f"/campaigns/{found.campaign}", status_code=303)
        return render(request, "studio/drawing.html.j2", drawing=found, progress=progress(project, found),
                      why=say_error(request, found.message))

    @routes.get("/drawings/{drawing}/progress", roles={"lead"})
    def live(request: Request, drawing: str) -> Response:
        """The live part of the page, fetched again every second; it leads on to the campaign, or to what went wrong."""
        found = find(request, drawing)
        answer = render(request, "studio/drawing_progress.html.j2", drawing=found, progress=progress(project, found))
        if found.is_over:
            answer.headers["HX-Redirect"] = f"/drawings/{found.id}"
        return answer

    @routes.post("/drawings/{drawing}/stop", roles={"lead"})
    def stop(request: Request, drawing: str) -> Response:
        drawings_of(request.app, project).stop(find(request, drawing).id)
        return RedirectResponse(f"/drawings/{drawing}", status_code=303)

    @routes.post("/drawings/{drawing}/again", roles={"lead"})
    def again(request: Request, drawing: str) -> Response:
        drawings_of(request.app, project).again(find(request, drawing).id)
        return RedirectResponse(f"/drawings/{drawing}", status_code=303)
