"""How varied a set is: distinct n-grams, what its prompts begin with, and clusters of their embeddings."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import regex

from tutelage.errors import DataError
from tutelage.text_metrics import distinct_n, units

SAMPLE = 1000          # texts that distinct-n is taken over: it falls with the amount of text, so the amount is fixed
MAX_LENGTH = 256       # tokens of a prompt that are embedded

# Polite openings of Chinese instructions; what follows them is shown by its first two characters, as most verbs have two.
_LEAD = regex.compile(
    r"^(?:请(?:你|您)?|帮(?:我|忙)|麻烦(?:你|您)?|给我|为我|你能(?:否)?|能否|可以|现在|假设|根据\S{0,12}?[，,])+")
_HAN = regex.compile(r"\p{Han}")
_POLITE = regex.compile(r"(?i)^(?:(?:please|kindly|now|can you|could you|would you|will you|i want you to|i need you to)[ ,]+)+")


def opening(prompt: str) -> str:
    """What a prompt begins with: its first word behind a "please", or in Chinese its first two characters behind a 请."""
    first = prompt.strip().split("\n", 1)[0]
    if first and _HAN.match(first[0]):
        return _LEAD.sub("", first)[:2] or first[:2]
    words = units(_POLITE.sub("", first)[:120])
    return words[0] if words else ""


def effective_number(counts: Iterable[int]) -> float:
    """exp of the entropy: of how many equally common kinds the spread is as wide (Hill number of order 1). 0 for none."""
    counts = [count for count in counts if count]
    total = sum(counts)
    return math.exp(-sum(count / total * math.log(count / total) for count in counts)) if total else 0.0


def openings(prompts: Sequence[str], shown: int = 10) -> dict[str, Any]:
    counts = Counter(filter(None, map(opening, prompts)))
    return {"top": dict(counts.most_common(shown)), "different": len(counts),
            "effective_number": effective_number(counts.values())}


def sample(texts: Sequence[str], size: int = SAMPLE) -> list[str]:
    """At most `size` texts, chosen by their hashes: the same whatever their order."""
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())[:size]


def diversity(prompts: Sequence[str], answers: Sequence[str]) -> dict[str, Any]:
    chosen_prompts, chosen_answers = sample(prompts), sample(answers)
    return {"openings": openings(prompts), "texts": len(chosen_answers),
            **{f"distinct_{n}_prompts": distinct_n(chosen_prompts, n) for n in (1, 2)},
            **{f"distinct_{n}_responses": distinct_n(chosen_answers, n) for n in (1, 2)}}


def embedding_clusters(prompts: Sequence[str], directory: Path, seed: int = 0) -> dict[str, Any]:
    """K-means over mean-pooled embeddings of at most 2,000 prompts, K the root of half their number, 50 at most.

    Few large clusters are a set that asks the same things; `nearest_cosine` is the mean similarity of a prompt to the one
    most like it.

    Raises:
        DataError: if the directory holds no model that can be read.
    """
    import numpy as np
    from sklearn.cluster import KMeans

    chosen = sample(prompts, 2000)
    if len(chosen) < 4:
        return {}
    vectors = np.asarray(_embed(chosen, directory))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    labels = KMeans(min(50, max(2, math.isqrt(len(chosen) // 2))), n_init=3, random_state=seed).fit_predict(vectors)
    near = vectors @ vectors.T
    np.fill_diagonal(near, -1.0)
    sizes = Counter(labels.tolist())
    return {"prompts": len(chosen), "clusters": len(sizes), "effective_number": effective_number(sizes.values()),
            "largest_share": max(sizes.values()) / len(chosen), "nearest_cosine": float(near.max(axis=1).mean())}


def _embed(texts: Sequence[str], directory: Path) -> list[list[float]]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        model = AutoModel.from_pretrained(directory, local_files_only=True, trust_remote_code=False).eval()
    except (OSError, ValueError) as error:
        raise DataError(f"{directory} holds no embedding model: {str(error).splitlines()[0]}") from None
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    vectors: list[list[float]] = []
    with torch.inference_mode():
        for begin in range(0, len(texts), 16):
            batch = tokenizer(list(texts[begin:begin + 16]), truncation=True, max_length=MAX_LENGTH, padding=True,
                              return_tensors="pt")
            hidden = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state.float()
            kept = batch["attention_mask"].unsqueeze(-1)
            vectors += ((hidden * kept).sum(1) / kept.sum(1).clamp(min=1)).tolist()
    return vectors
