"""From answers, some of which are failures, to scores: a failure never becomes a number."""

from __future__ import annotations

import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tutelage.errors import RewardError
from tutelage.records import Sample, Scores
from tutelage.runs.signals import stop_if_asked
from tutelage.scoring import OnError

Item = TypeVar("Item")
Answer = TypeVar("Answer")
LOOK_S = 0.25      # how often a wait looks whether a signal came


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no score, as what follows a reward's name: "returned nan"."""

    reason: str
    remedy: str = ""
    error: BaseException | None = None      # what somebody's code raised


NOT_ASKED = Failed("was not asked")         # because another failure had stopped it all
SKIP_REMEDY = "To leave such samples out of the rollout: --scoring.on-error skip."


def settle(name: str, outcomes: Sequence[float | Failed | None], samples: Sequence[Sample], on_error: OnError) -> Scores:
    """Scores of `samples`; those that have none stop the run, or are skipped where that was declared.

    Raises:
        RewardError: if a sample has no finite score and `on_error` is stop; it is named.
    """
    assert len(outcomes) == len(samples)
    found = [_checked(outcome) for outcome in outcomes]
    failed = {i: outcome for i, outcome in enumerate(found) if isinstance(outcome, Failed) and outcome is not NOT_ASKED}
    if failed and on_error == "stop":
        first, failure = next(iter(failed.items()))
        raise RewardError(f"{name} {failure.reason} for {len(failed)} of {len(samples)} samples (first: {samples[first].id}). "
                          f"Nothing was learned from this step. {failure.remedy}".rstrip()) from failure.error
    return Scores(total=tuple(float("nan") if isinstance(each, Failed) else each for each in found),
                  skipped={i: f"{name} {failure.reason}" for i, failure in failed.items()})


def _checked(outcome: float | Failed | None) -> float | Failed:
    if isinstance(outcome, Failed):
        return outcome
    if outcome is None:
        return Failed("returned nothing", SKIP_REMEDY)
    if outcome != outcome or abs(outcome) == float("inf"):
        return Failed(f"returned {outcome}", "Return a finite number for every sample. " + SKIP_REMEDY)
    return outcome


def in_threads(work: Callable[[Item], Answer], items: Sequence[Item], at_once: int, limit_s: float,
               stop: bool = False) -> list[Answer | Failed]:
    """`work(item)` of each item, in order, at most `at_once` at a time.

    What raised, or took longer than `limit_s` (0: no limit), is `Failed`. Work that is given up goes on in a thread that
    nobody waits for: Python cannot end it.

    Args:
        stop: the first failure is enough; items that were not begun are `NOT_ASKED`.
    Raises:
        RewardError: if more than `at_once` pieces of work hang, so that going on would pile them up.
        Untouched: where a signal asked to stop.
    """
    found: list[Answer | Failed] = [NOT_ASKED] * len(items)
    done: queue.SimpleQueue[tuple[int, Answer | Failed]] = queue.SimpleQueue()
    running: dict[int, tuple[threading.Thread, float]] = {}
    waiting, hanging, failed = list(range(len(items)))[::-1], 0, False

    while running or (waiting and not (stop and failed)):
        while waiting and len(running) < at_once and not (stop and failed):
            i = waiting.pop()
            thread = threading.Thread(target=_run, args=(work, items[i], i, done), daemon=True)
            running[i] = thread, time.monotonic()
            thread.start()
        for i, outcome in _answers(done):
            if running.pop(i, None) is not None:
                found[i] = outcome
                failed |= isinstance(outcome, Failed)
        for i in [i for i, (_, began) in running.items() if limit_s and time.monotonic() - began > limit_s]:
            found[i] = Failed(f"did not answer in {limit_s:g} s{_stands(running.pop(i)[0])}",
                              "Give it more time with --scoring.timeout-s, or mend it.")
            failed, hanging = True, hanging + 1
        if hanging > at_once:
            raise RewardError(f"{hanging} calls did not answer in {limit_s:g} s each, and hang still. Mend what is asked, or "
                              "give it more time with --scoring.timeout-s.")
        if running:
            stop_if_asked()
    return found


def _run(work: Callable[[Item], Answer], item: Item, i: int, done: queue.SimpleQueue[tuple[int, Answer | Failed]]) -> None:
    try:
        done.put((i, work(item)))
    except BaseException as error:      # somebody else's code: whatever it raises, its author is told
        done.put((i, Failed(f"raised {type(error).__name__}: {error}", error=error)))


def _answers(done: queue.SimpleQueue[tuple[int, Answer | Failed]]) -> list[tuple[int, Answer | Failed]]:
    """What has come in; waits a moment for the first."""
    found = []
    try:
        found.append(done.get(timeout=LOOK_S))
        while True:
            found.append(done.get_nowait())
    except queue.Empty:
        return found


def _stands(thread: threading.Thread) -> str:
    """Where a thread is at work, as the end of a sentence."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return ""
    own = [each for each in traceback.extract_stack(frame) if each.filename not in (__file__, threading.__file__)]
    return f" (it is at line {own[-1].lineno} of {own[-1].filename.rpartition('/')[2]})" if own else ""
