"""`lineage` tells the whole descent of an artifact, `verify` names what is no longer as recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli import main
from tutelage.commands import lineage
from tutelage.errors import UsageError
from tutelage.lineage import Manifest
from tutelage.options import Options
from tutelage.project import Artifact, Project
from tutelage.verification import verify


def make(project: Project, kind: str, name: str, text: str = "x", **facts: Any) -> Artifact:
    manifest = Manifest(kind=kind, name=name, stage=facts.pop("stage", "test"), code="c", environment={}, **facts)
    with project.writing(manifest) as draft:
        (draft / "data.txt").write_text(text)
    return project.artifact(f"{kind}/{name}")


@pytest.fixture
def family(tmp_path: Path) -> Project:
    """dataset -> base model -> policy, and the dataset -> reward -> policy: a diamond."""
    project = Project.init(tmp_path)
    data = make(project, "dataset", "talk", stage="import", sources={"talk.jsonl": "ab" * 32},
                people={"ann": {"kind": "human", "judgments": 12}})
    base = make(project, "model", "base", stage="sft", parents={"data": data.parent_ref}, template="cd" * 32,
                seeds={"sft": 5})
    reward = make(project, "reward", "taste", stage="reward", parents={"feedback": data.parent_ref})
    make(project, "model", "policy", stage="rl", parents={"policy": base.parent_ref, "reward": reward.parent_ref})
    return project


def test_lineage_walks_to_every_file_template_seed_and_person(family: Project, capsys: Any) -> None:
    result = lineage(["policy"], Options(project=family.root))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "model/policy@1",
        "  policy: model/base@1",
        "    chat template",
        "    seed sft = 5",
        "    data: dataset/talk@1",
        "      talk.jsonl",
        "      annotator ann (human): 12 judgments",
        "  reward: reward/taste@1",
        "    feedback: dataset/talk@1",
    ]
    assert lines[-1].endswith("(as above)")
    assert set(result["nodes"]) == {"model/policy@1", "model/base@1", "reward/taste@1", "dataset/talk@1"}
    assert result["nodes"]["dataset/talk@1"]["people"] == {"ann": {"kind": "human", "judgments": 12}}
    assert json.loads(json.dumps(result)) == result


def test_lineage_says_which_parent_is_gone_or_another(family: Project, capsys: Any) -> None:
    path = family.artifact("dataset/talk").path
    (path / "manifest.json").write_text((path / "manifest.json").read_text().replace("ann", "bob"))
    lineage(["base"], Options(project=family.root))
    assert "dataset/talk@1 is not the one this was made from: wanted content" in capsys.readouterr().out
    path.rename(path.parent / "elsewhere")
    lineage(["base"], Options(project=family.root))
    assert "  data: dataset/talk@1 is gone" in capsys.readouterr().out.splitlines()


def test_verify_passes_what_is_as_recorded(family: Project, capsys: Any) -> None:
    assert main(["verify", "--json", "--project", str(family.root)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["changed"] == {} and len(json.loads(out)["checked"]) == 4
    assert "4 artifacts checked: all as recorded." in err


def test_verify_names_changed_missing_and_added_files_and_swapped_parents(family: Project, capsys: Any) -> None:
    base, data = family.artifact("base"), family.artifact("talk")
    (base.path / "data.txt").write_text("y")
    (base.path / "more.txt").write_text("z")
    (data.path / "data.txt").unlink()
    assert main(["verify", "--project", str(family.root)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:-1] == ["dataset/talk@1: data.txt is missing", "model/base@1: data.txt is changed",
                          "model/base@1: more.txt is not in the manifest", "4 artifacts checked: 2 are not as recorded."]
    manifest = data.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace("ann", "bob"))
    assert verify(["base"], Options(project=family.root))["changed"]["model/base@1"][-1].startswith(
        "its data dataset/talk@1 is not the one this was made from")


def test_a_manifest_that_was_changed_is_named_though_nothing_was_made_from_it(family: Project, capsys: Any) -> None:
    """A leaf has no child whose parent reference would show it: the log does."""
    path = family.artifact("policy").path / "manifest.json"
    path.write_text(path.read_text().replace('"stage": "rl"', '"stage": "sft"'))
    assert main(["verify", "--project", str(family.root)]) == 1
    assert "model/policy@1: its manifest was changed: it was made with content" in capsys.readouterr().out


def test_an_artifact_that_came_or_went_without_the_log_is_named(family: Project, capsys: Any) -> None:
    options = Options(project=family.root)
    shutil.rmtree(family.artifact("policy").path)
    shutil.copytree(family.artifact("base").path.parent, family.root / "artifacts" / "model" / "copied")
    changed = verify([], options)["changed"]
    assert changed["artifacts/LOG"] == ["model/policy@1 was made and is gone; nothing says that it was removed"]
    assert "the log does not know it" in changed["model/copied@1"][0]
    assert "model/copied@1" not in verify(["--adopt"], options)["changed"]


def test_a_changed_or_shortened_log_is_named(family: Project, capsys: Any) -> None:
    log, options = family.root / "artifacts" / "LOG", Options(project=family.root)
    lines = log.read_bytes().splitlines(keepends=True)
    head = verify([], options)["head"]
    assert verify(["--head", head], options)["changed"] == {}
    log.write_bytes(lines[0].replace(b"talk", b"walk") + b"".join(lines[1:]))
    assert "line 2 does not follow from the one before it" in verify([], options)["changed"]["artifacts/LOG"][0]
    shutil.rmtree(family.artifact("policy").path)
    log.write_bytes(b"".join(lines[:-1]))                                       # together no trouble can be seen in it …
    assert verify([], options)["changed"] == {}
    assert f"the head {head[:12]} is not in it" in verify(["--head", head], options)["changed"]["artifacts/LOG"][0]


def test_wrong_words_are_refused_and_help_is_given(family: Project, capsys: Any) -> None:
    options = Options(project=family.root)
    for words in ([], ["a", "b"], ["--x"]):
        with pytest.raises(UsageError):
            lineage(words, options)
    with pytest.raises(UsageError):
        verify(["a", "b"], options)
    assert lineage(["--help"], options) == {} and main(["verify", "-h"]) == 0
    out = capsys.readouterr().out
    assert "usage: tutelage lineage ARTIFACT" in out and "usage: tutelage verify" in out
    assert main(["lineage", "nobody", "--project", str(family.root)]) == 1
