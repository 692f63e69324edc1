"""The order of rows is a pure function of seed and epoch; batches hold whole rows, each once, within their budget."""

from __future__ import annotations

import random

import pytest
import torch

from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.data.loader import (
    WINDOW,
    Schedule,
    collate,
    cut_by_tokens,
    drawn,
    epoch_batches,
    micro_batches,
    pack_by_tokens,
    permutation,
)
from tutelage.errors import ConfigError, DataError


def lengths_of(n: int, seed: int = 0, longest: int = 500) -> list[int]:
    generator = random.Random(seed)
    return [min(longest, 5 + int(generator.expovariate(1 / 80))) for _ in range(n)]


def row(length: int) -> Rendered:
    return Rendered(tuple(range(length)), (), (False,) + (True,) * (length - 1), "")


def test_an_epochs_order_is_a_pure_function_of_seed_and_epoch():
    """verl#3126, trl#1810: a seed that other draws disturb is no seed."""
    first = permutation(100, seed=3, epoch=1)
    random.seed(0), torch.manual_seed(0), random.random(), torch.rand(3)
    assert permutation(100, seed=3, epoch=1) == first
    assert sorted(first) == list(range(100)) != first
    others = {tuple(permutation(100, seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(others) == 16
    assert permutation(8, 0, 0) == [7, 4, 5, 3, 6, 1, 2, 0], "a resumed run depends on the order for good"
    assert permutation(0, 0, 0) == []


def test_every_place_of_the_shuffle_is_reached_about_equally_often():
    """Chi-square over where row 0 lands: 9 degrees of freedom, 27.9 is the 0.1 % point."""
    counts = [0] * 10
    for epoch in range(2000):
        counts[permutation(10, 5, epoch).index(0)] += 1
    assert sum((count - 200) ** 2 / 200 for count in counts) < 27.9


@pytest.mark.parametrize("budget, most", [(512, None), (2048, None), (2048, 4), (10_000, 1), (500, None)])
def test_every_row_is_in_exactly_one_batch_and_no_batch_is_over_its_budget(budget, most):
    for seed in range(3):
        lengths = lengths_of(701, seed)
        batches = epoch_batches(lengths, seed, 2, budget, most)
        assert sorted(index for batch in batches for index in batch) == list(range(701))
        assert all(0 < sum(lengths[index] for index in batch) <= budget for batch in batches)
        assert all(len(batch) <= (most or 701) for batch in batches)
        assert batches == epoch_batches(lengths, seed, 2, budget, most)


def test_batches_are_nearly_full_and_no_row_waits_for_long():
    lengths = lengths_of(5000)
    order = permutation(5000, 0, 0)
    batches = pack_by_tokens(lengths, order, 2048)
    assert sum(lengths) / (len(batches) * 2048) > 0.99
    place = {index: at for at, index in enumerate(order)}
    done = 0
    for batch in batches:
        for index in batch:
            done += 1
            # Among each batch's rows the longest-waiting one goes first, so a row sees at most WINDOW batches go by.
            assert done - place[index] <= WINDOW * max(map(len, batches))
        assert place[batch[0]] <= done + WINDOW


def test_best_fit_by_hand():
    """Budget 10: row 0 (6) leaves room for 4, and of 3, 4 and 2 the 4 fits best; then 3 with 5; then 2."""
    assert pack_by_tokens([6, 3, 4, 2, 5], [0, 1, 2, 3, 4], 10) == [[0, 2], [1, 4, 3]]
    assert pack_by_tokens([6, 3, 4, 2, 5], [0, 1, 2, 3, 4], 10, max_sequences=2) == [[0, 2], [1, 4], [3]]
    assert pack_by_tokens([6, 3, 4, 2, 5], [0, 1, 2, 3, 4], 10, window=1) == [[0, 1], [2, 3], [4]]
    assert pack_by_tokens([], [], 10) == []


def test_a_row_over_the_budget_is_an_error_that_names_it():
    with pytest.raises(DataError, match=r"1 of 3 rows .* batch of 10 tokens \(first: row 2 with 11\)"):
        pack_by_tokens([5, 6, 11], [0, 1, 2], 10)
    with pytest.raises(ConfigError, match="wanted all positive"):
        pack_by_tokens([5], [0], 0)


def test_runs_keep_the_order_and_the_budget():
    lengths = [4, 4, 3, 9, 12, 1]
    assert cut_by_tokens(range(6), lengths, 10) == [[0, 1], [2], [3], [4], [5]]
    assert cut_by_tokens([5, 0], lengths, 10) == [[5, 0]] and cut_by_tokens([], lengths, 10) == []


def test_a_schedule_takes_every_row_once_an_epoch_in_the_epochs_own_order():
    lengths = lengths_of(40)
    schedule = Schedule(lengths, 3, 2, 600, 250)
    half = schedule.epoch_ends[0]
    assert schedule.epoch_ends[1] == len(schedule) and schedule.batches[half:] == epoch_batches(lengths, 3, 1, 600)
    for batches in (schedule.batches[:half], schedule.batches[half:]):
        assert sorted(row for batch in batches for row in batch) == list(range(40))
    assert schedule.batches[0] != schedule.batches[half]
    for step, batch in enumerate(schedule.batches):
        assert [row for part in schedule.micro(step) for row in part] == batch
        assert all(len(part) == 1 or sum(lengths[row] for row in part) <= 250 for part in schedule.micro(step))


def test_a_row_over_the_step_has_a_step_to_itself():
    schedule = Schedule([5, 30, 5], 0, 1, 10, 10)
    assert sorted(map(sorted, schedule.batches)) == [[0, 2], [1]]


def test_collate_lays_rows_end_to_end_with_their_labels(tiny, talk):
    template = ChatTemplate.of(tiny)
    rows = [template.render(talk("Hi", said)) for said in ("a", "bcd")]
    batch = collate(rows, share=False)
    assert batch.ids.tolist() == [token for each in rows for token in each.ids]
    assert batch.cu_seqlens.tolist() == [0, 23, 48] and batch.label_counts.tolist() == [2, 4]
    assert tiny.decode(batch.labels) == "a<|im_end|>bcd<|im_end|>"
    shared = collate(rows)      # what both begin with stands there once; the labels are the same
    assert shared.labels.tolist() == batch.labels.tolist() and shared.ids.shape[0] < batch.ids.shape[0]


def test_micro_batches_for_lanes_are_even_within_the_budget_together_and_whole():
    lengths = lengths_of(60)
    rows = list(range(10, 50))
    for lanes, budget in ((1, 500), (2, 900), (2, 9000), (3, 1200)):
        parts = micro_batches(rows, lengths, budget, lanes)
        sizes = [sum(lengths[row] for row in part) for part in parts]
        assert sorted(row for part in parts for row in part) == rows
        if lanes > 1:
            assert len(parts) % lanes == 0 and sum(sorted(sizes)[-lanes:]) <= budget and max(sizes) - min(sizes) <= max(lengths)
        assert all(part == sorted(part) for part in parts)
    assert micro_batches([3, 1], [5, 900, 5, 700], 100, 2) == [[1], [3]]      # over the budget: alone
    assert micro_batches([0], [5], 100, 2) == [[0]]
    assert micro_batches([0, 1, 2, 3, 4], [90, 45, 45, 40, 40], 300, 2) == [[0, 3], [1, 2, 4]]
    assert micro_batches([0, 1, 2, 3, 4], [90, 45, 45, 40, 40], 300, 2, opening=30) == [[0], [1, 2, 3, 4]]
    assert micro_batches([0, 1, 2], [60, 20, 15], 100, 2) == [[0], [1, 2]]      # uneven, and within the budget together


def test_rows_are_drawn_by_weight_afresh_each_epoch_and_the_same_in_every_process():
    weights = [0.0, 0.25, 1.0, 2.75]
    epochs = [drawn(weights, 3, epoch) for epoch in range(400)]
    assert all(rows.count(0) == 0 and rows.count(2) == 1 and rows.count(3) in (2, 3) for rows in epochs)
    assert 0.18 < sum(rows.count(1) for rows in epochs) / 400 < 0.32
    assert 2.68 < sum(rows.count(3) for rows in epochs) / 400 < 2.82
    assert epochs[7] == drawn(weights, 3, 7) and len({tuple(rows) for rows in epochs}) > 2
    schedule = Schedule([5, 5, 5, 5], 3, 2, 10, 10, weights=weights)
    assert sorted(row for batch in schedule.batches[:schedule.epoch_ends[0]] for row in batch) == epochs[0]
