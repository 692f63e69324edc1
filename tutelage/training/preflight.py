"""Checks before the first step of every stage: each names what would have trained wrongly without an error.

A check is a function that raises `PreflightError`; stages call those that fit. What each guards against is cited in
its docstring, as threads of the projects where it happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.errors import PreflightError
from tutelage.models.circumstances import give_memory_back
from tutelage.models.load import load_policy, load_tokenizer
from tutelage.models.policy import Policy
from tutelage.records import Sampling

PARITY_NATS = {"fp32": 1e-4, "bf16": 0.5}      # engine against trainer: the 99th percentile over tokens


def labels(rows: Mapping[str, Rendered]) -> None:
    """Every row has a label (trl#6668, trl#6025: truncation took all of them, and the run reported success)."""
    empty = [name for name, row in rows.items() if not any(row.response_mask)]
    if empty or not rows:
        raise PreflightError(f"labels: {len(empty)} of {len(rows)} rows have no token to train on (first: "
                             f"{(empty or ['none is left'])[0]}). Raise max_length, or look at them: tutelage data show.")


def end_of_turn(rows: Mapping[str, Rendered], template: ChatTemplate, cut: int = 0) -> None:
    """The end-of-turn token is a label in every response (trl#6357, trl#3091: masked where pad equals eos, so the
    model never learns to stop). Rows that were cut on purpose, `cut` of them, have none.
    """
    without = [name for name, row in rows.items()
               for span in row.spans if span.trained and row.ids[span.end - 1] != template.end_of_turn_id]
    if len(without) > cut:
        raise PreflightError(f"end of turn: {template.end_of_turn!r} is no label in {len(without)} responses (first: row "
                             f"{without[0]}). The model would not learn to stop.")


def one_bos(rows: Mapping[str, Rendered], bos_id: int | None) -> None:
    """No row begins with two BOS tokens, and either all begin with one or none does (trl#1591, axolotl#1616)."""
    if bos_id is None:
        return
    twice = [name for name, row in rows.items() if row.ids[:2] == (bos_id, bos_id)]
    starts = {row.ids[0] == bos_id for row in rows.values()}
    if twice or len(starts) > 1:
        raise PreflightError(f"one BOS: {len(twice)} rows begin with two BOS tokens, and "
                             f"{'some rows begin with one, some do not' if len(starts) > 1 else 'all alike'}. "
                             "Look at the chat template: tutelage data show --tokens.")


def adapter_off(policy: Policy, base_logprobs: Tensor, batch: TokenBatch) -> None:
    """With its adapter off the policy is the base model, bit for bit (trl#1311, trl#701)."""
    with policy.reference():
        off = policy.evaluate_logprobs(batch)
    if not torch.equal(off, base_logprobs):
        raise PreflightError(f"adapter off: the reference differs from the base model by up to "
                             f"{float((off - base_logprobs).abs().max()):.3g} nats. The adapter changed the base weights.")


def padding(alone: Tensor, together: Tensor, what: str, tolerance: float) -> None:
    """A sequence's value does not depend on what else is in the batch, but for rounding (OpenRLHF#1342, N+ details).

    Args:
        alone, together: (B,) the same rows, one at a time and in one batch.
    """
    worst = float((alone - together).abs().max())
    if worst > tolerance:
        raise PreflightError(f"padding: {what} of a row changes by {worst:.3g} with what else is in its batch "
                             f"(tolerance {tolerance:g}).")


def first_ratio(logprobs: Tensor, old_logprobs: Tensor) -> None:
    """The first use of a rollout has ratio 1, bit for bit (D8; trlx#107, trl#744): same weights, same packing."""
    differ = logprobs != old_logprobs
    if bool(differ.any()):
        raise PreflightError(f"ratio: {int(differ.sum())} of {differ.numel()} first-use ratios are not 1 (log-ratio up to "
                             f"{float((logprobs - old_logprobs).abs().max()):.3g}). Dropout on, or another packing?")


def replayed(drawn: Sequence[Sampling], temperature: float) -> None:
    """What is trained is the distribution that was sampled (trl#4159, prime-rl#2601): the same temperature in the loss, and
    nothing that sampling cuts off and the loss does not.
    """
    other = {each.temperature for each in drawn} - {temperature}
    if other:
        raise PreflightError(f"replay: samples were drawn at temperature {', '.join(map(str, sorted(other)))} and the loss is at "
                             f"{temperature}. Give the trainer the temperature of the samples.")
    plain = Sampling()
    changed = [name for name in ("top_k", "top_p", "min_p", "repetition_penalty", "logit_bias", "min_new_tokens")
               if any(getattr(each, name) != getattr(plain, name) for each in drawn)]
    if changed:
        raise PreflightError(f"replay: samples were drawn with {', '.join(changed)}, so from another distribution than the loss "
                             "knows. Draw them from all tokens as the policy gives them.")


def at_reference(distance: float) -> None:
    """The first step of a policy that starts as its own reference finds no difference, bit for bit (trl#1311, trl#1236:
    a reference of another model or another forward trains towards its noise).
    """
    if distance != 0.0:
        raise PreflightError(f"reference: the policy begins {distance:.3g} nats from its reference; wanted 0. Dropout on, or "
                             "another packing?")


def finite_scores(scores: Sequence[float], names: Sequence[str]) -> None:
    """Every sample has a reward, and it is a number (a NaN trains silently: verifiers turn it into 0)."""
    if len(scores) != len(names):
        raise PreflightError(f"finite: the reward gave {len(scores)} scores for {len(names)} samples; wanted one each.")
    bad = [name for name, score in zip(names, scores, strict=True) if not torch.isfinite(torch.tensor(score))]
    if bad:
        raise PreflightError(f"finite: {len(bad)} of {len(scores)} rewards are not finite (first: sample {bad[0]}).")


def engine_parity(engine: Tensor, trainer: Tensor, precision: str) -> float:
    """Engine and trainer agree on the logprobs of what was sampled (open-instruct#1473, trl#3867).

    Returns the 99th percentile of the difference, nats a token.
    """
    spread = float(torch.quantile((engine - trainer).abs(), 0.99))
    if spread > PARITY_NATS[precision]:
        raise PreflightError(f"engine parity: logprobs of the engine and of the trainer differ by {spread:.3g} nats at the "
                             f"99th percentile; wanted at most {PARITY_NATS[precision]:g} in {precision}.")
    return spread


def reload(policy: Policy, directory: Path, batch: TokenBatch, precision: str, **heads: bool) -> None:
    """What was saved reloads to the same outputs, heads included (OpenRLHF#873, trl#1379: heads lost)."""
    give_memory_back()      # what training has freed would stand beside the second copy
    again = load_policy(directory, precision, value_head=heads.get("value_head", False),
                        score_head=heads.get("score_head", False),
                        token_head=heads.get("token_head", False)).to(policy.device)
    with torch.no_grad():
        wanted, got = (each(batch, values=heads.get("value_head", False), scores=heads.get("score_head", False))
                       for each in (policy, again))
    for name in ("logprobs", "values", "scores", "token_scores"):
        first, second = getattr(wanted, name), getattr(got, name)
        if first is not None and not torch.equal(first, second):
            raise PreflightError(f"reload: {name} of the saved model differ by up to {float((first - second).abs().max()):.3g} "
                                 f"from those of the trained one. {directory} would not be what was trained.")


def train_is_serve(template: ChatTemplate, directory: Path, messages: Sequence[Any]) -> None:
    """The saved template and tokenizer render a conversation as training did (LLaMA-Factory#2509: 26 % vs 57 %)."""
    served = ChatTemplate.load(directory, load_tokenizer(directory))
    if served.render(messages).ids != template.render(messages).ids or served.stop_ids != template.stop_ids:
        raise PreflightError(f"train = serve: the template saved in {directory} renders other ids or stops elsewhere than in "
                             "training.")
