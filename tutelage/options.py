"""The options every command takes, wherever they stand in its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.errors import UsageError

COMMON_HELP = "Everywhere: --project DIR, --store URL, --json, --seed N, --debug."


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    project: Path | None = None   # None looks for the nearest parent with tutelage.toml
    store: str = ""               # postgresql://…; "" leaves it to tutelage.toml
    json: bool = False            # one JSON object as the last line of stdout, everything else on stderr
    seed: int | None = None       # None leaves the seed to the configuration
    debug: bool = False           # show tracebacks


def split_options(arguments: Sequence[str]) -> tuple[Options, list[str]]:
    """The common options among `arguments`, and the words that are left for the command.

    Raises:
        UsageError: if an option has no value, or `--seed` no whole number from 0 on.
    """
    project, store, seed, flags = None, "", None, set()
    words, rest = iter(arguments), []
    for word in words:
        name, equals, after = word.partition("=")
        if word in ("--json", "--debug"):
            flags.add(word)
        elif name in ("--project", "--store", "--seed"):
            value = after if equals else next(words, "")
            if not value or value.startswith("--"):
                raise UsageError(f"{name} needs a value after it.")
            project = Path(value).expanduser() if name == "--project" else project
            store = value if name == "--store" else store
            seed = _seed(value) if name == "--seed" else seed
        else:
            rest.append(word)
    return Options(project=project, store=store, json="--json" in flags, seed=seed, debug="--debug" in flags), rest


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--seed got {text!r}; wanted a whole number from 0 on.")
    return int(text)
