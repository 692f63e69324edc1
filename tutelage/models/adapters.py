"""Low-rank adapters through peft (Hu et al. 2021, arXiv:2106.09685). Adapter off is the reference."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from tutelage.errors import ConfigError, ModelError
from tutelage.models.config import Adapter
from tutelage.models.foreign import first_line, reading
from tutelage.models.policy import Policy

CONFIG = "adapter_config.json"


def add_adapter(policy: Policy, adapter: Adapter, seed: int = 0, exclude: str | None = None) -> None:
    """Put a fresh LoRA on the trunk and freeze everything else of it. B starts at zero, so outputs do not change yet.

    `exclude` matches names of modules that get none: a classifier's head.

    Raises:
        ConfigError: if `adapter.targets` names no module of this model, or its output embedding.
    """
    from peft import LoraConfig, get_peft_model

    targets: str | list[str] = list(adapter.targets) or "all-linear"
    alpha: Any = adapter.alpha        # peft says int and takes any number
    config = LoraConfig(r=adapter.rank, lora_alpha=alpha, lora_dropout=adapter.dropout, use_rslora=adapter.rs,
                        target_modules=targets, exclude_modules=exclude, bias="none",
                        task_type="CAUSAL_LM" if policy.model.can_generate() else None)
    with torch.random.fork_rng():
        torch.manual_seed(seed)       # A is random
        try:
            policy.model = get_peft_model(policy.model, config, autocast_adapter_dtype=False)
        except ValueError as error:
            raise ConfigError(f"adapter.targets {list(adapter.targets)}: {first_line(error)}") from None
    if _is_adapted(policy.model.get_output_embeddings()):
        raise ConfigError("adapter.targets: the output embedding cannot have an adapter, for logprobs are made from its own "
                          "weights. Leave it out.")
    policy.eval()


def renew_adapter(policy: Policy, adapter: Adapter, seed: int) -> None:
    """Put a fresh LoRA in the place of the one there is; the weights under it are those they were, to the bit."""
    policy.model = policy.model.unload()
    add_adapter(policy, adapter, seed)


def load_adapter(policy: Policy, directory: Path) -> None:
    """Put the LoRA saved in `directory` on the trunk.

    Raises:
        ModelError: if it cannot be read, or is of a kind the forward would leave out.
    """
    from peft import PeftModel

    with reading(f"{directory} is not an adapter that can be read"):
        model = PeftModel.from_pretrained(policy.model, directory, is_trainable=True, autocast_adapter_dtype=False,
                                          local_files_only=True)
    if _is_adapted(model.get_output_embeddings()):
        raise ModelError(f"{directory} adapts the output embedding, which is not supported. Merge it into the model first.")
    policy.model = model
    policy.eval()


def save_adapter(policy: Policy, directory: Path) -> None:
    """Write the LoRA alone. No path of this machine stays in it, and nobody asks the hub about the base model."""
    config = policy.model.peft_config["default"]
    config.base_model_name_or_path = ""
    policy.model.save_pretrained(directory, save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)      # peft's blank card; ours is the manifest


def _is_adapted(module: object) -> bool:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return isinstance(module, BaseTunerLayer)


def merged_copy(policy: Policy) -> Policy:
    """A copy of all weights with the adapter added to them: as many bytes again as the model has. `policy` stays as it is.

    What the adapter adds is rounded to the weights' precision, so the copy is another model by that much.
    """
    assert policy.has_adapter, "there is nothing to merge"
    merged = copy.deepcopy(policy)
    merged.model = merged.model.merge_and_unload()
    return merged.requires_grad_(False)
