"""The dashboard in a real browser: live, in both languages, light and dark, on a phone; nothing hostile runs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from desk import too_wide
from studio_process import StudioProcess

sys.path.insert(0, str(Path(__file__).parents[1] / "studio"))      # where the tests find dashboard_work

from dashboard_work import draw_samples, furnish, run
from dashboard_work import log as write_lines

from tutelage.store import Store

KEEP_PLOTS = """window.plots = []; let real; Object.defineProperty(window, "uPlot", { get: () => real, set(made) {
    real = new Proxy(made, { construct(target, given) {
        const plot = new target(...given); window.plots.push(plot); return plot; } }); } });"""
CATCH = "window.caught = []; window.alert = (what) => { window.caught.push(what); };"
PATHS = ("/runs", "/runs/{run}", "/runs/compare?run={run}&run={other}", "/runs/{run}/samples", "/artifacts",
         "/artifacts/model/sft/1", "/artifacts/dataset/instructions/1", "/artifacts/report/first/1")


class Board:
    """A studio over a project with runs and artifacts, and the page of somebody who leads."""

    def __init__(self, studio: StudioProcess, person: Callable[..., Any]) -> None:
        self.studio, self.person = studio, person
        furnish(studio.project)
        self.run, self.other = run(studio.project, steps=4, seed=1), run(studio.project, "other", steps=6, seed=2)
        draw_samples(self.run, 2, "Hello?", "春天")
        with Store.open(studio.project.store_path) as store:
            store.add_person("lea", "human", "Lea")
            store.accounts.set_roles("lea", ["lead"], None, time.time())
            self.session = store.access.begin_session("lea", time.time(), 3600)
        studio.start()

    def page(self, path: str = "/runs/{run}", init: str = "", **options: Any) -> Any:
        page = self.person(**options)
        page.add_init_script(CATCH + init)
        page.context.add_cookies([{"name": "tutelage-session", "value": self.session, "url": self.studio.url}])
        self.go(page, path)
        return page

    def go(self, page: Any, path: str) -> None:
        page.goto(self.studio.url + path.format(run=self.run.name, other=self.other.name))
        if page.locator("[data-stream]").count():
            page.wait_for_selector('[data-stream][data-state="live"]')


@pytest.fixture
def board(studio: StudioProcess, person: Callable[..., Any]) -> Iterator[Board]:
    yield Board(studio, person)


def said(page: Any, title: str, words: str) -> None:
    """Wait until the plot of that title says so of itself."""
    page.wait_for_selector(f'.canvas[aria-label^="{title}"][aria-label*="{words}"]')


def test_a_run_is_followed_live_through_a_restart_of_the_server(board: Board, log: Any) -> None:  # type: ignore[no-untyped-def]
    page, listing = board.page(), board.page("/runs")
    title = "Length of the responses"
    said(page, title, "20 → 23")
    grow(board, 4, 7)
    said(page, title, "20 → 26")
    page.wait_for_selector(".facts >> text=7")
    listing.wait_for_selector(f'tr[data-key="{board.run.name}"] >> text=7 of 10')
    board.studio.kill()
    page.wait_for_selector('[data-stream][data-state="lost"]')
    grow(board, 7, 9)                               # while nobody serves
    board.studio.start()
    said(page, title, "20 → 28")
    grow(board, 9, 10)
    said(page, title, "20 → 29")
    assert [error for error in log.errors if "ERR_" not in error] == [] and log.elsewhere(board.studio.url) == []


def grow(board: Board, first: int, end: int) -> None:
    write_lines(board.run, first, end)


def test_plots_answer_to_pointer_keyboard_smoothing_and_scale(board: Board) -> None:
    page = board.page()
    said(page, "Length of the responses", "20 → 23")
    figure = page.locator(".plot", has_text="Length of the responses")
    figure.locator(".canvas").focus()
    page.keyboard.press("End")
    assert figure.locator(".readout").inner_text() == "step 4: 23"
    page.keyboard.press("ArrowLeft")
    assert figure.locator(".readout").inner_text() == "step 3: 22"
    page.locator("[name=smoothing]").fill("0.5")
    page.wait_for_timeout(100)
    figure.locator(".canvas").focus()
    page.keyboard.press("End")                      # weights 1, 2, 4, 8 of 15 on 20, 21, 22, 23
    assert figure.locator(".readout").inner_text() == "step 4: 22.27"
    page.locator("[name=log]").check()
    page.wait_for_timeout(100)
    assert figure.locator("canvas").count() == 1
    figure.scroll_into_view_if_needed()
    box = figure.locator(".u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 20)
    assert figure.locator(".readout").inner_text() == "step 4: 22.27"


def test_close_values_are_told_apart_at_the_axis_and_no_point_lies_on_the_edge(board: Board) -> None:
    new = run(board.studio.project, "close", steps=0, seed=3)
    with open(new / "metrics.jsonl", "w", encoding="utf-8") as file:
        for step in range(6):
            line = {"step": step, "objective/entropy": 5.535 + step / 1e4, "objective/score": -step / 10,
                    "objective/kl": -step / 1e3}
            file.write(json.dumps(line) + "\n")
    page = board.page(f"/runs/{new.name}", init=KEEP_PLOTS)
    said(page, "Entropy of the policy", "5.535")
    [axis] = page.evaluate("""window.plots.filter((plot) => plot.axes[1].label === 'nats a token')
        .map((plot) => plot.axes[1]._values)""")
    assert len(set(axis)) == len(axis) > 2
    [ends] = page.evaluate("""window.plots.filter((plot) => plot.axes[0].label === 'nats').map((plot) => [
        plot.valToPos(plot.data[0].at(0), 'x'), plot.bbox.width / devicePixelRatio - plot.valToPos(plot.data[0].at(-1), 'x')])""")
    assert min(ends) > 5, "the largest point is 5 wide"


def test_a_run_that_begins_to_measure_gets_its_plots(board: Board) -> None:
    new = run(board.studio.project, "fresh", steps=0, seed=3)
    page = board.page(f"/runs/{new.name}")
    assert page.locator(".plot").count() == 0
    write_lines(new, 0, 3)
    said(page, "Length of the responses", "20 → 22")
    draw_samples(new, 1, "Hello?")
    page.wait_for_selector("#samples-link:not([hidden])")


def test_no_text_of_a_model_or_a_manifest_or_a_report_runs(board: Board, log: Any) -> None:  # type: ignore[no-untyped-def]
    page = board.page("/runs/{run}/samples")
    page.wait_for_selector(".drawn strong >> text=bold")
    assert page.locator(".drawn").locator("img, script, iframe").count() == 0
    for path in (*PATHS, "/artifacts/report/first/1/report.html"):
        board.go(page, path)
        assert page.evaluate("window.caught ?? []") == [], path
    assert page.evaluate("window.origin") == "null" and page.locator("h1").inner_text() == "The verdict"
    assert log.elsewhere(board.studio.url) == []


def test_the_lineage_is_walked_by_keyboard(board: Board) -> None:
    page = board.page("/artifacts/model/rlhf/1")
    page.locator("a.node.report").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/artifacts/report/first/1")


LOOKS: dict[str, dict[str, Any]] = {
    "desktop": {}, "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "locale": "zh-CN"}}


def test_axe_finds_nothing_serious_and_no_page_is_wider_than_its_window(board: Board) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    wrong = []
    for look, options in LOOKS.items():
        page = board.page(**options)
        assert page.locator("html").get_attribute("lang") == ("zh-CN" if look == "phone" else "en")
        for path in PATHS:
            board.go(page, path)
            page.wait_for_timeout(300)
            found = axe.Axe().run(page)
            wrong += [(look, path, each["id"], each["nodes"][0]["html"][:120]) for each in found.response["violations"]
                      if each["impact"] in ("serious", "critical")]
            if too_wide(page):
                wrong.append((look, path, "too wide", ""))
    assert wrong == []
