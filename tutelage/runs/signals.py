"""Stop when asked: SIGTERM and SIGINT end a command where its state is whole, with one line and exit code 128 + number.

Outside `finishing` a signal raises `Interrupted` at once. Inside, the first one only asks: the step that is being made
is finished and kept, then the run stops; a second one does not wait.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to stop. Like its base it is no `Exception`: only who means it catches it."""

    def __init__(self, number: int, where: str = "") -> None:
        self.number = number
        self.exit_code = 128 + number
        kept = where or "what was complete is kept"
        super().__init__(f"stopped by {signal.Signals(number).name}: {kept}. The same command goes on from there.")


class Untouched(Interrupted):
    """Raised by a step that has changed nothing yet, so that the state before it may be kept."""


class _State:
    asked: int | None = None      # the signal that came while a step was being finished
    finishing = 0                 # how many blocks wait for their step


_state = _State()


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside it SIGTERM and SIGINT raise `Interrupted`, or ask (see `finishing`). A signal the process was started to
    ignore (`nohup`, a shell's background job) stays ignored; only the main thread can do this, others change nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in SIGNALS:
        if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None, _on_signal):
            before[number] = handler
            signal.signal(number, _on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _on_signal(number: int, frame: FrameType | None) -> None:
    if not _state.finishing or _state.asked is not None:
        raise Interrupted(number)
    _state.asked = number
    # not print: the signal may have come in the middle of one, and the stream would refuse
    os.write(2, f"{signal.Signals(number).name}: finishing this step, then stopping; once more stops at once.\n".encode())


@contextmanager
def finishing() -> Iterator[None]:
    """Inside it a signal is remembered: `asked` tells of it, and whoever makes steps stops at the next whole state."""
    with interruptible():
        _state.finishing += 1
        try:
            yield
        finally:
            _state.finishing -= 1
            if not _state.finishing:
                _state.asked = None


def asked() -> int | None:
    """The signal that asked to stop, while a step is being finished."""
    return _state.asked


def stop_if_asked() -> None:
    """For work inside a step that may be abandoned because nothing was changed yet, such as drawing samples.

    Raises:
        Untouched: if a signal asked.
    """
    if _state.asked is not None:
        raise Untouched(_state.asked)
