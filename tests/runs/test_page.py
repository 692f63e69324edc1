"""One run as a page: its plots with their units, the frontier, and the samples it kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tutelage.lineage import Manifest
from tutelage.options import Options
from tutelage.project import Project
from tutelage.runs.commands import runs
from tutelage.runs.directory import SAMPLES, begin
from tutelage.runs.metrics import JsonLines
from tutelage.runs.page import curves, frontier


def an_rl_run(project: Project) -> Path:
    run = begin(project, Manifest(kind="model", name="p", stage="rl", config={"optimizer": {"lr": 0.5}}), {"precision": "fp32"})
    lines = JsonLines(run.metrics, 0)
    for step, (score, kl) in enumerate(((0.1, 0.0), (0.4, 2.0), (0.3, 1.0))):
        lines.log(step, {"reward/total": score, "reward/polite": 2 * score, "objective/score": score, "objective/kl": kl,
                         "train/ratio": 1.0, "train/ratio_p01": 0.9, "train/ratio_p99": 1.1, "train/lr": 1e-3})
    lines.close()
    return run.path


def figures(page: str) -> dict[str, Any]:
    return {each["name"]: each for each in json.loads(page.split('id="curve-data">')[1].split("</script>")[0])}


def test_the_page_shows_every_metric_once_with_its_unit(project: Project) -> None:
    an_rl_run(project)
    told = runs(["show", "rl-p", "--html"], Options(project=project.root))
    english, chinese = (Path(path).read_text(encoding="utf-8") for path in told["pages"])
    found = figures(english)
    assert [line["name"] for line in found["reward and its parts"]["lines"]] == [
        "reward/total", "reward/polite", "objective/score"]
    assert [line["name"] for line in found["ratio to the sampling policy"]["lines"]] == [
        "train/ratio", "train/ratio_p01", "train/ratio_p99"]
    assert found["KL from the reference"]["unit"] == "nats a response" and found["KL from the reference"]["x"] == [1, 2, 3]
    assert found["train/lr"]["lines"][0]["y"] == [1e-3] * 3
    assert len(found) == 5 and "optimizer.lr" in english
    assert set(figures(chinese)) >= {"奖励及其组成", "与参考模型的 KL", "奖励与 KL"} and "奈特/回复" in chinese


def test_the_frontier_is_the_score_by_the_distance_it_took(project: Project) -> None:
    metrics = [{"objective/kl": 2.0, "objective/score": 0.4}, {"objective/kl": 1.0, "objective/score": 0.3}, {"lr": 0.0}]
    assert frontier(metrics) == ([1.0, 2.0], [0.3, 0.4])
    assert frontier(metrics[1:]) is None
    plot = next(curve for curve in curves([{"step": i, **line} for i, line in enumerate(metrics)], "en")
                if curve.name == "reward against KL")
    assert plot.x_unit == "KL, nats a response" and plot.lines[0].y == [0.3, 0.4]


def test_samples_stand_by_prompt_and_are_never_code(project: Project) -> None:
    path = an_rl_run(project)
    said = [{"step": step, "prompt": "<b>q</b>", "response": f"<script>{step}</script>", "score": score}
            for step, score in ((0, 0.25), (10, None))]
    (path / SAMPLES).write_text("".join(json.dumps(line) + "\n" for line in said) + '{"step": 20, "pro', encoding="utf-8")
    page = Path(runs(["show", "rl-p", "--html"], Options(project=project.root))["pages"][0]).read_text(encoding="utf-8")
    assert "&lt;script&gt;0&lt;/script&gt;" in page and "<script>0" not in page and "&lt;b&gt;q&lt;/b&gt;" in page
    assert "step 0" in page and "step 10" in page and "reward 0.25" in page
    assert page.count("&lt;b&gt;q") == page.count("&lt;/b&gt;") == 1
