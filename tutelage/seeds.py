"""One seed tree: every stream of random numbers is named, and none depends on another having been drawn first."""

from __future__ import annotations

import hashlib


def stream_seed(seed: int, *path: str | int) -> int:
    """A 63-bit seed for the stream that `path` names below `seed`: the same on every machine, in any order of asking."""
    text = "/".join(str(part) for part in (seed, *path))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
