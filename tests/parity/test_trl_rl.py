"""RL losses and advantages against TRL's GRPO and RLOO trainers.

Their loss functions run as they are, on shared random log-probabilities; what is put in their trainers' place only hands these
out. That their advantages are ours too is seen in whole steps of their trainers, whose samples are then given to ours.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset
from one_step import PROMPT, Gradients, Watched, distance, model, settings, tokenizer
from torch import Tensor
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from tutelage.algorithms import clipped_policy_loss, k3
from tutelage.batch import TokenBatch
from tutelage.messages import Message
from tutelage.models.policy import Policy
from tutelage.records import Prompt, Sample
from tutelage.rl.config import Algorithm
from tutelage.rl.presets import PRESETS, algorithm
from tutelage.rl.surrogate import averaging
from tutelage.rl.trainer import PolicyTrainer
from tutelage.training.config import Optimizer

B, T, LIMIT = 6, 8, 10
LENGTHS = torch.tensor([8, 5, 1, 3, 8, 6])


def ask(**settings: Any) -> Any:
    """Stands where their trainer stands while `_compute_loss` runs: settings, and one process that gathers from itself."""
    accelerator = SimpleNamespace(gather=lambda value: value, reduce=lambda value, reduction: value, num_processes=1,
                                  gather_for_metrics=lambda value: value, sync_gradients=False)
    args = SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1)
    return SimpleNamespace(**{
        "accelerator": accelerator, "args": args, "aux_loss_enabled": False, "top_entropy_quantile": 1.0, "use_vllm": False,
        "off_policy_mask_threshold": None, "current_gradient_accumulation_steps": 1, "_entropy_bonus_enabled": False,
        "max_completion_length": LIMIT, "model": SimpleNamespace(training=True),
        "vllm_importance_sampling_correction": False, "_metrics": defaultdict(lambda: defaultdict(list)), **settings})


@pytest.fixture
def drawn() -> dict[str, Tensor]:
    """Log-probabilities of now, of then and of a reference; advantages; a mask of ragged responses."""
    generator = torch.Generator().manual_seed(0)
    now = -torch.rand(B, T, generator=generator) * 3
    return {"now": now.requires_grad_(), "old": now.detach() + 0.3 * torch.randn(B, T, generator=generator),
            "ref": now.detach() + 0.5 * torch.randn(B, T, generator=generator),
            "advantages": torch.randn(B, generator=generator), "mask": torch.arange(T)[None] < LENGTHS[:, None]}


def theirs(kind: type, drawn: dict[str, Tensor], **settings: Any) -> tuple[float, Tensor]:
    trainer = ask(**settings)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (drawn["now"], torch.zeros(B, T), None)
    mask = drawn["mask"].float()
    inputs = {"prompt_ids": torch.zeros(B, 1), "prompt_mask": torch.ones(B, 1), "completion_ids": torch.zeros(B, T),
              "completion_mask": mask, "advantages": drawn["advantages"], "old_per_token_logps": drawn["old"],
              "ref_per_token_logps": drawn["ref"], "num_items_in_batch": mask.sum(), "old_logps": (drawn["old"] * mask).sum(1)}
    loss = kind._compute_loss(trainer, None, inputs)
    return float(loss), torch.autograd.grad(loss, drawn["now"])[0]


def ours(a: Algorithm, drawn: dict[str, Tensor]) -> tuple[float, Tensor]:
    """The surrogate's sums over their counts, token by token as the trainer lays them out."""
    mask, now, old = drawn["mask"], drawn["now"], drawn["old"]
    share, count = averaging(a.average, LENGTHS, torch.ones(B, dtype=torch.bool), LIMIT)
    weighted = (share * drawn["advantages"])[:, None].expand(B, T)
    logprobs = now
    if a.ratio == "sequence":
        mean = ((now - old) * mask).sum(1) / LENGTHS
        logprobs = old + mean[:, None]
    clip_range = (a.clip_range, a.clip_higher or a.clip_range)
    loss = clipped_policy_loss(logprobs[mask], old[mask], weighted[mask], clip_range=clip_range)
    total = loss.sum + a.kl_coef * (share[:, None] * k3(now, drawn["ref"]))[mask].sum()
    total = total / (count * LENGTHS).sum()
    return float(total), torch.autograd.grad(total, now)[0]


@pytest.mark.parametrize(("name", "loss_type", "level", "beta"), [
    ("grpo", "grpo", "token", 0.04), ("grpo", "grpo", "token", 0.0), ("dr_grpo", "dr_grpo", "token", 0.0),
    ("dr_grpo", "dr_grpo", "token", 0.1), ("dapo", "dapo", "token", 0.0), ("dapo", "bnpo", "token", 0.2),
    ("gspo", "grpo", "sequence", 0.0)])
def test_the_loss_of_a_group_preset_is_theirs_where_ratios_are_clipped(drawn: dict[str, Tensor], name: str, loss_type: str,
                                                                       level: str, beta: float) -> None:
    a = algorithm(name, {"kl_coef": beta, **({"clip_range": 0.1, "clip_higher": 0.15} if name == "gspo" else {})})
    high = a.clip_higher or a.clip_range
    loss, gradient = theirs(GRPOTrainer, drawn, loss_type=loss_type, importance_sampling_level=level, beta=beta,
                            epsilon_low=a.clip_range, epsilon_high=high)
    mine, my_gradient = ours(a, drawn)
    assert mine == pytest.approx(loss, abs=1e-6)
    assert torch.allclose(my_gradient * drawn["mask"], gradient * drawn["mask"], rtol=0, atol=1e-6)
    if beta == 0:      # some were clipped, and nothing else pulls at these
        assert 0 < int(((my_gradient == 0) & drawn["mask"]).sum()) < int(drawn["mask"].sum())


def test_rloo_of_theirs_is_ours_at_ratio_one_and_clips_whole_responses_else(drawn: dict[str, Tensor]) -> None:
    """Theirs clips the ratio of the whole response; ours is the paper's policy gradient, which is that at its first use."""
    at_one = {**drawn, "old": drawn["now"].detach()}
    _, gradient = theirs(RLOOTrainer, at_one, beta=0.0, epsilon_low=0.2, epsilon_high=0.2)
    wanted = -drawn["advantages"][:, None] * drawn["mask"] / B
    assert torch.allclose(gradient, wanted, rtol=0, atol=1e-6)
    _, moved = theirs(RLOOTrainer, drawn, beta=0.0, epsilon_low=0.2, epsilon_high=0.2)
    assert not torch.allclose(moved, wanted, atol=1e-3)


def reward(completion_ids: list[list[int]], **rest: Any) -> list[float]:
    return [sum(ids) % 17 / 8.0 for ids in completion_ids]


def whole_step(kind: type, config: Any) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What their trainer made of two prompts and its own samples, and the gradient of its step."""
    class Watching(kind):      # type: ignore[misc, valid-type]
        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            self.seen = inputs
            return super()._compute_loss(model, inputs)

    torch.manual_seed(0)
    rows = Dataset.from_list([{"prompt": PROMPT.format(text)} for text in ("a?", "which?")])
    trainer = Watching(model(), reward_funcs=[reward], args=config, train_dataset=rows, processing_class=tokenizer())
    gradients = Gradients()
    trainer.add_callback(gradients)
    trainer.train()
    return trainer.seen, gradients.seen


def samples_of(seen: dict[str, Any], policy: Policy) -> list[Sample]:
    """Their samples as ours, those of a prompt next to each other."""
    found = []
    for row in range(len(seen["completion_ids"])):
        prompt = tuple(seen["prompt_ids"][row][seen["prompt_mask"][row].bool()].tolist())
        response = tuple(seen["completion_ids"][row][seen["completion_mask"][row].bool()].tolist())
        mask = [False] * len(prompt) + [True] * len(response)
        chosen = policy.evaluate_logprobs(TokenBatch.pack([[*prompt, *response]], [mask])).tolist()
        found.append(Sample(id=str(row), prompt=Prompt(id=str(prompt), messages=(Message.of("user", "?"),)), prompt_ids=prompt,
                            response_ids=response, logprobs=tuple(chosen), response_mask=(True,) * len(response), text="",
                            ended=False))
    return sorted(found, key=lambda sample: sample.prompt_ids)


@pytest.mark.parametrize(("kind", "config", "preset", "changes"), [
    (GRPOTrainer, GRPOConfig, "grpo", {"kl_coef": 0.0}), (RLOOTrainer, RLOOConfig, "rloo", {"kl_coef": 0.0, "average": "sums"}),
], ids=["grpo", "rloo"])
def test_a_whole_step_has_the_gradient_of_theirs(tmp_path: Path, kind: type, config: Any, preset: str,
                                                 changes: dict[str, Any]) -> None:
    """Advantages, averaging and all: on their own samples, ours takes the step theirs took."""
    rest = {"loss_type": "grpo"} if preset == "grpo" else {}
    asked = settings(tmp_path, 8, num_generations=4, max_completion_length=6, beta=0.0, temperature=1.0, top_k=0, **rest)
    seen, gradients = whole_step(kind, config(**asked))
    policy, reference = (Policy(model()) for _ in range(2))
    masters = Watched(policy, Optimizer(lr=1e-9, warmup_fraction=0.0, max_grad_norm=0.0), 1)
    trainer = PolicyTrainer(policy, reference.requires_grad_(False), masters, algorithm(preset, changes), max_new_tokens=6)
    samples = samples_of(seen, policy)
    trainer.step(samples, [reward([list(sample.response_ids)])[0] for sample in samples])
    mine = {name.removeprefix("model."): value for name, value in masters.seen.items()}
    assert set(mine) == set(gradients)
    apart = {name: distance(value, gradients[name]) for name, value in mine.items()}
    assert max(apart.values()) <= 1e-4, apart
    assert PRESETS[preset].credit in ("group_std", "leave_one_out")
