"""One check at each public entry: tensors that should fit together do, and masks are masks."""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.errors import ShapeError


def check_shapes(axes: str, /, sizes: dict[str, int] | None = None,
                 **tensors: Tensor | None) -> dict[str, int]:
    """Refuse tensors whose named axes disagree, before broadcasting can hide it.

        sizes = check_shapes("B T", kl=kl, response_mask=response_mask)
        check_shapes("B", sizes, scores=scores)

    Args:
        axes: one name per axis, separated by spaces; "..." stands for any shape, the same for all.
        sizes: axis sizes that an earlier call returned and that must hold here too.
        tensors: by name; None is passed over (an optional argument). A name ending in "mask" must be bool.
    Returns:
        the size of each named axis.
    Raises:
        ShapeError: naming the tensor, what it has and what was wanted.
    """
    present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    if axes == "...":
        first = next(iter(present), "")
        for name, tensor in present.items():
            if tensor.shape != present[first].shape:
                raise ShapeError(f"{name} has shape {tuple(tensor.shape)}; wanted "
                                 f"{tuple(present[first].shape)}, the shape of {first}.")
    bound, source = dict(sizes or {}), dict.fromkeys(sizes or {}, "an argument checked before")
    for name, tensor in present.items():
        if axes != "...":
            _bind_axes(axes.split(), name, tensor, bound, source)
        if name.endswith("mask") and tensor.dtype != torch.bool:
            raise ShapeError(f"{name} has dtype {tensor.dtype}; wanted torch.bool, True on what is kept.")
    return bound


def _bind_axes(axes: list[str], name: str, tensor: Tensor, bound: dict[str, int],
               source: dict[str, str]) -> None:
    """Match one tensor's shape with the axis names, filling in `bound` and who fixed each size."""
    shape = tuple(tensor.shape)
    if len(shape) != len(axes):
        raise ShapeError(f"{name} has shape {shape}; wanted {len(axes)} axes, ({', '.join(axes)}).")
    for axis, size in zip(axes, shape, strict=True):
        if bound.setdefault(axis, size) != size:
            raise ShapeError(f"{name} has shape {shape}, so {axis} = {size}; wanted {axis} = {bound[axis]}, "
                             f"as in {source[axis]}.")
        source.setdefault(axis, name)
