"""Cross-entropy over classes and over separate answers: by hand, as torch has it, and cut into parts."""

import math

import pytest
import torch
import torch.nn.functional as F

from tutelage.algorithms import sigmoid_cross_entropy, softmax_cross_entropy
from tutelage.errors import ShapeError


def parts():
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=g).requires_grad_()
    return logits, torch.tensor([0, 3, 1, 1, 2, 0]), torch.randint(0, 2, (6, 4), generator=g).float(), torch.rand(6, generator=g)


def test_softmax_by_hand():
    # logits (log 3, 0): the first class has probability 3/4, so -log 3/4 = .287682 and -log 1/4 = 1.386294; weights 1 and 2
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    loss = softmax_cross_entropy(logits, torch.tensor([0, 1]), torch.tensor([1.0, 2.0]))
    assert loss.sum.item() == pytest.approx(0.287682 + 2 * 1.386294, abs=1e-6)
    assert loss.count.item() == 3 and loss.stats["correct"].item() == 1


def test_sigmoid_by_hand():
    # logit log 3 is probability 3/4. Yes: .287682, no: 1.386294. A yes counts 2 in the second class: 2 * .287682.
    logits = torch.full((2, 2), math.log(3))
    target = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    loss = sigmoid_cross_entropy(logits, target, torch.tensor([1.0, 0.5]), torch.tensor([1.0, 2.0]))
    assert loss.sum.item() == pytest.approx(3 * 0.287682 + 0.5 * 2 * 1.386294, abs=1e-6)
    assert loss.count.item() == pytest.approx(2 * 1.5) and loss.stats["correct"].item() == 2


def test_with_class_weights_the_softmax_loss_is_torchs_weighted_mean_gradient_for_gradient():
    logits, target, _, _ = parts()
    by_class = torch.tensor([0.5, 2.0, 1.0, 3.0])
    loss = softmax_cross_entropy(logits, target, by_class[target])
    ours, = torch.autograd.grad(loss.sum / loss.count, logits)
    theirs = F.cross_entropy(logits, target, weight=by_class)
    assert (loss.sum / loss.count).item() == pytest.approx(theirs.item(), rel=1e-6)
    torch.testing.assert_close(ours, torch.autograd.grad(theirs, logits)[0], atol=1e-7, rtol=1e-6)


def test_with_positive_weights_the_sigmoid_loss_is_torchs_mean_gradient_for_gradient():
    logits, _, target, _ = parts()
    positive = torch.tensor([0.5, 2.0, 1.0, 3.0])
    loss = sigmoid_cross_entropy(logits, target, positive_weight=positive)
    ours, = torch.autograd.grad(loss.sum / loss.count, logits)
    theirs = F.binary_cross_entropy_with_logits(logits, target, pos_weight=positive)
    assert (loss.sum / loss.count).item() == pytest.approx(theirs.item(), rel=1e-6)
    torch.testing.assert_close(ours, torch.autograd.grad(theirs, logits)[0], atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_parts_add_up_to_the_whole(kind):
    logits, target, many, weight = parts()
    loss = softmax_cross_entropy if kind == "softmax" else sigmoid_cross_entropy
    wanted = target if kind == "softmax" else many
    whole = loss(logits, wanted, weight)
    split = loss(logits[:1], wanted[:1], weight[:1]) + loss(logits[1:], wanted[1:], weight[1:])
    for one, other in ((whole.sum, split.sum), (whole.count, split.count), (whole.stats["correct"], split.stats["correct"])):
        assert one.item() == pytest.approx(other.item(), rel=1e-6)


def test_one_class_against_a_fixed_zero_is_a_single_sigmoid():
    """Two classes by softmax with the second logit 0 are one answer by sigmoid."""
    z = torch.tensor([[0.3], [-1.2]])
    two = softmax_cross_entropy(torch.cat((z, torch.zeros_like(z)), 1), torch.tensor([0, 1]))
    one = sigmoid_cross_entropy(z, torch.tensor([[1.0], [0.0]]))
    assert two.sum.item() == pytest.approx(one.sum.item(), rel=1e-6)


def test_shapes_that_would_broadcast_are_refused():
    logits, target, many, weight = parts()
    with pytest.raises(ShapeError, match="target"):
        softmax_cross_entropy(logits, target[:1])
    with pytest.raises(ShapeError, match="weight"):
        sigmoid_cross_entropy(logits, many, weight[:1])
    with pytest.raises(ShapeError, match="positive_weight"):
        sigmoid_cross_entropy(logits, many, positive_weight=weight)
