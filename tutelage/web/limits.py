"""How often somebody may try: a bucket a name, filled at a steady rate. In memory: a restart forgives."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable


class RateLimit:
    """At most `burst` takes at once and `per_minute` in the long run, for each key by itself.

    The least recently seen keys are forgotten beyond `max_keys`, so that inventing keys fills no memory.
    """

    def __init__(self, burst: float, per_minute: float, max_keys: int = 10_000,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.burst, self.per_second, self.max_keys, self.clock = float(burst), per_minute / 60.0, max_keys, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()      # key -> (takes left, when)
        self._lock = threading.Lock()

    def take(self, key: str, cost: float = 1.0) -> float:
        """0.0 where the take is allowed, else the seconds until it would be; a refused take costs nothing."""
        with self._lock:
            now = self.clock()
            left, since = self._left.pop(key, (self.burst, now))
            left = min(self.burst, left + (now - since) * self.per_second)
            wait = max(0.0, (cost - left) / self.per_second)
            self._left[key] = (left - cost if wait == 0.0 else left, now)
            while len(self._left) > self.max_keys:
                self._left.popitem(last=False)
            return wait

    def forgive(self, key: str) -> None:
        """As if the key had never been seen: after a sign-in that worked."""
        with self._lock:
            self._left.pop(key, None)
