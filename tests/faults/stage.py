"""Run one stage in a project, as a process that dies: `runpy` starts it with the names below set.

It dies after DIES_AFTER_S seconds of its own processor time (0: never), so that a busy machine moves no kill past the end. The
kernel ends it wherever it is, as `kill -9` does: SIGPROF has no handler.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from tutelage.messages import Message
from tutelage.models.config import Adapter
from tutelage.project import Artifact, Project
from tutelage.records import Preference, Sample
from tutelage.rewards.callables import CallableReward
from tutelage.rewards.config import RewardModel
from tutelage.rewards.train import train_reward
from tutelage.rl.config import RL
from tutelage.rl.stage import rl
from tutelage.runs import steps
from tutelage.training.config import Optimizer
from tutelage.tuning.config import SFT, Preferences
from tutelage.tuning.preference import preference
from tutelage.tuning.sft import sft

GIVEN = globals()
STAGE: str = GIVEN["STAGE"]
PROJECT: str = GIVEN["PROJECT"]
MODEL: str = GIVEN["MODEL"]
DIES_AFTER_S: float = GIVEN["DIES_AFTER_S"]

LETTERS = "abcdefghijklmnop"
OPTIMIZER = Optimizer(lr=1e-2, weight_decay=0.1)


TERMS = [Preference(id=letter, prompt=(Message.of("user", letter),), chosen=(Message.of("assistant", letter + "z"),),
                    rejected=(Message.of("assistant", letter),)) for letter in LETTERS]


def run_sft(project: Project) -> Artifact:
    return sft(project, SFT(model=MODEL, data=rows(project), precision="fp32", epochs=4, batch_tokens=64, max_length=64,
                            optimizer=OPTIMIZER))


def run_lora(project: Project) -> Artifact:
    return sft(project, SFT(model=MODEL, data=rows(project), precision="bf16", epochs=4, batch_tokens=64, max_length=64,
                            optimizer=OPTIMIZER, adapter=Adapter(rank=2, dropout=0.1)))


def run_dpo(project: Project) -> Artifact:
    config = Preferences(model=MODEL, precision="bf16", epochs=4, batch_tokens=64, optimizer=OPTIMIZER)
    return preference(project, config, TERMS)


def run_kto(project: Project) -> Artifact:
    config = Preferences(model=MODEL, loss="kto", precision="fp32", epochs=3, batch_tokens=64, optimizer=OPTIMIZER)
    return preference(project, config, TERMS)


def run_reward(project: Project) -> Artifact:
    config = RewardModel(model=MODEL, precision="fp32", epochs=4, batch_tokens=64, optimizer=OPTIMIZER)
    return train_reward(project, config, TERMS)


def run_rl(project: Project) -> Artifact:
    return rl(project, RL(policy=MODEL, prompts=rows(project), precision="fp32", steps=12, prompts_per_step=3, per_prompt=3,
                          max_new_tokens=5, optimizer=OPTIMIZER, settings={"epochs": 2, "kl_target": 0.1, "kl_horizon": 50.0}),
              CallableReward(evens), {"reward": "evens"})


def run_rl_all(project: Project) -> Artifact:
    """All that an RL run may carry from step to step: a critic of its own, text mixed in, samples drawn ahead, both coefficients
    that adapt, the scale of rewards, a temperature that changes.
    """
    more = {"epochs": 2, "kl_target": 0.1, "kl_horizon": 50.0, "ent_coef": 0.01, "ent_target": 5.0, "ptx_coef": 0.5,
            "importance_limit": 2.0, "critic_warmup": 2, "whiten_rewards": True}
    return rl(project, RL(policy=MODEL, prompts=rows(project), precision="fp32", steps=10, prompts_per_step=3, per_prompt=3,
                          max_new_tokens=5, optimizer=OPTIMIZER, settings=more, critic=MODEL, critic_lr=2e-2,
                          ptx_data=rows(project), ptx_tokens=80, one_step_late=True, reference_samples=12, standardise=True,
                          temperature=1.2, last_temperature=0.9), CallableReward(evens), {"reward": "evens"})


def rows(project: Project) -> str:
    path = project.root / "rows.jsonl"
    if not path.exists():
        draft = path.with_suffix(".draft")
        draft.write_text("".join(json.dumps({"instruction": each, "output": 2 * each}) + "\n" for each in LETTERS))
        draft.rename(path)
    return str(path)


def evens(samples: Sequence[Sample]) -> list[float]:
    return [sum(token % 2 == 0 for token in sample.response_ids) / len(sample.response_ids) for sample in samples]


if __name__ == "__main__":
    signal.setitimer(signal.ITIMER_PROF, DIES_AFTER_S)
    steps.CHECKPOINT_INTERVAL_S = 0.02
    with (project := Project.init(Path(PROJECT))).lock():
        {"sft": run_sft, "lora": run_lora, "dpo": run_dpo, "kto": run_kto, "reward": run_reward, "rl": run_rl,
         "rl with all": run_rl_all}[STAGE](project)
    signal.setitimer(signal.ITIMER_PROF, 0)
    (project.root / "took_s").write_text(str(time.process_time()))
