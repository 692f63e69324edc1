"""`tutelage data generate`: seeded, resumable, counted, marked `model`, and never mixed silently."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tutelage import cli
from tutelage.data.datasets import load_dataset
from tutelage.errors import ConfigError, DataError, ModelError
from tutelage.project import Artifact, Project
from tutelage.synthesis.asking import read_tasks
from tutelage.synthesis.config import Generate
from tutelage.synthesis.stage import generate
from tutelage.tuning.annotators import chosen


def ask(service: Any, seeds: str, **settings: Any) -> Generate:
    return Generate(**{"tasks": seeds, "endpoint": service.url, "endpoint_model": "small", "name": "written", "count": 12,
                       "requests": 3, "retries": 0, "seed": 1, **settings})


def lines(artifact: Artifact, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (artifact.path / name).read_text(encoding="utf-8").splitlines()]


def test_new_pairs_are_made_marked_and_counted(service, project: Project, seeds: str) -> None:
    made = generate(project, ask(service, seeds))
    records = load_dataset(made).records
    assert len(records) == 12 and {record.annotator for record in records} == {"model"}
    assert len({record.prompt[0].text for record in records}) == 12
    facts, refusals = made.manifest.facts, lines(made, "refusals.jsonl")
    assert (facts["kept"], facts["refused"], facts["annotators"]) == (12, len(refusals), {"model": 12})
    assert sum(facts["reasons"].values()) == len(refusals) and facts["reasons"]["no numbered task"] >= 3
    assert {"no answer", "task is not new"} & set(facts["reasons"])
    assert next(iter(made.manifest.sources)).startswith("endpoint small at 127.0.0.1:") and made.verify() == []
    shown = [each["messages"][0]["content"] for each in service.seen if "Write 4 more" in each["messages"][0]["content"]]
    assert all("Name " in text for text in shown)                                       # people's tasks stay in every request
    assert any(record.prompt[0].text in text for text in shown for record in records)     # beside the model's own
    asked = len(service.seen)
    assert generate(project, ask(service, seeds)) == made and len(service.seen) == asked      # nothing is asked twice


def test_the_same_seed_writes_the_same_and_another_another(service, tmp_path: Path, seeds: str) -> None:
    one, two, three = (generate(Project.init(tmp_path / str(i)), ask(service, seeds, seed=seed))
                       for i, seed in enumerate((1, 1, 2)))
    assert lines(one, "train.jsonl") == lines(two, "train.jsonl") != lines(three, "train.jsonl")


def test_an_interrupted_run_goes_on_as_it_would_have_gone(service, tmp_path: Path, seeds: str) -> None:
    whole = generate(Project.init(tmp_path / "whole"), ask(service, seeds, requests=1))
    asked, project, answer = len(service.seen), Project.init(tmp_path / "broken"), service.answer
    service.seen.clear()

    def until_half(body: dict[str, Any]) -> bytes:
        if len(service.seen) > asked // 2:
            raise ConnectionError
        return answer(body)

    service.answer = until_half
    service.server.handle_error = lambda *_: None
    with pytest.raises(ModelError, match="What was written so far is kept"):
        generate(project, ask(service, seeds, requests=1))
    assert project.artifacts() == []
    service.answer, first_half = answer, len(service.seen)
    again = generate(project, ask(service, seeds, requests=1))
    assert lines(again, "train.jsonl") == lines(whole, "train.jsonl")
    assert lines(again, "refusals.jsonl") == lines(whole, "refusals.jsonl")
    assert len(service.seen) - first_half < asked      # the rounds that were whole were not asked again


def test_too_few_are_told_and_none_is_an_error(service, project: Project, seeds: str,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    made = generate(project, ask(service, seeds, count=500, rounds=1, name="few"))
    assert 0 < made.manifest.facts["kept"] < 13
    assert f"{made.manifest.facts['kept']} of 500 pairs after 1 rounds; refused: " in capsys.readouterr().err
    service.answer = lambda body: b'{"choices": [{"message": {"content": "Hello!"}, "finish_reason": "stop"}]}'
    with pytest.raises(DataError, match=r"nothing that was written could be kept \(no numbered task 6\)"):
        generate(project, ask(service, seeds, rounds=2, name="none"))


def test_a_local_model_writes_too_and_its_artifact_is_in_the_manifest(project: Project, seeds: str, tiny_directory: Path) -> None:
    """The tiny model writes bytes at random, so what is asked here is that every piece of it is refused and counted."""
    with pytest.raises(DataError, match="nothing that was written could be kept") as refused:
        generate(project, Generate(tasks=seeds, model=str(tiny_directory), count=2, requests=2, rounds=2, task_tokens=24,
                                   response_tokens=8, precision="fp32"))
    assert any(reason in str(refused.value) for reason in ("no numbered task", "cut task", "empty answer"))
    assert read_tasks("\x00\x01", False)[0] == []


def test_seeds_must_be_instructions(service, project: Project, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="needs seed tasks: --from"):
        generate(project, ask(service, ""))
    with pytest.raises(DataError, match="holds records of kind prompt"):
        generate(project, ask(service, "builtin:prompts.rl.en"))


def test_the_command_takes_from_and_says_what_was_refused(service, tmp_path: Path, seeds: str,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["data", "generate", "--from", seeds, "--endpoint", service.url, "--count", "4", "--name", "four",
                     "--project", str(Project.init(tmp_path / "p").root), "--json"])
    out, err = capsys.readouterr()
    assert code == 0 and json.loads(out)["artifact"] == "dataset/four@1"
    assert "4 pairs written by a model" in err and "no numbered task" in err


def test_rows_of_people_and_of_a_model_are_never_mixed_silently(service, project: Project, seeds: str) -> None:
    data = load_dataset(generate(project, ask(service, seeds)))
    assert chosen(data, (), "written")[1] == {"model": 12}
    mixed = replace(data, records=[*data.records, replace(data.records[0], annotator="human")])
    with pytest.raises(DataError, match=r"mixes responses .* 1 by human, 12 by model\. Say .* --annotators human model"):
        chosen(mixed, (), "mixed")
    assert chosen(mixed, ("human", "model"), "mixed")[1] == {"human": 1, "model": 12}
    assert len(chosen(mixed, ("human",), "mixed")[0].records) == 1
    with pytest.raises(DataError, match="no responses written by scripted"):
        chosen(mixed, ("scripted",), "mixed")
