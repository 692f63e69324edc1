"""Rows nobody meant to write."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

WRAPS = (5, 300, 1200)       # lists around a value, the last more than Python's parser follows


def mutated(row: dict[str, Any], random_: random.Random, junk: Sequence[Any], wraps: Sequence[int] = ()) -> Any:
    """The row with one value somewhere inside replaced by one of `junk`, removed, or put into as many lists as one of `wraps`."""
    row = json.loads(json.dumps(row))
    at: Any = row
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return row
        key = random_.choice(keys)
        if isinstance(at[key], dict | list) and at[key] and random_.random() < 0.6:
            at = at[key]
            continue
        choice = random_.random()
        if choice < 0.2:
            del at[key]
        elif wraps and choice < 0.25:
            for _ in range(random_.choice(wraps)):
                at[key] = [at[key]]
        else:
            at[key] = random_.choice(junk)
        return row
