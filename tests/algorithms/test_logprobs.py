"""The tiled head against the plain one: values, entropy and every gradient, whatever the tiles."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from tutelage.algorithms import log_softmax_gather, logprobs, token_logprobs
from tutelage.errors import ShapeError

L, D, V = 7, 5, 50
HEADS = {
    "plain": {},
    "softcap": {"softcap": 1.5},
    "scale": {"logit_scale": 0.25},
    "temperature": {"temperature": 0.7},
    "all": {"softcap": 2.0, "logit_scale": 1.7, "temperature": 1.3},
}


def inputs(dtype=torch.float64, bias: bool = True, rows: int = L) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, D, generator=g, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(V, D, generator=g, dtype=torch.float64).to(dtype).requires_grad_()
    bias_V = torch.randn(V, generator=g, dtype=torch.float64).to(dtype).requires_grad_() if bias else None
    return hidden, weight, torch.randint(V, (rows,), generator=g), bias_V


def plainly(hidden, weight, labels, bias=None, softcap=None, logit_scale=1.0, temperature=1.0):
    """The definition, with all logits in memory."""
    logits = F.linear(hidden, weight, bias)
    z = logits.to(torch.promote_types(logits.dtype, torch.float32)) * logit_scale
    z = (z if softcap is None else softcap * torch.tanh(z / softcap)) / temperature
    all_logprobs = z.log_softmax(-1)
    return all_logprobs.gather(1, labels[:, None])[:, 0], -(all_logprobs.exp() * all_logprobs).sum(-1)


def gradients(outputs, tensors):
    """Of an uneven mixture of both outputs, so that no row or term can stand in for another."""
    rows = len(outputs[0])
    steps = torch.arange(1, rows + 1, dtype=outputs[0].dtype)
    mixture = (outputs[0] * steps).sum() + (outputs[1] * (steps.flip(0) - 2.5)).sum()
    return torch.autograd.grad(mixture, [t for t in tensors if t is not None])


def test_two_words_by_hand():
    # h = 1, weights log 3 and 0: pi = 3/4, 1/4; entropy .75 log(4/3) + .25 log 4 = .562335
    hidden, weight = torch.ones(2, 1), torch.tensor([[math.log(3.0)], [0.0]])
    result, entropy = token_logprobs(hidden, weight, torch.tensor([0, 1]), with_entropy=True, chunk_size=1)
    torch.testing.assert_close(result, torch.tensor([math.log(0.75), math.log(0.25)]), atol=1e-6, rtol=0)
    torch.testing.assert_close(entropy, torch.full((2,), 0.562335), atol=1e-6, rtol=0)
    # temperature .5 doubles the logit: pi = 9/10
    cold, _ = token_logprobs(hidden, weight, torch.tensor([0, 1]), temperature=0.5)
    torch.testing.assert_close(cold, torch.tensor([math.log(0.9), math.log(0.1)]), atol=1e-6, rtol=0)
    # softcap 1 makes it tanh(log 3) = .8: log sigma(.8) = -.371101
    capped, _ = token_logprobs(hidden, weight, torch.tensor([0, 1]), softcap=1.0)
    assert capped[0].item() == pytest.approx(-0.371101, abs=1e-6)


def test_gradients_by_hand():
    # as above: d log pi_0 / dz = (1 - 3/4, -1/4); times h = 1 for the weights, times the weights for h
    hidden = torch.ones(1, 1, requires_grad=True)
    weight = torch.tensor([[math.log(3.0)], [0.0]], requires_grad=True)
    token_logprobs(hidden, weight, torch.tensor([0]))[0].sum().backward()
    torch.testing.assert_close(weight.grad, torch.tensor([[0.25], [-0.25]]), atol=1e-6, rtol=0)
    assert hidden.grad.item() == pytest.approx(math.log(3.0) / 4, abs=1e-6)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_values_and_gradients_are_those_of_the_definition(head, bias):
    hidden, weight, labels, bias_V = inputs(bias=bias)
    expected = plainly(hidden, weight, labels, bias_V, **HEADS[head])
    wanted = gradients(expected, (hidden, weight, bias_V))
    for chunk_size, keep_bytes in itertools.product((None, 1, 16, 17, V), (0, 1500, None)):
        got = token_logprobs(hidden, weight, labels, bias=bias_V, with_entropy=True, chunk_size=chunk_size,
                             keep_bytes=keep_bytes, **HEADS[head])
        torch.testing.assert_close(got, expected, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(gradients(got, (hidden, weight, bias_V)), wanted, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("head", HEADS)
def test_gradcheck_in_double(head):
    hidden, weight, labels, bias_V = inputs(rows=3)
    assert torch.autograd.gradcheck(
        lambda h, w, b: token_logprobs(h, w, labels, bias=b, with_entropy=True, chunk_size=16, **HEADS[head]),
        (hidden, weight, bias_V))


@pytest.mark.parametrize("head", ["plain", "all"])
def test_fp32_results_do_not_depend_on_the_tiles(head):
    hidden, weight, labels, bias_V = inputs(torch.float32)
    results = []
    for chunk_size in (V, 1, 7, 16, 49, 1000):
        got = token_logprobs(hidden, weight, labels, bias=bias_V, with_entropy=True, chunk_size=chunk_size,
                             **HEADS[head])
        results.append((got, gradients(got, (hidden, weight, bias_V))))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], atol=1e-6, rtol=1e-5)


def test_kept_products_and_products_made_anew_agree_bit_for_bit():
    for dtype in (torch.float32, torch.bfloat16):
        hidden, weight, labels, _ = inputs(dtype, bias=False)
        first, second = (token_logprobs(hidden, weight, labels, with_entropy=True, chunk_size=16,
                                        keep_bytes=k)
                         for k in (0, None))
        torch.testing.assert_close(first, second, atol=0, rtol=0)
        torch.testing.assert_close(gradients(first, (hidden, weight)), gradients(second, (hidden, weight)),
                                   atol=0, rtol=0)


def test_bf16_gives_fp32_results_of_bf16_products_and_bf16_gradients():
    hidden, weight, labels, bias_V = inputs(torch.bfloat16)
    expected = plainly(hidden, weight, labels, bias_V)
    got = token_logprobs(hidden, weight, labels, bias=bias_V, with_entropy=True, chunk_size=16)
    assert got[0].dtype == got[1].dtype == torch.float32
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    # against the exact gradient: within rounding of some terms of 2^-8
    exact = gradients(plainly(*(t.double() if t.is_floating_point() else t
                                for t in (hidden, weight, labels, bias_V))),
                      (hidden, weight, bias_V))
    for grad, wanted in zip(gradients(got, (hidden, weight, bias_V)), exact, strict=True):
        assert grad.dtype == torch.bfloat16
        assert (grad.double() - wanted.double()).abs().max() < 0.02 * wanted.double().abs().max()


def test_a_frequent_token_sums_its_bf16_weight_gradient_without_losing_small_terms():
    # 2,000 rows, one label of two: each row adds (1 - 1/2) * 1/256; a bf16 running sum would stall below 1
    rows = 2000
    hidden = torch.full((rows, 1), 1 / 256, dtype=torch.bfloat16)
    weight = torch.zeros(2, 1, dtype=torch.bfloat16, requires_grad=True)
    token_logprobs(hidden, weight, torch.zeros(rows, dtype=torch.int64))[0].sum().backward()
    assert weight.grad[0].item() == pytest.approx(rows / 512, rel=0.005)


def test_a_confident_token_keeps_its_small_gradient_in_bf16():
    # pi = 1 - 4.5e-5 rounds to 1 in bf16; 1 - pi must not become 0
    weight = torch.tensor([[10.0], [0.0]], dtype=torch.bfloat16, requires_grad=True)
    token_logprobs(torch.ones(1, 1, dtype=torch.bfloat16), weight, torch.tensor([0]))[0].sum().backward()
    assert weight.grad[0].item() == pytest.approx(4.54e-5, rel=0.01)


def test_a_frozen_weight_gets_no_gradient_and_the_rest_is_the_same():
    hidden, weight, labels, bias_V = inputs()
    both = gradients(token_logprobs(hidden, weight, labels, bias=bias_V, with_entropy=True),
                     (hidden, weight, bias_V))
    got = token_logprobs(hidden, weight.detach(), labels, bias=bias_V.detach(), with_entropy=True)
    torch.testing.assert_close(gradients(got, (hidden,)), both[:1], atol=0, rtol=0)
    only_weight = token_logprobs(hidden.detach(), weight, labels, bias=bias_V, with_entropy=True)
    torch.testing.assert_close(gradients(only_weight, (weight, bias_V)), both[1:], atol=0, rtol=0)


def test_the_gradient_may_come_through_the_entropy_or_the_logprobs_alone():
    hidden, weight, labels, bias_V = inputs()
    for which in (0, 1):
        got = token_logprobs(hidden, weight, labels, bias=bias_V, with_entropy=True,
                             chunk_size=16)[which].sum()
        wanted = plainly(hidden, weight, labels, bias_V)[which].sum()
        torch.testing.assert_close(torch.autograd.grad(got, (hidden, weight, bias_V)),
                                   torch.autograd.grad(wanted, (hidden, weight, bias_V)),
                                   atol=1e-10, rtol=1e-10)


def test_entropy_on_request_leaves_the_logprobs_as_they_are():
    hidden, weight, labels, _ = inputs(torch.float32, bias=False)
    alone, nothing = token_logprobs(hidden, weight, labels)
    beside, entropy = token_logprobs(hidden, weight, labels, with_entropy=True)
    assert nothing is None and entropy is not None
    torch.testing.assert_close(alone, beside, atol=0, rtol=0)


def test_entropy_runs_from_zero_to_log_v():
    labels = torch.zeros(1, dtype=torch.int64)
    flat = token_logprobs(torch.zeros(1, D), torch.randn(V, D), labels, with_entropy=True, chunk_size=16)
    assert flat[1].item() == pytest.approx(math.log(V), abs=1e-5)
    assert flat[0].item() == pytest.approx(-math.log(V), abs=1e-5)
    certain = torch.zeros(V, 1)
    certain[3] = 100.0
    sharp = token_logprobs(torch.ones(1, 1), certain, labels, with_entropy=True, chunk_size=16)
    assert 0.0 <= sharp[1].item() < 1e-6 and sharp[0].item() == pytest.approx(-100.0, abs=1e-4)


def test_a_huge_softcap_is_none_and_scale_over_temperature_is_one_number():
    hidden, weight, labels, _ = inputs()
    plain = token_logprobs(hidden, weight, labels)[0]
    torch.testing.assert_close(token_logprobs(hidden, weight, labels, softcap=1e6)[0], plain, atol=1e-8,
                               rtol=0)
    torch.testing.assert_close(token_logprobs(hidden, weight, labels, logit_scale=3.0, temperature=3.0)[0],
                               plain)


def test_large_scores_do_not_overflow():
    hidden, weight, labels, _ = inputs(torch.float32, bias=False)
    result, entropy = token_logprobs(hidden * 1e4, weight, labels, with_entropy=True, chunk_size=16)
    assert result.isfinite().all() and entropy.isfinite().all()
    assert all(g.isfinite().all() for g in gradients((result, entropy), (hidden, weight)))


def test_row_order_and_the_company_of_other_rows_do_not_matter():
    hidden, weight, labels, bias_V = inputs()
    whole = token_logprobs(hidden, weight, labels, bias=bias_V, with_entropy=True)
    order = torch.tensor([3, 1, 6, 0, 5, 2, 4])
    shuffled = token_logprobs(hidden[order], weight, labels[order], bias=bias_V, with_entropy=True)
    parts = [token_logprobs(h, weight, y, bias=bias_V, with_entropy=True)
             for h, y in zip(hidden.split(3), labels.split(3), strict=True)]      # 3 + 3 + 1
    for i in (0, 1):
        torch.testing.assert_close(shuffled[i], whole[i][order], atol=1e-12, rtol=0)
        torch.testing.assert_close(torch.cat([p[i] for p in parts]), whole[i], atol=1e-12, rtol=0)
    total = [sum(g)
             for g in zip(*(torch.autograd.grad(p[0].sum(), (weight, bias_V)) for p in parts), strict=True)]
    torch.testing.assert_close(total, list(torch.autograd.grad(whole[0].sum(), (weight, bias_V))), atol=1e-12,
                               rtol=0)


def test_no_rows_give_no_results_and_gradients_of_zero():
    hidden, weight, labels, bias_V = inputs(rows=0)
    result, entropy = token_logprobs(hidden, weight, labels, bias=bias_V, with_entropy=True)
    assert result.shape == entropy.shape == (0,)
    for grad in gradients((result, entropy), (hidden, weight, bias_V)):
        assert grad.abs().sum().item() == 0.0


def test_a_second_backward_through_a_kept_graph_gives_the_same():
    hidden, weight, labels, _ = inputs(torch.bfloat16, bias=False)
    loss = token_logprobs(hidden, weight, labels, with_entropy=True)[1].sum()
    once = torch.autograd.grad(loss, (hidden, weight), retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(loss, (hidden, weight)), once, atol=0, rtol=0)


def test_logits_of_all_tokens_are_never_held_when_nothing_is_kept():
    seen = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            seen.extend(t.untyped_storage().nbytes() for t in (out if isinstance(out, tuple) else (out,))
                        if isinstance(t, torch.Tensor))
            return out

    rows, vocabulary = 64, 4096
    hidden = torch.randn(rows, 2, requires_grad=True)
    weight = torch.randn(vocabulary, 2)
    with Watch():
        token_logprobs(hidden, weight, torch.zeros(rows, dtype=torch.int64), chunk_size=256,
                       keep_bytes=0)[0].sum().backward()
    assert max(seen) <= 4 * rows * 256


def test_products_are_kept_for_a_backward_only(monkeypatch):
    hidden, weight, labels, _ = inputs(torch.float32, bias=False)
    budgets, apply = [], logprobs._TokenLogprobs.apply
    with monkeypatch.context() as spy:
        spy.setattr(logprobs._TokenLogprobs, "apply",
                    lambda *args: budgets.append(args[-1].keep_bytes) or apply(*args))
        with torch.no_grad():
            token_logprobs(hidden, weight, labels)
        token_logprobs(hidden.detach(), weight.detach(), labels)
        token_logprobs(hidden, weight.detach(), labels)
    assert budgets == [0, 0, logprobs.KEEP_BYTES]
    kept = token_logprobs(hidden, weight, labels, chunk_size=25)[0].grad_fn.saved_tensors[6:]
    none = token_logprobs(hidden, weight, labels, chunk_size=25, keep_bytes=0)[0].grad_fn.saved_tensors[6:]
    assert [k.shape for k in kept] == [(L, 25), (L, 25)] and none == ()


def test_tile_widths_are_even_and_fit_the_cache():
    for rows, vocabulary in [(1, 50), (512, 49152), (2048, 49152), (300, 151_936), (100_000, 49152)]:
        width = logprobs._tile_width(rows, vocabulary, "cpu")
        assert width % 64 == 0 and width >= 64
        assert rows * width <= 1.1 * logprobs.TILE_ELEMENTS["cpu"] or width <= 256
    assert logprobs._tile_width(512, 49152, "cpu") == 4096


def test_what_does_not_fit_is_refused_with_the_reason():
    hidden, weight, labels, bias_V = inputs(torch.float32)
    with pytest.raises(ShapeError, match="-100 to"):
        token_logprobs(hidden, weight, torch.where(labels == labels[0], -100, labels))
    with pytest.raises(ShapeError, match=f"to {V}; wanted 0 to {V - 1}"):
        token_logprobs(hidden, weight, torch.full((L,), V))
    with pytest.raises(ShapeError, match=r"torch\.int64"):
        token_logprobs(hidden, weight, labels.float())
    with pytest.raises(ShapeError, match="wanted one dtype"):
        token_logprobs(hidden, weight.bfloat16(), labels)
    with pytest.raises(ShapeError, match="bias"):
        token_logprobs(hidden, weight, labels, bias=bias_V[1:])
    with pytest.raises(ValueError, match="temperature is 0"):
        token_logprobs(hidden, weight, labels, temperature=0.0)


def test_dense_logits_by_hand_at_their_limit_and_row_by_row():
    logits = torch.tensor([[math.log(3.0), 0.0], [5.0, 5.0]])
    torch.testing.assert_close(log_softmax_gather(logits, torch.tensor([0, 1])),
                               torch.tensor([math.log(0.75), math.log(0.5)]), atol=1e-6, rtol=0)
    hidden, weight, labels, bias_V = inputs()
    dense = log_softmax_gather(F.linear(hidden, weight, bias_V), labels)
    torch.testing.assert_close(dense, token_logprobs(hidden, weight, labels, bias=bias_V)[0], atol=1e-10,
                               rtol=0)
    torch.testing.assert_close(log_softmax_gather(logits + 9.0, torch.tensor([0, 1])).flip(0),
                               log_softmax_gather(logits.flip(0), torch.tensor([1, 0])), atol=1e-6, rtol=0)
    assert log_softmax_gather(logits.bfloat16(), torch.tensor([0, 1])).dtype == torch.float32
