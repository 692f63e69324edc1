"""What a run will need, said before its first step: memory at its peak, disk, time. What does not fit is refused here, with
the numbers and what to lower, not by the kernel in the middle of the night.

A stage makes a `Plan` and gives it to `announce`. `--plan` stops there; `--anyway` goes on whatever the plan says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tutelage.console import console, duration
from tutelage.disk import free_bytes
from tutelage.errors import PlanError
from tutelage.runs.directory import Run

BEFORE = "what the process had more before"      # a part of a plan whose peak is already past
MARGIN = 0.05      # of the memory that is available stays free: the prediction is within 15 %, and others live here too
Mode = Literal["state", "only", "anyway"]
_mode: ContextVar[Mode] = ContextVar("plan", default="state")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a stage will need; bytes and seconds."""

    stage: str
    memory: Mapping[str, int]                  # what is resident at the peak, by part; together the peak
    disk: Mapping[str, int]                    # what is written at most at one time, by part
    remedy: str                                # what to lower where memory does not suffice, with numbers where known
    seconds: float | None = None               # None where nothing was measured yet
    held: int = field(default_factory=lambda: resident_bytes())      # of the peak, resident already

    @property
    def peak(self) -> int:
        return sum(self.memory.values())

    def to_json(self) -> dict[str, Any]:
        return {"stage": self.stage, "peak_memory_bytes": self.peak, "memory": dict(self.memory),
                "disk_bytes": sum(self.disk.values()), "disk": dict(self.disk), "seconds": self.seconds}


class Planned(Exception):
    """`--plan` was asked for, and this is the plan: the stage stops before it makes anything."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(f"the plan of {plan.stage} was made")


@contextmanager
def mode(chosen: Mode) -> Iterator[None]:
    """Inside it `announce` states and goes on ("state"), stops ("only"), or goes on over a refusal ("anyway")."""
    token = _mode.set(chosen)
    try:
        yield
    finally:
        _mode.reset(token)


def only_planning() -> bool:
    return _mode.get() == "only"


def announce(plan: Plan, run: Run) -> None:
    """Say what `run` needs.

    Raises:
        PlanError: if it needs more than there is, unless `--anyway`; nothing was begun then.
        Planned: under `--plan`.
    """
    memory, disk = available_bytes(), free_bytes(run.path)
    run.note(plan=plan.to_json())
    console.print(f"{plan.stage}: {_sentence(plan, memory, disk)}")
    trouble = _trouble(plan, memory, disk)
    if only_planning():
        run.forget()
        console.table("", ["at the peak", "MB"], [[name, f"{size / 1e6:,.0f}"] for name, size in plan.memory.items()])
        if trouble:
            console.warn(trouble)
        raise Planned(plan)
    if trouble and _mode.get() == "anyway":
        console.warn(trouble)
    elif trouble:
        run.forget()
        raise PlanError(trouble)


def fits(plan: Plan, run: Run) -> bool:
    return not _trouble(plan, available_bytes(), free_bytes(run.path))


def _sentence(plan: Plan, memory: int, disk: int) -> str:
    parts = [f"needs about {_gb(plan.peak)} of memory at its peak ({_gb(plan.held)} are in use by it, {_gb(memory)} more are "
             f"available)", f"{_gb(sum(plan.disk.values()))} of disk ({_gb(disk)} are free)"]
    if plan.seconds is not None:
        parts.append(f"about {duration(plan.seconds)}")
    return ", ".join(parts)


def _trouble(plan: Plan, memory: int, disk: int) -> str:
    """Why the plan does not fit; "" where it does."""
    more = plan.peak - plan.held
    if more > memory * (1 - MARGIN):
        parts = ", ".join(f"{name} {_gb(size)}" for name, size in sorted(plan.memory.items(), key=lambda each: -each[1])[:4])
        return (f"{plan.stage} needs about {_gb(more)} of memory more than it has now, and {_gb(memory)} are available: {parts}. "
                f"{plan.remedy} To start whatever happens: --anyway.")
    if sum(plan.disk.values()) > disk:
        parts = ", ".join(f"{name} {_gb(size)}" for name, size in plan.disk.items())
        return (f"{plan.stage} needs {_gb(sum(plan.disk.values()))} of disk and {_gb(disk)} are free: {parts}. Free some, or use "
                "another --project. To start whatever happens: --anyway.")
    return ""


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"


# ---- what there is --------------------------------------------------------------------------------------------------

def resident_bytes() -> int:
    """Of this process, now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_bytes(status: Path = Path("/proc/self/status")) -> int:
    """The most this process ever had resident (VmHWM); what it has now where the system does not tell."""
    try:
        line = next(each for each in status.read_text().splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return resident_bytes()


def available_bytes(proc: Path = Path("/proc/self/cgroup"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """What this process may still take: the machine's available memory, or less where a control group limits it."""
    import psutil

    return max(0, min([int(psutil.virtual_memory().available), *_group_limits(proc, cgroups)]))


def _group_limits(proc: Path, cgroups: Path) -> list[int]:
    """Bytes left in the control groups this process is in, and in those above them; both versions of the interface."""
    try:
        lines = [line.split(":", 2) for line in proc.read_text().splitlines()]
    except OSError:
        return []
    left = []
    for _, controllers, group in lines:
        version_1 = "memory" in controllers.split(",")
        if not version_1 and controllers:
            continue
        home = cgroups / "memory" if version_1 else cgroups
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if version_1 else ("memory.max", "memory.current")
        path = home / group.lstrip("/")
        for directory in (path, *path.parents):
            left += _left(directory, *names)
            if directory == home:
                break
    return left


def _left(directory: Path, limit_name: str, usage_name: str) -> list[int]:
    try:
        limit, usage = ((directory / name).read_text().strip() for name in (limit_name, usage_name))
        stat = dict(line.split() for line in (directory / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return []
    if not limit.isdigit():      # "max"
        return []
    cached = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))      # the kernel gives it back when asked
    return [int(limit) - int(usage) + cached]
