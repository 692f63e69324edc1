"""The draw: the distribution that was asked for, exactly, from each request's own stream of random numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from tutelage.generation import sampler as sampler_module
from tutelage.generation.sampler import draw, prepare, uniforms

NEXT_TO_1 = 1.0 - 2.0**-53


def seeds(count: int, start: int = 0) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.uint64)


def at(*u: float) -> Tensor:
    return torch.tensor(u, dtype=torch.float64)


def random_logits(v: int, seed: int = 0) -> Tensor:
    return torch.randn(1, v, generator=torch.Generator().manual_seed(seed)) * 2


def counts(logits: Tensor, u: Tensor, **settings: float) -> Tensor:
    """How often each token is drawn at the given u."""
    tokens, _ = draw(logits.expand(len(u), -1).clone(), u, **settings)
    return torch.bincount(tokens, minlength=logits.shape[1])


def grid(n: int) -> Tensor:
    """The middles of n equal parts of [0, 1): a token of probability p is hit n p times, give or take one."""
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


def test_uniforms_are_a_function_of_seed_and_step_alone() -> None:
    steps = seeds(1000, 5)
    whole = uniforms(seeds(1000), steps)
    assert whole.dtype == np.float64 and float(whole.min()) >= 0 and float(whole.max()) < 1
    order = np.random.default_rng(0).permutation(1000)
    assert np.array_equal(uniforms(seeds(1000)[order], steps[order]), whole[order])
    assert all(uniforms(seeds(1, i), steps[i:i + 1])[0] == whole[i] for i in (0, 1, 500, 999))
    assert len(set(whole.tolist())) == 1000


def test_uniforms_are_those_of_splitmix64() -> None:
    """The published generator's first outputs from the state 1234567, here as the steps of one seed; top 53 bits."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    got = uniforms(np.full(5, 1234567, dtype=np.uint64), seeds(5))
    assert got.tolist() == [(word >> 11) * 2.0**-53 for word in published]
    highest = np.array([2**64 - 1], dtype=np.uint64)
    assert 0 <= uniforms(highest, highest)[0] < 1


@pytest.mark.parametrize("along", ["seeds", "steps"])
def test_uniforms_are_uniform_along_seeds_and_along_steps(along: str) -> None:
    one = np.full(20_000, 77, dtype=np.uint64)
    u = uniforms(seeds(20_000), one) if along == "seeds" else uniforms(one, seeds(20_000))
    assert stats.kstest(u, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("v", [1, 2, 7, 255, 256, 257, 300, 512, 1000])
def test_each_token_gets_exactly_its_share_of_the_line(v: int) -> None:
    """Sharper than any statistic: on a grid of n points a token's count is n p, give or take one."""
    logits, n = random_logits(v), 4000
    share = torch.softmax(logits[0].double(), -1) * n
    assert float((counts(logits, grid(n)) - share).abs().max()) <= 1.01


@pytest.mark.parametrize("v", [5, 300, 1000])
def test_drawn_counts_fit_the_softmax_by_chi_squared(v: int) -> None:
    logits, n = random_logits(v, seed=v), 10_000
    u = torch.from_numpy(uniforms(seeds(n, 123), np.full(n, 3, dtype=np.uint64)))
    got, wanted = counts(logits, u).double(), torch.softmax(logits[0].double(), -1) * n
    order = wanted.argsort(descending=True)
    groups = torch.zeros(v, dtype=torch.long)
    groups[order] = (wanted[order].cumsum(0) // 100).long()      # about 100 wanted in each: chi-squared needs some
    got, wanted = (torch.zeros(int(groups.max()) + 1, dtype=torch.double).index_add(0, groups, each) for each in (got, wanted))
    keep = wanted > 5
    got, wanted = got[keep].numpy(), wanted[keep].numpy()
    assert stats.chisquare(got, wanted * got.sum() / wanted.sum()).pvalue > 1e-4      # once in 10,000 by chance


def test_logprobs_are_those_of_what_was_drawn() -> None:
    logits = random_logits(700).repeat(50, 1)
    tokens, logprobs = draw(logits.clone(), grid(50), temperature=0.6)
    wanted = (logits / 0.6).log_softmax(-1).gather(1, tokens[:, None])[:, 0]
    torch.testing.assert_close(logprobs, wanted, atol=2e-6, rtol=0)


def test_by_hand() -> None:
    """Weights 4, 2, 1, 1: the line is cut at 1/2, 3/4 and 7/8.

    At temperature 1/2 they are 16, 4, 1, 1: it is cut at 16/22, 20/22 and 21/22.
    """
    logits = torch.log(torch.tensor([[4.0, 2.0, 1.0, 1.0]]))
    u = at(0.0, 0.49, 0.51, 0.74, 0.76, 0.87, 0.88, NEXT_TO_1)
    tokens, logprobs = draw(logits.repeat(8, 1), u)
    assert tokens.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert logprobs.tolist() == pytest.approx([math.log(p) for p in (1/2, 1/2, 1/4, 1/4, 1/8, 1/8, 1/8, 1/8)], abs=1e-6)
    u = at(0.0, 15.9 / 22, 16.1 / 22, 19.9 / 22, 20.1 / 22, 20.9 / 22, 21.1 / 22, NEXT_TO_1)
    tokens, logprobs = draw(logits.repeat(8, 1), u, temperature=0.5)
    assert tokens.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert logprobs[3].item() == pytest.approx(math.log(4 / 22), abs=1e-6)


def test_top_k_keeps_the_k_most_likely_and_divides_among_them() -> None:
    """Weights 1, 4, 2, 1 with k = 2: only tokens 1 and 2 are left, with 4/6 and 2/6."""
    logits = torch.log(torch.tensor([[1.0, 4.0, 2.0, 1.0]]))
    tokens, logprobs = draw(logits.repeat(4, 1), at(0.0, 0.66, 0.67, NEXT_TO_1), top_k=2)
    assert tokens.tolist() == [1, 1, 2, 2]
    assert logprobs.tolist() == pytest.approx([math.log(4 / 6)] * 2 + [math.log(2 / 6)] * 2, abs=1e-6)
    assert counts(logits, grid(800), top_k=1).tolist() == [0, 800, 0, 0]
    for none in (0, 4, 99):
        assert counts(logits, grid(800), top_k=none).tolist() == [100, 400, 200, 100]


def test_tokens_that_tie_with_the_last_kept_stay() -> None:
    logits = torch.log(torch.tensor([[1.0, 2.0, 1.0]]))
    assert counts(logits, grid(400), top_k=2).tolist() == [100, 200, 100]


def test_top_p_keeps_the_smallest_set_that_holds_the_mass() -> None:
    """Probabilities 1/8, 1/2, 1/4, 1/8: 0.5 is held by one token, 0.51 by two, 0.75 by two, 0.76 by three."""
    logits = torch.log(torch.tensor([[1.0, 4.0, 2.0, 1.0001]]))
    kept = {top_p: (counts(logits, grid(6000), top_p=top_p) > 0).tolist()
            for top_p in (1e-9, 0.49, 0.51, 0.74, 0.76, 0.87, 0.9, 1.0)}
    one, two, three, all_ = [False, True, False, False], [False, True, True, False], [False, True, True, True], [True] * 4
    assert kept == {1e-9: one, 0.49: one, 0.51: two, 0.74: two, 0.76: three, 0.87: three, 0.9: all_, 1.0: all_}
    assert counts(logits, grid(6000), top_p=0.6).tolist() == [0, 4000, 2000, 0]


def test_temperature_comes_before_top_k_and_top_p() -> None:
    """Weights 4, 2, 1 at temperature 1/2 are 16, 4, 1: 0.75 is held by the first alone, at temperature 1 it takes two."""
    logits = torch.log(torch.tensor([[4.0, 2.0, 1.0]]))
    assert counts(logits, grid(700), top_p=0.75, temperature=0.5).tolist() == [700, 0, 0]
    assert counts(logits, grid(600), top_p=0.75).tolist() == [400, 200, 0]


@pytest.mark.parametrize("v", [3, 256, 300, 600])
@pytest.mark.parametrize("u", [0.0, 2.0**-53, 0.5, NEXT_TO_1])
def test_a_token_of_no_probability_is_never_drawn(v: int, u: float) -> None:
    """Not at the ends of the vocabulary, not in a block that holds none, not in the padding of the last block."""
    only = torch.tensor([v // 2, v - 1 - v // 5])
    logits = torch.full((64, v), float("-inf"))
    logits[:, only] = torch.randn(64, 2, generator=torch.Generator().manual_seed(v)) * 5
    tokens, logprobs = draw(logits, torch.full((64,), u, dtype=torch.float64))
    assert set(tokens.tolist()) <= set(only.tolist())
    assert bool(torch.isfinite(logprobs).all())


def test_where_rounding_points_past_the_end_the_last_token_of_any_weight_is_meant() -> None:
    """A block's sum and the running sum inside it round differently, and u lies as close to 1 as it can.

    The weights lie so far apart that their sums in fp64 are not exact.
    """
    logits = torch.full((2000, 300), float("-inf"))
    logits[:, :200] = 8 * torch.randn(2000, 200, generator=torch.Generator().manual_seed(0))
    tokens, logprobs = draw(logits, torch.full((2000,), NEXT_TO_1, dtype=torch.float64))
    assert int(tokens.max()) < 200
    assert bool(torch.isfinite(logprobs).all())


def test_weights_too_small_for_fp32_are_not_drawn_either() -> None:
    logits = torch.cat((torch.zeros(1, 300), torch.full((1, 300), -200.0)), 1)
    tokens, _ = draw(logits.repeat(500, 1), grid(500))
    assert int(tokens.max()) < 300
    assert int(draw(logits.clone(), at(NEXT_TO_1))[0]) == 299


def test_at_temperature_0_the_most_likely_token_is_taken_and_its_own_logprob_given() -> None:
    logits = random_logits(300).repeat(3, 1)
    tokens, logprobs = draw(logits.clone(), at(0.0, 0.5, NEXT_TO_1), temperature=0)
    assert tokens.tolist() == [int(logits[0].argmax())] * 3
    torch.testing.assert_close(logprobs, logits.log_softmax(-1).amax(-1), atol=1e-6, rtol=0)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    logits, u = torch.randn(40, 700, generator=torch.Generator().manual_seed(2)), grid(40)
    whole, logprobs = draw(logits.clone(), u, temperature=0.8, top_p=0.9, top_k=50)
    for row in range(40):
        token, logprob = draw(logits[row:row + 1].clone(), u[row:row + 1], temperature=0.8, top_p=0.9, top_k=50)
        assert (int(token), float(logprob)) == (int(whole[row]), float(logprobs[row]))


@pytest.mark.parametrize("seed", range(6))
def test_the_settings_keep_what_transformers_own_processors_keep(seed: int) -> None:
    from transformers import (
        LogitsProcessorList,
        MinPLogitsWarper,
        RepetitionPenaltyLogitsProcessor,
        SequenceBiasLogitsProcessor,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 900, generator=generator) * 3
    texts = torch.randint(0, 900, (4, 30), generator=generator)
    k, p, m = ((40, 0.9, 0.02), (0, 0.7, 0.0), (0, 1.0, 0.1), (5, 0.99, 0.2), (900, 0.999, 0.0), (0, 0.05, 0.5))[seed]
    theirs = LogitsProcessorList([
        SequenceBiasLogitsProcessor({(7,): 2.5, (8,): -4.0}), RepetitionPenaltyLogitsProcessor(1.3), TemperatureLogitsWarper(0.8),
        *([TopKLogitsWarper(k)] if k else []), *([TopPLogitsWarper(p)] if p < 1 else []), *([MinPLogitsWarper(m)] if m else [])])
    wanted = theirs(texts, logits.clone()).softmax(-1)
    ours = logits.clone()
    prepare(ours, texts.tolist(), logit_bias=((7, 2.5), (8, -4.0)), repetition_penalty=1.3)
    for row in range(4):
        got = counts(ours[row:row + 1], grid(4000), temperature=0.8, top_k=k, top_p=p, min_p=m) / 4000
        assert float((got - wanted[row]).abs().max()) < 1.1 / 4000


def test_a_nucleus_larger_than_the_candidates_is_found_by_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = torch.stack([torch.linspace(0, 1, 700), torch.linspace(0, 60, 700)])       # a wide nucleus and a narrow one
    whole = draw(logits.clone(), at(0.3, 0.3), top_p=0.9)
    monkeypatch.setattr(sampler_module, "CANDIDATES", 16)
    few = draw(logits.clone(), at(0.3, 0.3), top_p=0.9)
    assert torch.equal(whole[0], few[0]) and torch.equal(whole[1], few[1])
    kept = counts(logits[:1], grid(5000), top_p=0.9) > 0
    assert 512 < int(kept.sum()) < 690 and bool(kept[-1]) and not bool(kept[0])


def test_min_p_is_a_share_of_the_largest_probability() -> None:
    """Weights 8, 4, 2, 1 with 0.3: what has less than 2.4 goes."""
    logits = torch.log(torch.tensor([[8.0, 4.0, 2.0, 1.0]]))
    assert counts(logits, grid(1200), min_p=0.3).tolist() == [800, 400, 0, 0]
    assert counts(logits, grid(1200), min_p=1.0).tolist() == [1200, 0, 0, 0]


def test_repetition_is_penalised_towards_less_likely_on_both_sides_of_0() -> None:
    logits = torch.tensor([[2.0, -2.0, 2.0, -2.0]])
    prepare(logits, [[0, 1, 1]], repetition_penalty=2.0)
    assert logits.tolist() == [[1.0, -4.0, 2.0, -2.0]]
