"""Three tasks with a known best answer, each learned in seconds by a model of one layer over twelve tokens.

    which     say tokens whose id has the remainder by 3 that the prompt's has             a third by chance
    copy      say the prompt's token again and again                                       a twelfth
    length    end the turn at once, later or not at all, by the prompt's remainder by 3    a third

The optimum of each is 1. Nine prompts want different things, equally many of each: whatever a policy answers to all of them
alike scores a third in `which` and `length`, and a ninth at most in `copy`. So nothing that it does to all prompts alike, such
as a token it drifts to or an end it forgets, can look like learning.

`PYTHONPATH=. python tests/learning/tiny_tasks.py` makes the table of docs/rl.md: every preset, task and seed.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tutelage.messages import Message
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.records import Prompt, Sample, Sampling
from tutelage.rl.presets import PRESETS, algorithm
from tutelage.rl.trainer import PolicyTrainer
from tutelage.training.config import Optimizer
from tutelage.training.optimizer import Masters

VOCABULARY, END, ASK = 12, 11, 10
SYMBOLS = range(9)                # what a prompt asks for
PER_PROMPT, MEASURED = 16, 64     # samples of each prompt in a step, and where a policy is measured
STEPS, LR = 60, 1e-2              # of every preset and task
# Added to the initial weights, whose deviation is 0.02: with these alone a prompt's symbol hardly reaches the logits, and a
# policy makes up its mind for all prompts alike before it tells them apart, and then never tries what one of them wants.
NOISE = 0.1
START_AT_MOST, END_AT_LEAST = 0.4, 0.95
# Shuffled rewards: the difference of two means over 576 samples has a standard error of up to 0.028. What is left of 0.15 is
# for what chance does to single prompts; learning moves the same means by 0.55 and more.
DRIFT = 0.15


class Padded(Policy):
    """Attends in one product for all rows of a batch, as for architectures that cannot do otherwise: for rows of five tokens
    faster than a row at a time.
    """

    def _choose(self, ragged: bool) -> None:
        super()._choose(ragged=False)


def which(sample: Sample) -> float:
    wanted = sample.prompt_ids[0] % 3
    return sum(token % 3 == wanted for token in sample.response_ids) / len(sample.response_ids)


def copy(sample: Sample) -> float:
    return sum(token == sample.prompt_ids[0] for token in sample.response_ids) / len(sample.response_ids)


def length(sample: Sample) -> float:
    """Of three kinds of response each is one: ended at once, ended later, not ended."""
    kind = 2 if not sample.ended else 1 if len(sample.response_ids) > 1 else 0
    return float(kind == sample.prompt_ids[0] % 3)


@dataclass(frozen=True, slots=True)
class TinyTask:
    score: Callable[[Sample], float]
    tokens: int                   # of a response at most
    ends: bool = False            # whether END ends the turn


TASKS = {"which": TinyTask(which, 3), "copy": TinyTask(copy, 2), "length": TinyTask(length, 3, True)}
PROMPTS = [Prompt(id=str(symbol), messages=(Message.of("user", str(symbol)),)) for symbol in SYMBOLS]
CHANGES: Mapping[str, Mapping[str, Any]] = {"online_dpo": {"kl_coef": 0.1}}      # its beta; the others have nothing to hold them


def learn(name: str, task: str, seed: int, shuffled: bool = False) -> tuple[float, float]:
    """Mean score of fresh samples before and after; `shuffled` gives each sample the score of another."""
    given = TASKS[task]
    a = algorithm(name, {"kl_coef": 0.0, **CHANGES.get(name, {})})
    policy, reference = (Padded(tiny_model(seed=seed, vocab_size=VOCABULARY, layers=1, noise=NOISE, eos_token_id=END,
                                           pad_token_id=END), value_head=a.has_critic) for _ in range(2))
    masters = Masters(policy, Optimizer(lr=LR, head_lr=LR, warmup_fraction=0.0, schedule="linear", final_fraction=0.1),
                      STEPS * a.epochs)
    trainer = PolicyTrainer(policy, reference, masters, a, seed=seed, max_new_tokens=given.tokens)
    numbers = torch.Generator().manual_seed(seed)

    def measured() -> float:
        scores = [given.score(sample) for sample in draw(policy, given, MEASURED, numbers)]
        return sum(scores) / len(scores)

    start = measured()
    for step in range(STEPS):
        samples = draw(policy, given, PER_PROMPT, numbers)
        scores = [given.score(sample) for sample in samples]
        if shuffled:
            random.Random(step).shuffle(scores)
        trainer.step(samples, scores)
    return start, measured()


@torch.no_grad()
def draw(policy: Policy, task: TinyTask, per_prompt: int, numbers: torch.Generator) -> list[Sample]:
    """What the engine would do, for prompts of one length: all responses at once, one forward of everything a token."""
    prompts = torch.tensor([[symbol, ASK] for symbol in SYMBOLS]).repeat_interleave(per_prompt, 0)
    ids, logprobs = prompts, []
    for _ in range(task.tokens):
        known = policy.model(input_ids=ids, use_cache=False).logits[:, -1].log_softmax(-1)
        token = torch.multinomial(known.exp(), 1, generator=numbers)
        ids = torch.cat((ids, token), dim=1)
        logprobs.append(known.gather(1, token))
    said, of = ids[:, 2:].tolist(), torch.cat(logprobs, dim=1).tolist()
    return [_sample(row, prompts[row].tolist(), said[row], of[row], task, per_prompt) for row in range(len(said))]


def _sample(row: int, prompt: Sequence[int], said: list[int], logprobs: list[float], task: TinyTask, per_prompt: int) -> Sample:
    ended = task.ends and END in said
    tokens = said.index(END) + 1 if ended else len(said)
    return Sample(id=str(row), prompt=PROMPTS[row // per_prompt], prompt_ids=tuple(prompt), response_ids=tuple(said[:tokens]),
                  logprobs=tuple(logprobs[:tokens]), response_mask=(True,) * tokens, text="", ended=ended,
                  sampling=Sampling(max_new_tokens=task.tokens))


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
