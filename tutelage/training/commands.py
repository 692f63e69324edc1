"""`tutelage doctor`: what this machine can do."""

from __future__ import annotations

import argparse
from typing import Any

import psutil
import torch

from tutelage.console import console
from tutelage.models.builtin import BUILTIN, cache_dir, cached
from tutelage.models.circumstances import circumstances
from tutelage.models.precision import choose_precision, measure_ceiling
from tutelage.options import Options


def doctor(arguments: list[str], options: Options) -> dict[str, Any]:
    """Precision, threads, memory, matrix-product ceiling, models at hand."""
    argparse.ArgumentParser(prog="tutelage doctor", description="What this machine can do.").parse_args(arguments)
    ceiling = measure_ceiling(1.0)
    found = {
        **circumstances(choose_precision("auto", cache_dir())),
        "bf16_tflops": round(ceiling.bf16, 3), "fp32_tflops": round(ceiling.fp32, 3),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "memory_free_gb": round(psutil.virtual_memory().available / 1e9, 1),
        "cuda": torch.cuda.is_available(), "cache": str(cache_dir()),
        "models": [name for name in BUILTIN if cached(name) is not None],
    }
    console.table("This machine", ["what", "found"], [[name, str(value)] for name, value in found.items()])
    return found
