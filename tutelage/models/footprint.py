"""How much memory a model takes: its weights, what a forward keeps for the backward, and keys and values in decoding.

Nothing is looked up by architecture: short forwards are run, and what they keep is counted.

N tokens of a batch · n tokens of a segment, m tokens it sees (its own and its prefix's)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from tutelage.algorithms.logprobs import KEEP_BYTES, TILE_ELEMENTS, TILE_ELEMENTS_ELSEWHERE
from tutelage.batch import TokenBatch
from tutelage.models.policy import Policy

PROBE = 32      # tokens of the segments that are tried


def weight_bytes(module: nn.Module, trained_only: bool = False) -> int:
    """Of all parameters, or of those that are trained, in the precision they are in; tied ones once."""
    return sum(each.nbytes for each in module.parameters() if each.requires_grad or not trained_only)


def trained_parameters(module: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(each.numel() for each in module.parameters() if each.requires_grad)


@dataclass(frozen=True, slots=True)
class Activations:
    """Bytes that a forward of the trunk keeps until its backward, as a function of the batch."""

    fixed: float
    per_token: float              # for each of the N tokens
    per_pair: float               # for each of the n x m pairs of a segment: 0 where attention never holds them
    per_shared: float = 0.0       # for each token of a prefix, once for every segment that goes on from it: copied keys
    per_suffix: float = 0.0       # for each token of such a segment, above `per_token`
    per_masked_pair: float = 0.0  # for each pair of such a segment, above `per_pair`: its mask

    def of(self, batch: TokenBatch) -> int:
        lengths = batch.cu_seqlens.diff().tolist()
        sizes = [(n, 0 if prefix < 0 else lengths[prefix]) for n, prefix in zip(lengths, batch.prefix.tolist(), strict=True)]
        whole = sum(self.per_token * n + self.per_pair * n * (n + p) for n, p in sizes)
        joined = sum(self.per_shared * p + self.per_suffix * n + self.per_masked_pair * n * (n + p) for n, p in sizes if p)
        return int(self.fixed + whole + joined)


def measure_activations(policy: Policy) -> Activations:
    """Run a few short forwards and count what each keeps; parameters are not counted, and no random number is drawn."""
    n = PROBE
    one, two, both = (_kept(policy, _batch(lengths)) for lengths in ([n], [2 * n], [n, n]))
    per_pair = max(0.0, (two - both) / (2 * n * n))
    per_token = (both - one) / n - per_pair * n
    found = Activations(one - per_token * n - per_pair * n * n, per_token, per_pair)
    if not policy.shares_prompts:
        return found
    # Two segments of s tokens after a prefix of p keep p x 2 per_shared + s x 2 per_suffix + s (s + p) x 2 per_masked_pair
    # more than that; tried at (p, s) = (n/2, n/2), (n, n/2) and (n, n).
    tried = [_batch([p + s] * 2, p) for p, s in ((n // 2, n // 2), (n, n // 2), (n, n))]
    low, wide, high = (_kept(policy, batch) - found.of(batch) for batch in tried)
    pair = (high - 2 * low) / (2 * n * n)
    shared = (wide - low - pair * n * n / 2) / n
    suffix = (low - shared * n - pair * n * n) / n
    return replace(found, per_shared=shared, per_suffix=suffix, per_masked_pair=pair)


def _batch(lengths: Sequence[int], shared: int = 0) -> TokenBatch:
    rows = [[1] * length for length in lengths]
    masks = [[False] * (length - 1) + [True] for length in lengths]
    return TokenBatch.pack(rows, masks, [shared] * len(rows) if shared else None)


def _kept(policy: Policy, batch: TokenBatch) -> int:
    """Bytes of the storages that the graph of one forward holds."""
    own = {each.untyped_storage().data_ptr() for each in (*policy.parameters(), *policy.buffers())}
    storages: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> None:
        """A node that kept its own output here would hold itself, and with it the model, for ever: so nothing is handed on."""
        address = tensor.untyped_storage().data_ptr()
        if address not in own:
            storages[address] = tensor.detach()      # alive to the end, so that no address is counted for two

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):
        policy(batch.to(policy.device), logprobs=False, scores=policy.score_head is not None,
               values=policy.value_head is not None)
    return sum(each.untyped_storage().nbytes() for each in storages.values())


def head_bytes(policy: Policy, labels: int) -> int:
    """What logprobs of so many labels take: products kept for the backward, scratch tiles, and the gradient of the output
    embedding until it is summed with that of the input embedding.
    """
    weight = policy.model.get_output_embeddings().weight
    products = labels * weight.shape[0]
    tile = min(TILE_ELEMENTS.get(weight.device.type, TILE_ELEMENTS_ELSEWHERE), products)
    size = weight.element_size()
    return (min(KEEP_BYTES, products * size) + tile * (8 + size) + 4 * labels * weight.shape[1]
            + (2 * weight.nbytes if weight.requires_grad else 0))


def num_layers(policy: Policy) -> int:
    return int(getattr(policy.config.get_text_config(), "num_hidden_layers", 0) or 12)


def saved_bytes(directory: Path) -> int:
    """Of a model that is not loaded: its weight files."""
    return sum(path.stat().st_size for pattern in ("*.safetensors", "*.bin") for path in directory.glob(pattern))


def key_value_bytes(policy: Policy) -> int:
    """Of one position in one decoding slot, all layers."""
    config = policy.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * num_layers(policy) * heads * size * policy.dtype.itemsize
