"""The peer's side of `bench training`: TRL, in an environment of its own, on rows that were rendered beforehand.

    python trl_training.py ASKED.json      prints one line of JSON

`documented` is what its documentation starts a reader with; `tuned` has bf16 weights, no recomputation, and what each trainer
offers against padding and repeated work.
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
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

SEED = 0


class Clock(TrainerCallback):
    """When each optimizer step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.losses: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))


def main(asked: dict[str, Any]) -> dict[str, Any]:
    tuned, work = asked["tuned"], asked["work"]
    settings: dict[str, Any] = {
        "output_dir": asked["folder"], "max_steps": len(asked["steps"]), "report_to": "none", "save_strategy": "no",
        "use_cpu": True, "logging_steps": 1, "train_sampling_strategy": "sequential", "max_length": None, "seed": SEED,
        "per_device_train_batch_size": asked["batch"], "learning_rate": asked["lr"], "disable_tqdm": True,
        "warmup_steps": 0, "lr_scheduler_type": "constant"}
    if tuned:
        settings |= {"gradient_checkpointing": False, "model_init_kwargs": {"dtype": "bfloat16"}}
    tokenizer = AutoTokenizer.from_pretrained(asked["model"])
    adapter = LoraConfig(r=asked["rank"], lora_alpha=32, target_modules="all-linear") if asked["rank"] else None
    began = time.perf_counter()
    trainer = {"sft": _sft, "lora": _sft, "dpo": _dpo, "reward": _reward}[work](asked, settings, tokenizer, adapter)
    prepared = time.perf_counter() - began
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    return {"seconds": [end - start for start, end in zip(clock.ends, clock.ends[1:], strict=False)], "losses": clock.losses,
            "beforehand_s": prepared if asked["work"] == "dpo" and tuned else 0.0, "peak_bytes": _peak(),
            "threads": torch.get_num_threads()}


def _rows(asked: dict[str, Any]) -> list[dict[str, Any]]:
    return [asked["rows"][index] for step in asked["steps"] for index in step]


def _sft(asked: dict[str, Any], settings: dict[str, Any], tokenizer: Any, adapter: Any) -> Any:
    labels = [[token if learned else -100 for token, learned in zip(row["ids"], row["mask"], strict=True)]
              for row in asked["rows"]]
    if not asked["tuned"]:
        order = [index for step in asked["steps"] for index in step]
        data = Dataset.from_list([{"input_ids": asked["rows"][i]["ids"], "labels": labels[i]} for i in order])
        config = SFTConfig(dataset_kwargs={"skip_prepare_dataset": True}, **settings)
    else:      # a step is one block, packed by us as tightly as we pack our own
        data = Dataset.from_list([{
            "input_ids": [token for i in step for token in asked["rows"][i]["ids"]],
            "labels": [label for i in step for label in [-100, *labels[i][1:]]],
            "seq_lengths": [len(asked["rows"][i]["ids"]) for i in step]} for step in asked["steps"]])
        config = SFTConfig(dataset_kwargs={"skip_prepare_dataset": True}, packing=True,
                           **{**settings, "per_device_train_batch_size": 1, "max_length": 1 << 20})
    return SFTTrainer(asked["model"], args=config, train_dataset=data, processing_class=tokenizer, peft_config=adapter)


def _dpo(asked: dict[str, Any], settings: dict[str, Any], tokenizer: Any, adapter: Any) -> Any:
    data = Dataset.from_list([{"prompt_ids": row["prompt"], "chosen_ids": row["chosen"], "rejected_ids": row["rejected"]}
                              for row in _rows(asked)])
    config = DPOConfig(precompute_ref_log_probs=asked["tuned"], **settings)
    return PreparedDPO(asked["model"], args=config, train_dataset=data, processing_class=tokenizer, peft_config=adapter)


class PreparedDPO(DPOTrainer):
    """Its rows are token ids already."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


def _reward(asked: dict[str, Any], settings: dict[str, Any], tokenizer: Any, adapter: Any) -> Any:
    data = Dataset.from_list([{"chosen_ids": row["prompt"] + row["chosen"], "rejected_ids": row["prompt"] + row["rejected"]}
                              for row in _rows(asked)])
    trainer = RewardTrainer(asked["model"], args=RewardConfig(**settings), train_dataset=data, processing_class=tokenizer,
                            peft_config=adapter)
    torch.nn.init.zeros_(trainer.model.score.weight)      # as our head begins, so that first losses can be compared
    return trainer


def _peak() -> int:
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
