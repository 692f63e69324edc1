"""Erasing rows of a small family of artifacts: what goes, what stays, what is named, and what a kill leaves."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tutelage.data import erasure as module
from tutelage.data.datasets import load_dataset, write_dataset
from tutelage.data.erasure import Erasure, erase, finish, plan
from tutelage.data.fingerprints import ROWS, fingerprint, merkle_root, row_troubles
from tutelage.data.sources import read_file
from tutelage.data.usage import USED, write_used
from tutelage.errors import ArtifactError, DataError
from tutelage.lineage import Manifest
from tutelage.options import Options
from tutelage.project import Artifact, Project
from tutelage.runs.directory import begin
from tutelage.verification import verify

QUESTIONS = [{"id": name, "prompt": f"Question {name}?", "response": f"Answer {name}: 密."}
             for name in ("ann", "bob", "cyd", "dee")]


def made(project: Project, kind: str, name: str, stage: str, *parents: Artifact, used: dict[str, list[str]] | None = None,
         facts: dict[str, Any] | None = None, **files: str) -> Artifact:
    manifest = Manifest(kind=kind, name=name, stage=stage, facts=facts or {},
                        parents={f"{stage} {number}": parent.parent_ref for number, parent in enumerate(parents)})
    with project.writing(manifest) as draft:
        for file, text in files.items():
            (draft / file.replace("_", ".")).write_text(text, encoding="utf-8")
        if used is not None:
            write_used(draft.path, used)
    return draft.artifact


def samples_of(project: Project, name: str, data: Artifact, model: Artifact, prompts: list[str]) -> Artifact:
    values = [{"id": f"{name}-{prompt}", "prompt": {"id": prompt}, "text": f"said to {prompt}"} for prompt in prompts]
    lines = fingerprint([(value, [value["prompt"]["id"]]) for value in values])
    root = merkle_root([line["hash"] for line in lines])
    return made(project, "samples", name, "sample", data, model, facts={"merkle_root": root},
                samples_jsonl="".join(json.dumps(value) + "\n" for value in values),
                rows_jsonl="".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def family(project: Project, write: Any) -> dict[str, Artifact]:
    """talk ─► taught (used ann, bob) ─► samples of bob and cyd ─► reward (which samples: not recorded);
    talk ─► unread (used cyd alone); a report that quotes bob's sample; the same file again, as `copy`."""
    path = write(QUESTIONS)
    talk = write_dataset(project, "talk", [read_file(path)])
    copy = write_dataset(project, "copy", [read_file(path)])
    base = made(project, "model", "base", "pull")
    taught = made(project, "model", "taught", "sft", talk, used={talk.ref: ["ann", "bob"]})
    unread = made(project, "model", "unread", "sft", talk, used={talk.ref: ["cyd"]})
    drawn = samples_of(project, "drawn", talk, base, ["bob", "cyd"])
    reward = made(project, "reward", "taste", "reward", drawn, base)
    report = made(project, "report", "page", "evaluate", unread, page_html="said to bob",
                  quoted_json=json.dumps({"page.html": ["drawn-bob"], "other.html": ["drawn-cyd"]}), other_html="said to cyd")
    return {each.name: each for each in (talk, copy, base, taught, unread, drawn, reward, report)}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_row_goes_from_every_row_file_and_its_hash_stays(project: Project, family: dict[str, Artifact]) -> None:
    before = {line["id"]: line for line in lines(family["talk"].path / ROWS)}
    with project.lock():
        erase(project, plan(project, family["talk"], ["bob"]))
    assert [record.id for record in load_dataset(project.artifact("talk")).records] == ["ann", "cyd", "dee"]
    after = {line["id"]: line for line in lines(family["talk"].path / ROWS)}
    assert "salt" not in after["bob"] and after["bob"]["hash"] == before["bob"]["hash"] and after["ann"] == before["ann"]
    assert [value["id"] for value in lines(family["drawn"].path / "samples.jsonl")] == ["drawn-cyd"]
    assert not (family["page"].path / "page.html").exists() and (family["page"].path / "other.html").exists()
    for path in (project.root / "artifacts").rglob("*"):
        assert path.is_dir() or not {"said to bob", "Answer bob"} & set(re.findall("(?:said to|Answer) ...", path.read_text()))
    result = verify([], Options(project=project.root))
    assert result["changed"] == {} and result["exit_code"] == 0
    assert {ref: len(stones) for ref, stones in result["tombstones"].items()} == {
        "dataset/talk@1": 1, "dataset/copy@1": 1, "samples/drawn@1": 1}


def test_what_descends_is_named_exactly_where_it_was_recorded_and_as_possible_where_not(project: Project,
                                                                                       family: dict[str, Artifact]) -> None:
    found = plan(project, family["talk"], ["bob"])
    assert found.holders == {"dataset/copy@1": ["bob"], "dataset/talk@1": ["bob"], "samples/drawn@1": ["drawn-bob"]}
    assert found.descendants == {
        "model/taught@1": "made with it, as a row of dataset/talk@1",
        "reward/taste@1": "may hold it: which rows of samples/drawn@1 it was made with is not recorded"}
    assert found.withdrawn == {"report/page@1": ["page.html"]}
    other = plan(project, family["talk"], ["cyd"])
    assert other.descendants["model/unread@1"] == "made with it, as a row of dataset/talk@1"
    assert other.descendants["report/page@1"] == "made from model/unread@1" and "model/taught@1" not in other.descendants
    assert plan(project, family["talk"], ["dee"]).descendants == {}


def test_runs_are_named_and_a_checkpoint_with_text_is_removed(project: Project, family: dict[str, Artifact]) -> None:
    finished = begin(project, family["taught"].manifest, {})
    more = Manifest(kind="samples", name="more", stage="sample", parents={"p": family["talk"].parent_ref})
    unfinished = begin(project, more, {})
    begin(project, Manifest(kind="model", name="far", stage="sft", parents={"p": family["base"].parent_ref}), {})
    checkpoint = unfinished.checkpoints / "step-00000001"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text(json.dumps({"lines": json.dumps([{"prompt": {"id": "bob"}}])}))
    found = plan(project, family["talk"], ["bob"])
    assert found.runs == {finished.path.name: "made model/taught@1", unfinished.path.name:
                          "not finished; its checkpoint may hold weights and optimizer state made with it"}
    assert found.checkpoints == [unfinished.path.name]
    with project.lock():
        erase(project, found)
    assert not unfinished.checkpoints.exists()


def test_what_was_made_with_the_row_is_not_found_again_and_not_built_upon(project: Project, family: dict[str, Artifact]) -> None:
    with project.lock():
        erase(project, plan(project, family["talk"], ["bob"]))
    assert project.made_from(family["taught"].manifest.key) is None
    assert project.made_from(family["unread"].manifest.key) is not None
    assert project.artifact("talk").parent_ref.startswith(family["talk"].parent_ref + "~")     # another key for what reads it
    child = Manifest(kind="model", name="child", stage="rl", parents={"policy": family["taught"].parent_ref})
    for build in (lambda: begin(project, child, {}), lambda: project.writing(child).__enter__()):
        with pytest.raises(ArtifactError, match="rl would build on its policy model/taught@1, which was made with a row"):
            build()
    again = made(project, "model", "taught", "sft", project.artifact("talk"), used={"dataset/talk@1": ["ann"]})
    assert again.ref == "model/taught@2" and verify([], Options(project=project.root))["changed"] == {}


def test_an_erased_row_does_not_come_back_with_its_file(project: Project, family: dict[str, Artifact], write: Any) -> None:
    with project.lock():
        erase(project, plan(project, family["talk"], ["bob"]))
    path = write(QUESTIONS)
    again = write_dataset(project, "again", [read_file(path)])
    assert [record.id for record in load_dataset(again).records] == ["ann", "cyd", "dee"]
    assert lines(again.path / "refusals.jsonl") == [{"file": "rows.jsonl", "row": 2, "reason": "it was erased from this project"}]
    facts = again.manifest.facts
    assert facts["read"] == facts["kept"] + facts["refused"] == 4


@pytest.mark.parametrize("stop", range(6))
def test_a_killed_erasure_is_noticed_and_the_same_again_finishes_it(stop: int, project: Project, family: dict[str, Artifact],
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before or after each of the files that are rewritten: 2 a holder, 3 holders."""
    if (child := os.fork()) == 0:
        rewrite, done = module._rewrite, []

        def dying(path: Path, change: Any) -> None:
            if len(done) == stop:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(rewrite(path, change))

        monkeypatch.setattr(module, "_rewrite", dying)
        with project.lock():
            erase(project, plan(project, family["talk"], ["bob"]))
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert "was begun and is not finished" in verify([], Options(project=project.root))["changed"]["artifacts/LOG"][0]
    with pytest.raises(ArtifactError, match=r"is not finished\. Finish it first: tutelage data erase dataset/talk@1 bob"):
        begin(project, Manifest(kind="model", name="m", stage="sft"), {})
    with project.lock():
        finished = finish(project)
    assert isinstance(finished, Erasure) and finished.rows == ["bob"]
    assert verify([], Options(project=project.root))["changed"] == {} and finish(project) is None
    assert not list(project.root.rglob(".erasing-*"))


def test_after_an_erasure_every_other_change_is_still_seen(project: Project, family: dict[str, Artifact]) -> None:
    with project.lock():
        erase(project, plan(project, family["talk"], ["bob"]))
    path = family["talk"].path / "train.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("Answer ann", "Answer Ann"), encoding="utf-8")
    changed = verify([], Options(project=project.root))["changed"]
    assert changed == {"dataset/talk@1": ["train.jsonl is changed", "train.jsonl: row ann is not the one that was hashed"]}


@pytest.mark.parametrize("hide", ["drop", "tombstone"])
def test_a_row_that_is_taken_out_by_hand_is_no_erasure(hide: str, project: Project, family: dict[str, Artifact]) -> None:
    directory = family["talk"].path
    values = lines(directory / ROWS)
    kept = [line for line in values if line["id"] != "ann"] if hide == "drop" else \
        [{name: value for name, value in line.items() if name != "salt" or line["id"] != "ann"} for line in values]
    (directory / ROWS).write_text("".join(json.dumps(line) + "\n" for line in kept))
    records = (directory / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (directory / "train.jsonl").write_text("".join(line for line in records if json.loads(line)["id"] != "ann"), encoding="utf-8")
    assert row_troubles(family["talk"]) == ([f"{ROWS}: these are not the hashes it was made with"] if hide == "drop" else [])
    assert "rows.jsonl is changed" in verify([], Options(project=project.root))["changed"]["dataset/talk@1"]


def test_what_is_not_a_row_is_refused_before_anything_is_written(project: Project, family: dict[str, Artifact]) -> None:
    with pytest.raises(DataError, match="dataset/talk@1 has no row nobody"):
        plan(project, family["talk"], ["bob", "nobody"])
    with pytest.raises(DataError, match="model/base@1 lists no rows"):
        plan(project, family["base"], ["bob"])
    assert not [entry for entry in project.ledger.entries if entry.event == "erasing"]


def test_a_tombstone_tells_nothing_to_who_guesses_the_row(family: dict[str, Artifact]) -> None:
    """The salt of a sample's hash follows from all the samples together: with one gone it cannot be computed again."""
    values = [{"id": "a", "text": "1"}, {"id": "b", "text": "2"}]
    both = fingerprint([(value, []) for value in values])
    guessed = fingerprint([(values[1], [])])
    assert both == fingerprint([(value, []) for value in values]) and both[1]["salt"] != guessed[0]["salt"]
    assert (family["taught"].path / USED).is_file()
