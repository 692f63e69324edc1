"""Write the pages that come from the code: `make docs`. A test holds the committed pages to what this gives."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from pathlib import Path

import tutelage
from tutelage.config import describe

PAGES = Path(__file__).parent

_HEAD = """# Configuration

Written from the code by `make docs`; do not edit.

A command's keys come from three places, each over the one before: the defaults below, a `CONFIG.toml` named on the
command line, and options such as `--optimizer.lr 1e-5` (`-` and `_` mean the same; a switch is `--rs` or `--no-rs`).
In TOML a dot is a table: `optimizer.lr` is `lr` under `[optimizer]`. An unknown key or a wrong type is an error that
names the nearest key. `tutelage COMMAND --help` prints the same.
"""


def config_types() -> list[type]:
    """Every configuration dataclass of every `<room>/config.py`, by room, in the order of the file."""
    found: list[type] = []
    for path in sorted(Path(tutelage.__file__).parent.glob("*/config.py")):
        module = importlib.import_module(f"tutelage.{path.parent.name}.config")
        own = [each for each in vars(module).values() if inspect.isclass(each) and dataclasses.is_dataclass(each)
               and each.__module__ == module.__name__]
        found += sorted(own, key=lambda each: inspect.getsourcelines(each)[1])
    return found


def configuration_page() -> str:
    parts = [_HEAD]
    for config_type in config_types():
        room = config_type.__module__.split(".")[1]
        parts.append(f"## {room}.{config_type.__name__}\n\n{inspect.cleandoc(config_type.__doc__ or '')}\n\n"
                     f"{describe(config_type)}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    (PAGES / "configuration.md").write_text(configuration_page(), encoding="utf-8")
    print(f"docs/configuration.md: {len(config_types())} configurations")
