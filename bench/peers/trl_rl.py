"""The peer's side of `bench rl`: TRL's GRPO, RLOO and (with a TRL that still has it) PPO, on prompts of plain text.

    python trl_rl.py ASKED.json      prints one line of JSON

`documented` is what its documentation starts a reader with, at the batch that was asked for; `tuned` has bf16 weights and no
recomputation.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback


class Clock(TrainerCallback):
    """When each optimizer step ended, and what was rewarded."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.rewards: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        for name in ("reward", "objective/scores"):
            if logs and name in logs:
                self.rewards.append(float(logs[name]))


def reward(completions: list[str], **_: Any) -> list[float]:
    """The share of letters that are vowels: something a policy can learn in a few steps."""
    return [sum(c in "aeiou" for c in text.lower()) / max(1, len(text)) for text in completions]


def main(asked: dict[str, Any]) -> dict[str, Any]:
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(asked["model"])
    clock = Clock()
    trainer = _ppo(asked, tokenizer, clock) if asked["algorithm"] == "ppo" else _grouped(asked, tokenizer)
    if asked["algorithm"] != "ppo":
        trainer.add_callback(clock)
    trainer.train()
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024
    return {"seconds": [b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)], "rewards": clock.rewards,
            "peak_bytes": peak, "threads": torch.get_num_threads()}


def _common(asked: dict[str, Any]) -> dict[str, Any]:
    return {"output_dir": asked["folder"], "report_to": "none", "save_strategy": "no", "use_cpu": True, "logging_steps": 1,
            "learning_rate": asked["lr"], "disable_tqdm": True, "warmup_steps": 0, "lr_scheduler_type": "constant", "seed": 0}


def _grouped(asked: dict[str, Any], tokenizer: Any) -> Any:
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    settings = {**_common(asked), "max_steps": asked["steps"], "num_generations": asked["per_prompt"], "temperature": 1.0,
                "max_completion_length": asked["new"]}
    if asked["tuned"]:
        settings |= {"per_device_train_batch_size": asked["samples"], "gradient_checkpointing": False,
                     "model_init_kwargs": {"dtype": "bfloat16"}}
    else:      # the default of eight a device, accumulated to the samples that were asked for
        settings |= {"per_device_train_batch_size": 8, "gradient_accumulation_steps": asked["samples"] // 8}
    data = Dataset.from_list([{"prompt": [{"role": "user", "content": text}]} for text in asked["prompts"]])
    config, trainer = (GRPOConfig, GRPOTrainer) if asked["algorithm"] == "grpo" else (RLOOConfig, RLOOTrainer)

    def of_messages(completions: list[Any], **_: Any) -> list[float]:
        return reward([each[0]["content"] for each in completions])

    return trainer(model=asked["model"], reward_funcs=of_messages, args=config(**settings), train_dataset=data,
                   processing_class=tokenizer)


def _ppo(asked: dict[str, Any], tokenizer: Any, clock: Clock) -> Any:
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    tokenizer.padding_side = "left"
    dtype = {"dtype": torch.bfloat16} if asked["tuned"] else {"dtype": torch.float32}
    policy, reference = (AutoModelForCausalLM.from_pretrained(asked["model"], **dtype) for _ in range(2))
    value, rewarder = (AutoModelForSequenceClassification.from_pretrained(asked["model"], num_labels=1, **dtype)
                       for _ in range(2))
    for each in (value, rewarder):
        each.config.pad_token_id = tokenizer.pad_token_id
    batch = asked["samples"] if asked["tuned"] else min(8, asked["samples"])
    config = PPOConfig(**_common(asked), total_episodes=asked["steps"] * asked["samples"], response_length=asked["new"],
                       temperature=1.0, per_device_train_batch_size=batch, num_ppo_epochs=1, num_mini_batches=1,
                       gradient_accumulation_steps=asked["samples"] // batch, num_sample_generations=0,
                       local_rollout_forward_batch_size=asked["samples"])
    rows = [{"input_ids": tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True,
                                                        return_dict=False)} for text in asked["prompts"] * asked["per_prompt"]]
    return PPOTrainer(args=config, processing_class=tokenizer, model=policy, ref_model=reference, reward_model=rewarder,
                      value_model=value, train_dataset=Dataset.from_list(rows), eval_dataset=Dataset.from_list(rows[:1]),
                      callbacks=[clock])


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
