"""What the disk refuses is told in words, by name, with what still stands."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage import disk
from tutelage.errors import DataError, DiskError
from tutelage.lineage import Manifest
from tutelage.project import Project
from tutelage.runs.checkpoint import DirectoryCheckpoints
from tutelage.runs.metrics import JsonLines, read_metrics


@pytest.fixture
def file_limit() -> Iterator[Callable[[int], None]]:
    """Sets the largest size of a file that this process may write; the kernel then refuses with EFBIG."""
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def state(value: float, size: int = 1000) -> dict[str, Any]:
    return {"masters": {"weight": torch.full((size,), value)}}


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path: Path, file_limit: Callable[[int], None]) -> None:
    checkpoints = DirectoryCheckpoints(tmp_path / "checkpoints")
    checkpoints.save(1, state(1.0))
    file_limit(2000)
    with pytest.raises(DiskError, match=r"larger than allowed\. The checkpoint step-00000001 stands"):
        checkpoints.save(2, state(2.0))
    step, saved = checkpoints.latest()
    assert step == 1 and torch.equal(saved["masters"]["weight"], torch.ones(1000))
    assert [path.name for path in checkpoints.path.iterdir()] == ["step-00000001"]      # the draft is gone: it filled the disk


def test_a_first_checkpoint_that_does_not_fit_says_that_there_is_none(tmp_path: Path, file_limit: Callable[[int], None]) -> None:
    file_limit(2000)
    checkpoints = DirectoryCheckpoints(tmp_path)
    with pytest.raises(DiskError, match="No checkpoint had been written yet"):
        checkpoints.save(1, state(1.0))
    assert checkpoints.latest() is None


def test_a_metric_that_does_not_fit_leaves_the_lines_before(tmp_path: Path, file_limit: Callable[[int], None]) -> None:
    tracker = JsonLines(tmp_path / "metrics.jsonl", 0)
    tracker.log(0, {"loss": 1.5})
    file_limit(30)
    with pytest.raises(DiskError, match=r"metrics\.jsonl could not be written"):
        tracker.log(1, {"loss": 1.25})
    tracker.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 0, "loss": 1.5}]
    file_limit(10_000)
    again = JsonLines(tmp_path / "metrics.jsonl", 1)
    again.log(1, {"loss": 1.25})
    again.close()
    assert read_metrics(tmp_path / "metrics.jsonl") == [{"step": 0, "loss": 1.5}, {"step": 1, "loss": 1.25}]


def test_an_artifact_that_does_not_fit_leaves_nothing(project: Project, file_limit: Callable[[int], None]) -> None:
    file_limit(2000)
    with pytest.raises(DiskError, match=r"larger than allowed\. Nothing of this artifact is left"), \
            project.writing(Manifest(kind="model", name="m", stage="sft")) as directory:
        (directory / "weights").write_bytes(bytes(5000))
    assert project.artifacts() == [] and list(project.root.rglob("*draft*")) == []


@pytest.mark.parametrize(("error", "number"), [
    (OSError(errno.ENOSPC, "No space left on device"), errno.ENOSPC),
    (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), errno.ENOSPC),
    (ValueError("row 28 is empty"), None), (None, None),
])
def test_the_systems_number_is_found(error: Exception | None, number: int | None) -> None:
    assert disk.error_number(error) == number


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    for error in (KeyError("x"), OSError(errno.ENOENT, "gone"), DataError("row 3")):
        with pytest.raises(type(error)), disk.writing(tmp_path, "all stands"):
            raise error


def test_a_full_disk_says_how_much_is_free(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"the disk is full, [\d,]+ MB free. All stands. Mend that"), \
            disk.writing(tmp_path / "not" / "yet", "all stands"):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
def test_a_project_without_rights_refuses_before_anything_is_begun(tmp_path: Path) -> None:
    project = Project.init(tmp_path / "project")
    os.chmod(project.root, 0o555)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setuid(65534)
            with project.lock():
                os._exit(1)
        except DiskError as error:
            os.write(write, str(error).encode())
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert "no right to write there. Nothing was begun" in os.read(read, 1000).decode()
