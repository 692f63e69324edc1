"""Settings of how samples are scored, shared by whoever gives rewards and whoever learns from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tutelage.errors import ConfigError

OnError = Literal["stop", "skip"]
SPREAD = "spread"        # part of an ensemble's `Scores`: the standard deviation over its members
MEMBER = "member "       # what the parts of its members begin with


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How rewards are asked, and what happens to a sample that has none."""

    on_error: OnError = "stop"     # a sample without a finite score: stop before anything is learned, or leave it out (skip)
    timeout_s: float = 60.0        # seconds a sample that an endpoint or a Python function may take; 0 waits forever
    retries: int = 3               # tries after the first, of an endpoint that is busy or out of reach
    at_once: int = 4               # requests, calls or programs in flight
    batch: int = 16                # samples in one request to an endpoint
    allow_code: bool = False       # rule:tests may run the programs that a policy writes, in a sandbox (docs/rewards.md)
    code_s: float = 5.0            # seconds of processor time that such a program may take; 4 times as many on the clock
    code_memory_mb: int = 512      # memory it may take, each of its processes

    def __post_init__(self) -> None:
        if self.timeout_s < 0 or self.retries < 0 or min(self.at_once, self.batch) < 1:
            raise ConfigError("scoring: timeout_s and retries must be >= 0, at_once and batch >= 1.")
        if self.code_s <= 0 or self.code_memory_mb < 64:
            raise ConfigError("scoring: code_s must be > 0 and code_memory_mb >= 64.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What a policy must not cost on average, held by Lagrange multipliers (Safe-RLHF, arXiv:2310.12773)."""

    cost: tuple[str, ...] = ()       # names as of rewards, where more is worse; empty: no constraint
    limit: tuple[float, ...] = ()    # the mean of each that is allowed, in its own units
    multiplier: float = 1.0          # each multiplier's first value: what one unit of cost is worth in reward
    rate: float = 0.1                # a multiplier's step, in log units: exp(rate x multiplier x (mean cost - limit))
    largest: float = 100.0           # no multiplier grows beyond it

    def __post_init__(self) -> None:
        if len(self.cost) != len(self.limit):
            raise ConfigError(f"constraints: {len(self.cost)} costs and {len(self.limit)} limits; wanted one limit a cost.")
        if len(set(self.cost)) != len(self.cost):
            raise ConfigError(f"constraints.cost names one twice: {', '.join(self.cost)}.")
        if min(self.multiplier, self.rate) <= 0 or self.largest < self.multiplier:
            raise ConfigError("constraints: multiplier and rate must be > 0, and largest at least the multiplier.")
