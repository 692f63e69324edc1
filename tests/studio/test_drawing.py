"""Campaigns that begin with a model: the stage draws in a process of its own, and whatever ends it is told."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tutelage.lineage import Manifest
from tutelage.project import Project
from tutelage.store import Store
from tutelage.studio.drawing import Drawing, Drawings, _why, progress
from tutelage.studio.new_campaign import Draft

Visit = Callable[..., Any]
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tiny_directory: Path, tmp_path: Path) -> None:
    """Where the processes that the studio starts find the package and the tiny model."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TUTELAGE_CACHE", str(tmp_path / "cache"))
    shutil.copytree(tiny_directory, tmp_path / "cache/models/tiny")


def draft(**changed: Any) -> Draft:
    return Draft(**{"name": "drawn", "kind": "comparison", "models": ("tiny",), "typed": "One?\nTwo?", "draws": "3",
                    "tokens": "4", "overlap": "1", **changed})


def fields(**changed: Any) -> dict[str, Any]:
    return {"name": "drawn", "kind": "comparison", "models": ["tiny"], "typed": "One?\nTwo?", "draws": "3", "tokens": "4",
            "temperature": "1", "per_prompt": "1", "overlap": "1", "lease_min": "15", "seed": "0", "max_samples": "3",
            "aspects": ["helpful"], **changed}


def ended(drawings: Drawings, id: str) -> Drawing:
    drawings.wait(id)
    return drawings.get(id)


def test_samples_are_drawn_and_the_campaign_holds_them(store: Store, project: Project) -> None:
    drawings = Drawings(project, store)
    begun = drawings.begin(draft(), "lead", time.time())
    done = ended(drawings, begun.id)
    assert (done.state, done.message, len(done.samples)) == ("done", "", 1) and drawings.all() == []
    campaign = store.campaigns.get(done.campaign)
    items = list(store.campaigns.items(campaign.id))
    assert (campaign.name, campaign.state, campaign.created_by) == ("drawn", "open", "lead")
    assert sorted(item.prompt.messages[0].text for item in items) == ["One?", "Two?"]
    artifact = project.artifact(done.samples[0])
    assert (artifact.manifest.stage, artifact.manifest.config["per_prompt"]) == ("sample", 3)
    assert artifact.manifest.facts["samples"] == 6
    shown = {sample.id: sample for item in items for sample in store.samples(item.samples)}
    assert {sample.policy for sample in shown.values()} == {"tiny"} and len(shown) == 4


def test_a_model_that_cannot_be_loaded_is_told_and_tried_again(browser: Visit, store: Store, project: Project,
                                                               app: Any) -> None:
    directory = project.root / "artifacts/model/broken/v1"
    with project.writing(Manifest(kind="model", name="broken", stage="sft")) as made:
        (made / "config.json").write_text('{"model_type": "nothing"}', encoding="utf-8")
    lead = browser("lead")
    answer = lead.post("/campaigns/new", fields(models=["model/broken@1"]))
    assert answer.status_code == 303, answer.text
    path = answer.headers["location"]
    app.state.drawings.wait(path.rsplit("/", 1)[1])
    page = lead.get(path).text
    why = re.search(r'data-at="why">([^<]+)<', page)[1]  # type: ignore[index]
    assert "failed" in page and "Try again" in page and "broken" in why and "Traceback" not in page
    assert lead.get(f"{path}/progress").headers["hx-redirect"] == path
    assert "could not be drawn" in lead.get("/campaigns").text and store.campaigns.all() == [] and directory.is_dir()
    assert "失败" in browser("lead", language="zh-CN").get(path).text
    assert browser("annotator").get(path).status_code == 403 and lead.get("/drawings/none").status_code == 404
    assert browser("annotator").post(f"{path}/again").status_code == 403


@pytest.mark.parametrize(("changed", "words"), [
    ({"name": ""}, "needs a name"), ({"typed": ""}, "choose the prompts"), ({"draws": "0"}, "responses a prompt"),
    ({"draws": "1"}, "2 different responses; 1"), ({"temperature": "0"}, "2 different responses; 1"),
    ({"temperature": "hot"}, "temperature"), ({"tokens": "x"}, "tokens"), ({"kind": "demonstration"}, "shows no responses"),
    ({"overlap": "0"}, "people an item"), ({"models": ["hf:org/name"]}, "is no model of this project"),
    ({"prompts": "/etc/hostname"}, "is no data set of this project")])
def test_what_cannot_become_a_campaign_is_not_drawn_for(browser: Visit, project: Project, changed: dict[str, Any],
                                                        words: str) -> None:
    answer = browser("lead").post("/campaigns/new", fields(**changed))
    assert answer.status_code == 422 and words in answer.text and 'value="tiny"' not in answer.text.partition("selected")[0]
    assert not (project.root / "drawings").exists()


def test_a_name_that_is_taken_is_refused_before_anything_is_drawn(store: Store, project: Project) -> None:
    from tutelage.errors import DataError
    from tutelage.store.questions import Terms

    store.campaigns.create("drawn", "comparison", Terms(), None, 0.0)
    with pytest.raises(DataError, match="already"):
        Drawings(project, store).begin(draft(), "lead", time.time())


def until(what: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + 300
    while not (found := what()):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return found


def test_a_process_that_is_killed_is_told_and_the_next_try_goes_through(store: Store, project: Project) -> None:
    drawings = Drawings(project, store)
    begun = drawings.begin(draft(), "lead", time.time())
    process = until(lambda: drawings.get(begun.id).process)
    os.kill(process[0], signal.SIGKILL)
    failed = ended(drawings, begun.id)
    assert failed.state == "failed" and "signal 9" in failed.message and "memory" in failed.message
    assert store.campaigns.all() == [] and [each.id for each in drawings.all()] == [begun.id]
    drawings.again(begun.id)
    assert ended(drawings, begun.id).state == "done" and len(store.campaigns.all()) == 1


def test_another_server_goes_on_where_the_one_before_ended(store: Store, project: Project) -> None:
    """The process at work is waited for; nothing is drawn twice, and the campaign opens."""
    with project.lock():                       # another command is at work: the drawing waits
        first = Drawings(project, store)
        begun = first.begin(draft(), "lead", time.time())
        time.sleep(0.2)
        assert first.get(begun.id).state == "waiting" and progress(project, begun).total is None
        first.stop(begun.id)
        assert ended(first, begun.id).state == "stopped"
    kept = json.loads((first.folder / begun.id / "drawing.json").read_text(encoding="utf-8"))
    kept.update(state="drawing", process=[os.getpid(), psutil.Process().create_time() - 100])      # an id that was used again
    (first.folder / begun.id / "drawing.json").write_text(json.dumps(kept), encoding="utf-8")
    second = Drawings(project, store)
    second.go_on()
    assert ended(second, begun.id).state == "done" and len(project.artifacts("samples")) == 1


def test_how_it_ended_is_put_into_words(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    for said, code, words in (("a\nerror: no model 'x'.\n", 1, "no model 'x'."), ("loading\n", -9, "signal 9"),
                              ("", 3, "code 3. It said last: nothing"), ("half a line", 3, "said last: half a line")):
        log.write_text(said, encoding="utf-8")
        assert words in str(_why(log, code))
