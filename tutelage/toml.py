"""TOML files: read, and written from plain values."""

from __future__ import annotations

import json
import math
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tutelage.errors import ConfigError


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file.

    Raises:
        ConfigError: if the file cannot be read, or is not TOML (the message has the line).
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}. Check the path of the configuration.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}. Mend that line; texts need quotes.") from None


def plain_to_toml(plain: Mapping[str, Any]) -> str:
    """`to_plain`'s values as TOML; None is left out."""
    return "\n".join(_toml_lines(plain, ())) + "\n"


def _toml_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Own values first, for TOML gives everything after a `[header]` to that header."""
    for key, value in table.items():
        if value is not None and not isinstance(value, Mapping):
            yield f"{_toml_key(key)} = {toml_value(value)}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield ""
            yield f"[{'.'.join(_toml_key(part) for part in (*path, key))}]"
            yield from _toml_lines(value, (*path, key))


def _toml_key(key: str) -> str:
    bare = key.isascii() and key.replace("-", "").replace("_", "").isalnum()
    return key if bare else toml_value(key)


def toml_value(value: Any) -> str:
    if isinstance(value, str):       # a JSON string is a TOML string, but for DEL, which TOML wants escaped
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        if None in value:
            shown = textwrap.shorten(repr(value), 80, placeholder=" ...")
            raise ConfigError(f"a list with none in it cannot be written in TOML: {shown}.")
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return json.dumps(value)
