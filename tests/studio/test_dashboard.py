"""The dashboard over HTTP: what it shows, that it shows it safely, and that no address leads out of the project."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from dashboard_work import HOSTILE, draw_samples, furnish, log, make, rl_line, run
from fastapi import FastAPI
from web_browser import Browser

from tutelage.project import Artifact, Project
from tutelage.studio.dashboard.curves import MOST_POINTS
from tutelage.studio.dashboard.lineage import MOST_NODES, Edge, Family, family, layout
from tutelage.studio.dashboard.measures import SECTIONS, measure, sections
from tutelage.studio.dashboard.samples import MOST_SHOWN, read_samples
from tutelage.web.middleware import POLICY, SANDBOX

Make = Callable[..., Browser]


@pytest.fixture
def kept(project: Project) -> dict[str, Artifact]:
    return furnish(project)


def charts_of(page: str) -> list[dict[str, Any]]:
    return [json.loads(unescape(each)) for each in re.findall(r'data-chart="([^"]*)"', page)]


def test_runs_are_listed_with_how_they_stand(browser: Make, project: Project) -> None:
    path = run(project)
    with project.lock():
        project.working_on(path.name)
        page = browser("lead").get("/runs").text
        assert "running" in page and "3 of 10" in page and path.name in page and "model/sft@1" in page
    table = browser("lead", language="zh-CN").get("/runs/table").text
    assert "已中断" in table and "<html" not in table
    assert "回答的得分" in table and "objective/score" not in table, "a metric goes by its title"
    (path / "run.json").write_text("{")
    assert "damaged" in browser("lead").get("/runs/table").text


def test_a_run_has_its_curves_in_sections_with_units_on_both_axes(browser: Make, project: Project) -> None:
    path = run(project)
    page = browser("lead").get(f"/runs/{path.name}").text
    charts = charts_of(page)
    assert all(chart["unit"] and chart["x"] for chart in charts)
    by_title = {chart["title"]: chart for chart in charts}
    assert by_title["KL to the reference, a response"]["unit"] == "nats"
    parts = by_title["Parts of the reward"]["lines"]
    assert [line["label"] for line in parts] == ["helpful", "polite"]
    assert {line["name"] for line in by_title["Ratio of new to old probability"]["lines"]} == {"train/ratio", "train/ratio_p99"}
    frontier = by_title["Reward against KL, a point a step"]
    assert (frontier["x"], frontier["unit"], frontier["lines"][0]["over"]) == ("nats", "reward units", "objective/kl")
    assert "some/new_thing" in by_title, "what nobody has named is shown by its own name"
    drawn = {line["name"] for chart in charts for line in chart["lines"]}
    assert drawn == set(rl_line(0)) - {"step"}


def test_runs_lie_over_each_other_a_line_a_run(browser: Make, project: Project) -> None:
    first, second = run(project, "one", seed=1), run(project, "two", steps=5, seed=2)
    page = browser("lead").get(f"/runs/compare?run={first.name}&run={second.name}").text
    for chart in charts_of(page):
        assert [line["run"] for line in chart["lines"]] == [0, 1] and len({line["name"] for line in chart["lines"]}) == 1
    assert "Settings that differ" in page and "<code>seed</code>" in page
    for query in ("", f"run={first.name}", f"run={first.name}&run={first.name}", "&".join(f"run=r{n}" for n in range(7))):
        assert browser("lead").get(f"/runs/compare?{query}").status_code == 422
    assert browser("lead").get(f"/runs/compare?run={first.name}&run=none").status_code == 404


def test_curves_are_thinned_and_keep_their_spikes(browser: Make, project: Project) -> None:
    path = run(project, steps=0)
    lines = [{**rl_line(step), "loss": 1000.0 if step == 4321 else 1.0} for step in range(6000)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    told = browser("lead").get(f"/api/runs/{path.name}/curves").json()
    assert told["done"] == 6000
    for x, y in (*told["curves"].values(), told["frontier"]):
        assert len(x) == len(y) <= MOST_POINTS
    x, y = told["curves"]["loss"]
    assert x == sorted(x) and x[y.index(1000.0)] == 4322      # steps are counted from 1 on the page
    kl, score = told["frontier"]
    assert all(abs(b - a / 5) < 1e-12 for a, b in zip(kl, score, strict=True))


@pytest.mark.parametrize("name", ["nothing", "%2e%2e", "..%2fartifacts", "%2fetc", "%2e", "rl-%00", "*", "%3f"])
def test_no_address_leads_out_of_the_runs(browser: Make, project: Project, name: str) -> None:
    run(project)
    (project.root / "run.json").write_text((next(project.runs.glob("*/run.json"))).read_text())
    lead = browser("lead")
    for path in (f"/runs/{name}", f"/runs/{name}/standing", f"/runs/{name}/samples", f"/api/runs/{name}/curves"):
        assert lead.get(path).status_code == 404, path


def test_samples_go_by_prompt_and_step_and_nothing_in_them_is_markup(browser: Make, project: Project) -> None:
    path = run(project)
    for step in (1, 5, 3, 5):                       # after a resume a step comes again
        draw_samples(path, step, "Hello?", f"春天 {HOSTILE}")
    with open(path / "samples.jsonl", "ab") as file:
        file.write(b'[1]\n{"step": "x"}\n{"step": 9, "pro')
    assert [[drawn.step for drawn in asked.drawn] for asked in read_samples(path)] == [[1, 3, 5], [1, 3, 5]]
    page = browser("lead").get(f"/runs/{path.name}/samples").text
    assert "<script>alert" not in page and "<img" not in page.split("<main", 1)[1] and "&lt;script&gt;" in page
    assert page.index("Step 3") < page.index("Step 5") and "score 0.300" in page and "an empty response" not in page
    with open(path / "samples.jsonl", "a") as file:
        file.write('\n{"step": 7, "prompt": "Hello?", "response": "\\n \\n"}\n')
    assert "an empty response" in browser("lead").get(f"/runs/{path.name}/samples").text


def test_of_many_samples_the_first_and_the_latest_are_shown(project: Project) -> None:
    path = run(project)
    for step in range(MOST_SHOWN + 10):
        draw_samples(path, step, "Hello?")
    (asked,) = read_samples(path)
    assert len(asked.drawn) == MOST_SHOWN and asked.left_out == 10
    assert [drawn.step for drawn in asked.drawn][:2] == [0, 11] and asked.drawn[-1].step == MOST_SHOWN + 9


def test_artifacts_are_listed_by_kind_and_told_in_full(browser: Make, kept: dict[str, Artifact]) -> None:
    lead = browser("lead")
    listed = lead.get("/artifacts").text
    assert listed.index("Reports") < listed.index("Models") < listed.index("Data sets")
    page = lead.get("/artifacts/reward/reward/1").text
    assert "people" in page and "7 judgments" in page and "9 judgments" in page and ">ann<" not in page
    assert "Apache-2.0" in page and "CC-BY-4.0" in page, "licences of what it came from"
    assert kept["judge"].manifest.files["data.txt"] in page and kept["judge"].manifest.content_id in page
    facts = lead.get("/artifacts/dataset/instructions/1").text
    assert "<script>alert" not in facts and "&lt;script&gt;alert" in facts
    assert "not stated" in lead.get(_address(make_alone(kept))).text


def make_alone(kept: dict[str, Artifact]) -> Artifact:
    return make(Project(kept["sft"].path.parents[3]), "model", "alone", "pretrain")


def _address(artifact: Artifact) -> str:
    return f"/artifacts/{artifact.kind}/{artifact.name}/{artifact.version}"


def test_the_lineage_is_a_picture_with_links_and_the_same_in_words(browser: Make, project: Project,
                                                                   kept: dict[str, Artifact]) -> None:
    page = browser("lead").get("/artifacts/model/sft/1").text
    picture = page[page.index("<svg class=\"lineage\""):page.index("</svg>")]
    links = re.findall(r'<a class="node (\w+)" href="([^"]+)"', picture)
    assert ("dataset", "/artifacts/dataset/instructions/1") in links and ("report", "/artifacts/report/first/1") in links
    assert len(links) == 5 and 'class="node root"' in picture and "style=" not in picture
    words = page[page.index('<ul class="relations">'):]
    assert "reward/reward@1" in words and "model/sft@1 (policy)" in words
    for _, link in links:
        assert browser("lead").get(link).status_code == 200
    project.remove(kept["instructions"])
    page = browser("lead").get("/artifacts/model/sft/1").text
    assert 'class="node gone"' in page and "dataset/instructions@1, gone" in page


@pytest.mark.parametrize("path", [
    "/artifacts/model/none/1", "/artifacts/model/sft/2", "/artifacts/model/sft/01", "/artifacts/model/sft/v1",
    "/artifacts/model/../1", "/artifacts/model/%2e%2e/1", "/artifacts/..%2f..%2fruns/sft/1", "/artifacts/%2e/sft/1",
    "/artifacts/robot/sft/1", "/artifacts/report/first/1/data.txt", "/artifacts/report/first/1/manifest.json",
    "/artifacts/report/first/1/..%2fmanifest.json", "/artifacts/report/first/1/%2fetc%2fpasswd",
    "/artifacts/model/sft/1/report.html", "/artifacts/report/first/1/nothing.html"])
def test_no_address_leads_to_anything_but_artifacts_and_reports(browser: Make, kept: dict[str, Artifact], path: str) -> None:
    assert browser("lead").get(path).status_code == 404


def test_a_report_is_nobodys_page(browser: Make, kept: dict[str, Artifact]) -> None:
    answer = browser("lead").get("/artifacts/report/first/1/report.html")
    assert answer.status_code == 200 and "The verdict" in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy == SANDBOX and policy.startswith("sandbox;") and "script-src" not in policy and "allow-" not in policy
    assert "default-src 'none'" in policy and answer.headers["x-content-type-options"] == "nosniff"
    assert browser("lead").get("/artifacts/report/first/1").headers["content-security-policy"] == POLICY
    place = kept["first"].path / "report.zh.html"
    os.unlink(place)
    place.symlink_to("/etc/hostname")
    assert browser("lead").get("/artifacts/report/first/1/report.zh.html").status_code == 404


def test_the_stream_wants_to_know_of_which_runs_and_has_an_end_to_its_room(app: FastAPI, browser: Make) -> None:
    assert browser("lead").get("/api/events").status_code == 422
    for stop in app.state.stopping:
        stop()
    refused = browser("lead").get("/api/events?of=all")
    assert refused.status_code == 503 and refused.headers["retry-after"] == "30"


def kin(*edges: tuple[str, str]) -> Family:
    refs = list(dict.fromkeys(ref for edge in edges for ref in edge))
    return Family(root=refs[0], refs=refs, edges=[Edge(a, b, "x") for a, b in edges], known={})


def test_parents_stand_left_of_children_and_long_ways_go_between_the_boxes() -> None:
    laid = layout(kin(("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")))
    layer = {member: at for at, members in enumerate(laid.layers) for member in members}
    for edge, way in laid.routes.items():
        assert layer[edge.parent] < layer[edge.child]
        assert [layer[each] for each in way] == list(range(layer[edge.parent], layer[edge.child] + 1))
    assert len(laid.routes[Edge("a", "d", "x")]) == 4


def test_lines_that_need_not_cross_do_not() -> None:
    parents, children = [f"p{n}" for n in range(5)], [f"c{n}" for n in range(5)]
    edges = [Edge(parent, child, "x") for parent, child in zip(parents, reversed(children), strict=True)]
    left, right = layout(Family(root="p0", refs=[*parents, *children], edges=edges, known={})).layers
    assert [{edge.parent: edge.child for edge in edges}[str(each)] for each in left] == right


def test_a_circle_that_somebody_forged_ends() -> None:
    assert layout(kin(("a", "b"), ("b", "c"), ("c", "a"), ("d", "d"))).layers


def test_of_a_large_family_the_nearest_are_drawn(project: Project) -> None:
    first = last = make(project, "model", "m", "sft")
    for _ in range(MOST_NODES + 4):
        last = make(project, "model", "m", "sft", {"model": last})
    found = family(project, first)
    assert len(found.refs) == MOST_NODES and found.left_out == 5 and found.refs[1] == "model/m@2"
    assert all({edge.parent, edge.child} <= set(found.refs) for edge in found.edges)


def test_every_measure_has_a_section_and_a_unit() -> None:
    for name in (*rl_line(0), "loss", "nll", "pairs", "accuracy", "eval/loss", "speed/tokens_per_s", "time/forward_s"):
        assert measure(name).section in SECTIONS and measure(name).unit, name
    titles = [title for title, _ in sections(["time/step_s", "loss", "objective/score", "work/tokens"], ["r"], str)]
    assert titles == ["Reward", "Learning", "Speed and memory"], "in the order of the page, without what is not drawn"


def test_a_run_of_long_ago_is_read_to_its_last_line_only(browser: Make, project: Project) -> None:
    path: Path = run(project, steps=0)
    log(path, 0, 9)
    with open(path / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 9, "objective/sc')              # being written
    assert "9 of 10" in browser("lead").get("/runs/table").text
