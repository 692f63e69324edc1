"""Micro-batches side by side, each on processor threads of its own.

A step of a small model is hundreds of short operations, and dividing each among threads gains little: with two threads the
matrix products take half the time and the rest as long as with one. Two micro-batches at once, a thread each, halve all of it
(docs/LOG.md has the figures).

Lanes share the weights and nothing else. What they give is that of one lane after the other, to the bit: results come in the
order of the items, and gradients are added in that order.
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from tutelage.models.policy import Policy
from tutelage.runs.meter import measuring
from tutelage.runs.meter import threads as meter_of_threads

MOST = 2      # lanes; each needs the memory of its own micro-batch
Item = TypeVar("Item")
Result = TypeVar("Result")


def lanes_here(device: torch.device) -> int:
    """How many lanes pay: as many as threads, up to `MOST`; one where another kind of processor does the work."""
    return min(MOST, torch.get_num_threads()) if device.type == "cpu" else 1


class Lanes:
    """Runs work on several items at once. With one lane everything happens in the calling thread, on the policy itself."""

    def __init__(self, policy: Policy, count: int = 1) -> None:
        self.count = count
        self.policies = [policy] if count == 1 else [_alias(policy) for _ in range(count)]
        self._turns = _Turns()
        self._take: Callable[[str, Tensor], None] = lambda name, gradient: None

    def each(self, work: Callable[[Policy, Item], Result], items: Sequence[Item]) -> list[Result]:
        """`work(policy, item)` of every item, in order. `policy` is one that shares the weights.

        Raises:
            what `work` raises for the first item for which it does; the others are left.
        """
        if self.count == 1:
            return [work(self.policies[0], item) for item in items]
        self._turns = turns = _Turns()
        threads, grad = torch.get_num_threads(), torch.is_grad_enabled()
        results: dict[int, Result] = {}

        def measured_lane(number: int) -> None:
            if laps is None:
                lane(number)
                return
            with measuring() as meter:
                lane(number)
                laps.append(meter.lap())

        def lane(number: int) -> None:
            torch.set_num_threads(max(1, threads // self.count))
            with torch.set_grad_enabled(grad):
                for index in range(number, len(items), self.count):
                    if turns.errors:
                        return
                    turns.index.here = index
                    try:
                        results[index] = work(self.policies[number], items[index])
                    except BaseException as error:
                        turns.fail(index, error)
                        return
                    turns.finish(index)

        workers = [threading.Thread(target=measured_lane, args=(number,), name=f"lane {number}") for number in range(self.count)]
        try:
            with meter_of_threads() as laps:
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()
        finally:
            torch.set_num_threads(threads)      # the libraries beneath keep one number for the process
        if turns.errors:
            raise turns.errors[min(turns.errors)]
        return [results[index] for index in range(len(items))]

    def on_gradient(self, take: Callable[[str, Tensor], None]) -> None:
        """Have `take(name, gradient)` called for each gradient of a trained parameter, item by item in order."""
        self._take = take
        for policy in self.policies:
            for name, parameter in policy.named_parameters():
                if parameter.requires_grad:
                    parameter.register_post_accumulate_grad_hook(_hook(weakref.ref(self), name))

    def collect(self, name: str, gradient: Tensor) -> None:
        """A gradient has come to a parameter of one of the policies."""
        if self.count == 1:
            self._take(name, gradient)
        else:
            self._turns.take(name, lambda: self._take(name, gradient))


def _hook(lanes: weakref.ref[Lanes], name: str) -> Callable[[Tensor], None]:
    """Holds no lane: a parameter that held what holds it would never be freed, since the garbage collector does not see
    through the graph's nodes between.
    """
    def taken(parameter: Tensor) -> None:
        gradient, parameter.grad = parameter.grad, None
        alive = lanes()
        assert gradient is not None and alive is not None
        alive.collect(name, gradient)
    return taken


class _Left(Exception):
    """Another lane has failed, and nobody needs this result any more."""


class _Turns:
    """Who may add to a gradient: an item waits for those before it, unless they are done without."""

    def __init__(self) -> None:
        self.index: Any = threading.local()
        self.errors: dict[int, BaseException] = {}
        self._finished: set[int] = set()
        self._taken: dict[str, int] = {}      # by parameter, the items that have added to it, or are done without
        self._change = threading.Condition()

    def take(self, name: str, add: Callable[[], None]) -> None:
        index: int = getattr(self.index, "here", 0)
        with self._change:
            self._change.wait_for(lambda: self.errors or self._next(name) >= index)
            if self.errors:
                raise _Left
        add()
        with self._change:
            self._taken[name] = index + 1
            self._change.notify_all()

    def _next(self, name: str) -> int:
        """The item whose turn it is."""
        index = self._taken.get(name, 0)
        while index in self._finished:
            index += 1
        return index

    def finish(self, index: int) -> None:
        with self._change:
            self._finished.add(index)
            self._change.notify_all()

    def fail(self, index: int, error: BaseException) -> None:
        with self._change:
            if not isinstance(error, _Left):
                self.errors[index] = error
            self._change.notify_all()


def _alias(policy: Policy) -> Policy:
    """Another policy over the same weights, with gradients of its own."""
    known = {id(each): nn.Parameter(each.data, requires_grad=each.requires_grad) for each in policy.parameters()}
    return copy.deepcopy(policy, {**known, **{id(each): each for each in policy.buffers()}})
