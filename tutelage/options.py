"""The options every command takes, wherever they stand in its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tutelage.errors import UsageError

COMMON_HELP = ("Everywhere: --project DIR, --store URL, --json, --seed N, --debug. "
               "Stages: --plan, --anyway, --tensorboard, --allow-drift, --seeds N, --sweep KEY VALUE VALUE…")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    project: Path | None = None   # None looks for the nearest parent with tutelage.toml
    store: str = ""               # postgresql://…; "" leaves it to tutelage.toml
    json: bool = False            # one JSON object as the last line of stdout, everything else on stderr
    seed: int | None = None       # None leaves the seed to the configuration
    debug: bool = False           # show tracebacks
    allow_drift: bool = False     # go on with a run under other circumstances than it began with


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """How often a stage is to be made: over seeds, over values of one key, or both."""

    seeds: int = 0                # 0: the one seed of the configuration
    key: str = ""                 # as an option without its dashes: optimizer.lr
    values: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.seeds or self.key)


def split_repeats(arguments: Sequence[str]) -> tuple[Repeats, list[str]]:
    """`--seeds N` and `--sweep KEY VALUE VALUE…` among a stage's words, and the words that are left.

    Raises:
        UsageError: if N is no whole number from 1 on, or a sweep has no key or fewer than two values.
    """
    seeds, key, values, rest = 0, "", [], []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, after = word.partition("=")
        if name == "--seeds":
            text = after if equals else (words.pop(0) if words else "")
            if not text.isdecimal() or int(text) < 1:
                raise UsageError(f"--seeds got {text!r}; wanted how many seeds, a whole number from 1 on.")
            seeds = int(text)
        elif word == "--sweep":
            key = words.pop(0).lstrip("-") if words else ""
            while words and not words[0].startswith("--"):
                values.append(words.pop(0))
            if not key or len(set(values)) < 2:
                raise UsageError(f"--sweep got {' '.join([key, *values]) or 'nothing'!r}; wanted a key and at least two values: "
                                 "--sweep optimizer.lr 1e-5 3e-5 1e-4")
        else:
            rest.append(word)
    return Repeats(seeds=seeds, key=key, values=tuple(dict.fromkeys(values))), rest


def split_options(arguments: Sequence[str]) -> tuple[Options, list[str]]:
    """The common options among `arguments`, and the words that are left for the command.

    Raises:
        UsageError: if an option has no value, or `--seed` no whole number from 0 on.
    """
    project, store, seed, flags = None, "", None, set()
    words, rest = iter(arguments), []
    for word in words:
        name, equals, after = word.partition("=")
        if word in ("--json", "--debug", "--allow-drift"):
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
    return Options(project=project, store=store, json="--json" in flags, seed=seed, debug="--debug" in flags,
                   allow_drift="--allow-drift" in flags), rest


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--seed got {text!r}; wanted a whole number from 0 on.")
    return int(text)
