"""`tutelage models pull | list | inspect`."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tutelage.console import console
from tutelage.errors import ModelError, UsageError
from tutelage.models.builtin import BUILTIN, cache_dir, cached, pull, pull_from_hub
from tutelage.options import COMMON_HELP, Options
from tutelage.project import Project


def models(arguments: list[str], options: Options) -> dict[str, Any]:
    """Run one of the sub-commands; the result is what `--json` prints."""
    words = _parser().parse_args(arguments)
    commands: Mapping[str, Callable[[argparse.Namespace, Options], dict[str, Any]]] = {
        "pull": _pull, "list": _list, "inspect": _inspect}
    return commands[words.command](words, options)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"{message}. See: {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tutelage models", description="Fetch, list and inspect models.", epilog=COMMON_HELP)
    commands = parser.add_subparsers(dest="command", required=True, metavar="pull | list | inspect")
    pulling = commands.add_parser("pull", help="fetch a model into the cache", epilog=COMMON_HELP)
    pulling.add_argument("name", metavar="NAME", help=f"{', '.join(BUILTIN)}, or hf:org/name")
    commands.add_parser("list", help="the built-in models and what the cache holds", epilog=COMMON_HELP)
    inspecting = commands.add_parser("inspect", help="what a model is", epilog=COMMON_HELP)
    inspecting.add_argument("path", metavar="PATH", help="a directory, .gguf file, artifact, or a model in the cache")
    return parser


def _pull(words: argparse.Namespace, options: Options) -> dict[str, Any]:
    name = words.name
    path = pull_from_hub(name[3:]) if name.startswith("hf:") else pull(name)
    console.print(f"{name} is in {path}")
    return {"name": name, "path": str(path)}


def _list(words: argparse.Namespace, options: Options) -> dict[str, Any]:
    rows = [{"name": model.name, "description": model.description, "licence": model.licence,
             "path": str(cached(model.name) or "")} for model in BUILTIN.values()]
    rows += [{"name": f"hf:{path.parent.name.replace('--', '/', 1)}", "description": "from the hub", "licence": "see its card",
              "path": str(path.parent)} for path in sorted((cache_dir() / "hub").glob("[!.]*/config.json"))]
    console.table("", ["name", "what it is", "licence", "where"],
                  [[row["name"], row["description"], row["licence"], row["path"] or "not fetched"] for row in rows])
    return {"models": rows}


def _inspect(words: argparse.Namespace, options: Options) -> dict[str, Any]:
    facts = inspect(_directory(words.path, options))
    for name, value in facts.items():
        if name != "files":
            console.print(f"{name.replace('_', ' '):20} {_shown(value)}")
    console.print()
    console.table("", ["file", "bytes"], list(facts["files"].items()))
    return facts


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _directory(name: str, options: Options) -> Path:
    """Where the model lies; a look at a model fetches nothing."""
    from tutelage.models.load import resolve  # here and below, because it imports torch and transformers

    if (name in BUILTIN and cached(name) is None) or name.startswith("hf:"):
        raise ModelError(f"{name} is not a directory of this machine. Fetch it and inspect what that gives: "
                         f"tutelage models pull {name}")
    here = options.project is None and not Path(name).exists()
    return resolve(name, Project.open(options.project) if here or options.project else None).path


def inspect(directory: Path) -> dict[str, Any]:
    """What stands in a model directory; no weights are read, only their shapes."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from tutelage.models.attention import takes_plan
    from tutelage.models.foreign import reading
    from tutelage.models.load import ADAPTER, HEADS
    from tutelage.models.policy import TESTED

    with reading(f"{directory} is not a causal language model that can be read"), torch.device("meta"):
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    text = config.get_text_config()
    ragged = takes_plan(model)
    return {
        "path": str(directory), "architecture": config.model_type, "parameters": model.num_parameters(),
        "dtype": _stored_dtype(directory) or str(config.dtype or "unknown").removeprefix("torch."),
        "layers": text.num_hidden_layers, "heads": text.num_attention_heads,
        "key_value_heads": getattr(text, "num_key_value_heads", None) or text.num_attention_heads,
        "hidden_size": text.hidden_size, "context": getattr(text, "max_position_embeddings", None) or "no limit given",
        "vocabulary": text.vocab_size, "tied_embeddings": bool(config.tie_word_embeddings),
        "chat_template": _has_chat_template(directory),
        "ragged_attention": "no: padded" if not ragged else "yes" if config.model_type in TESTED else "tried when loaded",
        "adapter": (directory / ADAPTER).is_dir(), "heads_saved": (directory / HEADS).is_file(),
        "files": {path.relative_to(directory).as_posix(): path.stat().st_size
                  for path in sorted(directory.rglob("*")) if path.is_file()}}


def _stored_dtype(directory: Path) -> str:
    """What most weights are stored in, from the headers of the safetensors files; "" where there are none."""
    from safetensors import safe_open

    from tutelage.models.foreign import reading
    from tutelage.models.load import HEADS

    counts: Counter[str] = Counter()
    for path in sorted(directory.glob("*.safetensors")):
        if path.name != HEADS:
            with reading(f"{path} is damaged"), safe_open(path, "pt") as file:
                counts.update(file.get_slice(name).get_dtype() for name in file.offset_keys())
    return counts.most_common(1)[0][0].lower() if counts else ""


def _has_chat_template(directory: Path) -> bool:
    if (directory / "chat_template.jinja").is_file():
        return True
    try:
        return bool(json.loads((directory / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template"))
    except (OSError, ValueError):
        return False
