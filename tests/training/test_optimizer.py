"""fp32 masters behind a module in another precision (D3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tutelage.errors import ConfigError, PreflightError, ResumeError, TrainingError
from tutelage.models.policy import Policy
from tutelage.runs.checkpoint import DirectoryCheckpoints
from tutelage.training.config import Optimizer
from tutelage.training.optimizer import Masters, freeze_language_head, freeze_layers

Config = Callable[..., Optimizer]


class One(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, dtype=dtype))


def test_masters_keep_the_updates_that_bf16_weights_lose(plain: Config) -> None:
    """AReaL#1634, speculators#765: norms stayed exactly 1.0. Below 1, bf16 steps are 2^-8 = 0.0039 wide; 100 updates of
    1e-4 make 0.01, which rounds to 0.98828125 or 0.9921875.
    """
    pure = One(torch.bfloat16)
    adamw = torch.optim.AdamW(pure.parameters(), lr=1e-4, eps=1e-5, weight_decay=0.0)
    kept = One(torch.bfloat16)
    masters = Masters(kept, plain(lr=1e-4), 100)
    for _ in range(100):
        pure.weight.sum().backward()
        adamw.step()
        adamw.zero_grad()
        kept.weight.sum().backward()
        masters.step()
    assert torch.equal(pure.weight.detach(), torch.ones(4, dtype=torch.bfloat16))
    assert kept.weight[0].item() in (0.98828125, 0.9921875)
    assert masters.state()["masters"]["weight"][0].item() == pytest.approx(0.99, abs=1e-5)


def test_what_is_published_is_the_rounded_master(plain: Config) -> None:
    module = One(torch.bfloat16)
    masters = Masters(module, plain(lr=3e-3), 10)
    for _ in range(3):
        (module.weight * torch.tensor([1.0, -1.0, 2.0, 0.5])).float().sum().backward()
        masters.step()
        master = masters.state()["masters"]["weight"]
        assert master.dtype == torch.float32 and torch.equal(module.weight.detach(), master.bfloat16())
        assert module.weight.grad is None


def test_micro_batch_gradients_are_summed_in_fp32(plain: Config) -> None:
    """1 + 256 gradients of 1/256: bf16 adds none of them to the 1, fp32 makes it 2."""
    module = One(torch.bfloat16)
    masters = Masters(module, plain(betas=(0.0, 0.0)), 10)
    module.weight.float().sum().backward()
    for _ in range(256):
        (module.weight.float() / 256).sum().backward()
    masters.step()
    assert masters.state()["moments"]["weight"]["exp_avg"].tolist() == [2.0] * 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_six_steps_are_three_and_three_bit_for_bit(plain: Config, weights: type, dtype: torch.dtype, tmp_path: Path) -> None:
    """Masters, both moments, step and schedule come through a checkpoint file (research E)."""
    config = plain(weight_decay=0.1, schedule="cosine", warmup_fraction=0.3, max_grad_norm=1.0)

    def walk(module: nn.Module, masters: Masters, first: int, last: int) -> None:
        for step in range(first, last):
            sum(((i + 1) * (value.float() - 0.1 * step).square()).sum()
                for i, value in enumerate(module.parameters())).backward()
            masters.step()

    whole = weights(dtype)
    walk(whole, all_masters := Masters(whole, config, 6), 0, 6)
    half = weights(dtype)
    walk(half, masters := Masters(half, config, 6), 0, 3)
    DirectoryCheckpoints(tmp_path).save(3, masters.state())
    again = weights(dtype)
    resumed = Masters(again, config, 6)
    resumed.load_state(DirectoryCheckpoints(tmp_path).latest()[1])
    walk(again, resumed, 3, 6)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    state, other = all_masters.state(), resumed.state()
    assert state["steps_done"] == other["steps_done"] == 6
    for name, moments in state["moments"].items():
        assert torch.equal(state["masters"][name], other["masters"][name])
        assert set(moments) == set(other["moments"][name]) == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(moments[key], other["moments"][name][key]) for key in moments)


def test_a_checkpoint_of_other_parameters_is_refused(plain: Config, weights: type) -> None:
    with pytest.raises(ResumeError, match="first difference: embedding"):
        Masters(weights(), plain(), 1).load_state({**Masters(One(torch.float32), plain(), 1).state()})


def test_gradients_are_scaled_down_to_the_norm_and_never_up(plain: Config) -> None:
    """TRL's PPO never applied max_grad_norm (research B18). Four elements of gradient 3 have the norm 6."""
    for limit, applied in ((2.0, 1.0), (6.0, 3.0), (100.0, 3.0), (0.0, 3.0)):
        module = One(torch.float32)
        masters = Masters(module, plain(betas=(0.0, 0.0), max_grad_norm=limit), 1)
        (3 * module.weight).sum().backward()
        assert masters.step() == pytest.approx(6.0)
        assert masters.state()["moments"]["weight"]["exp_avg"].tolist() == pytest.approx([applied] * 4)


def rates(config: Optimizer, total: int) -> list[float]:
    module = One(torch.float32)
    masters = Masters(module, config, total)
    seen = []
    for _ in range(total):
        seen.append(masters.learning_rate)
        module.weight.sum().backward()
        masters.step()
    return seen


def test_the_schedules_by_hand(plain: Config) -> None:
    """Six steps of which ceil(0.3 * 6) = 2 warm up: 1/2 and 2/2 of the peak, then 0/4, 1/4, 2/4, 3/4 of the way down."""
    half = math.sqrt(0.5)
    for schedule, wanted in (("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]), ("linear", [0.5, 1.0, 1.0, 0.8, 0.6, 0.4]),
                             ("cosine", [0.5, 1.0, 1.0, 0.2 + 0.4 * (1 + half), 0.6, 0.2 + 0.4 * (1 - half)])):
        config = plain(lr=1.0, schedule=schedule, warmup_fraction=0.3, final_fraction=0.2)
        assert rates(config, 6) == pytest.approx(wanted), schedule


def test_only_matrices_decay(plain: Config, weights: type) -> None:
    """Without a gradient a step of AdamW multiplies by 1 - lr * weight_decay = 0.9, where there is decay."""
    module, start = weights(), weights()
    masters = Masters(module, plain(lr=0.1, weight_decay=1.0), 1)
    module.total(0.0).backward()
    masters.step()
    assert torch.allclose(module.matrix, 0.9 * start.matrix)
    for name in ("vector", "embedding.weight", "value_head.bias"):
        assert torch.equal(module.get_parameter(name), start.get_parameter(name)), name


@pytest.mark.parametrize(("head_lr", "factor"), [(None, 10.0), (1e-2, 1.0), (5e-3, 0.5)])
def test_heads_have_a_learning_rate_of_their_own(plain: Config, weights: type, head_lr: float | None, factor: float) -> None:
    """Adam's first step is lr * g / (|g| + eps), so with g = 1 each weight moves by its rate."""
    module, start = weights(), weights()
    masters = Masters(module, plain(lr=1e-2, head_lr=head_lr, eps=1e-8), 1)
    module.total().backward()
    masters.step()
    for name, value in module.named_parameters():
        head = name.startswith(("value_head.", "score_head."))
        moved = start.get_parameter(name) - value
        assert torch.allclose(moved, torch.full_like(moved, 1e-2 * (factor if head else 1.0)), rtol=1e-4), name


def test_the_schedule_scales_the_rate_of_heads_alike(plain: Config, weights: type) -> None:
    """Second of two steps, constant gradient, linear to 0: half of the peak for all."""
    module = weights()
    masters = Masters(module, plain(lr=1e-2, head_lr=4e-2, schedule="linear", final_fraction=0.0, eps=1e-8), 2)
    for _ in range(2):
        before = {name: value.detach().clone() for name, value in module.named_parameters()}
        module.total().backward()
        masters.step()
    assert (before["vector"] - module.vector)[0].item() == pytest.approx(0.5e-2, rel=1e-3)
    assert (before["value_head.bias"] - module.value_head.bias)[0].item() == pytest.approx(2e-2, rel=1e-3)


def test_a_head_rate_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="head_lr"):
        Optimizer(head_lr=0.0)


def test_a_parameter_the_loss_does_not_reach_stops_the_first_step(plain: Config, weights: type) -> None:
    """OpenRLHF#1342, trl#1379: a head that is never trained, and nobody notices."""
    module = weights()
    masters = Masters(module, plain(), 1)
    (module.total() - module.score_head.weight.sum() - module.score_head.bias.sum()).backward()
    module.score_head.weight.grad = module.score_head.bias.grad = None
    with pytest.raises(PreflightError, match=r"does not depend on 2 trainable parameters \(first: score_head\.weight"):
        masters.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_first_step_that_changes_nothing_stops_the_run(plain: Config, dtype: torch.dtype) -> None:
    module = One(dtype)
    masters = Masters(module, plain(lr=1e-12), 1)
    module.weight.sum().backward()
    with pytest.raises(PreflightError, match="no parameter changed"):
        masters.step()


def test_a_gradient_that_is_not_finite_changes_nothing(plain: Config) -> None:
    """trl#3927, Soup#532: an adapter of NaN was saved, and the run reported success."""
    module = One(torch.bfloat16)
    masters = Masters(module, plain(), 2)
    (module.weight * torch.tensor([1.0, float("inf"), 1.0, 1.0])).float().sum().backward()
    with pytest.raises(TrainingError, match="the gradient norm is inf at step 1; no weight was changed"):
        masters.step()
    assert module.weight.tolist() == [1.0] * 4 and masters.state()["masters"]["weight"].tolist() == [1.0] * 4
    module.weight.float().sum().backward()
    assert masters.step() == 2.0                       # sqrt(4): nothing is left of the first gradient


def test_frozen_layers_stay(plain: Config, tiny_policy: Callable[..., Policy]) -> None:
    policy = tiny_policy()
    before = {name: value.detach().clone() for name, value in policy.named_parameters()}
    freeze_layers(policy, 1)
    masters = Masters(policy, plain(), 1)
    sum(value.square().sum() for value in policy.parameters() if value.requires_grad).backward()
    masters.step()
    changed = {name for name, value in policy.named_parameters() if not torch.equal(value, before[name])}
    assert changed and all("layers.1." in name or name == "model.model.norm.weight" for name in changed)


def test_more_frozen_layers_than_there_are_is_an_error(tiny_policy: Callable[..., Policy]) -> None:
    with pytest.raises(ConfigError, match="has 2 layers"):
        freeze_layers(tiny_policy(), 2)


def test_nothing_left_to_train_is_an_error(plain: Config) -> None:
    with pytest.raises(ConfigError, match="nothing to train"):
        Masters(One(torch.float32).requires_grad_(False), plain(), 1)


def test_a_tied_head_goes_on_being_trained_when_the_language_head_is_frozen(tiny_policy: Callable[..., Policy]) -> None:
    policy = tiny_policy()
    freeze_language_head(policy)
    assert all(value.requires_grad for value in policy.parameters())


def test_the_share_of_weights_that_changed_is_of_those_that_compute(plain: Config) -> None:
    small, large = (torch.nn.Linear(64, 64, bias=False, dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    for module in (small, large):
        torch.nn.init.ones_(module.weight)
        with torch.no_grad():
            module.weight[:16] = 1e-4      # a quarter is small enough for an update of 1e-4 to show in bf16
    for module, wanted in ((small, 0.25), (large, 1.0)):
        masters = Masters(module, plain(lr=1e-4), 1)
        module.weight.float().sum().backward()
        masters.step()
        assert masters.changed_fraction == pytest.approx(wanted, abs=0.01)


def test_every_parameter_counts_at_its_size_in_the_share_that_changed(plain: Config) -> None:
    module = torch.nn.Module()
    module.few, module.many = (torch.nn.Parameter(torch.ones(size)) for size in (10, 90_000))
    masters = Masters(module, plain(lr=1e-2), 2)
    (module.few.sum() + 0 * module.many.sum()).backward()      # no gradient for the many, but Adam sees all of them
    masters.step()
    assert masters.changed_fraction == pytest.approx(10 / 90_010)


def test_a_module_may_bring_a_learning_rate_of_its_own(plain: Config, weights: type) -> None:
    """`peak_lr`, scheduled like all others."""
    module, start = weights(), weights()
    module.value_head.peak_lr = 0.3
    masters = Masters(module, plain(lr=1e-2, eps=1e-8), 1)
    module.total().backward()
    masters.step()
    for name, rate in (("value_head.bias", 0.3), ("value_head.weight", 0.3), ("score_head.bias", 0.1), ("matrix", 0.01)):
        moved = start.get_parameter(name) - module.get_parameter(name)
        assert torch.allclose(moved, torch.full_like(moved, rate), rtol=1e-4), name
