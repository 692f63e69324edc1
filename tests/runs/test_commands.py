"""`tutelage runs`: what there is, side by side, and what can go; and an interrupted run goes on when asked by its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli import main
from tutelage.errors import UsageError
from tutelage.lineage import Manifest
from tutelage.options import Options
from tutelage.project import Artifact, Project
from tutelage.runs.checkpoint import DirectoryCheckpoints
from tutelage.runs.commands import runs
from tutelage.runs.directory import begin
from tutelage.runs.listing import direction, find_run, runs_of
from tutelage.runs.meter import Lap
from tutelage.runs.metrics import JsonLines
from tutelage.runs.speed import FILE, describe
from tutelage.verification import verify


def begun(project: Project, losses: Sequence[float], steps: int = 0, stage: str = "sft", **facts: Any) -> Manifest:
    """A run that made as many steps as there are losses, with a checkpoint after the last."""
    manifest = Manifest(**{"kind": "model", "name": "m", "stage": stage, **facts})
    run = begin(project, manifest, {"precision": "fp32"})
    lines = JsonLines(run.metrics, 0)
    for step, loss in enumerate(losses):
        lines.log(step, {"loss": loss, "lr": 0.1})
    lines.close()
    speed = JsonLines(run.path / FILE, 0)
    for step in range(len(losses)):
        speed.log(step, describe(Lap({"forward": 1.0, "backward": 2.0, "checkpoint": 1.0}, {"tokens": 600, "flops": 3e11}), 0.2))
    speed.close()
    run.note(steps=steps or len(losses), ceiling_tflops=0.2, plan={"peak_memory_bytes": 3_000_000_000})
    DirectoryCheckpoints(run.checkpoints).save(len(losses), {"step": len(losses)}, {})
    return manifest


def finished(project: Project, manifest: Manifest, text: str = "x") -> Artifact:
    with project.writing(manifest) as draft:
        (draft / "a.txt").write_text(text)
    return draft.artifact


def ask(project: Project, *words: str) -> dict[str, Any]:
    return runs(list(words), Options(project=project.root))


def test_runs_are_listed_with_their_state_and_figures(project: Project, capsys: Any) -> None:
    finished(project, begun(project, [3.0, 1.0, 2.0], name="whole"))
    begun(project, [3.0], 9, name="half")
    with project.lock():
        live = begun(project, [5.0, 4.0], 8, name="live")
        found = {run["name"]: run for run in ask(project, "list")["runs"]}
    assert {name: (run["state"], run["steps_done"], run["steps"]) for name, run in found.items()} == {
        "half": ("interrupted", 1, 9), "live": ("running", 2, 8), "whole": ("finished", 3, 3)}
    assert found["whole"]["artifact"] == "model/whole@1" and found["whole"]["metrics"]["loss"] == 2.0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if line.startswith("sft-whole"))
    assert row.split()[1:6] == ["finished", "3/3", "loss", "2", "1"]
    assert "tutelage runs resume sft-half" in out and "resume sft-live" not in out
    assert find_run(project, f"sft-live-{live.key[:8]}").state == "interrupted"      # once nobody holds the lock


def test_a_run_is_found_by_its_beginning_or_by_what_it_made_and_never_guessed(project: Project) -> None:
    finished(project, begun(project, [1.0], name="a"))
    begun(project, [1.0], name="ab")
    assert find_run(project, "sft-ab").record["name"] == "ab" and find_run(project, "model/a@1").record["name"] == "a"
    with pytest.raises(UsageError, match="'sft-' means 2 runs; wanted one"):
        find_run(project, "sft-")


def test_a_damaged_run_is_listed_as_such(project: Project) -> None:
    begun(project, [1.0])
    path = runs_of(project)[0].path
    (path / "run.json").write_text("{")
    assert ask(project, "list")["runs"][0]["state"] == "damaged"


def test_which_way_is_better_is_said_only_where_it_is_known() -> None:
    names = ("loss", "policy/loss", "objective/score", "accuracy", "lr", "tokens", "objective/kl")
    assert [direction(name) for name in names] == \
        [False, False, True, True, None, None, False]


def test_show_tells_settings_circumstances_drift_and_checkpoints(project: Project, capsys: Any) -> None:
    begun(project, [2.0, 1.0], 5, config={"optimizer": {"lr": 0.25}})
    shown = ask(project, "show", "sft-m")
    out = capsys.readouterr().out
    assert "lr = 0.25" in out and "precision" in out and "checkpoint step-00000002" in out
    assert "200 tokens/s, 50.0% of the matrix-product ceiling; time: backward 50.0%, forward 25.0%, checkpoint 25.0%" in out
    assert shown["speed"]["tokens_per_s"] == 200 and shown["speed"]["planned_gb"] == 3.0
    assert shown["best"] == {"loss": 1.0} and shown["checkpoints"] == ["step-00000002"] and shown["bytes"] > 0


def test_compare_shows_figures_differing_settings_and_writes_a_page_in_two_languages(project: Project, capsys: Any) -> None:
    begun(project, [3.0, 1.0, 2.0], name="slow", config={"optimizer": {"lr": 0.1}, "epochs": 1})
    begun(project, [3.0, 0.5], name="fast", config={"optimizer": {"lr": 0.9}, "epochs": 1})
    result = ask(project, "compare", "sft-slow", "sft-fast")
    assert result["metrics"]["loss"] == [2.0, 0.5] and result["metrics"]["loss (best)"] == [1.0, 0.5]
    assert result["differing"] == {"optimizer.lr": [0.1, 0.9]}
    assert result["speed"]["tokens/s"] == [200, 200] and result["speed"]["time in forward"] == [0.25, 0.25]
    english, chinese = (Path(path).read_text(encoding="utf-8") for path in result["pages"])
    for page in (english, chinese):
        assert "sft-slow" in page and "uPlot" in page and "optimizer.lr" in page and "src=" not in page.replace("script-src", "")
    data = json.loads(english.split('id="curve-data">')[1].split("</script>")[0])
    assert data[0]["x"] == [1, 2, 3] and [line["y"] for line in data[0]["lines"]] == [[3.0, 1.0, 2.0], [3.0, 0.5, None]]
    assert {"speed/tokens_per_s", "time/step_s", "memory/resident_gb"} <= {curve["name"] for curve in data}
    assert "运行对比" in chinese and "耗时占比：反向" in chinese and "time in" not in chinese
    with pytest.raises(UsageError, match="compare got one run"):
        ask(project, "compare", "sft-slow", "sft-slow")


def test_prune_says_first_and_removes_only_what_nothing_needs(project: Project, capsys: Any) -> None:
    first = finished(project, begun(project, [1.0], name="base", seeds={"s": 1}), "first")
    second = finished(project, begun(project, [1.0], name="base", seeds={"s": 2}), "second")
    third = finished(project, begun(project, [1.0], name="base", seeds={"s": 3}), "third")
    kept = finished(project, Manifest(kind="model", name="child", stage="rl", parents={"policy": second.parent_ref}))
    waiting = begun(project, [1.0], 9, name="next", parents={"model": third.parent_ref})
    fourth = finished(project, begun(project, [1.0], name="base", seeds={"s": 4}), "fourth")
    draft = project.root / "artifacts" / "model" / "base" / ".draft-abc"
    draft.mkdir()
    (draft / "half").write_text("x" * 1000)
    said = ask(project, "prune")
    assert said["removed"] is False and first.path.exists() and draft.exists()
    assert [each["what"] for each in said["what"] if "/v" not in each["what"]][:1] == [first.ref]
    done = ask(project, "prune", "--yes")
    assert done["what"] == said["what"] and done["bytes"] == said["bytes"] > 1000
    assert {artifact.ref for artifact in project.artifacts()} == {second.ref, third.ref, fourth.ref, kept.ref}
    assert not draft.exists()
    left = {run.record["name"]: (run.path / "checkpoints").exists() for run in runs_of(project)}
    assert left == {"base": False, "next": True}
    assert verify([], Options(project=project.root))["changed"] == {}      # the log knows that they went
    assert ask(project, "prune")["bytes"] == 0
    assert [each["why"] for each in ask(project, "prune", "--interrupted")["what"]][-1] == "its run was interrupted"
    assert find_run(project, f"sft-next-{waiting.key[:8]}")


def test_the_checkpoint_of_a_run_whose_parent_is_gone_can_go(project: Project) -> None:
    parent = finished(project, Manifest(kind="model", name="base", stage="sft"))
    begun(project, [1.0], 9, parents={"model": parent.parent_ref})
    assert ask(project, "prune")["what"] == []
    project.remove(parent)
    assert ask(project, "prune")["what"][0]["why"] == "its run can never go on: its model model/base@1 is gone"


STOPPED = "SFT is kept as it was after 2 of"


def test_an_interrupted_run_goes_on_by_its_name_from_anywhere(project: Project, tiny_directory: Path, tmp_path: Path,
                                                              instructions: Callable[..., str], monkeypatch: pytest.MonkeyPatch,
                                                              capsys: Any) -> None:
    from tutelage.training import optimizer

    data = Path(instructions([(letter, 2 * letter) for letter in "abcdefgh"]))
    monkeypatch.chdir(data.parent)
    words = ["sft", "--model", str(tiny_directory), "--data", data.name, "--batch-tokens", "64", "--max-length", "64",
             "--epochs", "3",
             "--precision", "fp32"]
    assert main([*words, "--project", str(Project.init(tmp_path / "whole").root)]) == 0
    step, made = optimizer.Masters.step, []

    def failing(masters: Any) -> float:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(1)
        return step(masters)

    monkeypatch.setattr(optimizer.Masters, "step", failing)
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    assert main([*words, "--project", str(project.root)]) == 130
    monkeypatch.setattr(optimizer.Masters, "step", step)
    monkeypatch.chdir(tmp_path)
    run, = runs_of(project)
    assert (run.state, run.done) == ("interrupted", 2)
    capsys.readouterr()
    assert main(["runs", "resume", run.name, "--project", str(project.root)]) == 0
    assert "going on after step 2" in capsys.readouterr().out
    again, whole = project.artifact("sft").manifest, Project(tmp_path / "whole").artifact("sft").manifest
    assert again.files == whole.files and runs_of(project)[0].state == "finished"
    assert main(["runs", "resume", run.name, "--project", str(project.root)]) == 0      # nothing to do is no error


def test_a_run_that_did_not_record_how_it_was_asked_for_says_so(project: Project, capsys: Any) -> None:
    begun(project, [1.0], 9)
    assert main(["runs", "resume", "sft-m", "--project", str(project.root)]) == 1
    assert "did not record how it was asked for" in capsys.readouterr().err
