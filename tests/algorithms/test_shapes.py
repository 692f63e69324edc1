"""The one check at each public entry."""

import pytest
import torch

from tutelage.algorithms import check_shapes
from tutelage.errors import ShapeError


def test_agreeing_tensors_return_their_sizes():
    assert check_shapes("B T", a=torch.zeros(2, 3), b=torch.ones(2, 3), c=None) == {"B": 2, "T": 3}


def test_sizes_carry_over_to_the_next_call():
    sizes = check_shapes("B T", kl=torch.zeros(2, 3))
    check_shapes("B", sizes, scores=torch.zeros(2))
    with pytest.raises(ShapeError, match=r"scores has shape \(3,\), so B = 3; wanted B = 2"):
        check_shapes("B", sizes, scores=torch.zeros(3))


def test_what_would_broadcast_is_refused_and_named():
    with pytest.raises(ShapeError, match=r"values has shape \(2, 1\), so T = 1; wanted T = 3, as in rewards"):
        check_shapes("B T", rewards=torch.zeros(2, 3), values=torch.zeros(2, 1))
    with pytest.raises(ShapeError, match="wanted 2 axes"):
        check_shapes("B T", rewards=torch.zeros(3))
    with pytest.raises(ShapeError, match="the shape of a"):
        check_shapes("...", a=torch.zeros(2, 3), b=torch.zeros(3))


def test_one_name_twice_must_be_square():
    check_shapes("V V", table=torch.zeros(3, 3))
    with pytest.raises(ShapeError):
        check_shapes("V V", table=torch.zeros(3, 4))


def test_a_name_ending_in_mask_must_be_bool():
    with pytest.raises(ShapeError, match=r"response_mask has dtype torch\.int64"):
        check_shapes("B", response_mask=torch.ones(2, dtype=torch.int64))
