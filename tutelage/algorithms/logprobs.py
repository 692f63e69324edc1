"""Log-probabilities of tokens, without ever holding the logits of all of them (D4).

L tokens under the response mask · D hidden width · V vocabulary · W columns of the vocabulary in one tile.

The vocabulary is walked in tiles of W columns, all L rows at once, and the tiles are joined as in an online
softmax. Tiles of columns, not of rows, because a tile then uses each part of the weight matrix once (rows
would read all of it again for every chunk: 56 MB at D = 576, V = 49,152), the gradient of those W rows of the
weight is finished in one product with exact accumulation (rows would need a (V, D) fp32 sum beside it), and
the softmax works inside the cache.

The backward needs the products of the forward again. Making them anew is a fourth product beside the three
that are needed anyhow, and products are four fifths of the time; so as many tiles as fit in `keep_bytes` are
kept, in the dtype of the weights, and the rest are made anew. The gradient cannot be taken in the forward:
that of the weight depends on what is done with each logprob.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from tutelage.algorithms.shapes import check_shapes
from tutelage.errors import ShapeError

KEEP_BYTES = 256 * 2**20            # products kept for the backward, in bytes
TILE_ELEMENTS = {"cpu": 2**21}      # of one fp32 tile: 8 MB stay in a last-level cache
TILE_ELEMENTS_ELSEWHERE = 2**26     # large enough to fill a GPU


def token_logprobs(hidden_LD: Tensor, weight_VD: Tensor, labels_L: Tensor, *, bias: Tensor | None = None,
                   softcap: float | None = None, logit_scale: float = 1.0, temperature: float = 1.0,
                   with_entropy: bool = False, chunk_size: int | None = None,
                   keep_bytes: int | None = None) -> tuple[Tensor, Tensor | None]:
    """log pi(label) and, on request, the entropy of pi, from the last hidden state.

        x = hidden @ weight.T + bias,    z = c * tanh(logit_scale * x / c) / temperature,    c = softcap
        logprob = z[label] - log sum_v exp(z_v),    entropy = - sum_v pi_v log pi_v,    pi = softmax(z)

    (without softcap z = logit_scale * x / temperature). The products are made in the dtype of `hidden`,
    everything from there to the result in fp32 (fp64 for fp64 inputs); gradients, exact through both results,
    have the dtype of their inputs. Memory beyond inputs and gradients: two fp32 tiles, and `keep_bytes` while
    a backward is awaited.

    Args:
        hidden_LD: (L, D) last hidden states, of the positions *before* each label; L may be 0.
        weight_VD: (V, D) output embedding, same dtype. If it needs no gradient its product is left out.
        labels_L: (L,) int64 token ids, 0 to V - 1: the caller has already left out what the mask leaves out.
        bias: (V,), same dtype, or None.
        softcap: c above, as in Gemma 2; None for none.
        logit_scale: as in Cohere; for Granite, 1 / logits_scaling.
        temperature: > 0, that of sampling (trl#4159: logprobs at another temperature are not those of the
            sampler).
        with_entropy: also return the entropy; up to a tenth slower.
        chunk_size: W, columns of the vocabulary in one tile; None chooses. Results agree to rounding.
        keep_bytes: of products kept for the backward; None is KEEP_BYTES, 0 makes all of them anew.
    Returns:
        logprobs (L,) in nats, <= 0, and entropy (L,) in nats, >= 0, or None.
    Raises:
        ShapeError: if shapes or dtypes do not fit, or a label is outside the vocabulary.
        ValueError: if softcap, temperature or chunk_size is not positive.
    """
    sizes = check_shapes("L D", hidden_LD=hidden_LD)
    sizes = check_shapes("V D", sizes, weight_VD=weight_VD)
    check_shapes("L", sizes, labels_L=labels_L)
    check_shapes("V", sizes, bias=bias)
    _check_dtypes(hidden_LD, weight_VD, bias)
    _check_labels(labels_L, sizes["V"])
    for name, value in (("softcap", softcap), ("temperature", temperature), ("chunk_size", chunk_size)):
        if value is not None and value <= 0:
            raise ValueError(f"{name} is {value}; wanted a number above 0.")
    width = chunk_size or _tile_width(sizes["L"], sizes["V"], hidden_LD.device.type)
    tiles = [slice(start, min(start + width, sizes["V"])) for start in range(0, sizes["V"], width)]
    trained = any(t is not None and t.requires_grad for t in (hidden_LD, weight_VD, bias))
    keep = (KEEP_BYTES if keep_bytes is None else keep_bytes) if trained and torch.is_grad_enabled() else 0
    head = _Head(softcap, logit_scale, temperature, tiles, keep, with_entropy)
    return _TokenLogprobs.apply(hidden_LD, weight_VD, labels_L, bias, head)


def log_softmax_gather(logits: Tensor, labels: Tensor) -> Tensor:
    """log softmax(logits)[label] for logits that exist already: small vocabularies, tests, classifiers.

    Args:
        logits: (..., V); a copy in fp32 is made of 16-bit ones.
        labels: (...) int64.
    Returns:
        (...) in nats, fp32 (fp64 for fp64 logits), with gradient.
    """
    check_shapes("...", labels=labels, logits=logits[..., 0])
    logprobs = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    return logprobs.gather(-1, labels[..., None])[..., 0]


@dataclass(frozen=True, slots=True)
class _Head:
    """How products become scores, and how the work is cut."""

    softcap: float | None
    logit_scale: float
    temperature: float
    tiles: list[slice]
    keep_bytes: int
    with_entropy: bool

    def scores(self, product_LW: Tensor, out_LW: Tensor) -> Tensor:
        """Write z into `out_LW`, in its dtype."""
        out_LW.copy_(product_LW)
        if self.softcap is not None:
            return out_LW.mul_(self.logit_scale / self.softcap).tanh_().mul_(self.softcap / self.temperature)
        factor = self.logit_scale / self.temperature
        return out_LW if factor == 1.0 else out_LW.mul_(factor)

    def slope(self, scores_LW: Tensor) -> Tensor | None:
        """dz/dx over logit_scale / temperature: 1 - tanh^2 under a softcap; None stands for 1."""
        if self.softcap is None:
            return None
        return scores_LW.mul(self.temperature / self.softcap).square_().neg_().add_(1.0)


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden_LD: Tensor, weight_VD: Tensor, labels_L: Tensor,
                bias_V: Tensor | None, head: _Head) -> tuple[Tensor, Tensor | None]:
        # Per tile, with e = exp(z - max z): max z, sum e, sum e (z - max z); and the products kept.
        tops: list[Tensor] = []
        sums: list[Tensor] = []
        moments: list[Tensor] = []
        kept: list[Tensor] = []
        label_scores = hidden_LD.new_zeros(len(labels_L), dtype=_wide(hidden_LD))
        scratch = _Scratch(hidden_LD, head.tiles)
        for index, tile in enumerate(head.tiles):
            product = F.linear(hidden_LD, weight_VD[tile], _part(bias_V, tile))        # (L, W)
            if len(kept) == index and sum(p.nbytes for p in kept) + product.nbytes <= head.keep_bytes:
                kept.append(product)                        # the first tiles, without a gap
            scores = head.scores(product, scratch.wide(tile))
            inside, column = _label_columns(labels_L, tile)
            label_scores = torch.where(inside, scores.gather(1, column[:, None])[:, 0], label_scores)
            tops.append(scores.amax(1))
            scores.sub_(tops[-1][:, None])
            if head.with_entropy:
                weights = torch.exp(scores, out=scratch.second(tile))
                sums.append(weights.sum(1))
                moments.append(weights.mul_(scores).sum(1))
            else:
                sums.append(scores.exp_().sum(1))
        log_norm, entropy = _join_tiles(tops, sums, moments)                           # (L,)
        ctx.head = head
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(hidden_LD, weight_VD, labels_L, bias_V, log_norm, entropy, *kept)
        return label_scores - log_norm, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_logprobs: Tensor | None, grad_entropy: Tensor | None) -> tuple[Tensor | None, ...]:
        hidden_LD, weight_VD, labels_L, bias_V, log_norm, entropy, *kept = ctx.saved_tensors
        head, needs = ctx.head, ctx.needs_input_grad
        grad_hidden = torch.zeros_like(hidden_LD, dtype=log_norm.dtype) if needs[0] else None
        grad_weight = torch.empty_like(weight_VD) if needs[1] else None
        grad_bias = torch.empty_like(bias_V) if needs[3] else None
        constant = head.logit_scale / head.temperature      # the part of dz/dx that is the same for all
        given = [None if grad is None else grad * constant for grad in (grad_logprobs, grad_entropy)]
        scratch = _Scratch(hidden_LD, head.tiles)
        for index, tile in enumerate(head.tiles):
            again = index >= len(kept)
            product = F.linear(hidden_LD, weight_VD[tile], _part(bias_V, tile)) if again else kept[index]
            scores = head.scores(product, scratch.wide(tile))
            slope = head.slope(scores)
            grad = _score_gradient(scores.sub_(log_norm[:, None]), entropy, given[0], given[1], scratch.second(tile))
            if given[0] is not None:
                inside, column = _label_columns(labels_L, tile)
                grad.scatter_add_(1, column[:, None], torch.where(inside, given[0], 0.0)[:, None])
            if slope is not None:
                grad.mul_(slope)
            if grad_bias is not None:
                grad_bias[tile] = grad.sum(0)
            narrow = scratch.narrow(tile, grad)
            if grad_hidden is not None:
                grad_hidden += narrow @ weight_VD[tile]
            if grad_weight is not None:
                torch.mm(narrow.t(), hidden_LD, out=grad_weight[tile])
        if grad_hidden is not None:
            grad_hidden = grad_hidden.to(hidden_LD.dtype)
        return grad_hidden, grad_weight, None, grad_bias, None


def _score_gradient(logprobs_LW: Tensor, entropy_L: Tensor | None, grad_logprobs_L: Tensor | None,
                    grad_entropy_L: Tensor | None, second_LW: Tensor) -> Tensor:
    """d loss / dz for one tile, but for the label's own + grad_logprobs. Overwrites `logprobs_LW`.

        d logprob / dz_v = [v is the label] - pi_v,    d entropy / dz_v = - pi_v (log pi_v + entropy)
    """
    if grad_entropy_L is None:
        weight = torch.zeros_like(logprobs_LW[:, 0]) if grad_logprobs_L is None else -grad_logprobs_L
        return logprobs_LW.exp_().mul_(weight[:, None])
    assert entropy_L is not None
    shared = grad_entropy_L * entropy_L
    if grad_logprobs_L is not None:
        shared = shared + grad_logprobs_L
    torch.mul(logprobs_LW, grad_entropy_L[:, None], out=second_LW).add_(shared[:, None])
    return logprobs_LW.exp_().mul_(second_LW).neg_()


def _join_tiles(tops: list[Tensor], sums: list[Tensor],
                moments: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    """log sum exp z over all tiles (L,), and the entropy (L,) if the moments were taken."""
    top_KL, sum_KL = torch.stack(tops), torch.stack(sums)                          # K tiles
    top_L = top_KL.amax(0)
    share_KL = (top_KL - top_L).exp()
    total_L = (share_KL * sum_KL).sum(0)
    log_norm = top_L + total_L.log()
    if not moments:
        return log_norm, None
    # entropy = log_norm - E[z], taken relative to the top: both terms are then small where the entropy is
    moment_L = (share_KL * (torch.stack(moments) + sum_KL * (top_KL - top_L))).sum(0)
    return log_norm, total_L.log() - moment_L / total_L


class _Scratch:
    """Two fp32 tiles and one in the weights' dtype, written over and over, so that the cache keeps them."""

    def __init__(self, hidden_LD: Tensor, tiles: list[slice]) -> None:
        self._like, self._size = hidden_LD, len(hidden_LD) * (tiles[0].stop - tiles[0].start)
        self._flat: dict[str, Tensor] = {}

    def wide(self, tile: slice) -> Tensor:
        return self._view("wide", tile, _wide(self._like))

    def second(self, tile: slice) -> Tensor:
        return self._view("second", tile, _wide(self._like))

    def narrow(self, tile: slice, values_LW: Tensor) -> Tensor:
        """The values in the dtype of the products."""
        if values_LW.dtype == self._like.dtype:
            return values_LW
        return self._view("narrow", tile, self._like.dtype).copy_(values_LW)

    def _view(self, name: str, tile: slice, dtype: torch.dtype) -> Tensor:
        if name not in self._flat:
            self._flat[name] = self._like.new_empty(self._size, dtype=dtype)
        rows, columns = len(self._like), tile.stop - tile.start
        return self._flat[name][:rows * columns].view(rows, columns)


def _wide(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def _part(bias_V: Tensor | None, tile: slice) -> Tensor | None:
    return None if bias_V is None else bias_V[tile]


def _label_columns(labels_L: Tensor, tile: slice) -> tuple[Tensor, Tensor]:
    """Whether each label is in this tile, and its column there (column 0 or the last, if it is not)."""
    column = labels_L - tile.start
    last = tile.stop - tile.start - 1
    return (column >= 0) & (column <= last), column.clamp(0, last)


def _tile_width(rows: int, vocabulary: int, device: str) -> int:
    """Columns that make a tile of about TILE_ELEMENTS, in even tiles, a multiple of 64 and at least 256."""
    wanted = max(256, TILE_ELEMENTS.get(device, TILE_ELEMENTS_ELSEWHERE) // max(rows, 1))
    even = math.ceil(vocabulary / math.ceil(vocabulary / wanted))
    return 64 * math.ceil(even / 64)


def _check_dtypes(hidden_LD: Tensor, weight_VD: Tensor, bias: Tensor | None) -> None:
    for name, tensor in (("weight_VD", weight_VD), ("bias", bias)):
        if tensor is not None and tensor.dtype != hidden_LD.dtype:
            raise ShapeError(f"{name} is {tensor.dtype} and hidden_LD is {hidden_LD.dtype}; wanted one dtype "
                             "for both. Cast one of them.")


def _check_labels(labels_L: Tensor, vocabulary: int) -> None:
    """One look at the labels: an id such as -100 would silently train on column 0."""
    if labels_L.dtype != torch.int64:
        raise ShapeError(f"labels_L is {labels_L.dtype}; wanted torch.int64.")
    if len(labels_L):
        low, high = (int(bound) for bound in labels_L.aminmax())
        if low < 0 or high >= vocabulary:
            raise ShapeError(f"labels_L holds ids from {low} to {high}; wanted 0 to {vocabulary - 1}. Leave "
                             "out the positions that are not trained on before calling.")
