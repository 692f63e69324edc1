"""A run goes on as it was begun, or is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from tutelage.errors import ResumeError
from tutelage.lineage import Manifest
from tutelage.project import Asked, Project
from tutelage.runs.directory import Run, begin, read_record, recorded


def test_asking_the_same_again_finds_the_run(begun: Callable[..., Run]) -> None:
    first = begun()
    first.metrics.write_text("kept")
    second = begun()
    assert second == first and second.metrics.read_text() == "kept"


def test_asking_something_else_is_another_run(begun: Callable[..., Run], project: Project, manifest: Manifest) -> None:
    other = begin(project, replace(manifest, seeds={"seed": 4}), {"precision": "fp32"})
    assert other.path != begun().path


def test_the_resolved_configuration_is_saved_with_the_run(begun: Callable[..., Run]) -> None:
    text = (begun().path / "config.toml").read_text(encoding="utf-8")
    assert "lr = 0.1" in text and "rank = 4" in text


def test_drift_is_refused_and_each_difference_named(begun: Callable[..., Run]) -> None:
    """D10: resume reads circumstances from the run and refuses by name where they cannot be met."""
    begun(torch="2.11")
    with pytest.raises(ResumeError, match=r"precision was 'fp32', is 'bf16'; torch was '2\.11', is '2\.12'"):
        begun(precision="bf16", torch="2.12")
    with pytest.raises(ResumeError, match="device was None, is 'cpu'"):
        begun(torch="2.11", device="cpu")


def test_allowed_drift_goes_on_as_begun_and_is_told_from_then_on(begun: Callable[..., Run]) -> None:
    begun()
    drifted = begun(allow_drift=True, threads=2)
    assert drifted.circumstances == {"precision": "fp32", "threads": 1, "drift": ["threads was 1, is 2"]}
    assert begun().circumstances["drift"] == ["threads was 1, is 2"]      # back on one thread, what was done stays done


def test_a_damaged_record_is_named(begun: Callable[..., Run], project: Project, manifest: Manifest) -> None:
    run = begun()
    (run.path / "run.json").write_text("{")
    with pytest.raises(ResumeError, match=r"run\.json is damaged"):
        recorded(project, manifest)


def test_a_run_killed_before_its_record_was_written_begins_anew(begun: Callable[..., Run], project: Project,
                                                                manifest: Manifest) -> None:
    run = begun()
    (run.path / "run.json").rename(run.path / ".run.json")
    assert recorded(project, manifest) is None
    assert begun(precision="bf16").circumstances["precision"] == "bf16"


def test_the_record_says_what_was_asked(begun: Callable[..., Run], manifest: Manifest) -> None:
    record = json.loads((begun().path / "run.json").read_text())
    assert (record["stage"], record["key"], record["seeds"]) == ("sft", manifest.key, {"seed": 3})


def test_drift_the_command_allowed_is_allowed(begun: Callable[..., Run], project: Project, manifest: Manifest) -> None:
    begun()
    lenient = replace(project, asked=Asked(allow_drift=True))
    assert begin(lenient, manifest, {"precision": "fp32", "threads": 2}).circumstances["drift"] == ["threads was 1, is 2"]


def test_what_was_asked_is_recorded_so_that_it_can_be_asked_again(project: Project, manifest: Manifest,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root.parent)
    asked = replace(project, asked=Asked(command="sft", settings={"data": "rows.jsonl"}))
    run = begin(asked, manifest, {"precision": "fp32"})
    assert read_record(run.path)["asked"] == {"command": "sft", "settings": {"data": "rows.jsonl"}, "directory": ".."}
    function = replace(project, asked=Asked(command="rl", settings={"reward": len}))
    assert read_record(begin(function, replace(manifest, name="n"), {}).path)["asked"] == {}


def test_a_run_that_is_being_worked_on_can_be_seen(begun: Callable[..., Run], project: Project) -> None:
    with project.lock():
        run = begun()
        assert project.at_work() == [run.path.name]
