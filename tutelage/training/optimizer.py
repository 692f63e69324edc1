"""AdamW over fp32 master weights behind a module that computes in another precision (D3).

A pure-bf16 weight of 1.0 ignores every update below 0.004; the masters keep them. Gradients arrive in the arithmetic's
precision once a micro-batch and are summed in fp32 at once, so that accumulation loses nothing either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.errors import ConfigError, PreflightError, ResumeError, TrainingError
from tutelage.models.policy import Policy
from tutelage.protocols import OneRank, Ranks
from tutelage.training.config import Optimizer
from tutelage.training.lanes import Lanes

# Modules that start at zero and have a learning rate of their own: ours, and those of transformers' classifiers
HEADS = frozenset(("value_head", "score_head", "token_head", "score", "classifier", "pre_classifier"))
WATCHED = 1024      # numbers of each parameter that are looked at for `changed_fraction`, about


class Masters:
    """Owns the fp32 masters of a module's trainable parameters, and the optimizer over them.

    `step()` updates the masters and publishes them into the module; the module's own `.grad` stay empty. Of a module that is
    sharded over `ranks` (`scaling.sharding`) each rank has the masters of its own shards.
    """

    def __init__(self, policy: Policy, config: Optimizer, total_steps: int, lanes: Lanes | None = None,
                 ranks: Ranks | None = None) -> None:
        module, self.lanes = policy, lanes or Lanes(policy)
        self.config = config
        self.total_steps = total_steps
        self.steps_done = 0
        self.scale = 1.0      # of every learning rate; lowered by whoever finds the steps too large, and kept by them
        self.ranks = ranks or OneRank()
        self.changed_fraction = 0.0      # by the last step, of the weights that compute; see `_changed`
        self._parameters = {name: value for name, value in module.named_parameters() if value.requires_grad}
        if not self._parameters:
            raise ConfigError("nothing to train: every parameter is frozen.")
        self._masters = {name: _master(value) for name, value in self._parameters.items()}
        self.lanes.on_gradient(self._collect)
        embeddings = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
        decayed = {name for name, value in self._parameters.items() if value.ndim >= 2 and id(value) not in embeddings}
        head_lr = 10 * config.lr if config.head_lr is None else config.head_lr
        own = _own_rates(module)
        rates = {name: own.get(name, head_lr if is_head(name) else config.lr) for name in self._masters}
        groups = [{"params": [self._masters[n] for n in self._masters if (n in decayed, rates[n]) == (decay, rate)],
                   "weight_decay": config.weight_decay if decay else 0.0, "peak_lr": rate}
                  for rate in dict.fromkeys((config.lr, head_lr, *own.values())) for decay in (True, False)]
        self._adamw = torch.optim.AdamW([group for group in groups if group["params"]], lr=config.lr,
                                        betas=config.betas, eps=config.eps, fused=True)

    def _collect(self, name: str, gradient: Tensor) -> None:
        master, own = self._masters[name], _local(gradient)
        master.grad = own.to(master.dtype) if master.grad is None else master.grad.add_(own)

    @property
    def learning_rate(self) -> float:
        """Of the next step; that of the heads is as much of their own peak."""
        return self.config.lr * self._share_of_peak()

    def _share_of_peak(self) -> float:
        """Warm-up from 1 / warm-up steps, then the schedule."""
        c, step = self.config, self.steps_done
        warmup = math.ceil(c.warmup_fraction * self.total_steps)
        if step < warmup:
            return self.scale * (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, self.total_steps - warmup))
        falling = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[c.schedule]
        return self.scale * (c.final_fraction + (1 - c.final_fraction) * falling)

    def step(self) -> float:
        """Clip, update, publish; returns the L2 norm of the gradient before clipping.

        Raises:
            TrainingError: if the norm is not finite; masters and module are left as they were.
        """
        if self.steps_done == 0:
            self._check_all_reached()
        gradients = [master.grad for master in self._masters.values() if master.grad is not None]
        norm = self._norm(gradients)
        if not math.isfinite(norm):
            self.drop_gradients()
            raise TrainingError(f"the gradient norm is {norm} at step {self.steps_done + 1}; no weight was changed. "
                                "Lower the learning rate, or look at the rows of this step.")
        limit = self.config.max_grad_norm
        if limit > 0 and norm > limit:
            torch._foreach_mul_(gradients, limit / norm)
        for group in self._adamw.param_groups:
            group["lr"] = group["peak_lr"] * self._share_of_peak()
        masters = _watched(self._masters) if self.steps_done == 0 else {}
        seen = _watched(self._parameters)
        self._adamw.step()
        self.drop_gradients()
        self.publish()
        self.changed_fraction = self._changed(seen)
        self.steps_done += 1
        if masters and all(torch.equal(masters[name], value) for name, value in _watched(self._masters).items()):
            raise PreflightError(f"something learns: after the first step no parameter changed (gradient norm {norm:.3g}, "
                                 f"learning rate {self._adamw.param_groups[0]['lr']:.3g}).")
        return norm

    def _norm(self, gradients: list[Tensor]) -> float:
        own = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))))
        return own if self.ranks.size == 1 else math.sqrt(self.ranks.sum([own**2])[0])

    def _changed(self, before: Mapping[str, Tensor]) -> float:
        """Share of the trained weights that are not what they were, in the precision they compute in: an update below a bf16
        weight's last place changes a master and not the weight. A sample, each parameter counted at its size.
        """
        after, changed, size = _watched(self._parameters), 0.0, 0
        for name, seen in before.items():
            numbers = _local(self._parameters[name]).numel()
            changed += numbers * float((after[name] != seen).float().mean()) if numbers else 0.0
            size += numbers
        total_changed, total = self.ranks.sum([changed, size])
        return total_changed / total

    def drop_gradients(self) -> None:
        """Forget what was accumulated for the step that is being made."""
        self._adamw.zero_grad(set_to_none=True)

    def _check_all_reached(self) -> None:
        unreached = [name for name, master in self._masters.items() if master.grad is None]
        if unreached:
            raise PreflightError(f"something learns: the loss does not depend on {len(unreached)} trainable parameters "
                                 f"(first: {unreached[0]}). Freeze them, or give the loss the term that trains them.")

    @torch.no_grad()
    def publish(self) -> None:
        """Copy the masters into the module that computes, rounding to its precision."""
        for name, value in self._parameters.items():
            if self._masters[name] is not value:
                _local(value).copy_(self._masters[name])

    def state(self) -> dict[str, Any]:
        """Everything a bit-identical continuation needs: masters, both moments, steps."""
        moments = {name: self._adamw.state[master] for name, master in self._masters.items()}
        return {"steps_done": self.steps_done, "masters": {name: value.detach() for name, value in self._masters.items()},
                "moments": {name: {key: value for key, value in state.items()} for name, state in moments.items()}}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Any]) -> None:
        if set(state["masters"]) != set(self._masters):
            difference = sorted(set(state["masters"]) ^ set(self._masters))
            raise ResumeError(f"the checkpoint trains other parameters than this run (first difference: {difference[0]}).")
        self.steps_done = state["steps_done"]
        for name, master in self._masters.items():
            master.copy_(state["masters"][name])
            self._adamw.state[master] = {key: value.to(master.device, copy=True)
                                         for key, value in state["moments"].get(name, {}).items()}
        self.publish()


@torch.no_grad()
def _watched(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The numbers that are looked at: an odd number apart, so that no column is met again and again."""
    locals_ = ((name, _local(value).flatten()) for name, value in weights.items())
    return {name: value[::value.numel() // WATCHED | 1].clone() for name, value in locals_}


def _local(value: Tensor) -> Tensor:
    """What this rank has of a sharded tensor, in the same storage; any other as it is."""
    shard: Any = value.detach()
    return shard.to_local() if hasattr(shard, "to_local") else value


def _master(value: Tensor) -> Tensor:
    """The fp32 master of a parameter: the parameter itself where it is one, else a copy."""
    if value.dtype == torch.float32 and not hasattr(value, "to_local"):
        return value
    return _local(value).detach().to(torch.float32, copy=True).requires_grad_()


def _own_rates(module: nn.Module) -> dict[str, float]:
    """The peak learning rates of parameters whose module says one: `peak_lr`."""
    return {f"{prefix}.{name}": float(rate) for prefix, each in module.named_modules()
            if isinstance(rate := getattr(each, "peak_lr", None), float) for name, _ in each.named_parameters()}


def is_head(name: str) -> bool:
    """Whether a parameter of this name belongs to a head."""
    return not HEADS.isdisjoint(name.split("."))


def freeze_language_head(policy: nn.Module) -> None:
    """Leave an untied language-model head untrained: a stage whose loss is made of scores never reaches it."""
    model: Any = policy.model
    head = model.get_output_embeddings()
    if head is not None and head.weight is not model.get_input_embeddings().weight:
        head.requires_grad_(False)


def freeze_layers(policy: Policy, count: int) -> None:
    """Leave the first `count` layers and the embeddings untrained; the head goes with the embeddings it is tied to.

    Raises:
        ConfigError: if that leaves no layer to train.
    """
    if count == 0:
        return
    blocks = policy.blocks()
    if count >= len(blocks):
        raise ConfigError(f"frozen_layers {count}: the model has {len(blocks)} layers; wanted fewer than that.")
    for module in (*(m for m in policy.modules() if isinstance(m, nn.Embedding)), *blocks[:count]):
        module.requires_grad_(False)
