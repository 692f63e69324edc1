"""Halves of the responses side by side, each with processor threads of its own.

A step of decoding is hundreds of short operations, which gain little from a second thread each; two flights, a thread each,
keep both busy all the time. But each flight reads all weights, so few responses fly together (docs/LOG.md has the figures).
Which response flies where depends on the requests alone, so that a run in bf16 repeats itself to the bit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from tutelage.generation.flight import Group
from tutelage.generation.requests import Response

MOST = 2             # lanes
LANE_SLOTS = 48      # responses in flight below which a lane does not pay: weights are read once for each lane
Item = TypeVar("Item")


def lanes_for(device: torch.device, responses: int, slots: int) -> int:
    """How many lanes pay for so many responses in so many slots."""
    if device.type != "cpu":
        return 1
    return max(1, min(MOST, torch.get_num_threads(), min(responses, slots) // LANE_SLOTS))


def few(lanes: int, room: int) -> int:
    """At how many responses in flight, and none waiting, a lane stops, for one to go on with those of all in its `room`."""
    return min(LANE_SLOTS, room // lanes) if lanes > 1 else 0


def deal(responses: Sequence[Response], lanes: int, largest: int) -> list[list[Group]]:
    """Give each lane its groups: neighbours of one prompt, `largest` or fewer, to whichever lane has least.

    No lane gets more than its equal share: a group that is too large for what is left of it is divided.
    """
    share = -(-len(responses) // lanes)
    dealt: list[list[Group]] = [[] for _ in range(lanes)]
    counts = [0] * lanes
    lane = 0
    for place, response in enumerate(responses):
        group = dealt[lane][-1] if dealt[lane] else None
        if (group is None or group[-1][0] != place - 1 or group[-1][1].prompt != response.prompt or len(group) == largest
                or counts[lane] == share):
            lane = min(range(lanes), key=lambda each: counts[each])
            dealt[lane].append([])
        dealt[lane][-1].append((place, response))
        counts[lane] += 1
    return dealt


def side_by_side(work: Callable[[Item], None], items: Sequence[Item], halt: threading.Event) -> None:
    """`work(item)` of each, all at once, a thread and an equal part of torch's threads each; one item stays in this thread.

    `halt` is set when one of them fails, or this thread is interrupted, for the others to look at.

    Raises:
        what `work` raised for the first item for which it did.
    """
    if len(items) == 1:
        return work(items[0])
    threads = torch.get_num_threads()
    errors: dict[int, BaseException] = {}

    def lane(number: int) -> None:
        torch.set_num_threads(max(1, threads // len(items)))
        try:
            work(items[number])
        except BaseException as error:
            errors[number] = error
            halt.set()

    workers = [threading.Thread(target=lane, args=(number,), name=f"decoding lane {number}") for number in range(len(items))]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    except BaseException:
        halt.set()
        raise
    finally:
        for worker in workers:
            if worker.ident is not None:
                worker.join()
        torch.set_num_threads(threads)      # the libraries beneath keep one number for the process
    if errors:
        raise errors[min(errors)]
