"""What numbers depend on besides code, data and seeds; a run goes on only under those it began with (D10)."""

from __future__ import annotations

import ctypes
import gc

import torch

from tutelage.errors import ResumeError
from tutelage.lineage import Manifest, code_version, environment
from tutelage.models.builtin import cache_dir
from tutelage.models.precision import choose_precision, known_ceiling
from tutelage.project import Project
from tutelage.runs.directory import Run, begin, recorded, run_path


def begin_run(project: Project, manifest: Manifest, precision: str, allow_drift: bool = False) -> Run:
    """Begin or go on with the run for `manifest`.

    A new run measures and chooses; one that was interrupted takes precision and thread count from its record, never
    measuring again, and is refused where the processor or a library is another one.
    """
    give_memory_back()
    before = recorded(project, manifest)
    if before is not None:
        try:
            torch.set_num_threads(int(before["threads"]))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            path = run_path(project, manifest)
            raise ResumeError(f"the run {path.name} is recorded with {before.get('threads')} threads, which cannot be set here "
                              f"({error}). Remove {path} to begin anew.") from None
        precision = str(before.get("precision"))
    run = begin(project, manifest, circumstances(choose_precision(precision, cache_dir())), allow_drift)
    if before is None:
        run.note(ceiling_tflops=getattr(known_ceiling(cache_dir()), str(run.circumstances["precision"])))
    return run


def circumstances(precision: str) -> dict[str, str | int]:
    return {"precision": precision, "threads": torch.get_num_threads(), "device": "cpu",
            "instruction_set": torch.backends.cpu.get_cpu_capability(), "code": code_version(), **environment()}


def give_memory_back() -> None:
    """Return to the system what an earlier stage of this process has freed: glibc keeps it, and the peaks would add up."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):      # another libc
        return
