"""Artifacts are whole or not there, whatever happens to the process that writes them."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import ArtifactError, LockedError, ProjectError
from tutelage.lineage import Manifest
from tutelage.project import Project

ROOT = Path(__file__).parent.parent


def manifest(kind: str = "model", name: str = "m", **facts: Any) -> Manifest:
    return Manifest(kind=kind, name=name, stage="test", code="c", environment={}, **facts)


def write(project: Project, text: str = "x", **facts: Any) -> None:
    with project.writing(manifest(**facts)) as draft:
        (draft / "sub").mkdir()
        (draft / "sub" / "a.txt").write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.init(tmp_path)


def in_another_process(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Runs `code`; it prints a line when it has got where the test wants it, then waits."""
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def test_a_project_is_found_from_below(tmp_path: Path, monkeypatch: Any) -> None:
    top = tmp_path / "top"
    Project.init(top)
    (top / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(top / "a" / "b")
    assert Project.open().root == top
    with pytest.raises(ProjectError, match=r"a is not a project: it has no tutelage\.toml\. Make one: tutelage init"):
        Project.open(top / "a")


def test_only_a_command_that_writes_makes_the_current_directory_a_project(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    project = Project.open()
    assert project.root == tmp_path and project.artifacts() == [] and list(tmp_path.iterdir()) == []
    with project.lock():
        assert (tmp_path / "tutelage.toml").is_file()


def test_a_project_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ProjectError, match="cannot make a project"):
        Project.init(tmp_path / "file" / "below")


def test_what_was_written_is_an_artifact_with_hashes(project: Project) -> None:
    write(project)
    artifact = project.artifact("m")
    assert artifact.ref == "model/m@1" and artifact.path == project.root / "artifacts" / "model" / "m" / "v1"
    assert set(artifact.manifest.files) == {"sub/a.txt"} and artifact.verify() == []
    assert project.made_from(manifest().key) == artifact
    assert project.made_from(manifest(seeds={"s": 1}).key) is None


def test_versions_count_up_as_numbers_and_the_newest_is_meant(project: Project) -> None:
    for seed in range(11):
        write(project, seeds={"s": seed})
    assert project.artifact("m").version == 11 and project.artifact("model/m@9").version == 9
    assert [artifact.version for artifact in project.artifacts("model")] == list(range(1, 12))


def test_a_reference_that_means_nothing_or_two_things_is_refused(project: Project) -> None:
    with pytest.raises(ArtifactError, match=r"no artifact 'm' in .*There are: none"):
        project.artifact("m")
    write(project)
    write(project, kind="reward")
    with pytest.raises(ArtifactError, match=r"'m' is the name of model/m@1, reward/m@1\. Say the kind too"):
        project.artifact("m")
    assert project.artifact("m", "reward").kind == "reward"
    assert project.artifact("reward/m@1#abc").kind == "reward"
    with pytest.raises(ArtifactError, match=r"no artifact 'm@2'.*There are: model/m@1, reward/m@1"):
        project.artifact("m@2")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "x" * 101, "名"])
def test_a_name_that_would_leave_its_place_is_refused(project: Project, name: str) -> None:
    with pytest.raises(ArtifactError, match="cannot be an artifact's name"), project.writing(manifest(name=name)):
        pass
    assert not (project.root / "artifacts").exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_while_writing_leaves_nothing(project: Project, error: type[BaseException]) -> None:
    with pytest.raises(error), project.writing(manifest()) as draft:
        (draft / "a.txt").write_text("half")
        raise error
    assert project.artifacts() == []
    assert [path for path in project.root.rglob("*") if path.is_file()] == [project.root / "tutelage.toml"]


KILLED = """
import sys, time
from pathlib import Path
from tutelage.lineage import Manifest
from tutelage.project import Project
manifest = Manifest(kind="model", name="m", stage="test", code="c", environment={})
with Project.open(Path(sys.argv[1])).writing(manifest) as draft:
    (draft / "a.txt").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_leaves_nothing_visible_and_the_same_work_succeeds_again(project: Project) -> None:
    process = in_another_process(KILLED, str(project.root))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert project.artifacts() == [] and project.made_from(manifest().key) is None
    write(project)
    assert project.artifact("m").version == 1 and project.artifact("m").verify() == []
    assert set(project.artifact("m").manifest.files) == {"sub/a.txt"}         # and not the dead process's a.txt
    assert [path.name for path in (project.root / "artifacts" / "model" / "m").iterdir()] == ["v1"]


HOLDS = """
import sys, time
from pathlib import Path
from tutelage.project import Project
with Project.open(Path(sys.argv[1])).lock():
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_lock_another_process_holds_is_named_and_dies_with_it(project: Project) -> None:
    process = in_another_process(HOLDS, str(project.root))
    try:
        with pytest.raises(LockedError, match=f"process {process.pid} is at work in"), project.lock():
            pass
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    for _ in range(2):
        with project.lock():
            assert (project.root / ".lock").read_text() == str(os.getpid())


def test_somebody_who_only_looks_keeps_nobody_from_working(project: Project) -> None:
    with project.lock():
        pass
    with open(project.root / ".lock") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.03, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        with project.lock():
            assert project.at_work() == []


def test_verify_names_what_is_changed_missing_or_added(project: Project) -> None:
    with project.writing(manifest()) as draft:
        for name in ("changed.txt", "missing.txt", "same.txt"):
            (draft / name).write_text(name)
    artifact = project.artifact("m")
    assert artifact.verify() == []
    (artifact.path / "changed.txt").write_text("other")
    (artifact.path / "missing.txt").unlink()
    (artifact.path / "added.txt").write_text("")
    assert artifact.verify() == ["added.txt", "changed.txt", "missing.txt"]


DIES_AFTER_LOGGING = """
import os, signal, sys
from pathlib import Path
from tutelage import project as module
from tutelage.lineage import Manifest
os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
manifest = Manifest(kind="model", name="m", stage="test", code="c", environment={})
with module.Project.open(Path(sys.argv[1])).writing(manifest) as draft:
    (draft / "a.txt").write_text("whole")
"""
DIES_REMOVING = """
import os, signal, sys
from pathlib import Path
from tutelage.project import Project
os.rename = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
project = Project.open(Path(sys.argv[1]))
project.remove(project.artifact("m"))
"""


def killed(code: str, project: Project) -> None:
    done = subprocess.run([sys.executable, "-c", code, str(project.root)], cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_a_kill_between_the_log_and_the_name_is_made_good_by_the_next_command(project: Project) -> None:
    killed(DIES_AFTER_LOGGING, project)
    assert project.artifacts() == [] and project.ledger.content.keys() == {"model/m@1"}
    with project.lock():
        made = project.artifact("m")
    assert made.version == 1 and made.verify() == [] and (made.path / "a.txt").read_text() == "whole"
    killed(DIES_REMOVING, project)
    assert project.artifact("m") and project.ledger.content == {}
    with project.lock():
        assert project.artifacts() == []


def test_the_number_of_a_removed_version_is_not_used_again(project: Project) -> None:
    write(project)
    project.remove(project.artifact("m"))
    assert project.artifacts() == []
    write(project)
    assert project.artifact("m").version == 2


def test_half_a_line_of_the_log_is_no_line(project: Project) -> None:
    write(project)
    log = project.root / "artifacts" / "LOG"
    with open(log, "ab") as file:
        file.write(b'{"event":"ma')
    assert project.ledger.problems == [] and len(project.ledger.entries) == 1
    write(project, seeds={"s": 1})
    assert project.ledger.problems == [] and list(project.ledger.content) == ["model/m@1", "model/m@2"]


def test_who_is_at_work_on_what_can_be_seen_while_the_lock_is_held(project: Project) -> None:
    assert project.at_work() is None
    with project.lock():
        project.working_on("sft-a")
        assert Project(project.root).at_work() == ["sft-a"]
        with pytest.raises(LockedError, match=f"process {os.getpid()} is at work"), Project(project.root).lock():
            pass
    assert project.at_work() is None
