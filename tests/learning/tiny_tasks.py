"""Three tasks with a known best answer, each learned in seconds by a model of one layer over twelve tokens.

    which     say tokens whose id is divisible by 3                  a random model starts near a third
    copy      say the prompt's token again and again                 near a twelfth
    length    say one token, then end the turn, of at most five      near a fifth

The optimum of each is 1. `python tests/learning/tiny_tasks.py` makes the table of docs/rl.md: every preset, task and seed.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tutelage.generation.engine import Engine
from tutelage.messages import Message
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.records import Prompt, Sample, Sampling
from tutelage.rl.presets import PRESETS, algorithm
from tutelage.rl.trainer import PolicyTrainer
from tutelage.training.config import Optimizer
from tutelage.training.optimizer import Masters

VOCABULARY, END, ASK = 12, 11, 10
SYMBOLS = range(4)                # what a prompt asks for
START_AT_MOST, END_AT_LEAST, DRIFT = 0.4, 0.95, 0.15


class Alphabet:
    """Stands where a chat template stands: a prompt is one symbol and a mark that asks."""

    def __init__(self, stop: bool) -> None:
        self.stop_ids = (END,) if stop else ()

    def render_prompt(self, messages: Any) -> tuple[int, ...]:
        return (int(messages[-1].text), ASK)

    def decode_response(self, ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))


def which(sample: Sample) -> float:
    return sum(token % 3 == 0 for token in sample.response_ids) / len(sample.response_ids)


def copy(sample: Sample) -> float:
    return sum(token == sample.prompt_ids[0] for token in sample.response_ids) / len(sample.response_ids)


def length(sample: Sample) -> float:
    """1 for one token and the end, half as much for each token more; nothing for no token, or no end."""
    tokens = len(sample.response_ids) - 1
    return 2.0 ** (1 - tokens) if sample.ended and tokens else 0.0


@dataclass(frozen=True, slots=True)
class TinyTask:
    score: Callable[[Sample], float]
    tokens: int                   # of a response at most
    steps: int
    lr: float = 1e-2
    stop: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)


TASKS = {"which": TinyTask(which, 4, 30), "copy": TinyTask(copy, 2, 60), "length": TinyTask(length, 5, 60, lr=3e-2, stop=True)}
PROMPTS = [Prompt(id=str(symbol), messages=(Message.of("user", str(symbol)),)) for symbol in SYMBOLS]
CHANGES: Mapping[str, Mapping[str, Any]] = {"online_dpo": {"kl_coef": 0.1}}      # its beta; the others have nothing to hold them


def learn(name: str, task: str, seed: int, shuffled: bool = False, lr: float = 0.0, steps: int = 0,
          per_prompt: int = 12) -> tuple[float, float]:
    """Mean score of fresh samples before and after; `shuffled` gives each sample the score of another."""
    given = TASKS[task]
    a = algorithm(name, {"kl_coef": 0.0, **CHANGES.get(name, {}), **given.changes})
    policy, reference = (Policy(tiny_model(seed=seed, vocab_size=VOCABULARY, layers=1, eos_token_id=END, pad_token_id=END),
                                value_head=a.has_critic) for _ in range(2))
    lr, steps = lr or given.lr, steps or given.steps
    masters = Masters(policy, Optimizer(lr=lr, head_lr=lr, warmup_fraction=0.0, schedule="linear", final_fraction=0.1),
                      steps * a.epochs)
    trainer = PolicyTrainer(policy, reference, masters, a, seed=seed, max_new_tokens=given.tokens)
    engine: Any = Engine(policy, Alphabet(given.stop), slots=len(PROMPTS) * per_prompt)      # type: ignore[arg-type]

    def draw(at: int) -> tuple[list[Sample], list[float]]:
        samples = engine.generate(PROMPTS, Sampling(max_new_tokens=given.tokens, seed=1000 * seed + at), per_prompt)
        return samples, [given.score(sample) for sample in samples]

    def measured(at: int) -> float:
        scores = draw(at)[1]
        return sum(scores) / len(scores)

    start = measured(-1)
    for step in range(steps):
        samples, scores = draw(step)
        if shuffled:
            random.Random(step).shuffle(scores)
        trainer.step(samples, scores)
    return start, measured(-2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=list(PRESETS))
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range((given := parser.parse_args()).seeds)
    print("| preset | " + " | ".join(f"{task}: start → end" for task in TASKS) + " | shuffled: largest move |")
    print("|---|" + "---|" * (len(TASKS) + 1))
    for name in given.presets:
        cells, moves = [], []
        for task in TASKS:
            found = [learn(name, task, seed) for seed in seeds]
            cells.append(f"{max(start for start, _ in found):.2f} → {min(end for _, end in found):.2f}")
            moves += [abs(end - start) for start, end in (learn(name, task, seed, shuffled=True) for seed in seeds)]
        print(f"| `{name}` | {' | '.join(cells)} | {max(moves):.2f} |", flush=True)


if __name__ == "__main__":
    main()
