"""How this process takes memory from the system."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8      # malloc.h


def share_one_heap() -> None:
    """Let all threads take memory from one heap. glibc else gives each its own, which keeps what was freed in it, so two
    lanes peak higher than their tensors do (docs/LOG.md). To be called before a second thread first takes memory.
    """
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    except (OSError, AttributeError):      # another libc
        return
