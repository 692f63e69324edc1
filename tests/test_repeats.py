"""One stage over seeds and over values of a key: every repetition an artifact, and a table that can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tutelage.cli import main
from tutelage.errors import TrainingError, UsageError
from tutelage.lineage import Manifest
from tutelage.options import Repeats, split_repeats
from tutelage.project import Artifact, Project
from tutelage.repeats import Variant, repeat, variants
from tutelage.runs.directory import begin
from tutelage.runs.metrics import JsonLines

SETTINGS = {"name": "m", "seed": 3, "lr": 0.1}


def test_the_words_are_split_off_wherever_they_stand() -> None:
    assert split_repeats(["--data", "d", "--seeds", "3", "--name", "n"]) == (Repeats(seeds=3), ["--data", "d", "--name", "n"])
    assert split_repeats(["--sweep", "optimizer.lr", "1e-5", "-1", "--seeds=2", "--data", "d"]) == (
        Repeats(seeds=2, key="optimizer.lr", values=("1e-5", "-1")), ["--data", "d"])
    assert not split_repeats(["--data", "d"])[0]


@pytest.mark.parametrize("words", [["--seeds"], ["--seeds", "0"], ["--seeds", "x"], ["--sweep"], ["--sweep", "lr"],
                                   ["--sweep", "lr", "1"], ["--sweep", "lr", "1", "1"]])
def test_half_a_wish_is_wrong_usage(words: list[str]) -> None:
    with pytest.raises(UsageError, match=f"{words[0]} got"):
        split_repeats(words)


def test_each_repetition_has_a_name_and_a_seed_of_its_own() -> None:
    both = variants({"1e-5": {**SETTINGS, "lr": 1e-5}, "3e 5": {**SETTINGS, "lr": 3e-5}}, "optimizer.lr", 2)
    assert [(each.value, each.settings["name"], each.settings["seed"], each.settings["lr"]) for each in both] == [
        ("1e-5", "m-lr-1e-5-s3", 3, 1e-5), ("1e-5", "m-lr-1e-5-s4", 4, 1e-5),
        ("3e 5", "m-lr-3e-5-s3", 3, 3e-5), ("3e 5", "m-lr-3e-5-s4", 4, 3e-5)]
    assert [each.settings["name"] for each in variants({"": SETTINGS}, "", 2)] == ["m-s3", "m-s4"]
    assert [each.settings["name"] for each in variants({"1": SETTINGS, "2": SETTINGS}, "lr", 0)] == ["m-lr-1", "m-lr-2"]


def maker(project: Project, losses: Mapping[str, list[float]], stops: tuple[str, ...] = ()) -> Any:
    """A stage that logs what it is told to, and stops with an error at its end where it is told so."""
    def make(settings: Mapping[str, Any]) -> Artifact:
        name = settings["name"]
        facts = {"last_loss": losses[name][-1]}
        manifest = Manifest(kind="model", name=name, stage="sft", seeds={"seed": settings["seed"]}, facts=facts)
        lines = JsonLines(begin(project, manifest, {}).metrics, 0)
        for step, loss in enumerate(losses[name]):
            lines.log(step, {"loss": loss})
        lines.close()
        if name in stops:
            raise TrainingError("the loss is nan in rows a; no weight was changed")
        with project.writing(manifest) as draft:
            (draft / "a").write_text("")
        return draft.artifact
    return make


def test_seeds_give_mean_spread_and_interval(project: Project, capsys: Any) -> None:
    make = maker(project, {"m-s3": [9.0, 1.0], "m-s4": [9.0, 2.0], "m-s5": [9.0, 3.0]})
    result = repeat(project, "sft", variants({"": SETTINGS}, "", 3), make)
    spread = result["spread"][""]["loss"]
    # mean 2, sd 1, t(0.975, 2) = 4.302653, so 2 +- 4.302653 / sqrt(3)
    assert spread["mean"] == 2.0 and spread["sd"] == 1.0 and spread["n"] == 3
    assert spread["low"] == pytest.approx(2 - 2.484138, abs=1e-5) and spread["high"] == pytest.approx(2 + 2.484138, abs=1e-5)
    assert result["spread"][""]["last_loss"] == spread
    assert [each["artifact"] for each in result["repeats"]] == ["model/m-s3@1", "model/m-s4@1", "model/m-s5@1"]
    assert "3 of 3 seeds" in capsys.readouterr().out


def test_a_sweep_ends_with_a_table_and_a_rate_that_diverges_does_not_end_it(project: Project, capsys: Any) -> None:
    make = maker(project, {"m-lr-1": [5.0, 4.0], "m-lr-2": [5.0, 1.0, 2.0], "m-lr-3": [5.0, 7.0], "m-lr-4": [5.0, 6.5]},
                 stops=("m-lr-4",))
    result = repeat(project, "sft", variants(dict.fromkeys("1234", SETTINGS), "lr", 0), make, "lr")
    rows = {row["value"]: (row["final"], row["best"], row["why"]) for row in result["sweep"]}
    assert rows == {"1": (4.0, 4.0, ""), "2": (2.0, 1.0, ""), "3": (7.0, 5.0, "ended worse than it began"),
                    "4": (6.5, 5.0, "stopped: the loss is nan in rows a")}
    assert "Lowest final loss without diverging: lr 2" in capsys.readouterr().out
    assert result["repeats"][3]["artifact"] is None


def test_in_rl_more_is_better(project: Project, capsys: Any) -> None:
    made: list[str] = []

    def make(settings: Mapping[str, Any]) -> Artifact:
        made.append(settings["name"])
        manifest = Manifest(kind="model", name=settings["name"], stage="rl")
        lines = JsonLines(begin(project, manifest, {}).metrics, 0)
        for step, score in enumerate((0.0, 1.0) if settings["name"] == "a" else (0.0, -1.0)):
            lines.log(step, {"objective/score": score})
        lines.close()
        with project.writing(manifest) as draft:
            (draft / "a").write_text("")
        return draft.artifact

    wanted = [Variant(value=name, settings={"name": name, "seed": 0}) for name in "ab"]
    rows = repeat(project, "rl", wanted, make, "lr")["sweep"]
    assert [row["diverged"] for row in rows] == [0, 1] and made == ["a", "b"]
    assert "Highest final objective/score without diverging: lr a" in capsys.readouterr().out


def test_the_command_line_sweeps_a_nested_key_over_seeds(project: Project, tiny_directory: Any, instructions: Any,
                                                         capsys: Any) -> None:
    data = instructions([(letter, 2 * letter) for letter in "abcd"])
    words = ["sft", "--model", str(tiny_directory), "--data", data, "--batch-tokens", "64", "--max-length", "64", "--epochs", "1",
             "--precision", "fp32", "--project", str(project.root)]
    assert main([*words, "--sweep", "optimizer.lr", "1e-3", "1e-2", "--seeds", "2"]) == 0
    names = [artifact.name for artifact in project.artifacts()]
    assert names == ["sft-lr-1e-2-s0", "sft-lr-1e-2-s1", "sft-lr-1e-3-s0", "sft-lr-1e-3-s1"]
    config = project.artifact("sft-lr-1e-2-s1").manifest
    assert config.config["optimizer"]["lr"] == 0.01 and config.seeds == {"seed": 1}
    assert "loss by optimizer.lr" in capsys.readouterr().out
    assert main([*words, "--sweep", "optimizer.lr", "1e-3", "-1"]) == 2      # refused before anything is made
    assert main([*words, "--sweep", "optimizer.rate", "1e-3", "1e-2"]) == 2
    assert len(project.artifacts()) == 4
