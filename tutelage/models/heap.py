"""Where threads of this process take memory from."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8      # malloc.h


def share_one_heap() -> None:
    """Let all threads of this process take memory from one heap: glibc else gives each a heap of its own, which keeps
    what was freed in it (docs/LOG.md)."""
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    except (OSError, AttributeError):      # another libc
        return
