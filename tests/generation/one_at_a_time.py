"""The simplest decoder there is: transformers' own forward over everything so far, one response and one token at a time."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tutelage.generation.engine import Response
from tutelage.generation.sampler import uniforms
from tutelage.models.tiny import tiny_model
from tutelage.records import Sampling

V = 48
WINDOWED = {"sliding_window": 4}
ALTERNATING = {"layer_types": ["sliding_attention", "full_attention"]}
MODELS: dict[str, dict[str, Any]] = {
    "llama": {}, "gpt2": {"scale_attn_by_inverse_layer_idx": True}, "mistral": WINDOWED, "cohere": {"logit_scale": 0.5},
    "granite": {"attention_multiplier": 0.8, "logits_scaling": 0.5},
    "gemma2": {**WINDOWED, "attn_logit_softcapping": 0.5, "final_logit_softcapping": 2.0, **ALTERNATING},
    "gemma3_text": {**WINDOWED, **ALTERNATING}, "phi3": WINDOWED, "olmo3": {**WINDOWED, **ALTERNATING}, "gpt_neox": {},
    "qwen2": {"use_sliding_window": True, **WINDOWED, **ALTERNATING},
    "qwen3": {"use_sliding_window": True, **WINDOWED, **ALTERNATING}}


def tiny(architecture: str, **more: Any) -> Any:
    return tiny_model(architecture, vocab_size=V, noise=0.15, eos_token_id=1, pad_token_id=1, **{**MODELS[architecture], **more})


def distribution(logits: Tensor, text: Sequence[int], drawn: int, sampling: Sampling, stop_ids: set[int]) -> Tensor:
    """(V,) probabilities in float64, written out plainly."""
    logits = logits.double().clone()
    for token, bias in sampling.logit_bias:
        logits[token] += bias
    for token in set(text):
        logits[token] *= sampling.repetition_penalty if logits[token] < 0 else 1 / sampling.repetition_penalty
    if drawn < sampling.min_new_tokens:
        logits[sorted(stop_ids)] = float("-inf")
    if sampling.temperature > 0:
        logits /= sampling.temperature
    ranked = logits.argsort(descending=True).tolist()
    if sampling.temperature > 0:
        kept = ranked[: sampling.top_k] if sampling.top_k else ranked
        p = torch.zeros_like(logits)
        p[kept] = torch.softmax(logits[kept], -1)
        count = next(n for n in range(1, len(kept) + 1) if n == len(kept) or float(p[kept[:n]].sum()) >= sampling.top_p)
        kept = [token for token in kept[:count] if float(p[token]) >= sampling.min_p * float(p[kept[0]])]
        logits = torch.full_like(logits, float("-inf")).index_put((torch.tensor(kept),), logits[kept])
    return torch.softmax(logits, -1)


@dataclass
class Path:
    """A response as it should be, and how near each of its decisions was to another one."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)      # least distance, in probability, at which another token were drawn
    ended: bool = False


def follow(theirs: Any, prompt: Sequence[int], response: Response, sampling: Sampling, stop_ids: set[int],
           cancel_after: int | None = None) -> Path:
    """What `response` should have become."""
    path = Path()
    with torch.no_grad():
        while len(path.ids) < sampling.max_new_tokens:
            text = [*prompt, *path.ids]
            logits = theirs(torch.tensor([text]), use_cache=False).logits[0, -1].float()
            p = distribution(logits, text, len(path.ids), sampling, stop_ids)
            u = float(uniforms(np.array([response.seed], dtype=np.uint64), np.array([len(path.ids)], dtype=np.uint64))[0])
            token, gap = _greedy(p) if sampling.temperature == 0 else _drawn(p, u)
            path.ids.append(token)
            path.logprobs.append(float(p[token].log()))
            path.gaps.append(gap)
            if token in stop_ids:
                path.ended = True
            if path.ended or len(path.ids) == cancel_after:
                break
    return path


def _greedy(p: Tensor) -> tuple[int, float]:
    best = p.topk(2)
    return int(best.indices[0]), float(best.values[0] - best.values[1])


def _drawn(p: Tensor, u: float) -> tuple[int, float]:
    running = p.cumsum(0)
    token = min(int((running <= u).sum()), int(p.nonzero().max()))
    return token, min(abs(float(running[token]) - u), abs(u - float(running[token] - p[token])))


def naive(theirs: Any, prompt: Sequence[int], seed: int, sampling: Sampling,
          stop_ids: set[int]) -> tuple[list[int], list[float], bool]:
    path = follow(theirs, prompt, Response(0, seed), sampling, stop_ids)
    return path.ids, path.logprobs, path.ended


def requests(rng: random.Random, prompts: int, per_prompt: int) -> tuple[list[list[int]], list[Response]]:
    rows = [[rng.randrange(V) for _ in range(rng.randint(1, 9))] for _ in range(prompts)]
    return rows, [Response(i, rng.getrandbits(63)) for i in range(prompts) for _ in range(per_prompt)]


def any_sampling(rng: random.Random) -> Sampling:
    """Settings of every kind, each at its default about half of the time."""
    def now_and_then(choose: Callable[[], Any], default: Any) -> Any:
        return choose() if rng.random() < 0.4 else default

    longest = rng.randint(1, 14)
    return Sampling(
        temperature=rng.choice([0, 0.7, 1.0, 1.0, 1.6]), top_k=now_and_then(lambda: rng.randint(1, V + 2), 0),
        top_p=now_and_then(lambda: rng.uniform(0.05, 0.99), 1.0), min_p=now_and_then(lambda: rng.uniform(0.0, 0.6), 0.0),
        repetition_penalty=now_and_then(lambda: rng.uniform(0.7, 2.0), 1.0),
        logit_bias=now_and_then(lambda: tuple((rng.randrange(V), rng.uniform(-3, 3)) for _ in range(3)), ()),
        min_new_tokens=now_and_then(lambda: rng.randint(0, longest), 0), max_new_tokens=longest)
