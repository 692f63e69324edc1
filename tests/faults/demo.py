"""Run the tiny demo as the command line does, in a process that a signal ends: `runpy` starts it with the names below set.

The signal comes after STOPS_AFTER_S seconds of the process's own processor time (0: never), so that a busy machine moves
none past the end. SIGKILL takes the process wherever it is; the others arrive as they would from outside.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from tutelage import route
from tutelage.cli import main
from tutelage.runs import steps

GIVEN = globals()
PROJECT: str = GIVEN["PROJECT"]
CACHE: str = GIVEN["CACHE"]
SIGNAL: int = GIVEN["SIGNAL"]
STOPS_AFTER_S: float = GIVEN["STOPS_AFTER_S"]
SMALL: bool = GIVEN["SMALL"]

_tiny = route.tiny


def small(journey: route.Journey) -> route.Journey:
    """The tiny demo with a fifth of its work, for `make test`."""
    less = _tiny(journey)
    return replace(less, sft=replace(less.sft, batch_tokens=16384, micro_tokens=16384), sample=replace(less.sample, limit=4),
                   rl=replace(less.rl, steps=2, prompts_per_step=2), evaluate=replace(less.evaluate, limit=3, instructions=""))


if __name__ == "__main__":
    os.environ["TUTELAGE_CACHE"] = CACHE
    sys.stdout = open(os.devnull, "w")                       # noqa: SIM115 until the process ends
    sys.stderr = open(Path(CACHE) / "said", "w")             # noqa: SIM115
    steps.CHECKPOINT_INTERVAL_S = 0.0
    if SMALL:
        route.tiny = small
    signal.signal(signal.SIGINT, signal.default_int_handler)      # a test run in the background may have it ignored
    signal.signal(signal.SIGPROF, lambda *_: os.kill(os.getpid(), SIGNAL))
    began = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, STOPS_AFTER_S)
    code = main(["demo", "--tiny", "--project", PROJECT])
    signal.setitimer(signal.ITIMER_PROF, 0)
    sys.stderr.flush()
    if code == 0:
        (Path(CACHE) / "took_s").write_text(str(time.process_time() - began))
    os._exit(code)
