"""Random runs of the engine against one response and one token at a time, in fp32.

A draw may fall otherwise only where it lies so near a boundary that fp32 rounding decides. Such positions are counted; what
follows one in its response is not compared.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest
import torch
from one_at_a_time import MODELS, V, any_sampling, follow, tiny

from tutelage.generation import lanes as lanes_module
from tutelage.generation.engine import Response, decode
from tutelage.generation.flight import Flight
from tutelage.models.policy import Policy
from tutelage.records import Sampling

GAP = 1e-4              # in probability
NEAR_FRACTION = 1e-3    # of all positions, at most


@dataclass
class Tally:
    positions: int = 0
    near: int = 0
    ended: int = 0
    cancelled: int = 0


@pytest.fixture
def lane_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lanes also for the few responses of a test, whatever threads there are."""
    monkeypatch.setattr(lanes_module, "LANE_SLOTS", 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)


def run(seed: int, tally: Tally) -> None:
    """One decode of several requests with everything about them at random, compared request by request."""
    rng = random.Random(seed)
    architecture = rng.choice(sorted(MODELS))
    policy, theirs = Policy(tiny(architecture)), tiny(architecture)
    theirs.set_attn_implementation("eager")
    shared, own = any_sampling(rng), rng.random() < 0.5
    prompts = [[rng.randrange(V) for _ in range(rng.randint(1, 12))] for _ in range(rng.randint(1, 5))]
    responses = [Response(i, rng.getrandbits(63), any_sampling(rng) if own and rng.random() < 0.6 else None)
                 for i in range(len(prompts)) for _ in range(rng.randint(1, 4))]
    stop_ids = set(rng.sample(range(V), rng.choice([0, 3, 9])))
    cancel_after = {place: rng.randint(1, 6) for place in range(len(responses)) if rng.random() < 0.15}
    seen = [0] * len(responses)

    def on_token(place: int, token: int, logprob: float) -> bool:
        seen[place] += 1
        return seen[place] != cancel_after.get(place)

    decode(policy, prompts, responses, shared, tuple(stop_ids), rng.choice([1, 2, 3, 7, 16]), on_token=on_token)
    for place, response in enumerate(responses):
        sampling = response.sampling or shared
        path = follow(theirs, prompts[response.prompt], response, sampling, stop_ids, cancel_after.get(place))
        assert seen[place] == len(response.ids)
        same = len(path.ids)
        for at, (got, wanted) in enumerate(zip(response.ids, path.ids, strict=False)):
            tally.positions += 1
            if path.gaps[at] < GAP and got != wanted:
                tally.near += 1
                same = at
                break
            assert got == wanted, (seed, place, at, path.gaps[at], sampling)
            assert response.logprobs[at] == pytest.approx(path.logprobs[at], abs=2e-5), (seed, place, at, sampling)
        if same == len(path.ids):
            assert (response.ids, response.ended) == (path.ids, path.ended), (seed, place, sampling)
            tally.ended += response.ended
            tally.cancelled += response.reason == "cancelled"


def tally_of(seeds: range) -> Tally:
    tally = Tally()
    for seed in seeds:
        run(seed, tally)
    assert tally.near <= NEAR_FRACTION * tally.positions, tally
    assert tally.ended and tally.cancelled, tally
    return tally


def test_random_runs_equal_one_at_a_time_decoding() -> None:
    tally_of(range(12))


@pytest.mark.usefixtures("lane_slots")
def test_random_runs_in_two_lanes_equal_one_at_a_time_decoding() -> None:
    tally_of(range(1000, 1008))


@pytest.mark.usefixtures("lane_slots")
def test_what_two_lanes_leave_is_drawn_by_one_as_if_it_had_drawn_all(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, prompts = (4, 30, 9, 24, 3, 18), [[5, 6, 7], [8, 9], [1, 2, 3, 4]]

    def drawn() -> list[Response]:
        responses = [Response(i % 3, i, Sampling(max_new_tokens=length)) for i, length in enumerate(lengths)]
        decode(Policy(tiny("llama")), prompts, responses, Sampling(), (), 6)
        return responses

    taken, take_over = [], Flight.take_over

    def noted(self: Flight, other: Flight) -> None:
        taken.append((list(self.lengths), list(other.lengths)))
        take_over(self, other)

    monkeypatch.setattr(Flight, "take_over", noted)
    in_two = drawn()
    assert [len(ours) * len(theirs) for ours, theirs in taken] == [1], "each lane had one left"
    monkeypatch.setattr(lanes_module, "LANE_SLOTS", 99)
    in_one = drawn()
    assert len(taken) == 1, "one lane takes nothing over"
    for two, one in zip(in_two, in_one, strict=True):
        assert two.ids == one.ids and two.logprobs == pytest.approx(one.logprobs, abs=2e-5)


@pytest.mark.faults
@pytest.mark.parametrize("block", range(20))
def test_500_random_runs_equal_one_at_a_time_decoding(block: int) -> None:
    tally_of(range(2000 + 25 * block, 2000 + 25 * (block + 1)))


@pytest.mark.parametrize("wrong", [
    "logit_bias", "repetition_penalty", "min_new_tokens", "temperature", "top_k", "top_p", "min_p"])
def test_a_setting_that_were_left_out_would_be_seen(wrong: str) -> None:
    """The comparison itself: with any one setting dropped, some run among few differs."""
    default = type(any_sampling(random.Random(0)))()
    policy, theirs, differs = Policy(tiny("llama")), tiny("llama"), False
    theirs.set_attn_implementation("eager")
    for seed in range(60):
        rng = random.Random(seed)
        asked = any_sampling(rng)
        dropped = replace(asked, **{wrong: getattr(default, wrong)})
        if dropped == asked:
            continue
        response = Response(0, rng.getrandbits(63))
        decode(policy, [[3, 4]], [response], dropped, (1, 2, 7, 9, 30), 1)
        path = follow(theirs, [3, 4], response, asked, {1, 2, 7, 9, 30})
        differs = differs or response.ids != path.ids or max(
            abs(a - b) for a, b in zip(response.logprobs, path.logprobs, strict=True)) > 1e-3
    assert differs
