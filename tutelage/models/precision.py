"""Which arithmetic is fast here, measured once (D3)."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from tutelage.errors import ConfigError


def dtype_of(precision: str) -> torch.dtype:
    try:
        return {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    except KeyError:
        raise ConfigError(f"precision {precision!r}; wanted auto, bf16 or fp32.") from None


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Matrix-product rate measured here, in TFLOP/s, at the shape of a small model's layer."""

    bf16: float
    fp32: float


def measure_ceiling(seconds: float = 0.3) -> Ceiling:
    """Time (1024, 576) x (576, 1536) products in both precisions."""
    return Ceiling(*(_rate(dtype, seconds) for dtype in (torch.bfloat16, torch.float32)))


def _rate(dtype: torch.dtype, seconds: float) -> float:
    """The fastest product of those that fit in `seconds`: whoever else uses the processor only ever makes one slower."""
    a, b = torch.ones(1024, 576, dtype=dtype), torch.ones(1536, 576, dtype=dtype)
    torch.nn.functional.linear(a, b)
    fastest, end = float("inf"), time.perf_counter() + seconds
    while (start := time.perf_counter()) < end or fastest == float("inf"):
        torch.nn.functional.linear(a, b)
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * 1024 * 576 * 1536 / fastest / 1e12


def choose_precision(wanted: str, cache: Path) -> str:
    """`wanted`, or for "auto" the faster arithmetic of this processor: bf16 where it was measured faster.

    The measurement is kept in `cache`, so that a machine answers the same at every start.
    """
    if wanted != "auto":
        dtype_of(wanted)
        return wanted
    measured = known_ceiling(cache)
    return "bf16" if measured.bf16 > 1.2 * measured.fp32 else "fp32"


def known_ceiling(cache: Path) -> Ceiling:
    """What was measured here once, and is kept in `cache`."""
    name = f"precision-{torch.__version__}-{torch.backends.cpu.get_cpu_capability()}-{torch.get_num_threads()}.json"
    path = cache / name.replace(" ", "_")
    try:
        measured = json.loads(path.read_text())
        return Ceiling(bf16=float(measured["bf16"]), fp32=float(measured["fp32"]))
    except (OSError, ValueError, KeyError, TypeError):      # not measured yet, or a file that somebody damaged
        ceiling = measure_ceiling()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({"bf16": ceiling.bf16, "fp32": ceiling.fp32}))
    os.replace(draft, path)
    return ceiling
