"""The one module with the one forward: ragged tokens in, logprobs, entropy, values and scores out.

B sequences · N tokens laid end to end · L labels under the response mask · D hidden size · V vocabulary

Nothing outside this file touches the language model's trunk or its head, so that sharding and the chunked head stay in
one place (D2, D3, D4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from tutelage.algorithms import token_logprobs
from tutelage.batch import TokenBatch
from tutelage.errors import ModelError
from tutelage.models.attention import NAME, AttentionPlan, Segments, takes_plan
from tutelage.models.flops import training_flops
from tutelage.models.fused import fuse
from tutelage.runs.meter import count, is_measuring

# Architectures whose ragged forward the tests hold to transformers' own. Any other is tried when it is loaded.
TESTED = frozenset((
    "cohere", "cohere2", "exaone4", "gemma", "gemma2", "gemma3_text", "glm4", "gpt2", "gpt_neox", "granite", "llama", "mistral",
    "mixtral", "olmo", "olmo2", "olmo3", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3", "starcoder2"))
PROBE_NATS = {torch.float32: 1e-3}      # mean difference that rounding may make when an architecture is tried
PROBE_NATS_16_BIT = 0.3


@dataclass(frozen=True, slots=True)
class PolicyOutput:
    """What a forward was asked for; the rest is None."""

    logprobs: Tensor | None = None     # (L,) fp32, log p(label | what stands before it)
    entropy: Tensor | None = None      # (L,) fp32, nats, of the distribution each label was drawn from
    values: Tensor | None = None       # (L,) fp32, the critic's V of the state before each label
    scores: Tensor | None = None       # (B,) fp32, the reward head at each sequence's last token; a classifier's (B, K) logits
    token_scores: Tensor | None = None      # (N,) fp32, the per-token reward's head at each token, of what it ends


class ScalarHead(nn.Module):
    """One number from a hidden state: the critic's or the reward model's head. Kept in fp32 whatever the trunk is in.

    It starts at zero, so that a new critic predicts 0 and a new reward model prefers nothing.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden_size, 1, dtype=torch.float32)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.linear(hidden.float()).squeeze(-1)


def _forgetful(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)


class Policy(nn.Module):
    """A causal language model with, where asked, the heads of a critic, a reward model and a per-token reward on the shared
    trunk."""

    def __init__(self, model: PreTrainedModel, *, value_head: bool = False, score_head: bool = False,
                 token_head: bool = False) -> None:
        super().__init__()
        self.model: Any = model
        fuse(model)
        self._choose(takes_plan(model))
        embeddings: Any = model.get_input_embeddings()
        embeddings.padding_idx = None       # pad is often eos, and its embedding would get no gradient (D6)
        hidden_size = model.config.get_text_config().hidden_size
        self.value_head = ScalarHead(hidden_size) if value_head else None
        self.score_head = ScalarHead(hidden_size) if score_head else None
        self.token_head = ScalarHead(hidden_size) if token_head else None
        self.eval()        # no dropout unless a stage turns it on: old and new logprobs must agree (D8)
        self._checkpointed = False

    def renew_heads(self) -> None:
        """Heads that have learned nothing, in the place of those there are."""
        for name in ("value_head", "score_head", "token_head"):
            if (head := getattr(self, name)) is not None:
                setattr(self, name, ScalarHead(head.linear.in_features).to(head.linear.weight.device))

    def _choose(self, ragged: bool) -> None:
        self.ragged = ragged
        self.model.set_attn_implementation(NAME if ragged else "eager")

    @property
    def shares_prompts(self) -> bool:
        """Whether several sequences may go on from one prefix."""
        return self.ragged

    @property
    def config(self) -> Any:
        return self.model.config

    def blocks(self) -> nn.ModuleList:
        """The trunk's layers, in order.

        Raises:
            ModelError: if no list of modules is as long as the configuration says.
        """
        return self._blocks()[2]

    def keep_blocks(self, count: int) -> None:
        """Cut the trunk down to its first `count` layers; the final norm and the heads read what these leave."""
        parent, name, blocks = self._blocks()
        setattr(parent, name, blocks[:count])
        config = self.config.get_text_config()
        config.num_hidden_layers = count
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:count]

    def checkpoint_blocks(self) -> None:
        """Keep, of each block, its input alone until the backward, which computes the rest of it again: less memory for about
        a third more time. The numbers stay what they are.
        """
        for block in self.blocks():
            # a partial of a bound method, which a copy of the policy (`training.lanes`) binds to its own block
            block.forward = partial(_forgetful, block.forward)      # type: ignore[method-assign]
        self._checkpointed = True

    @contextmanager
    def remembering(self) -> Iterator[bool]:
        """Inside it nothing is computed twice; says whether that is otherwise so."""
        before, self._checkpointed = self._checkpointed, False
        chosen = [block.__dict__.pop("forward", None) if before else None for block in self.blocks()]
        try:
            yield before
        finally:
            self._checkpointed = before
            for block, forward in zip(self.blocks(), chosen, strict=True):
                if forward is not None:
                    block.forward = forward

    def _blocks(self) -> tuple[nn.Module, str, nn.ModuleList]:
        wanted = self.config.get_text_config().num_hidden_layers
        for parent in self.model.modules():
            for name, child in parent.named_children():
                if isinstance(child, nn.ModuleList) and len(child) == wanted:
                    return parent, name, child
        raise ModelError(f"the {wanted} layers of this {self.config.model_type} model cannot be told from its other modules.")

    @property
    def device(self) -> torch.device:
        return self.model.get_input_embeddings().weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What the arithmetic of the trunk is done in."""
        return self.model.get_input_embeddings().weight.dtype

    def forward(self, batch: TokenBatch, *, logprobs: bool = True, entropy: bool = False, values: bool = False,
                scores: bool = False, temperature: float = 1.0, plan: AttentionPlan | None = None) -> PolicyOutput:
        """One forward over all sequences of `batch`; `temperature` divides the logits, as sampling did. `plan` attends in place
        of `Segments`, where the architecture takes one.
        """
        if torch.is_grad_enabled() and is_measuring():
            count(flops=training_flops(self, batch, head=logprobs or entropy))
        hidden = self._trunk(batch, plan)                               # (N, D)
        before = hidden[batch.before_label] if logprobs or entropy or values else hidden   # (L, D)
        label_logprobs = label_entropy = None
        if logprobs or entropy:
            head = self.head
            label_logprobs, label_entropy = token_logprobs(
                before, head.weight, batch.labels, bias=head.bias, softcap=self._softcap, logit_scale=self._logit_scale,
                temperature=temperature, with_entropy=entropy)
        return PolicyOutput(
            label_logprobs if logprobs else None, label_entropy,
            self.value_head(before) if values and self.value_head is not None else None,
            self.score_head(hidden[batch.last]) if scores and self.score_head is not None else None,
            self.token_head(hidden) if scores and self.token_head is not None else None)

    @torch.no_grad()
    def evaluate_logprobs(self, batch: TokenBatch, temperature: float = 1.0, plan: AttentionPlan | None = None) -> Tensor:
        """(L,) logprobs of the labels, without a graph."""
        logprobs = self(batch, temperature=temperature, plan=plan).logprobs
        assert logprobs is not None
        return logprobs

    @torch.no_grad()
    def next_logits(self, ids: Tensor, positions: Tensor, plan: AttentionPlan, last: Tensor | None = None) -> Tensor:
        """(S, V) fp32 logits of what follows the tokens at `last` (all tokens where None)."""
        hidden = self.hidden(ids, positions, plan)
        return self.finished(self.head(hidden if last is None else hidden[last]))

    @torch.no_grad()
    def hidden(self, ids: Tensor, positions: Tensor, plan: AttentionPlan) -> Tensor:
        """(N, D): the trunk's last hidden states, without a graph; what decoding asks."""
        return self._run_trunk(ids, positions, plan)

    def finished(self, products: Tensor) -> Tensor:
        """fp32 logits from what the output embedding gave: scaled and capped as the model does."""
        logits = products.float()
        if self._logit_scale != 1.0:
            logits = logits * self._logit_scale
        if self._softcap is not None:
            logits = self._softcap * torch.tanh(logits / self._softcap)
        return logits

    @torch.no_grad()
    def try_architecture(self) -> None:
        """For an architecture no test knows: have the forward give its own logprobs, padded where it must be.

        Raises:
            ModelError: if neither does, as where more than a product stands between trunk and logits.
        """
        for ragged in (True, False) if self.ragged else (False,):
            self._choose(ragged)
            try:
                if self._gives_own_logprobs():
                    return
            except (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError):
                continue      # a forward that takes other arguments than ours
        raise ModelError(f"the architecture {self.config.model_type} cannot be used: its own logprobs are not the log-softmax of "
                         "its output embedding over its trunk's last hidden state. Take a Llama, Qwen, Gemma, Mistral, Phi, "
                         "GPT-2, GPT-NeoX, OLMo, Granite or Cohere model.")

    def _gives_own_logprobs(self) -> bool:
        size = self.head.weight.shape[0]
        rows = [[(7 + 37 * i * i) % size for i in range(start, start + n)] for start, n in ((0, 11), (20, 6))]
        ours = self.evaluate_logprobs(TokenBatch.pack(rows, [[True] * len(row) for row in rows]).to(self.device))
        ragged = self.ragged
        self.model.set_attn_implementation("eager")
        theirs = []
        for row in rows:
            ids = torch.tensor(row, device=self.device)
            logprobs = self.model(input_ids=ids[None], use_cache=False).logits[0].float().log_softmax(-1)
            theirs.append(logprobs[:-1].gather(1, ids[1:, None]).squeeze(1))
        self._choose(ragged)
        return float((ours - torch.cat(theirs)).abs().mean()) < PROBE_NATS.get(self.dtype, PROBE_NATS_16_BIT)

    def reference(self) -> AbstractContextManager[Any]:
        """Inside it, the adapter is off: the model as it was before training. Only for a model with adapters."""
        assert self.has_adapter, "a fully fine-tuned policy needs a frozen copy as its reference"
        return self.model.disable_adapter()

    @property
    def has_adapter(self) -> bool:
        return hasattr(self.model, "peft_config")

    def _trunk(self, batch: TokenBatch, plan: AttentionPlan | None = None) -> Tensor:
        if self.ragged:
            return self._run_trunk(batch.ids, batch.positions, plan or Segments(batch.cu_seqlens, batch.prefix))
        return self._padded_trunk(batch)

    def _run_trunk(self, ids: Tensor, positions: Tensor, plan: AttentionPlan) -> Tensor:
        return self.trunk(input_ids=ids[None], position_ids=positions[None], use_cache=False,
                               attention_plan=plan).last_hidden_state[0]

    def _padded_trunk(self, batch: TokenBatch) -> Tensor:
        """For architectures that do not take the attention interface: pad on the right, run, take the padding out."""
        if bool((batch.prefix >= 0).any()):
            raise ModelError(f"{self.config.model_type} cannot share prompts between sequences; pack without prompt_lengths.")
        lengths = batch.cu_seqlens.diff()
        keep = torch.arange(int(lengths.max()), device=batch.ids.device)[None] < lengths[:, None]               # (B, S)
        ids = torch.zeros_like(keep, dtype=torch.long).masked_scatter(keep, batch.ids)
        hidden = self.trunk(input_ids=ids, attention_mask=keep.long(), use_cache=False).last_hidden_state
        return hidden[keep]

    @property
    def trunk(self) -> Any:
        """Embeddings, blocks and last norm; for this room."""
        model = self.model.get_base_model() if self.has_adapter else self.model
        return model.base_model

    @property
    def head(self) -> Any:
        """The output embedding; for this room."""
        return self.model.get_output_embeddings()

    @property
    def _softcap(self) -> float | None:
        return getattr(self.config.get_text_config(), "final_logit_softcapping", None)      # Gemma 2 and 3

    @property
    def _logit_scale(self) -> float:
        config = self.config.get_text_config()
        if getattr(config, "logits_scaling", None):                       # Granite divides
            return 1.0 / config.logits_scaling
        return getattr(config, "logit_scale", None) or 1.0                # Cohere multiplies
