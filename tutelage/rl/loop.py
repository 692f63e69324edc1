"""One step of RL: samples of the policy, their scores, what is made of these, an update."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tutelage.console import console
from tutelage.data.loader import permutation
from tutelage.protocols import Generate, Score
from tutelage.records import Prompt, Sample, Sampling
from tutelage.rl.baseline import Baseline
from tutelage.rl.config import RL
from tutelage.rl.constraint import Constraint
from tutelage.rl.scored import paid, scored
from tutelage.rl.trainer import PolicyTrainer
from tutelage.runs.meter import count, phase
from tutelage.seeds import stream_seed
from tutelage.training import preflight

Watch = Callable[[Sequence[Sample], Mapping[str, float]], Mapping[str, float]]


class Loop:
    """What one RL step is: everything random in it follows from the seed and the step's number.

    `watch` is told of each step's samples and metrics once it is made; what it returns stands among the metrics.
    """

    def __init__(self, config: RL, prompts: Sequence[Prompt], engine: Generate, reward: Score, trainer: PolicyTrainer,
                 watch: Watch = lambda samples, metrics: {}) -> None:
        self.config, self.engine, self.reward, self.trainer, self.watch = config, engine, reward, trainer, watch
        self.prompts = list({prompt.id: prompt for prompt in prompts}.values())
        self.prompts_per_step = min(config.prompts_per_step, len(self.prompts))
        self.baseline = Baseline(config.standardise)
        self.constraint = Constraint(config.constraints)
        self.ahead: list[Sample] = []      # of the next step, drawn before this step's update

    def state(self) -> dict[str, Any]:
        return {"baseline": self.baseline.state(), "constraint": self.constraint.state(),
                "ahead": [json.dumps(sample.to_json()) for sample in self.ahead]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.baseline.load_state(state["baseline"])
        self.constraint.load_state(state["constraint"])
        self.ahead = [Sample.from_json(json.loads(line)) for line in state["ahead"]]

    def step(self, i: int) -> dict[str, float]:
        c = self.config
        if c.reference_samples and not self.baseline.measured:
            self._measure_baseline()
        samples = self.ahead or self._draw(i)
        with phase("scoring"):
            samples, scores, told = scored(self.reward, samples)
        preflight.finite_scores(scores.total, [sample.id for sample in samples])
        shaped = [_shape(self.baseline.scaled(score), sample, c) for score, sample in zip(scores.total, samples, strict=True)]
        shaped, held = self.constraint(shaped, scores.costs)
        dense = paid(scores.per_token, shaped, self.baseline.unit * self.constraint.unit)
        ahead = self._draw(i + 1) if c.one_step_late and i + 1 < c.steps else []      # of the weights before this update
        self.trainer.temperature, made = self._temperature(i), self.trainer.steps_done
        metrics = {**told, **held, **self.trainer.step(samples, shaped, dense)}
        watched = self.watch(samples, metrics)
        back = self.trainer.steps_done <= made      # by the guard: what was drawn ahead is of weights that were given up
        self.ahead = [] if back else ahead
        return {**metrics, **watched}

    def _draw(self, i: int) -> list[Sample]:
        """Step i's samples, of the weights as they are."""
        c = self.config
        sampling = Sampling(temperature=self._temperature(i), max_new_tokens=c.max_new_tokens,
                            seed=stream_seed(c.seed, "rl", "samples", i))
        with phase("sampling"):
            samples = self.engine.generate(self._prompts(i), sampling, c.per_prompt)
        count(sampled=sum(len(sample.response_ids) for sample in samples))
        return samples

    def _temperature(self, i: int) -> float:
        c = self.config
        last = c.temperature if c.last_temperature is None else c.last_temperature
        return c.temperature + (last - c.temperature) * i / max(1, c.steps - 1)

    def _measure_baseline(self) -> None:
        """Before the first update, of the policy as it starts."""
        c = self.config
        sampling = Sampling(temperature=c.temperature, max_new_tokens=c.max_new_tokens,
                            seed=stream_seed(c.seed, "rl", "reference"))
        with phase("sampling"):
            samples = self.engine.generate(self._reference_prompts(), sampling, c.per_prompt)
        with phase("scoring"):
            kept, scores, _ = scored(self.reward, samples)
        preflight.finite_scores(scores.total, [sample.id for sample in kept])
        self.baseline.measure(_whole_groups(kept, scores.total, c.per_prompt), c.per_prompt)
        console.print(f"rl: {len(samples)} samples of the policy as it starts; {self.baseline}")

    def _reference_prompts(self) -> list[Prompt]:
        wanted = -(-self.config.reference_samples // self.config.per_prompt)
        order = permutation(len(self.prompts), stream_seed(self.config.seed, "rl", "reference"), 0)
        return [self.prompts[index] for index in order[:wanted]]

    def used(self, made: int) -> list[str]:
        """Ids of the prompts that samples were drawn for, in `made` steps."""
        reference = self._reference_prompts() if self.config.reference_samples else []
        return [prompt.id for prompt in reference] + [prompt.id for i in range(made) for prompt in self._prompts(i)]

    def _prompts(self, i: int) -> list[Prompt]:
        """The step's prompts: the data in a new order each pass. What does not fill a step at the end of a pass is left
        out of it, so that no step holds a prompt twice: its samples would be drawn from the same random numbers.
        """
        size = self.prompts_per_step
        epoch, place = divmod(i, len(self.prompts) // size)
        order = permutation(len(self.prompts), self.config.seed, epoch)
        return [self.prompts[index] for index in order[place * size:(place + 1) * size]]


def _whole_groups(samples: Sequence[Sample], scores: Sequence[float], per_prompt: int) -> list[float]:
    """Scores of the prompts none of whose samples was left out."""
    sizes = Counter(sample.prompt.id for sample in samples)
    return [score for sample, score in zip(samples, scores, strict=True) if sizes[sample.prompt.id] == per_prompt]


def _shape(score: float, sample: Sample, config: RL) -> float:
    """The score that is optimised: clipped, less the penalties for a turn that did not end and for one near the limit."""
    clipped = max(-config.reward_clip, min(config.reward_clip, score))
    over = max(0, len(sample.response_ids) - config.max_new_tokens + config.overlong_tokens)
    long = config.overlong_penalty * over / config.overlong_tokens if config.overlong_tokens else 0.0
    return clipped - long - (0.0 if sample.ended else config.missing_end_penalty)
