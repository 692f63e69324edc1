"""From scored samples to updates: what is computed with what, how often, and from where it goes on."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.algorithms import next_kl_coef
from tutelage.errors import PreflightError, RewardError
from tutelage.generation.engine import Engine
from tutelage.models.policy import Policy
from tutelage.records import Sample, Sampling
from tutelage.rl import trainer as module
from tutelage.rl.config import Algorithm
from tutelage.rl.credit import Credit
from tutelage.rl.presets import PRESETS
from tutelage.rl.trainer import PolicyTrainer, pack_samples
from tutelage.runs.checkpoint import DirectoryCheckpoints

Build = Callable[..., PolicyTrainer]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("changes", [{}, {"ent_coef": 0.1}, {"minibatches": 2, "epochs": 2}], ids=str)
def test_first_use_ratios_are_one_to_the_bit(trainer: Build, draw: Any, scores: Any, monkeypatch: pytest.MonkeyPatch,
                                             dtype: torch.dtype, changes: dict[str, Any]) -> None:
    """D8; trl#6789: another chunk size alone moved 8 % of bf16 ratios by more than 0.1. Several packs, prompts shared."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    monkeypatch.setattr(module.preflight, "first_ratio", lambda new, old: seen.append((new, old)))
    fast = trainer(replace(PRESETS["ppo"], **changes), dtype, micro_tokens=80)
    samples = draw(fast.policy)
    packs = fast._pack(samples)
    assert len(packs) > 1 and all(bool((pack.tokens.prefix >= 0).any()) for pack in packs)
    first = fast._minibatches(packs, epoch=0)[0]
    fast.step(samples, scores(samples))
    assert len(seen) == len(first)                    # of the first update only: later ones have moved
    for new, old in seen:
        assert torch.equal(new, old) and float(new.std()) > 0.1


def test_old_logprobs_of_other_weights_stop_the_first_step(trainer: Build, draw: Any, scores: Any) -> None:
    """trlx#107, trl#744, NeMo-Aligner#68: ratio not 1 at the start. A weight moves by one part in 10^4 after the rollout."""
    fast = trainer(PRESETS["ppo"])
    samples = draw(fast.policy)
    rollout = fast._rollout

    def then_move(*arguments: Any) -> Any:
        done = rollout(*arguments)
        with torch.no_grad():
            fast.policy.get_parameter("model.model.norm.weight").mul_(1.0001)
        return done

    fast._rollout = then_move
    with pytest.raises(PreflightError, match="first-use ratios are not 1"):
        fast.step(samples, scores(samples))


def test_the_reference_of_an_adapter_is_the_model_with_it_off(trainer: Build, draw: Any, scores: Any,
                                                              policy: Callable[..., Policy]) -> None:
    """trl#1311, trl#701: reference equals policy, KL stuck at 0."""
    fast = trainer(PRESETS["ppo"], adapter=True)
    samples = draw(fast.policy)
    rollout = fast._rollout(samples, scores(samples), fast._pack(samples))
    base = policy()                                  # the same weights, no adapter
    for pack in fast._pack(samples):
        rows = torch.tensor(pack.rows)
        width = rollout.ref_logprobs.shape[1]
        assert torch.equal(rollout.ref_logprobs[rows], pack.tokens.pad(base.evaluate_logprobs(pack.tokens), width))
    assert float((rollout.old_logprobs - rollout.ref_logprobs).abs().max()) > 0.1
    fast.step(samples, scores(samples))              # and it trains, with the base weights left alone
    for name, value in fast.policy.named_parameters():
        if "lora" not in name and not name.startswith("value_head"):
            assert torch.equal(value, base.get_parameter(name.replace("model.base_model.model.", "model.", 1)
                                                         .replace(".base_layer.", "."))), name


def test_the_penalty_is_paid_where_the_policy_left_the_reference(trainer: Build, draw: Any) -> None:
    """KL(policy || reference) = mean(log pi - log ref) of samples of the policy, so it is above 0, and its reward below
    (trl#204, LLaMA-Factory#664: negative KL). Credit goes to the last real token, not to the end of the padding.
    """
    fast = trainer(replace(PRESETS["ppo"], kl_coef=0.5, whiten=False, gae_lambda=1.0, credit="gae"))
    torch.nn.init.zeros_(fast.policy.value_head.linear.weight)
    samples = draw(fast.policy, per_prompt=8)
    rollout = fast._rollout(samples, [0.0] * len(samples), fast._pack(samples))
    kl = (rollout.old_logprobs - rollout.ref_logprobs) * rollout.response_mask
    assert float(kl.sum(1).mean()) > 0.05
    advantages, _ = fast.credit(rollout, fast.kl_coef)
    assert torch.allclose(advantages[:, 0], -0.5 * kl.sum(1), atol=1e-5)      # without a critic the return is all that is to come
    with_score = replace(rollout, scores=torch.arange(float(len(samples))))
    paid, _ = fast.credit(with_score, fast.kl_coef)
    for row, sample in enumerate(samples):
        length = len(sample.response_ids)
        assert torch.allclose((paid - advantages)[row, :length], torch.full((length,), float(row)), atol=1e-5)
        assert not bool(paid[row, length:].any())


def test_advantages_are_whitened_over_response_tokens_only(trainer: Build, draw: Any, scores: Any) -> None:
    """trlX whitened over padding (research B18)."""
    fast = trainer(PRESETS["ppo"])
    samples = draw(fast.policy)
    rollout = fast._rollout(samples, scores(samples), fast._pack(samples))
    assert not bool(rollout.response_mask.all())
    advantages, returns = fast.credit(rollout, fast.kl_coef)
    kept = advantages[rollout.response_mask]
    assert float(kept.mean()) == pytest.approx(0, abs=1e-5) and float(kept.std()) == pytest.approx(1, abs=1e-4)
    raw = replace(PRESETS["ppo"], whiten=False)
    plain, same_returns = Credit(raw)(rollout, fast.kl_coef)
    assert torch.equal(returns, same_returns)                    # the critic's target is not whitened
    assert torch.allclose(returns, (plain + rollout.values) * rollout.response_mask, atol=1e-6)


def test_minibatches_cover_each_pack_once_an_epoch_in_another_order(trainer: Build, draw: Any, scores: Any,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    fast = trainer(replace(PRESETS["ppo"], epochs=3, minibatches=4))
    samples = draw(fast.policy)
    updates: list[tuple[str, ...]] = []
    real = module.update
    monkeypatch.setattr(module, "update", lambda masters, batches, objective: (
        updates.append(tuple(name for batch in batches for name in batch.rows)), real(masters, batches, objective))[1])
    fast.step(samples, scores(samples))
    assert len(updates) == 12 and fast.masters.steps_done == 12
    epochs = [updates[start:start + 4] for start in (0, 4, 8)]
    for epoch in epochs:
        assert sorted(name for rows in epoch for name in rows) == sorted(sample.id for sample in samples)
    assert len({tuple(epoch) for epoch in epochs}) > 1


@pytest.mark.parametrize("micro_tokens", [1, 30, 45, 80, 10_000])
def test_packs_keep_to_their_tokens_and_hold_every_row_once(trainer: Build, draw: Any, micro_tokens: int) -> None:
    """A prompt's samples stay together where they fit, and are cut where they do not (unsloth#1624: OOM on the longest)."""
    fast = trainer(PRESETS["ppo"], micro_tokens=micro_tokens)
    samples = draw(fast.policy)
    packs = fast._pack(samples)
    assert [row for pack in packs for row in pack.rows] == list(range(len(samples)))
    assert all(pack.tokens.num_tokens <= micro_tokens or len(pack.rows) == 1 for pack in packs)
    assert [name for pack in packs for name in pack.names] == [sample.id for sample in samples]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("changes", [{}, {"ent_coef": 0.1}, {"importance_limit": 2.0}], ids=str)
@pytest.mark.parametrize("preset", ["ppo", "a2c", "rloo", "grpo", "gspo", "online_dpo"])
def test_learning_from_the_forward_that_was_looked_at_gives_the_same_bits(trainer: Build, draw: Any, scores: Any, preset: str,
                                                                          changes: dict[str, Any], dtype: torch.dtype,
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    """One forward of the policy a step and not two, but for the first; weights, moments and metrics stay what they were."""
    forwards: list[bool] = []
    real = Policy.forward
    monkeypatch.setattr(Policy, "forward", lambda self, *given, **asked: (
        forwards.append(torch.is_grad_enabled()), real(self, *given, **asked))[1])

    def walk(fast: PolicyTrainer) -> list[dict[str, float]]:
        return [fast.step(samples := draw(fast.policy, seed=step), scores(samples)) for step in range(3)]

    once, twice = (trainer(replace(PRESETS[preset], **changes), dtype, betas=(0.9, 0.95)) for _ in range(2))
    twice._looks_once = lambda packs: False
    metrics = walk(once)
    looked = len(forwards)
    assert walk(twice) == metrics and len(forwards) - looked == looked + 2
    for one, other in zip(once.policy.parameters(), twice.policy.parameters(), strict=True):
        assert torch.equal(one, other)
    moments = twice.masters.state()["moments"]
    for name, found in once.masters.state()["moments"].items():
        assert all(torch.equal(found[key], moments[name][key]) for key in found)


@pytest.mark.parametrize("changes", [{"epochs": 2}, {"minibatches": 2}, {}], ids=str)
def test_a_graph_is_kept_only_for_one_update_of_packs_that_are_in_memory_at_once(trainer: Build, draw: Any, scores: Any,
                                                                                 changes: dict[str, Any]) -> None:
    fast = trainer(replace(PRESETS["ppo"], **changes), micro_tokens=10_000 if changes else 40)
    samples = draw(fast.policy)
    fast.step(samples, scores(samples))
    assert not fast._looks_once(fast._pack(samples))
    whole = trainer(PRESETS["ppo"])
    assert not whole._looks_once(whole._pack(samples))      # in the first update the ratio is checked
    whole.step(samples, scores(samples))
    assert whole._looks_once(whole._pack(samples))


@pytest.mark.parametrize("lanes, minibatches, micro_tokens", [(2, 1, 4096), (2, 2, 4096), (1, 4, 4096), (2, 1, 600)])
def test_packs_are_as_many_as_the_lanes_share_evenly(trainer: Build, draw: Any, lanes: int, minibatches: int,
                                                     micro_tokens: int) -> None:
    """With three packs a lane of two waits; cut at half of all tokens, unequal ones were three in 99 rollouts of 100."""
    sample = draw(trainer(PRESETS["rloo"]).policy)[0]
    rng = random.Random(0)
    for _ in range(50):
        samples = []
        for prompt in range(8):
            ids = (prompt,) * rng.randint(30, 42)
            for number in range(4):
                said = (1,) * rng.choice((64, 64, rng.randint(8, 63)))
                samples.append(replace(sample, id=f"{prompt}-{number}", prompt_ids=ids, response_ids=said,
                                       response_mask=(True,) * len(said)))
        packs = pack_samples(samples, micro_tokens, minibatches, True, lanes)
        sizes = [pack.tokens.num_tokens for pack in packs]
        assert len(packs) % (lanes * minibatches) == 0 and max(sizes) <= micro_tokens // lanes
        assert max(sizes) <= 1.25 * sum(sizes) / len(sizes)
        assert [row for pack in packs for row in pack.rows] == list(range(len(samples)))
        if micro_tokens == 4096:
            assert len(packs) == lanes * minibatches


def test_metrics_are_means_over_the_updates(trainer: Build, draw: Any, scores: Any) -> None:
    once, twice = trainer(PRESETS["ppo"]), trainer(replace(PRESETS["ppo"], epochs=2))
    samples = draw(once.policy)
    first = once.step(samples, scores(samples))
    both = twice.step(samples, scores(samples))
    assert first["train/approx_kl"] == 0.0 and first["train/clip_fraction"] == 0.0 and first["train/ratio"] == 1.0
    assert both["train/approx_kl"] > 0.0
    assert first["objective/score"] == pytest.approx(sum(scores(samples)) / len(samples))
    assert first["rollout/length"] == pytest.approx(sum(len(sample.response_ids) for sample in samples) / len(samples))
    assert first["rollout/engine_mismatch_p99"] < 1e-4


def test_equal_scores_for_all_teach_nothing_and_stop_nothing(trainer: Build, draw: Any) -> None:
    """A rule that no first sample satisfies: no gradient, no step, no error; learning starts with the first difference."""
    fast = trainer(replace(PRESETS["rloo"], kl_coef=0.0), lr=1e-2)
    samples = draw(fast.policy)
    before = [value.clone() for value in fast.policy.parameters()]
    metrics = fast.step(samples, [0.0] * len(samples))
    assert fast.masters.steps_done == 0 and fast.steps_done == 1 and "train/loss" not in metrics
    assert all(torch.equal(one, other) for one, other in zip(before, fast.policy.parameters(), strict=True))
    fast.step(samples, [float(i % 2) for i in range(len(samples))])
    assert fast.masters.steps_done == 1


def test_scores_that_are_not_one_number_a_sample_are_refused(trainer: Build, draw: Any) -> None:
    fast = trainer(PRESETS["ppo"])
    samples = draw(fast.policy)
    for scores in ([1.0] * (len(samples) - 1), [float("nan")] * len(samples), [float("inf")] * len(samples)):
        with pytest.raises(RewardError, match="one finite number each"):
            fast.step(samples, scores)


def test_an_engine_with_other_weights_is_found_in_the_first_step(trainer: Build, draw: Any, scores: Any,
                                                                 reference: Callable[..., Policy]) -> None:
    """verl#7495, AReaL#1385: weights that never reached the engine, two months on a wrong trail."""
    fast = trainer(PRESETS["ppo"])
    samples = draw(reference())                      # drawn from another model
    with pytest.raises(PreflightError, match="engine parity"):
        fast.step(samples, scores(samples))


def test_the_coefficient_follows_the_formula_and_steers_towards_the_target(trainer: Build, draw: Any, scores: Any) -> None:
    """Ziegler et al. 2019: up by at most 20 % * n / horizon where KL is above the target, down where it is below."""
    for target, rises in ((1e-3, True), (1e3, False)):
        fast = trainer(replace(PRESETS["ppo"], kl_target=target, kl_horizon=100.0))
        samples = draw(fast.policy)
        kl = fast.step(samples, scores(samples))["objective/kl"]
        assert fast.kl_coef == next_kl_coef(0.05, kl, target, 100.0, len(samples))
        assert fast.kl_coef == pytest.approx(0.05 * (1 + (0.2 if rises else -0.2) * len(samples) / 100))
    near = trainer(replace(PRESETS["ppo"], kl_target=kl / 1.1, kl_horizon=100.0))      # 10 % above it
    near.step(samples, scores(samples))
    assert near.kl_coef == pytest.approx(0.05 * (1 + 0.1 * len(samples) / 100))
    fixed = trainer(PRESETS["ppo"])
    fixed.step(draw(fixed.policy), scores(draw(fixed.policy)))
    assert fixed.kl_coef == 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("adapter", [False, True], ids=["full", "lora"])
def test_six_steps_are_three_and_three_to_the_bit(trainer: Build, draw: Any, scores: Any, tmp_path: Path, dtype: torch.dtype,
                                                  adapter: bool) -> None:
    """trl#1643, open-instruct#488, #1823: parameters, moments, coefficient and the order of minibatches all go on."""
    a = replace(PRESETS["ppo"], epochs=2, minibatches=2, kl_target=0.5, kl_horizon=50.0)

    def build() -> PolicyTrainer:
        return trainer(a, dtype, adapter, betas=(0.9, 0.95), micro_tokens=80)

    def walk(fast: PolicyTrainer, first: int, last: int) -> list[dict[str, float]]:
        return [fast.step(samples := draw(fast.policy, seed=step), scores(samples)) for step in range(first, last)]

    whole = build()
    metrics = walk(whole, 0, 6)
    half = build()
    walk(half, 0, 3)
    DirectoryCheckpoints(tmp_path).save(3, half.state())
    again = build()
    again.load_state(DirectoryCheckpoints(tmp_path).latest()[1])
    assert walk(again, 3, 6) == metrics[3:]
    assert again.kl_coef == whole.kl_coef != 0.05 and again.steps_done == whole.steps_done == 6
    for one, other in zip(whole.policy.parameters(), again.policy.parameters(), strict=True):
        assert torch.equal(one, other)
    for name, moments in whole.masters.state()["moments"].items():
        assert all(torch.equal(moments[key], again.masters.state()["moments"][name][key]) for key in moments)


def test_a_sample_may_hold_tokens_the_policy_did_not_choose(trainer: Build, draw: Any, scores: Any) -> None:
    """D18: tool output in a response is neither rewarded nor learned; its ids are still what the policy saw."""
    fast = trainer(PRESETS["ppo"])
    samples = draw(fast.policy, tokens=8)
    masked = [replace(sample, response_mask=tuple(i != 1 or length < 3 for i in range(length)))
              for sample in samples for length in [len(sample.response_ids)]]
    rollout = fast._rollout(masked, scores(masked), fast._pack(masked))
    assert rollout.response_mask.sum(1).tolist() == [sum(sample.response_mask) for sample in masked]
    whole = fast._rollout(samples, scores(samples), fast._pack(samples))
    row = next(i for i, sample in enumerate(samples) if len(sample.response_ids) >= 4)
    kept = [0, *range(2, len(samples[row].response_ids))]
    assert torch.allclose(rollout.old_logprobs[row, :len(kept)], whole.old_logprobs[row, kept], atol=1e-6)
    fast.step(masked, scores(masked))


def test_composition_needs_no_critic_without_gae(trainer: Build) -> None:
    assert trainer(PRESETS["rloo"]).policy.value_head is None
    assert trainer(Algorithm(credit="gae")).policy.value_head is not None


def test_temperature_divides_the_logits_in_training_as_in_sampling(trainer: Build, template: Any, prompts: Any,
                                                                   scores: Any) -> None:
    """trl#4159, prime-rl#2601: sampled at one temperature, trained at another."""
    fast = trainer(PRESETS["ppo"], temperature=0.5)
    samples: list[Sample] = Engine(fast.policy, template).generate(prompts, Sampling(max_new_tokens=6, temperature=0.5), 3)
    assert fast.step(samples, scores(samples))["rollout/engine_mismatch_p99"] < 1e-4
