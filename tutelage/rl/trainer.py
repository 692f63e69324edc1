"""Turn scored samples into policy updates. The trainer knows compositions (`rl.config.Algorithm`), no algorithm by name.

B sampled responses · T response tokens, padded on the right · L response tokens laid end to end
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tutelage.algorithms import next_ent_coef, next_kl_coef, truncated_weights
from tutelage.batch import Rollout, TokenBatch
from tutelage.errors import RewardError
from tutelage.models.policy import Policy, PolicyOutput
from tutelage.records import Sample
from tutelage.rl import figures
from tutelage.rl.config import Algorithm
from tutelage.rl.credit import TOKEN_SCORES, Credit
from tutelage.rl.critic import Critic
from tutelage.rl.mixing import Mixture
from tutelage.rl.surrogate import Outputs, Surrogate, averaging
from tutelage.runs.meter import phase
from tutelage.seeds import stream_seed
from tutelage.training import preflight
from tutelage.training.loop import MicroBatch, update
from tutelage.training.optimizer import Masters


@dataclass(frozen=True, slots=True)
class Pack:
    """A fixed micro-batch of a rollout: which of its rows it holds, and their tokens. Fixed, because another packing
    moves bf16 logprobs (D8)."""

    rows: tuple[int, ...]
    tokens: TokenBatch
    names: tuple[str, ...]


class PolicyTrainer:
    """One policy, its reference and its optimizer. `step` is all there is to it, also for a loop of one's own.

    The reference is a frozen copy, or None for a policy with an adapter, which is its own reference with it off. Without a
    `critic` of its own, a composition that needs one reads the policy's value head. `mixture` is text to mix in by `ptx_coef`.
    """

    def __init__(self, policy: Policy, reference: Policy | None, masters: Masters, algorithm: Algorithm, *,
                 micro_tokens: int = 2048, temperature: float = 1.0, seed: int = 0, max_new_tokens: int = 64,
                 critic: Critic | None = None, mixture: Mixture | None = None) -> None:
        assert reference is not None or policy.has_adapter, "a policy without adapter needs a frozen reference"
        self.policy, self.reference, self.masters, self.algorithm = policy, reference, masters, algorithm
        self.micro_tokens, self.temperature, self.seed, self.max_new_tokens = micro_tokens, temperature, seed, max_new_tokens
        self.critic, self.mixture = critic, mixture if algorithm.ptx_coef > 0 else None
        self.credit = Credit(algorithm)
        self.kl_coef, self.ent_coef = algorithm.kl_coef, algorithm.ent_coef
        self.steps_done = 0

    def state(self) -> dict[str, Any]:
        """All that a continuation needs; the order of what is mixed in follows from the updates made."""
        return {"kl_coef": self.kl_coef, "ent_coef": self.ent_coef, "steps_done": self.steps_done, "mean": self.credit.mean,
                "masters": self.masters.state(), **({"critic": self.critic.state()} if self.critic else {})}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.kl_coef, self.steps_done, self.credit.mean = state["kl_coef"], state["steps_done"], state["mean"]
        self.ent_coef = state["ent_coef"]
        if self.critic is not None:
            self.critic.load_state(state["critic"])
        self.masters.load_state(state["masters"])

    def step(self, samples: Sequence[Sample], scores: Sequence[float],
             token_scores: Sequence[Sequence[float]] | None = None) -> dict[str, float]:
        """Learn from B samples of the current policy and their scores; returns metrics by SB3's names.

        Samples of one prompt must be neighbours (they share its computation and are each other's baseline). `token_scores` says
        what each response token earns, a row a sample whose sum is its score: credit over time pays it at that token.

        Raises:
            RewardError: if there is not one finite score a sample, or one a token where these are given.
            PreflightError: if samples were drawn from another distribution than `temperature` makes; in the first step, if the
                ratio is not 1 or the engine disagrees with the trainer.
        """
        if len(samples) != len(scores) or not all(score == score and abs(score) != float("inf") for score in scores):
            raise RewardError(f"step got {len(scores)} scores for {len(samples)} samples; wanted one finite number each.")
        _check_rows(samples, token_scores)
        preflight.replayed([sample.sampling for sample in samples], self.temperature)
        packs = self._pack(samples)
        kept: Outputs | None = {} if self._looks_once(packs) else None
        with phase("rollout"):
            rollout = self._rollout(samples, scores, packs, kept)
            if token_scores is not None:
                dense = {TOKEN_SCORES: _chosen(samples, token_scores, rollout.values)}
                rollout = replace(rollout, extras={**rollout.extras, **dense})
            self._check_engine(rollout)
        advantages, returns = self.credit(rollout, self.kl_coef)
        metrics = figures.of_rollout(rollout, returns, self.algorithm.has_critic)
        metrics |= {"objective/kl_coef": self.kl_coef, "objective/ent_coef": self.ent_coef}
        weights, told = self._importance(rollout)
        fields = self._by_token(rollout, advantages, returns)
        learned = self._update(packs, {**fields, "advantages": weights * fields["advantages"]}, kept or {})
        self._adapt(metrics["objective/kl"], metrics["objective/entropy"], len(samples))
        self.steps_done += 1
        return metrics | told | learned

    def _looks_once(self, packs: Sequence[Pack]) -> bool:
        """Whether the forward that says what was sampled is the one that is learned from: its graph is kept until the advantages
        are known. So where there is one update and all packs are in memory at once anyway. The numbers are the same to the bit;
        the first update makes both forwards, so that its ratio says something.
        """
        a = self.algorithm
        return (a.epochs * a.minibatches == 1 and len(packs) <= self.masters.lanes.count
                and self.masters.steps_done > 0 and self.steps_done >= a.critic_warmup)

    def _by_token(self, rollout: Rollout, advantages: Tensor, returns: Tensor) -> dict[str, Tensor]:
        """What the loss reads, (B, T) each: the rollout's own, and by which share of the loss each token goes."""
        kept = self.credit.kept(rollout, advantages)
        share, count = averaging(self.algorithm.average, rollout.response_mask.sum(1), kept, self.max_new_tokens)
        return {"old_logprobs": rollout.old_logprobs, "ref_logprobs": rollout.ref_logprobs, "values": rollout.values,
                "advantages": advantages, "returns": returns, "share": share[:, None].expand_as(advantages),
                "count": count[:, None].expand_as(advantages)}

    def _importance(self, rollout: Rollout) -> tuple[Tensor, dict[str, float]]:
        """(B, T) what each token counts, and how many were cut off; all count 1 where nothing is corrected."""
        limit, mask = self.algorithm.importance_limit, rollout.response_mask
        if limit is None:
            return torch.ones_like(rollout.old_logprobs), {}
        weights = truncated_weights(rollout.old_logprobs, rollout.extras["engine_logprobs"], mask, limit)
        return weights, {"rollout/importance_mean": float(weights[mask].mean()),
                         "rollout/importance_truncated_fraction": float((weights[mask] == limit).float().mean())}

    def _update(self, packs: Sequence[Pack], padded: Mapping[str, Tensor], kept: Outputs) -> dict[str, float]:
        """All passes over a rollout, or as many as `target_kl` allows; their metrics."""
        a = self.algorithm
        updates: list[dict[str, float]] = []
        critics: list[dict[str, float]] = []
        for epoch in range(a.epochs):
            for minibatch in self._minibatches(packs, epoch):
                batches = [_fields(pack, padded, self.kl_coef, self.ent_coef) for pack in minibatch]
                if self.critic is not None:
                    critics.append(self.critic.learn(batches))
                if self.steps_done >= a.critic_warmup and self._teaches(batches):
                    updates.append(self._policy_update(batches, kept))
                    if a.target_kl is not None and updates[-1].get("approx_kl", 0.0) > 1.5 * a.target_kl:
                        return figures.of_updates(updates) | figures.of_updates(critics)
        return figures.of_updates(updates) | figures.of_updates(critics)

    def _policy_update(self, batches: Sequence[MicroBatch], kept: Outputs) -> dict[str, float]:
        objective = Surrogate(self.algorithm, self.temperature, check_ratio=self.masters.steps_done == 0, kept=kept)
        mixed = [] if self.mixture is None else self.mixture.batches(self.masters.steps_done)
        return {**update(self.masters, [*batches, *mixed], objective), **figures.of_ratios(objective.log_ratios)}

    def _teaches(self, batches: Sequence[MicroBatch]) -> bool:
        """Whether there is a gradient: a reward that is the same for all samples (often at the start, with rules) gives
        none, and then no step is made, which the optimizer's momentum would turn into noise.
        """
        a = self.algorithm
        if not any(bool(batch.fields["count"].any()) for batch in batches):
            return False
        return a.ent_coef > 0 or self.mixture is not None or (a.kl_in == "loss" and a.kl_coef > 0) or any(
            bool(batch.fields["advantages"].any() or (batch.fields["returns"] != batch.fields["values"]).any())
            for batch in batches)

    def _pack(self, samples: Sequence[Sample]) -> list[Pack]:
        return pack_samples(samples, self.micro_tokens, self.algorithm.minibatches, self.policy.ragged, self.masters.lanes.count)

    @torch.no_grad()
    def _rollout(self, samples: Sequence[Sample], scores: Sequence[float], packs: Sequence[Pack],
                 kept: Outputs | None = None) -> Rollout:
        """The trainer's own logprobs, the reference's and the critic's values, each pack as it will be trained on. `kept`, where
        given, takes what the policy said, with its graph.
        """
        with torch.set_grad_enabled(kept is not None):
            looks = self.masters.lanes.each(self._look, packs)
        width = max(len(sample.response_ids) for sample in samples)
        shape = (len(samples), width)
        old, ref, values, entropy = (torch.zeros(shape) for _ in range(4))
        mask = torch.zeros(shape, dtype=torch.bool)
        for pack, (out, reference) in zip(packs, looks, strict=True):
            if kept is not None:
                kept[pack.names] = out
            rows = torch.tensor(pack.rows)
            assert out.logprobs is not None and out.entropy is not None
            ref[rows] = pack.tokens.pad(reference, width)
            old[rows], entropy[rows] = pack.tokens.pad(out.logprobs, width), pack.tokens.pad(out.entropy, width)
            if out.values is not None:
                values[rows] = pack.tokens.pad(out.values, width)
            mask[rows] = pack.tokens.padded_mask(width)
        if self.critic is not None:
            for pack, value in zip(packs, self.critic.values([pack.tokens for pack in packs]), strict=True):
                values[torch.tensor(pack.rows)] = pack.tokens.pad(value, width)
        engine = _chosen(samples, [sample.logprobs for sample in samples], old)
        groups = {sample.prompt_ids: index for index, sample in enumerate(samples)}
        return Rollout(
            sequences=tuple((*sample.prompt_ids, *sample.response_ids) for sample in samples),
            prompt_lengths=tuple(len(sample.prompt_ids) for sample in samples), response_mask=mask, old_logprobs=old,
            ref_logprobs=ref, values=values, scores=torch.tensor(scores, dtype=torch.float32),
            group_ids=torch.tensor([groups[sample.prompt_ids] for sample in samples]),
            extras={"engine_logprobs": engine, "entropy": entropy,
                    "ended": torch.tensor([sample.ended for sample in samples])})

    def _look(self, policy: Policy, pack: Pack) -> tuple[PolicyOutput, Tensor]:
        """What the policy says of a pack, and the reference's logprobs (L,)."""
        out = policy(pack.tokens, entropy=True, values=policy.value_head is not None, temperature=self.temperature)
        with policy.reference() if self.reference is None else nullcontext():
            reference = policy if self.reference is None else self.reference
            return out, reference.evaluate_logprobs(pack.tokens, self.temperature)

    def _minibatches(self, packs: Sequence[Pack], epoch: int) -> list[list[Pack]]:
        """Packs dealt to `minibatches` updates, in another order each epoch; the packs themselves stay as they are."""
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "rl", "minibatches", self.steps_done, epoch))
        order = torch.randperm(len(packs), generator=generator).tolist() if self.algorithm.minibatches > 1 else range(len(packs))
        dealt = [[packs[index] for place, index in enumerate(order) if place % self.algorithm.minibatches == turn]
                 for turn in range(self.algorithm.minibatches)]
        return [minibatch for minibatch in dealt if minibatch]

    def _adapt(self, kl: float, entropy: float, num_samples: int) -> None:
        """Steer KL (nats a response) and entropy (nats a token) of the policy towards their targets, where they have some."""
        a = self.algorithm
        if a.kl_target is not None:
            self.kl_coef = next_kl_coef(self.kl_coef, kl, a.kl_target, a.kl_horizon, num_samples)
        if a.ent_target is not None:
            self.ent_coef = next_ent_coef(self.ent_coef, entropy, a.ent_target, a.ent_rate)

    def _check_engine(self, rollout: Rollout) -> None:
        if self.steps_done == 0:
            mask = rollout.response_mask
            preflight.engine_parity(rollout.extras["engine_logprobs"][mask], rollout.old_logprobs[mask],
                                    "bf16" if self.policy.dtype == torch.bfloat16 else "fp32")


def _chosen(samples: Sequence[Sample], rows: Sequence[Sequence[float]], like: Tensor) -> Tensor:
    """(B, T) of one number a response token those of tokens the policy chose."""
    padded = torch.zeros_like(like)
    for at, (sample, row) in enumerate(zip(samples, rows, strict=True)):
        chosen = [value for value, keep in zip(row, sample.response_mask, strict=True) if keep]
        padded[at, : len(chosen)] = torch.tensor(chosen)
    return padded


def _check_rows(samples: Sequence[Sample], token_scores: Sequence[Sequence[float]] | None) -> None:
    if token_scores is None:
        return
    bad = [sample.id for sample, row in zip(samples, token_scores, strict=False)
           if len(row) != len(sample.response_ids) or not all(map(math.isfinite, row))]
    if bad or len(token_scores) != len(samples):
        raise RewardError(f"step got {len(token_scores)} rows of token scores for {len(samples)} samples"
                          + (f", of which {bad[0]} has not one finite number a token" if bad else "")
                          + "; wanted a row a sample and a number a response token.")


def pack_samples(samples: Sequence[Sample], micro_tokens: int, minibatches: int, share: bool, lanes: int = 1) -> list[Pack]:
    """Neighbours into micro-batches of which `lanes` at once have at most `micro_tokens`, a prompt's samples together where
    they fit.

    A sample over it stands alone. Each minibatch has as many packs as there are lanes, or a multiple of it, as even as they can
    be, where there are samples enough: one pack more leaves a lane waiting.
    """
    most, step = max(1, micro_tokens // lanes), minibatches * lanes
    sizes = [(len(sample.prompt_ids), len(sample.response_ids)) for sample in samples]
    wanted = step * math.ceil(len(_runs(samples, sizes, most)) / step)
    _, whole = _cut_groups(samples, sizes, most)
    budget = least = min(most, max(1, whole // wanted))
    while budget < most and len(_runs(samples, sizes, budget)) > wanted:
        budget = min(most, budget + max(1, budget // 64))
    runs = _runs(samples, sizes, budget)
    if len(runs) < step:      # a long sample leaves too few for all minibatches
        runs = _runs(samples, sizes, least)
    return [Pack(tuple(run), _tokens([samples[row] for row in run], share), tuple(samples[row].id for row in run))
            for run in runs]


def _runs(samples: Sequence[Sample], sizes: Sequence[tuple[int, int]], budget: int) -> list[list[int]]:
    """Neighbours of at most `budget` tokens together, by row; one that has more stands alone."""
    groups, _ = _cut_groups(samples, sizes, budget)
    runs: list[list[int]] = []
    room = 0
    for group in groups:
        size = sizes[group[0]][0] + sum(sizes[row][1] for row in group)
        if not runs or size > room:
            runs.append([])
            room = budget
        runs[-1] += group
        room -= size
    return runs


def _cut_groups(samples: Sequence[Sample], sizes: Sequence[tuple[int, int]], budget: int) -> tuple[list[list[int]], int]:
    """Neighbours with one prompt, cut where prompt and responses pass `budget` tokens; and the tokens of all pieces."""
    groups: list[list[int]] = []
    room = whole = 0
    for row, (prompt, response) in enumerate(sizes):
        together = groups and samples[groups[-1][0]].prompt_ids == samples[row].prompt_ids and response <= room
        if not together:
            groups.append([])
            room = budget - prompt
            whole += prompt
        groups[-1].append(row)
        room -= response
        whole += response
    return groups, whole


def _tokens(samples: Sequence[Sample], share: bool) -> TokenBatch:
    """Prompts and responses as sampled; labels are the tokens the policy chose."""
    lengths = [len(sample.prompt_ids) for sample in samples]
    return TokenBatch.pack([(*sample.prompt_ids, *sample.response_ids) for sample in samples],
                           [(False,) * len(sample.prompt_ids) + sample.response_mask for sample in samples],
                           lengths if share else None)


def _fields(pack: Pack, padded: Mapping[str, Tensor], kl_coef: float, ent_coef: float) -> MicroBatch:
    """A pack with what its loss needs, from (B, T) back to its own labels (L,)."""
    rows = torch.tensor(pack.rows)[pack.tokens.sequence_of_label]
    columns = pack.tokens.label_columns()
    fields = {name: value[rows, columns] for name, value in padded.items()}
    coefs = {"kl_coef": torch.tensor(kl_coef), "ent_coef": torch.tensor(ent_coef)}
    return MicroBatch(tokens=pack.tokens, rows=pack.names, fields={**fields, **coefs})
