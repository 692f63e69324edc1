"""The same few prompts answered again and again while a policy learns: what a person reads beside the curves.

Looking moves no number of the training. The most likely token is taken, so nothing is drawn; the samples are scored apart
from those that teach; and a reward that draws random numbers finds its generators afterwards as they were before.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from tutelage import disk
from tutelage.console import console
from tutelage.errors import RewardError
from tutelage.protocols import Generate, Score
from tutelage.records import Prompt, Sample, Sampling
from tutelage.runs.directory import SAMPLES, Run
from tutelage.runs.meter import phase
from tutelage.runs.metrics import parse_line

COUNT = 5      # prompts, spread evenly over the data


class Snapshots:
    """Writes `samples.jsonl` into the run's directory, a line a sample: {"step", "prompt", "response", "score"}.

    `step` is how many steps the policy has made; `score` is the reward as it was given, None where there was none.
    """

    def __init__(self, run: Run, prompts: Sequence[Prompt], engine: Generate, reward: Score, max_new_tokens: int) -> None:
        self.path, self.engine, self.reward = run.path / SAMPLES, engine, reward
        count = min(COUNT, len(prompts))
        self.prompts = [prompts[place * len(prompts) // count] for place in range(count)]
        self.sampling = Sampling(temperature=0.0, max_new_tokens=max_new_tokens)
        run.note(quoted=sorted(prompt.id for prompt in self.prompts))

    def look(self, made: int) -> None:
        """Answer the prompts after `made` steps. What an interrupted run wrote of this step and later ones is taken back, and a
        line that was damaged is left out.
        """
        with phase("evaluation"), leaving_generators():
            samples = self.engine.generate(self.prompts, self.sampling)
            lines = [_line(made, sample, score) for sample, score in zip(samples, self._scores(samples), strict=True)]
        draft = self.path.with_suffix(".draft")
        with disk.writing(self.path, "the last checkpoint stands"):
            draft.write_bytes(b"".join([*self._before(made), *lines]))
            os.replace(draft, self.path)

    def _scores(self, samples: Sequence[Sample]) -> Sequence[float | None]:
        """None for all where the reward refuses: a look never ends a run, the step after it will if it must."""
        try:
            scores = self.reward.score(samples).total
        except RewardError as error:
            console.warn(f"the samples that are only looked at have no score: {error}")
            return [None] * len(samples)
        return [score if math.isfinite(score) else None for score in scores]

    def _before(self, made: int) -> Iterator[bytes]:
        if self.path.is_file():
            for line in self.path.read_bytes().splitlines(keepends=True):      # of bytes: a text may hold other ends of lines
                if line.endswith(b"\n") and (read := parse_line(line)) is not None and read["step"] < made:
                    yield line


def _line(made: int, sample: Sample, score: float | None) -> bytes:
    asked: dict[str, Any] = {"step": made, "prompt": sample.prompt.messages[-1].text, "response": sample.text, "score": score}
    return (json.dumps(asked, ensure_ascii=False) + "\n").encode()


@contextmanager
def leaving_generators() -> Iterator[None]:
    """Python's, NumPy's and torch's own generators are left as they were found."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        yield
    random.setstate(python)
    np.random.set_state(numpy)
