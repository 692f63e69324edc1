"""How fast a run is, step by step and as a whole: `speed.jsonl`, one line a step beside `metrics.jsonl`.

They are two files because a run that went on after a kill has the same metrics to the bit, and other times.

    speed/tokens_per_s     tokens through forward and backward, a second of learning
    speed/ceiling_share    products that the learning needs (`models.flops`), as a share of what the processor was measured to do
    speed/sampled_tokens_per_s     in RL, tokens of responses, a second of sampling
    time/NAME_s            seconds of a phase: data, forward, backward, optimizer, other; in RL sampling, scoring, rollout
    time/step_s            all of them together
    memory/resident_gb, memory/peak_gb     of the process: after the step, and the most it ever had
    work/tokens, work/tflop                what the first two are made of

Learning is what is left of a step without the phases that prepare it (sampling, scoring, rollout, reference) or keep it
(checkpoint). The time of a checkpoint stands in the line of the step after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.runs.meter import OTHER, Lap
from tutelage.runs.metrics import read_metrics
from tutelage.runs.plan import peak_bytes, resident_bytes

FILE = "speed.jsonl"
LEARNING = ("data", "forward", "backward", "optimizer", OTHER)


def describe(lap: Lap, ceiling: float | None) -> dict[str, float]:
    """A step's line. `ceiling` is in TFLOP/s; None where nobody measured it."""
    learning = sum(lap.seconds.get(name, 0.0) for name in LEARNING)
    tokens, tflop = lap.counts.get("tokens", 0.0), lap.counts.get("flops", 0.0) / 1e12
    sampled, sampling = lap.counts.get("sampled", 0.0), lap.seconds.get("sampling", 0.0)
    return {**_rates(tokens, tflop, learning, ceiling),
            **({"speed/sampled_tokens_per_s": sampled / sampling} if sampled and sampling > 0 else {}),
            "time/step_s": sum(lap.seconds.values()),
            **{f"time/{name}_s": seconds for name, seconds in lap.seconds.items()},
            "memory/resident_gb": resident_bytes() / 1e9, "memory/peak_gb": peak_bytes() / 1e9,
            **({"work/tokens": tokens, "work/tflop": tflop} if tokens else {})}


def _rates(tokens: float, tflop: float, learning: float, ceiling: float | None) -> dict[str, float]:
    if not tokens or learning <= 0:
        return {}
    return {"speed/tokens_per_s": tokens / learning, **({"speed/ceiling_share": tflop / learning / ceiling} if ceiling else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A whole run, from its lines."""

    tokens_per_s: float | None          # None where nothing was learned
    ceiling_share: float | None         # None where no ceiling was measured, too
    shares: Mapping[str, float]         # phase -> its share of all seconds, the largest first
    seconds: float
    peak_gb: float
    planned_gb: float | None            # what the plan said before the first step

    def sentence(self) -> str:
        """For a person: speed, where the time went, memory against the plan."""
        speed = [] if self.tokens_per_s is None else [f"{self.tokens_per_s:,.0f} tokens/s"]
        if self.ceiling_share is not None:
            speed.append(f"{self.ceiling_share:.1%} of the matrix-product ceiling")
        shares = ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items())
        planned = f", {self.planned_gb:.1f} GB planned" if self.planned_gb is not None else ""
        return "; ".join([*([", ".join(speed)] if speed else []), f"time: {shares}",
                          f"peak memory {self.peak_gb:.1f} GB{planned}"])


def summarize(lines: Sequence[Mapping[str, float]], record: Mapping[str, object]) -> Summary | None:
    """What `lines` come to together; None where there is none. `record` is the run's, for its ceiling and its plan."""
    if not lines:
        return None
    seconds: dict[str, float] = {}
    for line in lines:
        for name, value in line.items():
            if name.startswith("time/") and name != "time/step_s":
                phase = name.removeprefix("time/").removesuffix("_s")
                seconds[phase] = seconds.get(phase, 0.0) + value
    total = sum(seconds.values())
    tokens, tflop = (sum(line.get(name, 0.0) for line in lines) for name in ("work/tokens", "work/tflop"))
    learning = sum(seconds.get(name, 0.0) for name in LEARNING)
    ceiling, plan = record.get("ceiling_tflops"), record.get("plan")
    rates = _rates(tokens, tflop, learning, ceiling if isinstance(ceiling, float) else None)
    ordered = sorted(seconds.items(), key=lambda each: -each[1])
    return Summary(tokens_per_s=rates.get("speed/tokens_per_s"), ceiling_share=rates.get("speed/ceiling_share"),
                   shares={name: value / total for name, value in ordered} if total > 0 else {}, seconds=total,
                   peak_gb=max(line["memory/peak_gb"] for line in lines),
                   planned_gb=plan["peak_memory_bytes"] / 1e9 if isinstance(plan, Mapping) else None)


def read_speed(run: Path) -> list[dict[str, float]]:
    """The lines of the run in directory `run`, in order; none where an older version made it."""
    return read_metrics(run / FILE)
