"""What does not fit is refused before it begins, with numbers and a remedy; `--plan` only says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import PlanError
from tutelage.runs import plan as plans
from tutelage.runs.directory import Run
from tutelage.runs.plan import Plan, Planned, announce, available_bytes, mode, peak_bytes

GB = 10**9


def plan(**changes: Any) -> Plan:
    return Plan(**{"stage": "sft", "memory": {"weights": GB, "activations": 2 * GB}, "disk": {"checkpoints": 5 * GB}, "held": GB,
                   "remedy": "Lower micro_tokens.", **changes})


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets what the machine has."""
    def build(memory: float, disk: float = 100 * GB) -> None:
        monkeypatch.setattr(plans, "available_bytes", lambda: int(memory))
        monkeypatch.setattr(plans, "free_bytes", lambda path: int(disk))
    return build


def test_what_fits_is_said_and_kept_with_the_run(begun: Callable[..., Run], there: Any, capsys: Any) -> None:
    there(2.2 * GB)      # of the 3 GB at the peak 1 is held already
    run = begun()
    announce(plan(seconds=200.0), run)
    assert capsys.readouterr().out == ("sft: needs about 3.0 GB of memory at its peak (1.0 GB are in use by it, 2.2 GB more are "
                                       "available), 5.0 GB of disk (100.0 GB are free), about 3 min 20 s\n")
    assert '"peak_memory_bytes": 3000000000' in (run.path / "run.json").read_text()


@pytest.mark.parametrize(("memory", "disk", "said"), [
    (2.0 * GB, 100 * GB, r"sft needs about 2\.0 GB of memory more than it has now, and 2\.0 GB are available: "
                         r"activations 2\.0 GB, weights 1\.0 GB\. Lower micro_tokens\. To start whatever happens: --anyway"),
    (9 * GB, 4 * GB, r"needs 5\.0 GB of disk and 4\.0 GB are free: checkpoints 5\.0 GB\. Free some"),
])
def test_what_does_not_fit_is_refused_and_nothing_is_left(memory: float, disk: float, said: str, begun: Callable[..., Run],
                                                          there: Any, capsys: Any) -> None:
    there(memory, disk)
    run = begun()
    with pytest.raises(PlanError, match=said):
        announce(plan(), run)
    assert not run.path.exists()
    again = begun()
    with mode("anyway"):
        announce(plan(), again)
    assert again.path.exists() and "warning: sft needs" in capsys.readouterr().err


@pytest.mark.parametrize("memory", [GB / 10, 100 * GB])
def test_only_a_plan_makes_nothing_whether_it_fits_or_not(memory: float, begun: Callable[..., Run], there: Any) -> None:
    there(memory)
    run = begun()
    with mode("only"), pytest.raises(Planned) as made:
        announce(plan(), run)
    assert made.value.plan.peak == 3 * GB and not run.path.exists()


def test_a_refusal_does_not_take_the_state_of_a_run_that_goes_on(begun: Callable[..., Run], there: Any) -> None:
    there(0)
    run = begun()
    (run.checkpoints / "step-00000003").mkdir(parents=True)
    with pytest.raises(PlanError):
        announce(plan(), run)
    assert (run.checkpoints / "step-00000003").exists() and (run.path / "run.json").exists()


def group(directory: Path, names: tuple[str, str], limit: str, usage: int, cached: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / names[0]).write_text(f"{limit}\n")
    (directory / names[1]).write_text(f"{usage}\n")
    (directory / "memory.stat").write_text(f"anon 5\n{cached}\n")


V2, V1 = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")


def test_a_control_group_limits_what_is_available(tmp_path: Path) -> None:
    proc, root = tmp_path / "cgroup", tmp_path / "fs"
    proc.write_text("0::/user/job\n")
    group(root / "user/job", V2, "max", 300, "inactive_file 0")
    free = available_bytes(proc, root)
    group(root / "user", V2, "1000000", 400_000, "inactive_file 50000")      # the limit stands above our own group
    assert available_bytes(proc, root) == 650_000 < free
    group(root / "user/job", V2, "100000", 200_000, "inactive_file 0")
    assert available_bytes(proc, root) == 0                                    # never below nothing


def test_so_does_one_of_the_older_kind(tmp_path: Path) -> None:
    proc, root = tmp_path / "cgroup", tmp_path / "fs"
    proc.write_text("9:cpu:/other\n4:memory:/job\n0::/\n")
    group(root / "memory/job", V1, "2000000", 500_000, "total_inactive_file 100000")
    assert available_bytes(proc, root) == 1_600_000
    proc.write_text("4:memory:/gone\n")
    assert available_bytes(proc, root) > 2_000_000      # what cannot be read limits nothing


def test_the_peak_is_what_the_system_says(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("VmPeak:\t 9 kB\nVmHWM:\t  2048 kB\n")
    assert peak_bytes(status) == 2**21
    assert peak_bytes(tmp_path / "none") > 10**7
