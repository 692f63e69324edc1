"""A lock that is given in the order in which it was asked for.

Python's own goes to whoever happens to run: among fifty busy threads one was seen to wait for two minutes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    def __init__(self) -> None:
        self._books = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._is_taken = False

    @contextmanager
    def mine(self, timeout_s: float) -> Iterator[None]:
        """Hold it. Raises TimeoutError if that takes longer than `timeout_s` to get."""
        self._take(timeout_s)
        try:
            yield
        finally:
            self._give()

    def _take(self, timeout_s: float) -> None:
        turn = threading.Event()
        with self._books:
            if not self._is_taken:
                self._is_taken = True
                return
            self._waiting.append(turn)
        came = False
        try:
            came = turn.wait(timeout_s)
        finally:                                # also when somebody interrupts the waiting
            if not came:
                self._leave(turn)
        if not came:
            raise TimeoutError

    def _leave(self, turn: threading.Event) -> None:
        with self._books:
            if not turn.is_set():
                self._waiting.remove(turn)
                return
        self._give()                            # it came at the last moment: pass it on

    def _give(self) -> None:
        with self._books:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False
