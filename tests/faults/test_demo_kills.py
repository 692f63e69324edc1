"""`kill -9` in each stage of the demo, then the same command again: the weights are those of an undisturbed run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tutelage.lineage import MANIFEST

# The command line with a checkpoint after every step, so that a kill leaves something to go on from.
CHILD = """
import sys
import tutelage.runs.steps as steps
steps.CHECKPOINT_INTERVAL_S = 0.0
from tutelage.cli import main
sys.exit(main(sys.argv[1:]))
"""
STAGES = ("sft", "sample", "reward", "rl", "evaluate")


def start(project: Path, cache: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "TUTELAGE_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", CHILD, "demo", "--tiny", "--project", str(project)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)


def finish(project: Path, cache: Path) -> None:
    child = start(project, cache)
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors.decode()[-2000:]


def weights(project: Path) -> dict[str, dict[str, str]]:
    """artifact -> the hashes of its files, as its manifest says."""
    found = {}
    for kind in ("model", "reward", "samples"):
        for path in sorted((project / "artifacts" / kind).glob("*/v*")):
            found[path.relative_to(project).as_posix()] = json.loads((path / MANIFEST).read_text())["files"]
    return found


def kill_in(stage: str, project: Path, cache: Path) -> bool:
    """Whether a child was killed while `stage` was being run: after its first checkpoint, where it has one."""
    child = start(project, cache)
    while child.poll() is None:
        runs = list((project / "runs").glob(f"{stage}-*"))
        begun = any(list(run.glob("checkpoints/step-*")) or (stage == "evaluate" and (run / "run.json").exists()) for run in runs)
        if begun:
            child.send_signal(signal.SIGKILL)
            child.communicate()
            return child.returncode == -signal.SIGKILL
        time.sleep(0.002)
    child.communicate()
    return False


@pytest.mark.faults
def test_a_kill_in_every_stage_of_the_demo_changes_no_weight(tmp_path: Path) -> None:
    cache, undisturbed, disturbed = tmp_path / "cache", tmp_path / "undisturbed", tmp_path / "disturbed"
    finish(undisturbed, cache)
    killed = [stage for stage in STAGES if kill_in(stage, disturbed, cache)]
    finish(disturbed, cache)
    assert killed == list(STAGES)
    assert weights(disturbed) == weights(undisturbed)
    assert not list((disturbed / "artifacts").glob("*/*/.draft*"))
