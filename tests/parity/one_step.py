"""One optimizer step on the same rows from the same weights, theirs and ours: its loss and the gradient of every parameter.

Theirs is `trainer.train()` as people call it, with TRL's own tokenisation, collator and accumulation; the gradients are
read by a callback between the last backward and the optimizer. Ours is `training.loop.update`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback

from tutelage.data.loader import Schedule
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.training.config import Optimizer
from tutelage.training.fit import Task
from tutelage.training.lanes import Lanes
from tutelage.training.loop import update
from tutelage.training.optimizer import Masters

PROMPT, END = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>"
RELATIVE = 1e-5
UNUSED = 255      # the token of a byte that no text here holds: padding there, so that no row of the embedding is lost (below)


@dataclass(frozen=True, slots=True)
class Step:
    loss: float
    gradients: Mapping[str, Tensor]

    def __add__(self, other: Step) -> Step:
        return Step(self.loss + other.loss, {name: self.gradients[name] + other.gradients[name] for name in self.gradients})


class Gradients(TrainerCallback):
    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **rest: Any) -> None:
        self.seen = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


class Watched(Masters):
    """Masters that note the gradients they are about to step with."""

    def step(self) -> float:
        self.seen = {name: value.grad.clone() for name, value in self._masters.items() if value.grad is not None}
        return super().step()


def settings(output_dir: Any, rows: int, accumulate: int = 1, **rest: Any) -> dict[str, Any]:
    """One step on the processor in fp32, without clipping, of `accumulate` micro-batches of `rows`."""
    return {"output_dir": str(output_dir), "per_device_train_batch_size": rows, "gradient_accumulation_steps": accumulate,
            "max_steps": 1, "max_grad_norm": 0.0, "learning_rate": 1e-9, "use_cpu": True, "bf16": False, "report_to": "none",
            "gradient_checkpointing": False, "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True,
            "dataloader_pin_memory": False, **rest}


def model(seed: int = 0, pad: int = UNUSED) -> PreTrainedModel:
    """A tiny Llama with nothing in it that has no effect."""
    return tiny_model(noise=0.2, seed=seed, pad_token_id=pad)


def tokenizer() -> PreTrainedTokenizerFast:
    made = tiny_tokenizer()
    made.pad_token = made.convert_ids_to_tokens(UNUSED)
    return made


def their_step(trainer: Any) -> Step:
    gradients = Gradients()
    trainer.add_callback(gradients)
    return Step(trainer.train().training_loss, gradients.seen)


def our_step(policy: Policy, task: Task, micro_tokens: int = 10**6) -> Step:
    """All rows of `task` in one step, at most `micro_tokens` of them in memory at once; names as in transformers."""
    lanes = Lanes(policy, 1)
    masters = Watched(policy, Optimizer(lr=1e-9, warmup_fraction=0.0, max_grad_norm=0.0), 1, lanes)
    parts = Schedule(task.lengths, 0, 1, 10**6, micro_tokens).micro(0)
    metrics = update(masters, task.batches(lanes, parts), task)
    return Step(metrics["loss"], {name.removeprefix("model."): value for name, value in masters.seen.items()})


def remember(task: Any, policy: Policy) -> None:
    """Have `policy` be the reference of a task that compares with one."""
    task.remembered = [said for row in range(len(task.lengths)) for said in task.reference_of(policy, [row])]


def assert_same(ours: Step, theirs: Step) -> None:
    """Loss, and every gradient by its norm, to 1e-5; no parameter in one that is not in the other."""
    assert abs(ours.loss - theirs.loss) <= RELATIVE * abs(theirs.loss), f"{ours.loss} and {theirs.loss}"
    assert set(ours.gradients) == set(theirs.gradients)
    apart = {name: distance(value, theirs.gradients[name]) for name, value in ours.gradients.items()}
    assert max(apart.values()) <= RELATIVE, {name: value for name, value in apart.items() if value > RELATIVE}


def distance(ours: Tensor, theirs: Tensor) -> float:
    """Norm of the difference over the norm of `theirs`."""
    norm = float(torch.linalg.vector_norm(theirs.double()))
    assert norm > 0
    return float(torch.linalg.vector_norm(ours.double() - theirs.double())) / norm


def texts(pairs: Sequence[tuple[str, str, str]], names: Sequence[str] = ("prompt", "chosen", "rejected")) -> list[dict[str, str]]:
    """Rows of plain text, as TRL takes them, whose tokens are those of our template."""
    return [dict(zip(names, (PROMPT.format(prompt), *(response + END for response in responses)), strict=True))
            for prompt, *responses in pairs]
