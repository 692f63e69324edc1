"""Which response flies in which lane, and what happens when one of them fails."""

from __future__ import annotations

import random
import threading
import time

import pytest
import torch

from tutelage.generation.lanes import deal, few, lanes_for, side_by_side
from tutelage.generation.requests import Response


def responses_of(*sizes: int) -> list[Response]:
    return [Response(prompt, 0) for prompt, size in enumerate(sizes) for _ in range(size)]


def test_lanes_are_dealt_equal_shares_of_whole_groups() -> None:
    dealt = deal(responses_of(16, 16, 16, 16), 2, 32)
    assert [[len(group) for group in lane] for lane in dealt] == [[16, 16], [16, 16]]
    assert [[group[0][1].prompt for group in lane] for lane in dealt] == [[0, 2], [1, 3]]
    halves = deal(responses_of(64), 2, 32)
    assert [[len(group) for group in lane] for lane in halves] == [[32], [32]], "one prompt is computed in both"


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_every_response_is_dealt_once_in_groups_of_one_prompt(lanes: int) -> None:
    rng = random.Random(lanes)
    for _ in range(100):
        responses = responses_of(*(rng.randint(1, 9) for _ in range(rng.randint(1, 12))))
        largest = rng.randint(1, 8)
        dealt = deal(responses, lanes, largest)
        groups = [group for lane in dealt for group in lane]
        assert sorted(place for group in groups for place, _ in group) == list(range(len(responses)))
        assert all(len(group) <= largest and len({each.prompt for _, each in group}) == 1 for group in groups)
        assert all(responses[place] is each for group in groups for place, each in group)
        assert max(sum(map(len, lane)) for lane in dealt) <= -(-len(responses) // lanes)


def test_few_responses_fly_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    cpu = torch.device("cpu")
    assert (lanes_for(cpu, 95, 128), lanes_for(cpu, 128, 95), lanes_for(cpu, 96, 96), lanes_for(cpu, 999, 999)) == (1, 1, 2, 2)
    assert (few(1, 999), few(2, 48), few(2, 999)) == (0, 24, 48)
    assert lanes_for(torch.device("cuda"), 999, 999) == 1
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert lanes_for(cpu, 999, 999) == 1


def test_a_lane_that_fails_halts_the_others_and_its_error_is_raised() -> None:
    halt, threads = threading.Event(), torch.get_num_threads()

    def work(item: int) -> None:
        if item == 1:
            raise ValueError("lane 1")
        deadline = time.monotonic() + 60
        while not halt.is_set() and time.monotonic() < deadline:
            time.sleep(0.001)
        assert halt.is_set(), "nobody told this lane"

    with pytest.raises(ValueError, match="lane 1"):
        side_by_side(work, [0, 1], halt)
    assert torch.get_num_threads() == threads


def test_one_item_stays_in_the_calling_thread() -> None:
    seen: list[threading.Thread] = []
    side_by_side(lambda item: seen.append(threading.current_thread()), ["only"], threading.Event())
    assert seen == [threading.current_thread()]
