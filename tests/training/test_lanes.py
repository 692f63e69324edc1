"""Lanes share weights, add gradients in the order of their items, and leave nothing behind when one fails."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator

import pytest
import torch

from tutelage.batch import TokenBatch
from tutelage.errors import TrainingError
from tutelage.models.adapters import add_adapter
from tutelage.models.config import Adapter
from tutelage.models.flops import training_flops
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.runs.meter import measuring
from tutelage.training.config import Optimizer
from tutelage.training.lanes import Lanes, lanes_here
from tutelage.training.loop import MicroBatch, rehearse, update
from tutelage.training.optimizer import Masters
from tutelage.tuning.sft import NegativeLogLikelihood

PLAIN = Optimizer(lr=1e-3, warmup_fraction=0.0, schedule="constant")


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def policy(dtype: torch.dtype, adapter: bool = False) -> Policy:
    made = Policy(tiny_model(seed=1).to(dtype))
    if adapter:
        add_adapter(made, Adapter(rank=4))
    return made


def micro(seed: int, rows: int = 3) -> MicroBatch:
    draw = torch.Generator().manual_seed(seed)
    ids = [torch.randint(0, 250, (int(torch.randint(3, 30, (), generator=draw)),), generator=draw).tolist() for _ in range(rows)]
    return MicroBatch(tokens=TokenBatch.pack(ids, [[True] * len(row) for row in ids]), rows=(f"row {seed}",))


def one_after_the_other(masters: Masters, batches: list[MicroBatch]) -> None:
    """The same aliases and thread counts, no two at a time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // masters.lanes.count))
    masters.lanes.count, several = 1, masters.lanes.count
    try:
        update(masters, batches, NegativeLogLikelihood())
    finally:
        masters.lanes.count = several
        torch.set_num_threads(threads)


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_lanes_give_what_one_after_the_other_gives_to_the_bit(dtype: torch.dtype, adapter: bool) -> None:
    batches = [micro(seed, rows=1 + seed) for seed in range(5)]        # of very unequal sizes: lanes overtake each other
    made = []
    for together in (True, False):
        each = policy(dtype, adapter)
        masters = Masters(each, PLAIN, 4, Lanes(each, 2))
        for _ in range(3):
            (update(masters, batches, NegativeLogLikelihood()) if together else one_after_the_other(masters, batches))
        made.append({name: value.detach().clone() for name, value in each.named_parameters()})
    assert all(torch.equal(made[0][name], made[1][name]) for name in made[0])


def test_the_gradient_is_that_of_one_lane_to_round_off() -> None:
    batches = [micro(seed) for seed in range(3)]
    gradients = []
    for count in (1, 2, 3):
        each = policy(torch.float32)
        masters = Masters(each, PLAIN, 1, Lanes(each, count))
        metrics = update(masters, batches, NegativeLogLikelihood())
        gradients.append((metrics["loss"], metrics["grad_norm"], metrics["tokens"]))
    assert gradients[1] == pytest.approx(gradients[0], rel=1e-5)
    assert gradients[2] == pytest.approx(gradients[0], rel=1e-5)


def test_items_run_at_the_same_time_in_order_of_results_on_a_thread_each() -> None:
    meeting = threading.Barrier(2, timeout=20)
    lanes = Lanes(policy(torch.float32), 2)

    def work(alias: Policy, item: int) -> tuple[int, int]:
        meeting.wait()      # nobody gets past it alone
        return item, torch.get_num_threads()

    assert lanes.each(work, [5, 6, 7, 8]) == [(5, 1), (6, 1), (7, 1), (8, 1)]
    assert torch.get_num_threads() == 2 and lanes.each(work, []) == []


def test_work_runs_without_a_graph_where_the_caller_wants_none() -> None:
    with torch.no_grad():
        assert Lanes(policy(torch.float32), 2).each(lambda *_: torch.is_grad_enabled(), [1, 2]) == [False, False]


def test_a_parameter_that_one_item_does_not_reach_holds_nobody_up() -> None:
    each = policy(torch.float32)
    lanes, taken = Lanes(each, 2), []
    lanes.on_gradient(lambda name, gradient: taken.append((name, float(gradient.sum()))))
    first, second = list(dict(each.named_parameters()))[:2]

    def work(alias: Policy, item: tuple[int, float]) -> None:
        which, factor = item
        time.sleep(0.05 if factor == 1.0 else 0.0)      # the first item is the last to come
        (list(alias.parameters())[which].sum() * factor).backward()

    lanes.each(work, [(0, 1.0), (1, 2.0), (1, 3.0), (0, 4.0)])
    size = {name: value.numel() for name, value in each.named_parameters()}
    assert [factor for name, factor in taken if name == first] == [size[first], 4.0 * size[first]]
    assert [factor for name, factor in taken if name == second] == [2.0 * size[second], 3.0 * size[second]]


class Poisoned(NegativeLogLikelihood):
    def terms(self, policy, batch):
        if batch.rows == ("row 1",):
            raise TrainingError("row 1 is bad")
        return super().terms(policy, batch)


def test_a_failing_item_stops_the_others_and_no_gradient_stays() -> None:
    each = policy(torch.bfloat16)
    masters = Masters(each, PLAIN, 2, Lanes(each, 2))
    before = {name: value.detach().clone() for name, value in each.named_parameters()}
    running = threading.active_count()
    with pytest.raises(TrainingError, match="row 1 is bad"):
        update(masters, [micro(seed) for seed in range(6)], Poisoned())
    assert all(torch.equal(before[name], value) for name, value in each.named_parameters())
    assert torch.get_num_threads() == 2 and threading.active_count() == running
    fresh = policy(torch.bfloat16)
    other = Masters(fresh, PLAIN, 2, Lanes(fresh, 2))
    for each_masters in (masters, other):
        update(each_masters, [micro(7), micro(8)], NegativeLogLikelihood())
    assert all(torch.equal(a, b) for a, b in zip(each.parameters(), fresh.parameters(), strict=True))


def test_a_trial_fills_every_lane_and_changes_nothing() -> None:
    each = policy(torch.bfloat16)
    masters = Masters(each, PLAIN, 2, Lanes(each, 2))
    before = [value.detach().clone() for value in each.parameters()]
    assert rehearse(masters, micro(3), NegativeLogLikelihood()) > 0
    assert all(torch.equal(a, b) for a, b in zip(before, each.parameters(), strict=True))
    assert all(alias is not each and alias.model is not each.model for alias in masters.lanes.policies)
    weights, shared = ({value.data_ptr() for value in one.parameters()} for one in (each, masters.lanes.policies[1]))
    assert weights == shared


def test_as_many_lanes_as_threads_up_to_two() -> None:
    assert lanes_here(torch.device("cpu")) == 2 and lanes_here(torch.device("meta")) == 1
    torch.set_num_threads(1)
    assert lanes_here(torch.device("cpu")) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_what_lanes_do_is_measured_once(count: int) -> None:
    batches = [micro(seed) for seed in range(3)]
    each = policy(torch.float32)
    masters = Masters(each, PLAIN, 1, Lanes(each, count))
    with measuring() as meter:
        update(masters, batches, NegativeLogLikelihood())
        lap = meter.lap()
    assert {"forward", "backward", "optimizer"} <= set(lap.seconds) and min(lap.seconds.values()) >= 0
    assert lap.counts["flops"] == sum(training_flops(each, batch.tokens) for batch in batches)


@pytest.mark.parametrize("count", [1, 2])
def test_weights_and_masters_are_freed_when_nobody_holds_them(count: int) -> None:
    """The next stage of the process would need the memory of two."""
    each = policy(torch.bfloat16)
    masters = Masters(each, PLAIN, 1, Lanes(each, count))
    update(masters, [micro(1), micro(2)], NegativeLogLikelihood())
    held = [weakref.ref(tensor) for tensor in (*each.parameters(), *masters.lanes.policies[-1].parameters(),
                                               *masters.state()["masters"].values())]
    del each, masters
    gc.collect()
    assert [tensor for tensor in held if tensor() is not None] == []
