"""Which prompts are held out, and the proof that none of them, nor one nearly like it, is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tutelage.data.duplicates import THRESHOLD, clusters, near_duplicates, similarity

SPLIT_RULE = "prompt clusters 1"      # goes into manifests: a data set split by another rule is another data set


@dataclass(frozen=True, slots=True, order=True)
class Leak:
    """A held-out prompt and one to train on that are alike: their places, and the similarity (1 for equal ones)."""

    train: int
    heldout: int
    similarity: float


def held_out(prompts: Iterable[str], ratio: float, seed: int, threshold: float = THRESHOLD) -> set[str]:
    """Which prompts are held out: a share of about `ratio` of the clusters of near-duplicate prompts.

    A cluster goes by its representative, the member whose sha256 is smallest, and the representative by a hash of itself
    and the seed. So a cluster never stands on both sides, a large one is no likelier to be held out than a small one, and
    where the file is re-ordered nothing moves. Where it grows, a cluster can move only if the newcomer joins it and
    becomes its representative (one newcomer to m prompts: 1 in m + 1) or if it joins two clusters.

    A side that would be empty gets the cluster nearest to it; with a single cluster nothing can be held out.
    """
    if ratio <= 0:
        return set()
    members = _clustered(prompts, threshold)
    places = {name: _place(f"{seed}\0{name}") for name in members}
    chosen = {name for name, place in places.items() if place < ratio}
    if len(places) > 1 and not chosen:
        chosen = {min(places, key=lambda name: places[name])}
    elif len(chosen) == len(places):
        chosen.discard(max(places, key=lambda name: places[name]))
    return {prompt for name in chosen for prompt in members[name]}


def _clustered(prompts: Iterable[str], threshold: float) -> dict[str, list[str]]:
    """Representative -> all prompts of its cluster. The order that prompts come in does not matter."""
    ordered = sorted(set(prompts))
    members: dict[int, list[str]] = {}
    for prompt, first in zip(ordered, clusters(len(ordered), near_duplicates(ordered, threshold)), strict=True):
        members.setdefault(first, []).append(prompt)
    return {min(each, key=_place): each for each in members.values()}


def _place(text: str) -> float:
    """A text's place from 0 to 1, by sha256."""
    return int(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:13], 16) / 16**13


def leakage(train: Sequence[str], heldout: Sequence[str], threshold: float = THRESHOLD) -> list[Leak]:
    """Held-out prompts that are to be trained on, or nearly so; empty is the proof that there are none.

    Every held-out prompt that a chain of near duplicates joins to one of `train` is named once, with the likest of its
    direct neighbours there, or, where only the chain joins them, with its cluster's first.
    """
    texts = [*train, *heldout]
    pairs = near_duplicates(texts, threshold)
    groups = clusters(len(texts), pairs)
    trained: dict[int, int] = {}
    for at in range(len(train)):
        trained.setdefault(groups[at], at)
    nearest: dict[int, Leak] = {}
    for pair in pairs:
        if pair.first < len(train) <= pair.second:
            leak = Leak(pair.first, pair.second - len(train), pair.similarity)
            if leak.heldout not in nearest or nearest[leak.heldout].similarity < leak.similarity:
                nearest[leak.heldout] = leak
    return [nearest.get(at) or Leak(trained[group], at, similarity(train[trained[group]], heldout[at]))
            for at, group in enumerate(groups[len(train):]) if group in trained]
