"""What a model says of a text, against a policy small enough to work out on paper."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from tutelage.errors import DataError
from tutelage.evaluation import measure
from tutelage.evaluation.measure import kl_to_reference, perplexity, response_logprobs
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model


class Table:
    """log p(token | the token before it), from a table; counts its forwards."""

    device = torch.device("cpu")

    def __init__(self, rows, reference=None):
        self.logprobs = torch.tensor(rows).log()
        self.without_adapter = None if reference is None else torch.tensor(reference).log()
        self.batches = []

    def evaluate_logprobs(self, batch):
        self.batches.append(batch.num_tokens)
        before = batch.ids[batch.label_index - 1]
        return self.logprobs[before, batch.labels]

    @contextmanager
    def reference(self):
        ours, self.logprobs = self.logprobs, self.without_adapter
        yield
        self.logprobs = ours


PI = [[0.5, 0.25, 0.25]] * 3              # whatever stands before
REF = [[0.25, 0.25, 0.5]] * 3
CHAIN = [[0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.6, 0.2, 0.2]]


def test_logprobs_are_of_the_response_given_what_stands_before(sample):
    # prompt 0, response 2 1: p(2|0) = 0.7, p(1|2) = 0.2
    found = response_logprobs(Table(CHAIN), [sample(prompt_ids=(1, 0), response_ids=(2, 1))])
    assert len(found) == 1
    torch.testing.assert_close(found[0].exp(), torch.tensor([0.7, 0.2]), atol=1e-6, rtol=0)


def test_tokens_that_the_policy_did_not_choose_are_left_out(sample):
    said = replace(sample(prompt_ids=(0,), response_ids=(2, 1, 0)), response_mask=(True, False, True))
    found = response_logprobs(Table(CHAIN), [said])
    torch.testing.assert_close(found[0].exp(), torch.tensor([0.7, 0.3]), atol=1e-6, rtol=0)      # p(2|0), p(0|1)


# lengths 3, 5, 2, 4, 7: neighbours share a forward while they fit; a lone prompt has no label and needs none
@pytest.mark.parametrize(("budget", "forwards"), [
    (1, [3, 5, 4, 7]), (5, [3, 5, 4, 7]), (7, [3, 7, 4, 7]), (4096, [21])])
def test_how_it_is_packed_changes_nothing_and_order_is_kept(sample, monkeypatch, budget, forwards):
    monkeypatch.setattr(measure, "TOKENS_PER_BATCH", budget)
    samples = [sample(prompt_ids=(0, 1), response_ids=ids) for ids in [(2,), (0, 1, 2), (), (1, 1), (2, 2, 2, 2, 2)]]
    policy = Table(CHAIN)
    found = response_logprobs(policy, samples)
    assert [len(each) for each in found] == [1, 3, 0, 2, 5]
    # p(0|1) p(1|0) p(2|1)
    torch.testing.assert_close(found[1].exp(), torch.tensor([0.3, 0.2, 0.4]), atol=1e-6, rtol=0)
    torch.testing.assert_close(found[4].exp(), torch.tensor([0.4, 0.2, 0.2, 0.2, 0.2]), atol=1e-6, rtol=0)
    assert policy.batches == forwards


def test_a_real_policy_gives_what_its_model_gives(sample):
    model = tiny_model()      # the same weights as the policy's, in transformers' own attention
    samples = [sample(prompt_ids=(5, 6, 7), response_ids=(8, 9)), sample(prompt_ids=(1,), response_ids=(2, 3, 4))]
    found = response_logprobs(Policy(tiny_model()), samples)
    for each, logprobs in zip(samples, found, strict=True):
        ids = torch.tensor([[*each.prompt_ids, *each.response_ids]])
        with torch.no_grad():
            wanted = model(ids).logits[0].log_softmax(-1)
        start = len(each.prompt_ids)
        wanted = wanted[start - 1:-1].gather(1, ids[0, start:, None]).squeeze(1)
        torch.testing.assert_close(logprobs, wanted, atol=1e-5, rtol=0)


def test_an_empty_prompt_is_refused(sample):
    with pytest.raises(DataError, match="empty prompt"):
        response_logprobs(Table(CHAIN), [sample(prompt_ids=())])


def test_kl_of_a_sample_that_falls_exactly_as_the_policy_does(sample):
    # tokens in the proportion of PI: 0 0 1 2. k1: 2 log 2, 0, -log 2 over 4: (1/4) log 2, which is the exact KL;
    # k3 too, because the expectation of ref / pi - 1 under pi is 0
    samples = [sample(response_ids=(token,)) for token in (0, 0, 1, 2)]
    found = kl_to_reference(Table(PI), Table(REF), samples)
    assert found.mean == pytest.approx(math.log(2) / 4, abs=1e-6)
    assert found.k3_per_token == pytest.approx(math.log(2) / 4, abs=1e-6)
    assert found.responses == pytest.approx((math.log(2), math.log(2), 0.0, -math.log(2)), abs=1e-6)


def test_kl_is_a_sum_over_a_response_and_a_mean_over_responses(sample):
    found = kl_to_reference(Table(PI), Table(REF), [sample(response_ids=(0, 0, 0)), sample(response_ids=(1,))])
    assert found.responses == pytest.approx((3 * math.log(2), 0.0), abs=1e-6)
    assert found.mean == pytest.approx(1.5 * math.log(2), abs=1e-6)
    # one token of ratio 2: 1/2 - 1 + log 2, three of four tokens
    assert found.k3_per_token == pytest.approx(0.75 * (math.log(2) - 0.5), abs=1e-6)


def test_kl_to_itself_is_nothing(sample):
    found = kl_to_reference(Table(PI), Table(PI), [sample(), sample(response_ids=())])
    assert found.responses == (0.0, 0.0) and found.k3_per_token == 0.0


def test_kl_with_the_adapter_off(sample):
    samples = [sample(response_ids=(0, 2))]
    policy = Table(PI, reference=REF)
    assert kl_to_reference(policy, None, samples) == kl_to_reference(Table(PI), Table(REF), samples)
    torch.testing.assert_close(policy.logprobs.exp(), torch.tensor(PI))         # and it is on again


def test_kl_of_nothing_is_refused():
    with pytest.raises(DataError, match="no samples"):
        kl_to_reference(Table(PI), Table(REF), [])


def test_perplexity_by_hand():
    # labels 0 0 of the first, 1 of the second: exp((2 log 2 + log 4) / 3) = 16 ** (1/3)
    found = perplexity(Table(PI), [(2, 0, 0), (2, 1)], [(False, True, True), (False, True)])
    assert found.value == pytest.approx(16 ** (1 / 3), abs=1e-5) and found.n == 2
    assert found.low < found.value < found.high


def test_perplexity_of_a_coin_with_three_sides_is_three_exactly():
    found = perplexity(Table([[1 / 3] * 3] * 3), [(0, 1, 2)] * 5, [(False, True, True)] * 5)
    assert (found.value, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0), abs=1e-5)


def test_perplexity_interval_by_hand():
    # log 2 and log 4 a token, one token each: mean 1.5 log 2, residuals -+0.5 log 2,
    # error sqrt(2 * 2 * (0.5 log 2)^2) / 2 = 0.5 log 2, Student's t at one degree of freedom 12.7062
    found = perplexity(Table(PI), [(2, 0), (2, 1)], [(False, True)] * 2)
    assert math.log(found.high) - math.log(found.value) == pytest.approx(12.7062 * 0.5 * math.log(2), abs=1e-3)


def test_perplexity_without_labels_is_refused_and_of_one_has_no_interval():
    with pytest.raises(DataError, match="under its mask"):
        perplexity(Table(PI), [(0, 1)], [(False, False)])
    assert math.isnan(perplexity(Table(PI), [(0, 1)], [(False, True)]).low)
