"""`tutelage init --example`: every example is laid down whole, and its README's commands run as they are printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli import main
from tutelage.data.sources import read_file
from tutelage.errors import ProjectError
from tutelage.evaluation.contamination import contamination, texts_of
from tutelage.evaluation.tasks import load_task
from tutelage.examples import EXAMPLES, lay_down

FENCE = re.compile(r"```\n(.*?)```", re.DOTALL)
MADE = {"code": "report", "sentiment": "classifier"}
# What makes a lesson of minutes one of seconds, on random weights.
SHORTER = [(r"epochs = \d+", "epochs = 1"), (r"steps = \d+", "steps = 1\nprompts_per_step = 2\nper_prompt = 2"),
           (r"max_new_tokens = \d+", "max_new_tokens = 4"), (r"samples = \d+", "samples = 2"), (r"pass_at = \d+", "pass_at = 2"),
           ('"grpo"', '"ppo"'),      # programs of random weights all fail, and a group of equals teaches nothing
           (r"(\[evaluate\]\n)", r'\1limit = 3\nprecision = "fp32"\n'),
           (r"(\[(?:sft|classify|rl)\]\n)", r'\1precision = "fp32"\n')]


def shorten(directory: Path, model: Path) -> None:
    lesson = directory / "train.jsonl"
    lesson.write_text("".join(lesson.read_text(encoding="utf-8").splitlines(keepends=True)[:12]), encoding="utf-8")
    for file in directory.glob("*.toml"):
        text = file.read_text(encoding="utf-8").replace("smollm2-135m-q4", str(model))
        for pattern, shorter in SHORTER:
            text = re.sub(pattern, shorter, text)
        file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_commands_of_an_example_run_as_its_readme_prints_them(name: str, tiny_directory: Path, tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "lesson", "--example", name]) == 0
    monkeypatch.chdir(tmp_path / "lesson")
    shorten(Path(), tiny_directory)
    commands, = FENCE.findall(Path("README.md").read_text(encoding="utf-8"))
    for line in commands.splitlines():
        words = line.split()
        assert words[0] == "tutelage" and main([*words[1:], "--json"]) == 0, capsys.readouterr().err
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["artifact"].startswith(MADE.get(name, "report"))
    if "board" in told:
        task, = told["board"]["tasks"]
        assert task["n"] == 3 and set(task["marks"][task["metric"]]) == set(told["board"]["models"])
        assert not any(found["by_run"] for row in told["contamination"].values() for found in row.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_lessons_are_large_enough_and_their_examinations_are_no_part_of_them(name: str, tmp_path: Path) -> None:
    root = lay_down(name, tmp_path / name)
    lesson = read_file(root / "train.jsonl")
    assert lesson.refusals == [] and len(lesson.records) >= 25
    if name == "sentiment":
        return
    task = load_task(root / "task.toml")
    assert len(task.items) >= 10
    told = [item.bare for item in task.items]
    found = contamination(told, texts_of(lesson.records))
    if name != "summarise":      # its notices share the frames that are to be learned
        assert found.by_run == ()
    assert not set(told) & set(texts_of(lesson.records))


def test_translations_of_the_examination_use_words_of_the_lesson_only(tmp_path: Path) -> None:
    root = lay_down("translate", tmp_path / "t")
    taught = {word for record in read_file(root / "train.jsonl").records for word in record.prompt[-1].text.split()}
    assert all(set(item.bare.split()) <= taught for item in load_task(root / "task.toml").items)


def test_what_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert lay_down("qa", tmp_path / "mine") == tmp_path / "mine"      # an empty directory may be taken
    (tmp_path / "mine" / "train.jsonl").write_text("my own\n")
    with pytest.raises(ProjectError, match="is not empty"):
        lay_down("chat", tmp_path / "mine")
    assert (tmp_path / "mine" / "train.jsonl").read_text() == "my own\n" and not (tmp_path / ".mine.part").exists()


@pytest.mark.parametrize(("words", "complaint"), [
    (["init", "x", "--example", "poem"], "there is no example 'poem'; there are: chat, translate"),
    (["init", "x", "--example"], "--example needs a name"), (["init", "x", "y", "--example", "qa"], "wanted one directory")])
def test_an_example_that_is_none_is_refused(words: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                            capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2 and complaint in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_example_without_a_directory_takes_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--example", "story", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == {"project": str(tmp_path / "story"), "example": "story"} and (tmp_path / "story" / "task.toml").is_file()
