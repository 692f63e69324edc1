"""What a run writes down of each step: metrics, speed, and both as TensorBoard events where asked."""

from __future__ import annotations

from collections.abc import Mapping

from tutelage.console import console
from tutelage.protocols import Tracker
from tutelage.runs import tensorboard
from tutelage.runs.directory import Run, read_record
from tutelage.runs.meter import Lap
from tutelage.runs.metrics import JsonLines
from tutelage.runs.speed import FILE, describe, read_speed, summarize


class Recorder:
    """The trackers of one run, from `first_step` on."""

    def __init__(self, run: Run, first_step: int) -> None:
        self.run = run
        self.ceiling = read_record(run.path).get("ceiling_tflops")
        self._metrics: list[Tracker] = [JsonLines(run.metrics, first_step)]
        self._speed: list[Tracker] = [JsonLines(run.path / FILE, first_step)]
        if tensorboard.wanted(run.path):
            events = tensorboard.TensorBoard(run.path, first_step)
            self._metrics.append(events)
            self._speed.append(events)

    def log(self, step: int, metrics: Mapping[str, float], lap: Lap) -> dict[str, float]:
        """Write a step down; what the progress says of its speed."""
        speed = describe(lap, self.ceiling)
        for trackers, values in ((self._metrics, metrics), (self._speed, speed)):
            for tracker in trackers:
                tracker.log(step, values)
        return {"tokens/s": speed["speed/tokens_per_s"]} if "speed/tokens_per_s" in speed else {}

    def close(self) -> None:
        for tracker in dict.fromkeys((*self._metrics, *self._speed)):
            tracker.close()

    def tell(self, label: str) -> None:
        """One line for a person, about the whole run, where it learned anything."""
        summary = summarize(read_speed(self.run.path), read_record(self.run.path))
        if summary is not None and summary.tokens_per_s is not None:
            console.print(f"{label}: {summary.sentence()}")
