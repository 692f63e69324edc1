"""End the demo at random moments by SIGKILL, SIGTERM and SIGINT, ask again: every artifact is the same, to the bit (D10)."""

from __future__ import annotations

import multiprocessing
import random
import runpy
import signal
from pathlib import Path

import pytest

from tutelage.project import Project

DEMO = Path(__file__).with_name("demo.py")
PRELOAD = ["torch", "peft", "transformers", "tutelage.cli", "tutelage.route", "tutelage.reporting.html"]
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}


class Demo:
    """Runs of the demo in projects below one directory, which share a cache."""

    def __init__(self, directory: Path, small: bool) -> None:
        self.directory, self.small = directory, small
        self.cache = directory / "cache"
        self.cache.mkdir()
        assert self.run("undisturbed") == 0, self.said()
        self.wanted = self.made("undisturbed")
        self.took_s = float((self.cache / "took_s").read_text())

    def run(self, project: str, number: int = signal.SIGKILL, after_s: float = 0.0) -> int | None:
        """Exit code of a new process with nothing but libraries in it."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        names = {"PROJECT": str(self.directory / project), "CACHE": str(self.cache), "SIGNAL": int(number),
                 "STOPS_AFTER_S": after_s, "SMALL": self.small}
        process = context.Process(target=runpy.run_path, args=(str(DEMO), names, "__main__"))
        process.start()
        process.join(550)
        return process.exitcode

    def made(self, project: str) -> dict[str, str]:
        """Every artifact and what it is, after making sure that it is so."""
        artifacts = Project(self.directory / project).artifacts()
        assert [each.ref for each in artifacts if each.verify()] == []
        return {each.ref: each.manifest.content_id for each in artifacts}

    def said(self) -> str:
        return (self.cache / "said").read_text()


def disturb(demo: Demo, kinds: list[int], draw: random.Random) -> None:
    """End demos by each of `kinds` in turn, begin a new one where one came to its end, and hold each to the undisturbed."""
    project, left = 0, list(kinds)
    while left:
        name = f"disturbed-{project}"
        while left:
            code = demo.run(name, left[0], draw.uniform(0.0, 0.4) * demo.took_s)
            if code == 0:
                break
            assert code == CODES[signal.Signals(left[0])], demo.said()
            assert code < 0 or "stopped by " in demo.said().splitlines()[-1]
            assert demo.made(name).items() <= demo.wanted.items()       # nothing half-written is ever visible
            left.pop(0)
        assert demo.run(name) == 0, demo.said()
        assert demo.made(name) == demo.wanted
        assert list((demo.directory / name).rglob(".draft*")) == []
        project += 1


def test_a_demo_that_was_ended_by_each_signal_makes_the_same_artifacts(tmp_path: Path) -> None:
    disturb(Demo(tmp_path, small=True), [signal.SIGTERM, signal.SIGKILL, signal.SIGINT], random.Random(0))


@pytest.mark.faults
def test_a_demo_that_was_ended_thirty_times_makes_the_same_artifacts(tmp_path: Path) -> None:
    """Twenty kills and five of each other signal, in random order, at random moments."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")      # pytest shows it where the test fails
    draw = random.Random(seed)
    kinds = [signal.SIGKILL] * 20 + [signal.SIGTERM] * 5 + [signal.SIGINT] * 5
    draw.shuffle(kinds)
    disturb(Demo(tmp_path, small=False), kinds, draw)
