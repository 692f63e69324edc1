"""The pages of runs: all of them, one, several over each other, and what their models answered; and the live stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response, StreamingResponse

from tutelage.project import Project
from tutelage.runs import comparison
from tutelage.runs.glance import glances
from tutelage.runs.listing import RunInfo, direction, run_named
from tutelage.studio.dashboard.curves import curves
from tutelage.studio.dashboard.feed import Feed
from tutelage.studio.dashboard.measures import measure, sections
from tutelage.studio.dashboard.pages import LEADS, render
from tutelage.studio.dashboard.samples import read_samples
from tutelage.studio.dashboard.watch import Event
from tutelage.web import Refused, Routes
from tutelage.web.i18n import N_
from tutelage.web.pages import say
from tutelage.web.visitors import find_visitor

MOST_TOGETHER = 6          # runs in one picture: as many as there are colours
STATES = {"finished": N_("finished"), "running": N_("running"), "interrupted": N_("interrupted"), "damaged": N_("damaged")}


def add_routes(routes: Routes, project: Project, feed: Feed) -> None:
    @routes.get("/runs", roles=LEADS)
    def all_runs(request: Request) -> Response:
        return render(request, "runs", runs=glances(project), states=STATES)

    @routes.get("/runs/table", roles=LEADS)
    def table(request: Request) -> Response:
        """The live part of the page, fetched again when something happened."""
        return render(request, "runs_table", runs=glances(project), states=STATES)

    @routes.get("/runs/compare", roles=LEADS)
    def compare(request: Request) -> Response:
        names = list(dict.fromkeys(request.query_params.getlist("run")))
        if not 2 <= len(names) <= MOST_TOGETHER:
            raise Refused(422, N_("Choose from 2 to %(most)s runs."), most=MOST_TOGETHER)
        return _page(request, project, [_run(project, name) for name in names])

    @routes.get("/runs/{run}", roles=LEADS)
    def page(request: Request, run: str) -> Response:
        return _page(request, project, [_run(project, run)])

    @routes.get("/runs/{run}/standing", roles=LEADS)
    def standing(request: Request, run: str) -> Response:
        """The live part of a run's page besides its curves."""
        found = _run(project, run)
        return render(request, "run_standing", run=found, states=STATES, **_told(request, found))

    @routes.get("/runs/{run}/samples", roles=LEADS)
    def samples(request: Request, run: str) -> Response:
        found = _run(project, run)
        return render(request, "samples", run=found, asked=read_samples(found.path))

    @routes.get("/api/runs/{run}/curves", roles=LEADS)
    def curves_of(request: Request, run: str) -> Response:
        return JSONResponse(curves(_run(project, run)))

    @routes.get("/api/events", roles=LEADS)
    async def events(request: Request) -> Response:
        return await _events(request, feed)


def _run(project: Project, name: str) -> RunInfo:
    found = run_named(project, name)
    if found is None:
        raise Refused(404, N_("There is no such run."))
    return found


def _page(request: Request, project: Project, runs: Sequence[RunInfo]) -> Response:
    names = [run.name for run in runs]
    found = dict.fromkeys(name for run in runs for line in (*run.metrics, *run.speed) for name in line if name != "step")
    charts = sections(found, names, lambda text: say(request, text))
    values: dict[str, Any] = {"runs": names, "sections": charts, "states": STATES}
    if len(runs) == 1:
        others = [run for run in glances(project) if run.name != names[0] and run.done and run.stage == runs[0].stage]
        return render(request, "run", run=runs[0], others=others[:50], has_samples=bool(read_samples(runs[0].path)),
                      **values, **_told(request, runs[0]))
    return render(request, "compare", infos=runs, differing=comparison.differing(runs),
                  rows=_rows(request, runs), **values)


def _told(request: Request, run: RunInfo) -> dict[str, Any]:
    """What a run's page says in words and numbers."""
    record = run.record
    rows = [(name, _title(request, name), say(request, measure(name).unit), _first(run, name), run.final(name),
             run.best(name) if direction(name) is not None else None) for name in comparison.common_metrics([run])]
    return {"summary": run.summary, "rows": rows, "settings": _flat(record.get("config", {})),
            "parents": [(role, str(parent).partition("#")[0]) for role, parent in record.get("parents", {}).items()],
            "main": (run.main.metric, run.final(run.main.metric), _title(request, run.main.metric))}


def _rows(request: Request, runs: Sequence[RunInfo]) -> list[tuple[str, str, list[float | None]]]:
    return [(f"{_title(request, name)}", say(request, measure(name).unit), [run.final(name) for run in runs])
            for name in comparison.common_metrics(runs)]


def _title(request: Request, name: str) -> str:
    """The metric in words, and its own name where the words alone would not tell it from others."""
    found = measure(name)
    return name if found.title == name else f"{say(request, found.title)} ({name})"


def _first(run: RunInfo, name: str) -> float | None:
    return next((line[name] for line in run.metrics if name in line), None)


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(prefix, "" if value is None else str(value))]
    return [each for name, inner in value.items() for each in _flat(inner, f"{prefix}.{name}" if prefix else name)]


async def _events(request: Request, feed: Feed) -> Response:
    """`of` names the runs to hear of ("all" for any), `after` the last event that a page saw before it was put aside."""
    of = [name for name in request.query_params.get("of", "").split(",") if name]
    if not of:
        raise Refused(422, N_("Say which runs to hear of."))
    if not feed.has_room:
        raise Refused(503, N_("Too many people are looking on. Wait %(wait)s seconds."), wait=30)

    def wants(event: Event) -> bool:
        return event.run in ("", *of) or of == ["all"]

    async def may_stay() -> bool:
        return (await run_in_threadpool(find_visitor, request)).may(LEADS)

    last = request.headers.get("last-event-id") or request.query_params.get("after", "")
    stream: AsyncIterator[str] = feed.listen(wants, last, may_stay)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})
