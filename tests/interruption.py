"""A function that is interrupted in the middle of a run, once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class InterruptedOnce:
    """`function`, but for its call after `after` others, which raises InterruptedError; calls that did something are counted."""

    def __init__(self, function: Callable[..., Any], after: int) -> None:
        self.function, self.after, self.calls = function, after, 0

    def __call__(self, *arguments: Any) -> Any:
        if self.calls == self.after:
            self.after = -1
            raise InterruptedError
        self.calls += 1
        return self.function(*arguments)
