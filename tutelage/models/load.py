"""Load and save models: a built-in name, a directory, an artifact, a GGUF file or `hf:org/name`.

Weights are read from safetensors, or from pickles with `weights_only`; remote code is never run (D12).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from tutelage.console import console
from tutelage.errors import ArtifactError, ConfigError, ModelError
from tutelage.lineage import content_hash, file_hash, tree_hashes
from tutelage.models import adapters
from tutelage.models.builtin import BUILTIN, cache_dir, dequantise, make_once, pull, pull_from_hub
from tutelage.models.config import Adapter
from tutelage.models.foreign import reading
from tutelage.models.policy import TESTED, Policy
from tutelage.models.precision import dtype_of
from tutelage.project import Project

HEADS = "heads.safetensors"
ADAPTER = "adapter"      # directory beside the base weights


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a model was found, and how a manifest names it: an artifact is a parent, anything else a source."""

    name: str
    path: Path
    content: str             # an artifact's content id, else the hash of the directory's files
    is_artifact: bool = False

    def parents(self, role: str) -> dict[str, str]:
        return {role: f"{self.name}#{self.content}"} if self.is_artifact else {}

    def sources(self, role: str) -> dict[str, str]:
        return {} if self.is_artifact else {f"{role} {self.name}": self.content}


def resolve(name: str, project: Project | None = None, kind: str = "model") -> ModelSource:
    """Find a model by built-in name, directory, GGUF file, `hf:org/name` or artifact, in this order.

    Raises:
        ModelError: if nothing answers to the name; a plain name never goes to the network except a built-in one.
    """
    if name in BUILTIN:
        return _from_directory(name, pull(name))
    if name.startswith("hf:"):
        return _from_directory(name, pull_from_hub(name[3:]))
    path = Path(name).expanduser().resolve()
    if path.is_file() and path.suffix == ".gguf":
        return _from_directory(path.name, _gguf_directory(path))
    if (path / "config.json").is_file():
        return _from_directory(path.name, path)
    if project is not None:
        try:
            artifact = project.artifact(name, kind)
            return ModelSource(artifact.ref, artifact.path, artifact.manifest.content_id, is_artifact=True)
        except ArtifactError as error:
            raise ModelError(f"no model {name!r}: not a built-in name, a model directory, a .gguf file or hf:org/name, "
                             f"and {error}") from None
    raise ModelError(f"no model {name!r}. Built in: {', '.join(BUILTIN)}; or a directory, a .gguf file, hf:org/name.")


def _from_directory(name: str, path: Path) -> ModelSource:
    """`name` is no path: those of this machine stay out of manifests."""
    return ModelSource(name, path, content_hash(tree_hashes(path)))


def _gguf_directory(path: Path) -> Path:
    return make_once(cache_dir() / "gguf" / file_hash(path)[:16], lambda directory: dequantise(path, directory))


def load_tokenizer(path: Path) -> Any:
    from transformers import AutoTokenizer

    with reading(f"{path} has no tokenizer that can be read"):
        _check_directory(path)
        return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)


def load_policy(path: Path, precision: str, *, value_head: bool = False, score_head: bool = False, token_head: bool = False,
                adapter: Adapter | None = None, adapter_seed: int = 0) -> Policy:
    """The policy saved in `path`, its weights in the arithmetic of `precision` ("bf16" or "fp32").

    Heads saved with it are loaded where asked for; a head asked for and not saved starts at zero. `adapter` adds a
    fresh LoRA, drawn by `adapter_seed`; one that was saved is loaded either way, and trained on in its place.

    Raises:
        ModelError: if something in `path` cannot be read, weights are missing, or the architecture cannot be used.
    """
    from transformers import AutoModelForCausalLM

    with reading(f"{path} is not a causal language model that can be read"):
        _check_directory(path)
        loaded: Any = AutoModelForCausalLM.from_pretrained(path, dtype=dtype_of(precision), local_files_only=True,
                                                           trust_remote_code=False, output_loading_info=True)
    model, report = loaded
    if missing := sorted(report["missing_keys"]):      # transformers would go on with random weights in their place
        raise ModelError(f"{path} lacks {len(missing)} of the weights of a {model.config.model_type} model (first: "
                         f"{missing[0]}). Fetch or export it again.")
    policy = Policy(model, value_head=value_head, score_head=score_head, token_head=token_head)
    if model.config.model_type not in TESTED:
        policy.try_architecture()
    if (path / ADAPTER / adapters.CONFIG).is_file():
        adapters.load_adapter(policy, path / ADAPTER)
        if adapter is not None:
            console.warn(f"{path} comes with an adapter, which is trained on; the settings of a new one are not used.")
    elif adapter is not None:
        adapters.add_adapter(policy, adapter, adapter_seed)
    if (path / HEADS).is_file():
        with reading(f"{path / HEADS} cannot be read"):
            saved = load_file(path / HEADS)
            policy.load_state_dict({name: value for name, value in saved.items() if name in head_state(policy)}, strict=False)
    return policy


def _check_directory(path: Path) -> None:
    """A path that is not there would be taken for a name on the hub."""
    if not (path / "config.json").is_file():
        raise ModelError(f"{path} is not a model: it has no config.json.")


def keep_layers(policy: Policy, count: int) -> None:
    """Keep the first `count` layers of the trunk.

    Raises:
        ConfigError: if the model has fewer.
    """
    if not 0 < count <= len(policy.blocks()):
        raise ConfigError(f"layers {count}: the model has {len(policy.blocks())}; wanted 1 to that many, or 0 for all.")
    policy.keep_blocks(count)


def save_policy(policy: Policy, tokenizer: Any, directory: Path) -> None:
    """Write trunk, adapter, heads and tokenizer so that `load_policy` gives identical outputs.

    With an adapter the base weights are written beside it, so that the artifact stands alone.
    """
    if policy.has_adapter:
        adapters.save_adapter(policy, directory / ADAPTER)
        base = policy.model.get_base_model()
        plain = {name.replace(".base_layer.", "."): value for name, value in base.state_dict().items() if ".lora_" not in name}
        base.save_pretrained(directory, state_dict=plain)
    else:
        policy.model.save_pretrained(directory)
    heads = head_state(policy)
    if heads:
        save_file(heads, directory / HEADS)
    tokenizer.save_pretrained(directory)


def head_state(policy: Policy) -> dict[str, Tensor]:
    """The heads' weights by name, empty where there are none."""
    return {name: value.detach().contiguous() for name, value in policy.state_dict().items()
            if name.startswith(("value_head.", "score_head.", "token_head."))}
