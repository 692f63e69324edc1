"""Load and save models: a built-in name, a directory, an artifact, a GGUF file or `hf:org/name`.

Weights are read from safetensors, or from pickles with `weights_only`; remote code is never run (D12).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tutelage.errors import ArtifactError, ModelError
from tutelage.lineage import content_hash, tree_hashes
from tutelage.models.adapters import add_adapter, load_adapter
from tutelage.models.builtin import BUILTIN, cache_dir, cached, dequantise, pull
from tutelage.models.config import Adapter
from tutelage.models.policy import Policy
from tutelage.models.precision import dtype_of
from tutelage.project import Project

HEADS = "heads.safetensors"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model was found. `ref` is what a manifest names as the parent: name and content."""

    name: str
    path: Path
    ref: str


def resolve(name: str, project: Project | None = None, kind: str = "model") -> ModelSource:
    """Find a model by built-in name, directory, GGUF file, `hf:org/name` or artifact, in this order.

    Raises:
        ModelError: if nothing answers to the name; a plain name never goes to the network except a built-in one.
    """
    if name in BUILTIN:
        return _from_directory(name, pull(name))
    if name.startswith("hf:"):
        return _from_directory(name, _hub_directory(name[3:]))
    path = Path(name)
    if path.is_file() and path.suffix == ".gguf":
        return _from_directory(name, _gguf_directory(path))
    if path.is_dir() and (path / "config.json").is_file():
        return _from_directory(name, path)
    if project is not None:
        try:
            artifact = project.artifact(name, kind)
            return ModelSource(artifact.ref, artifact.path, artifact.parent_ref)
        except ArtifactError as error:
            raise ModelError(f"no model {name!r}: not a built-in name, a model directory, a .gguf file or hf:org/name, "
                             f"and {error}") from None
    raise ModelError(f"no model {name!r}. Built in: {', '.join(BUILTIN)}; or a directory, a .gguf file, hf:org/name.")


def _from_directory(name: str, path: Path) -> ModelSource:
    return ModelSource(name, path, f"{Path(name).name if '/' in name else name}#{content_hash(tree_hashes(path))}")


def _hub_directory(repository: str) -> Path:
    from tutelage.models.builtin import _from_hub

    target = cache_dir() / "hub" / repository.replace("/", "--")
    if not (target / "config.json").is_file():
        target.mkdir(parents=True, exist_ok=True)
        _from_hub(repository, target)
    return target


def _gguf_directory(path: Path) -> Path:
    from tutelage.lineage import file_hash

    target = cache_dir() / "gguf" / file_hash(path)[:16]
    if not (target / "config.json").is_file():
        target.mkdir(parents=True, exist_ok=True)
        dequantise(path, target)
    return target


def load_tokenizer(path: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} has no tokenizer that can be read: {str(error).splitlines()[0]}") from None


def load_policy(path: Path, precision: str, *, value_head: bool = False, score_head: bool = False,
                adapter: Adapter | None = None) -> Policy:
    """The policy saved in `path`, its weights in the arithmetic of `precision` ("bf16" or "fp32").

    Heads saved with it are loaded where asked for; a head asked for and not saved starts at zero. `adapter` adds a
    fresh LoRA; one that was saved is loaded either way.
    """
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype_of(precision), trust_remote_code=False)
    except (OSError, ValueError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path} is not a causal language model that can be read: {str(error).splitlines()[0]}") from None
    policy = Policy(model, value_head=value_head, score_head=score_head)
    if (path / "adapter" / "adapter_config.json").is_file():
        load_adapter(policy, path / "adapter")
    elif adapter is not None:
        add_adapter(policy, adapter)
    if (path / HEADS).is_file():
        saved = load_file(path / HEADS)
        wanted = {name for name, _ in policy.named_parameters() if _is_head(name)}
        policy.load_state_dict({name: value for name, value in saved.items() if name in wanted}, strict=False)
    return policy


def save_policy(policy: Policy, tokenizer: Any, directory: Path) -> None:
    """Write trunk, adapter, heads and tokenizer so that `load_policy` gives identical outputs.

    With an adapter the base weights are written beside it, so that the artifact stands alone.
    """
    if policy.has_adapter:
        policy.model.save_pretrained(directory / "adapter")
        base = policy.model.get_base_model()
        plain = {name.replace(".base_layer.", "."): value for name, value in base.state_dict().items() if "lora_" not in name}
        base.save_pretrained(directory, state_dict=plain)
    else:
        policy.model.save_pretrained(directory)
    heads = head_state(policy)
    if heads:
        save_file(heads, directory / HEADS)
    tokenizer.save_pretrained(directory)


def head_state(policy: Policy) -> dict[str, Tensor]:
    return {name: value.detach().contiguous() for name, value in policy.state_dict().items() if _is_head(name)}


def _is_head(name: str) -> bool:
    return name.startswith(("value_head.", "score_head."))


def is_cached(name: str) -> bool:
    return cached(name) is not None


def same_outputs(first: Policy, second: Policy, batch: Any) -> bool:
    """Whether two policies give bit-identical logprobs: the reload check of pre-flight."""
    return torch.equal(first.evaluate_logprobs(batch), second.evaluate_logprobs(batch))
