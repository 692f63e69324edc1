"""The order rows are trained in and how they share a batch: pure functions of lengths, seed and position.

Nothing here draws from a generator that something else draws from, so a run that is resumed, or evaluates more often,
sees the same batches.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from tutelage.batch import TokenBatch
from tutelage.data.chat import Rendered
from tutelage.errors import ConfigError, DataError
from tutelage.seeds import stream_seed

WORTH_SHARING = 8     # tokens: below it, a segment of its own costs more than it saves
WINDOW = 64      # examples looked at for one that fills a batch; larger packs tighter and shuffles less


def permutation(n: int, seed: int, epoch: int) -> list[int]:
    """0..n-1 shuffled for one epoch; the same in every process and in every release of Python and torch."""
    # Only Random.random() is promised never to change; shuffle and sample are not.
    generator = random.Random(stream_seed(seed, "data", "order", epoch))
    keys = [generator.random() for _ in range(n)]
    return sorted(range(n), key=keys.__getitem__)


def pack_by_tokens(lengths: Sequence[int], order: Sequence[int], token_budget: int,
                   max_sequences: int | None = None, window: int = WINDOW) -> list[list[int]]:
    """Indices of `order` grouped into batches of at most `token_budget` tokens; every index once, no example split.

    Each batch begins with the example that has waited longest and is filled with the longest among the next `window`
    that still fits: nearly full batches, and no example is put off by more than a window of batches.

    Raises:
        DataError: if an example alone is over the budget.
        ConfigError: if a limit is not positive.
    """
    if token_budget < 1 or window < 1 or (max_sequences is not None and max_sequences < 1):
        raise ConfigError(f"pack_by_tokens got token_budget {token_budget}, max_sequences {max_sequences}, window "
                          f"{window}; wanted all positive.")
    if over := [index for index in order if lengths[index] > token_budget]:
        raise DataError(f"{len(over)} of {len(order)} rows are longer than the batch of {token_budget} tokens (first: "
                        f"row {over[0]} with {lengths[over[0]]}). Lower max_length, or raise the batch's tokens.")
    batches: list[list[int]] = []
    upcoming = iter(order)
    waiting: list[int] = []
    while True:
        _refill(waiting, upcoming, window)
        if not waiting:
            return batches
        batch = [waiting.pop(0)]
        room = token_budget - lengths[batch[0]]
        while max_sequences is None or len(batch) < max_sequences:
            _refill(waiting, upcoming, window)
            fitting = [at for at, index in enumerate(waiting) if lengths[index] <= room]
            if not fitting:
                break
            best = max(fitting, key=lambda at: (lengths[waiting[at]], -at))      # of equals the one that waited longer
            batch.append(waiting.pop(best))
            room -= lengths[batch[-1]]
        batches.append(batch)


def _refill(waiting: list[int], upcoming: Any, window: int) -> None:
    while len(waiting) < window:
        index = next(upcoming, None)
        if index is None:
            return
        waiting.append(index)


def epoch_batches(lengths: Sequence[int], seed: int, epoch: int, token_budget: int, max_sequences: int | None = None,
                  weights: Sequence[float] | None = None) -> list[list[int]]:
    """All batches of an epoch: each row once, or as often as its weight says (`drawn`)."""
    rows = range(len(lengths)) if weights is None else drawn(weights, seed, epoch)
    return pack_by_tokens(lengths, [rows[at] for at in permutation(len(rows), seed, epoch)], token_budget, max_sequences)


def drawn(weights: Sequence[float], seed: int, epoch: int) -> list[int]:
    """Indices for one epoch in which each stands as often as its weight: 2.3 is twice, and a third time in 3 of 10."""
    chances = random.Random(stream_seed(seed, "data", "weights", epoch))
    return [index for index, weight in enumerate(weights) for _ in range(int(weight + chances.random()))]


class Schedule:
    """Which rows each step of a run trains on, and which of them are in memory at once.

    A pure function of the rows' lengths, the seed and the two budgets; rows are named by their index. A row over
    `batch_tokens` has a step to itself, one over `micro_tokens` the memory. With more `lanes` than one, as many micro-batches
    are in memory together, and `micro_tokens` is for all of them.
    """

    def __init__(self, lengths: Sequence[int], seed: int, epochs: int, batch_tokens: int, micro_tokens: int,
                 lanes: int = 1, weights: Sequence[float] | None = None, opening: int = 0) -> None:
        self.lengths, self.micro_tokens, self.lanes, self.opening = list(lengths), micro_tokens, lanes, opening
        packed = [min(length, batch_tokens) for length in lengths]
        by_epoch = [epoch_batches(packed, seed, epoch, batch_tokens, weights=weights) for epoch in range(epochs)]
        self.batches = [batch for batches in by_epoch for batch in batches]
        self.epoch_ends = list(accumulate(len(batches) for batches in by_epoch))     # steps done when each epoch is

    def __len__(self) -> int:
        return len(self.batches)

    def micro(self, step: int) -> list[list[int]]:
        """The rows of a step in parts that are in memory one after the other, or as many at once as there are lanes: what a
        step trains on is never changed by how much memory there is.
        """
        return micro_batches(self.batches[step], self.lengths, self.micro_tokens, self.lanes, self.opening)

    def size(self, rows: Sequence[int]) -> int:
        """Tokens of these rows."""
        return sum(self.lengths[row] for row in rows)

    def largest(self) -> list[int]:
        """The rows of all that are ever in memory at once that have most tokens; of equals the first."""
        return max((rows for step in range(len(self)) for rows in self.micro(step)), key=self.size)


def micro_batches(rows: Sequence[int], lengths: Sequence[int], token_budget: int, lanes: int,
                  opening: int = 0) -> list[list[int]]:
    """`rows` in parts, of which any `lanes` have at most `token_budget` tokens together; a row that has more stands alone.
    Of the `opening` of all rows a part has one, so with more lanes than one parts are even without it.
    """
    if lanes == 1:
        return cut_by_tokens(rows, lengths, token_budget)
    parts = lanes
    while True:
        dealt = deal(rows, lengths, parts, opening)
        sizes = [sum(lengths[row] for row in part) for part in dealt]
        within = sum(sorted(sizes)[-lanes:]) <= token_budget
        if parts >= len(rows) or within or all(len(part) == 1 or size <= max(1, token_budget // lanes)
                                               for part, size in zip(dealt, sizes, strict=True)):
            return dealt
        parts += lanes


def deal(rows: Sequence[int], lengths: Sequence[int], parts: int, opening: int = 0) -> list[list[int]]:
    """`rows` dealt to at most `parts` parts of nearly equal tokens, the longest first; in a part they keep their order. The
    `opening` of a row counts nothing."""
    dealt: list[list[int]] = [[] for _ in range(parts)]
    sizes = [0] * parts
    for place in sorted(range(len(rows)), key=lambda place: (-lengths[rows[place]], place)):
        part = sizes.index(min(sizes))
        dealt[part].append(place)
        sizes[part] += lengths[rows[place]] - opening
    return [[rows[place] for place in sorted(part)] for part in dealt if part]


def cut_by_tokens(rows: Sequence[int], lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """`rows` in order, in runs of at most `token_budget` tokens; a row over the budget stands alone."""
    runs: list[list[int]] = []
    room = 0
    for row in rows:
        if not runs or lengths[row] > room:
            runs.append([])
            room = token_budget
        runs[-1].append(row)
        room -= lengths[row]
    return runs


def collate(rows: Sequence[Rendered], share: bool = True) -> TokenBatch:
    """B rows laid end to end; with `share`, what all of them begin with (a system message) is computed once."""
    lengths = [common] * len(rows) if share and (common := opening_of(rows)) else None
    return TokenBatch.pack([row.ids for row in rows], [row.response_mask for row in rows], lengths)


def opening_of(rows: Sequence[Rendered]) -> int:
    """How many ids all of `rows` begin with, where that is worth sharing: before the first label, and never a whole row."""
    if len(rows) < 2:
        return 0
    common = _common_prefix([row.ids for row in rows])
    common = min(common, *(row.response_mask.index(True) for row in rows if True in row.response_mask), common)
    return common if common >= WORTH_SHARING else 0


def _common_prefix(sequences: Sequence[tuple[int, ...]]) -> int:
    """How many ids all sequences begin with; never the whole of one."""
    first, last = min(sequences), max(sequences)      # in lexical order only the extremes need to be compared
    shortest = min(len(ids) for ids in sequences) - 1
    return next((at for at in range(shortest) if first[at] != last[at]), shortest)
