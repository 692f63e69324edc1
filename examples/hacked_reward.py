"""A reward that can be hacked, without the guard and with it (docs/guard.md): seconds, on a tiny model of random weights.

Rewarded is the share of a response's tokens whose id is divisible by 3. Meant were different ones, as many as there is room for:
that is the held-out reward, which nothing is trained on. At first both rise. Then the policy finds that saying the same
token again pays as well and is easier, and the two part.

    python examples/hacked_reward.py
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tutelage.models.load import save_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.project import Project
from tutelage.records import Sample
from tutelage.rewards.callables import CallableReward
from tutelage.rl.config import RL, SIGNALS, Action, Guarding
from tutelage.rl.stage import rl
from tutelage.runs.metrics import read_metrics
from tutelage.training.config import Optimizer

SHOWN = ("objective/score", "guard/heldout_reward", "guard/gap", "objective/entropy", "objective/kl", "guard/rollbacks")


def rewarded(samples: Sequence[Sample]) -> list[float]:
    return [sum(token % 3 == 0 for token in sample.response_ids) / len(sample.response_ids) for sample in samples]


def meant(samples: Sequence[Sample]) -> list[float]:
    return [len({token for token in sample.response_ids if token % 3 == 0}) / len(sample.response_ids) for sample in samples]


def train(directory: Path, action: Action, steps: int = 60) -> list[dict[str, float]]:
    """The metrics of a run in a new project under `directory`, whose guard watches the gap and nothing else."""
    model, prompts = directory / "tiny", directory / "prompts.jsonl"
    if not model.exists():
        save_policy(Policy(tiny_model()), tiny_tokenizer(), model)
        prompts.write_text("".join(json.dumps({"prompt": f"{letter}?"}) + "\n" for letter in "abcdef"))
    project = Project.init(directory / action)
    guard = Guarding(**{**dict.fromkeys(SIGNALS), "action": action, "gap": 0.5})      # type: ignore[arg-type]
    config = RL(algorithm="rloo", settings={"kl_coef": 0.0}, policy=str(model), prompts=str(prompts), precision="fp32",
                steps=steps, prompts_per_step=4, per_prompt=8, max_new_tokens=12, missing_end_penalty=0.0, guard=guard,
                look_every=0, optimizer=Optimizer(lr=2e-2, warmup_fraction=0.0, schedule="constant"))
    rl(project, config, CallableReward(rewarded), {}, heldout=CallableReward(meant))
    run, = project.runs.iterdir()
    return read_metrics(run / "metrics.jsonl")


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        for action, title in (("warn", "without the guard"), ("rollback", "with it")):
            print(f"\n{title}\n| step | {' | '.join(name.rpartition('/')[2] for name in SHOWN)} |")
            metrics = train(Path(directory), action)      # type: ignore[arg-type]
            for line in [*metrics[::6], metrics[-1]]:
                cells = (f"{line[name]:.2f}" if name in line else "–" for name in SHOWN)
                print(f"| {line['step'] + 1:.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
