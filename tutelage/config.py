"""Configuration: frozen dataclasses, TOML files and the command line, each readable as the others (D13).

    read_toml ─► plain values ─► load (command line on top) ─► from_plain ─► a checked instance ─► to_toml

A configuration is a frozen, slotted, keyword-only dataclass whose fields are bool, int, float, str, Path, Literal,
tuples of these, mappings from str to these, each perhaps `| None`, or another such dataclass (never optional: switch
it by a field of its own). The comment beside or above a field is its help text.

All ways in end in `from_plain`, so a TOML file, the command line and a saved run are checked by the same rules:
an unknown key is an error naming the nearest key, a number in quotes is not a number, and a bool is never an int.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import math
import textwrap
import tomllib
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from tutelage.comments import field_comments
from tutelage.errors import ConfigError
from tutelage.options import COMMON_HELP
from tutelage.toml import plain_to_toml, read_toml, toml_value

Config = TypeVar("Config")
_SCALARS: dict[Any, tuple[type, ...]] = {
    bool: (bool,), int: (int,), float: (float, int), str: (str,), Path: (str, Path)}
_WORDS: dict[Any, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path", type(None): "none"}


# ---- plain values ---------------------------------------------------------------------------------------------------

def to_plain(config: Any) -> dict[str, Any]:
    """The configuration as JSON values: paths become str, tuples lists, nested configurations dicts; None stays."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_plain(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def from_plain(config_type: type[Config], mapping: Mapping[str, Any]) -> Config:
    """The instance that `mapping` describes; keys left out keep their defaults.

    Raises:
        ConfigError: for an unknown key, a wrong type, a key without default left out, or what `__post_init__` refuses.
    """
    return _build(config_type, _checked(config_type, mapping), "")


def _build(config_type: type[Config], values: Mapping[str, Any], prefix: str) -> Config:
    """`values` are of the right types already; nested configurations are dicts of such."""
    arguments: dict[str, Any] = {}
    for field, hint in _fields(config_type):
        if dataclasses.is_dataclass(hint):
            nested = _merged(hint, _checked(hint, _nested_default(field)), values.get(field.name, {}))
            arguments[field.name] = _build(hint, nested, f"{prefix}{field.name}.")      # type: ignore[arg-type]
        elif field.name in values:
            arguments[field.name] = values[field.name]
        elif _default(field) is dataclasses.MISSING:
            raise ConfigError(f"{prefix}{field.name} is not set and has no default; wanted {_wanted(hint)}. "
                              f"Set it in the TOML file or as --{_option(prefix + field.name)}.")
    return config_type(**arguments)


def _checked(config_type: Any, mapping: Any, prefix: str = "") -> dict[str, Any]:
    """`mapping` with every value converted to its field's type; refuses unknown keys. Keys may be missing."""
    if not isinstance(mapping, Mapping):
        raise _wrong(prefix.rstrip("."), mapping, "a table of keys")
    hints = {field.name: hint for field, hint in _fields(config_type)}
    for key in mapping:
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1, cutoff=0.5)
            guess = f" Did you mean {prefix}{near[0]}?" if near else ""
            raise ConfigError(f"unknown key {prefix}{key}.{guess} Known here: {', '.join(hints) or 'none'}.")
    return {key: _checked(hints[key], value, f"{prefix}{key}.") if dataclasses.is_dataclass(hints[key])
            else _value(hints[key], value, f"{prefix}{key}") for key, value in mapping.items()}


def _value(hint: Any, value: Any, key: str) -> Any:
    """`value` as a value of the type `hint`, or ConfigError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        for arm in arguments:
            try:
                return _value(arm, value, key)
            except ConfigError:
                continue
        raise _wrong(key, value, _wanted(hint))
    if hint is type(None) and value is None:
        return None
    if origin is Literal:
        for choice in arguments:
            if type(choice) is type(value) and choice == value:
                return choice
        near = difflib.get_close_matches(str(value), [str(choice) for choice in arguments], n=1)
        raise _wrong(key, value, _wanted(hint), f" Did you mean {near[0]!r}?" if near else "")
    if origin is tuple and isinstance(value, list | tuple):
        if arguments[-1] is Ellipsis:
            return tuple(_value(arguments[0], item, f"{key}[{i}]") for i, item in enumerate(value))
        if len(value) == len(arguments):
            pairs = zip(arguments, value, strict=True)
            return tuple(_value(each, item, f"{key}[{i}]") for i, (each, item) in enumerate(pairs))
    if inspect.isclass(origin) and issubclass(origin, Mapping) and isinstance(value, Mapping):
        return {str(name): _value(arguments[1], item, f"{key}.{name}") for name, item in value.items()}
    if hint in _SCALARS and isinstance(value, _SCALARS[hint]) and (hint is bool or not isinstance(value, bool)):
        if isinstance(value, float) and not math.isfinite(value):       # no comparison refuses a NaN, and nothing is infinite
            raise _wrong(key, value, "a finite number")
        return hint(value)
    raise _wrong(key, value, _wanted(hint))


def _wrong(key: str, value: Any, wanted: str, hint: str = "") -> ConfigError:
    kind = "list" if isinstance(value, list) else "table" if isinstance(value, dict) else type(value).__name__
    return ConfigError(f"{key or 'the configuration'} is {_shown(value)} ({kind}); wanted {wanted}.{hint}")


def _shown(value: Any) -> str:
    return textwrap.shorten(repr(value), 80, placeholder=" ...")


def _wanted(hint: Any) -> str:
    """The type in words a person who never saw Python understands."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_wanted(arm) for arm in arguments)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in arguments)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"a list, each {_wanted(arguments[0])}"
        return f"a list of {len(arguments)}: {', '.join(_wanted(each) for each in arguments)}"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return f"a table, each {_wanted(arguments[1])}"
    return "a table of keys" if dataclasses.is_dataclass(hint) else str(_WORDS.get(hint) or hint)


def _fields(config_type: Any) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    """Each field with its type, names resolved."""
    hints = get_type_hints(config_type)
    for field in dataclasses.fields(config_type):
        hint = hints[field.name]
        if any(dataclasses.is_dataclass(argument) for argument in get_args(hint)):
            raise TypeError(f"{config_type.__name__}.{field.name} is {hint}: a nested configuration stands alone, "
                            "neither optional nor in a tuple. Switch it by a field of its own.")
        yield field, hint


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _nested_default(field: dataclasses.Field[Any]) -> dict[str, Any]:
    """The owner's default of a nested configuration, which may differ from that configuration's own defaults."""
    default = _default(field)
    return {} if default is dataclasses.MISSING else to_plain(default)


def _merged(config_type: Any, below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, key by key inside nested configurations; a list or mapping replaces as a whole."""
    both = {**below, **above}
    for field, hint in _fields(config_type):
        if dataclasses.is_dataclass(hint) and field.name in both:
            both[field.name] = _merged(hint, below.get(field.name, {}), above.get(field.name, {}))
    return both


# ---- TOML -----------------------------------------------------------------------------------------------------------

def to_toml(config: Any) -> str:
    """The configuration as TOML; `from_plain(type(config), tomllib.loads(text))` gives it back.

    TOML has no word for None, so such keys are left out.

    Raises:
        ConfigError: if a key is None though its default is something else: the text could not say so.
    """
    text = plain_to_toml(to_plain(config))
    again, wanted = (_flat(to_plain(each)) for each in (from_plain(type(config), tomllib.loads(text)), config))
    lost = [key for key in wanted if wanted[key] is None and again.get(key) is not None]
    if lost:
        raise ConfigError(f"{', '.join(lost)}: none cannot be written in TOML where the default is something else. "
                          "Use a value that means the same, such as 0.")
    return text


def _flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return flat


# ---- the command line -----------------------------------------------------------------------------------------------

def load(config_type: type[Config], *, toml: Path | None = None, arguments: Sequence[str] = (), program: str,
         description: str = "", defaults: Mapping[str, Any] | None = None, seed: int | None = None) -> Config:
    """The configuration a command was asked for: own defaults, then `defaults`, then the TOML file, then the options.

    Where `toml` is None, one word of `arguments` that ends in `.toml` and stands for itself is that file.
    `defaults` holds plain values, such as the project's own settings for this command; `seed`, where not None, is the
    value of a field of that name, if there is one. `--help` prints the keys with their comments and leaves with code
    0, an unknown or unreadable option with code 2 after a message.

    Raises:
        ConfigError: see `from_plain`.
        SystemExit: after `--help` or wrong usage.
    """
    # Here, not above: 0.1 s that `tutelage --help` need not pay.
    import tyro

    if toml is None:
        toml, arguments = split_toml(arguments, _several(config_type))
    given = _checked(config_type, defaults or {})
    if toml is not None:
        try:
            given = _merged(config_type, given, _checked(config_type, read_toml(toml)))
        except ConfigError as error:
            raise error if str(toml) in str(error) else ConfigError(f"{toml}: {error}") from None
    text = inspect.cleandoc(description or config_type.__doc__ or "")
    note = f"A CONFIG.toml with these keys may stand first; options override it. {COMMON_HELP}"
    parsed = tyro.cli(_mirror(config_type, given), args=list(arguments), prog=program,
                      description=f"{text}\n\n{note}".strip())
    plain = dataclasses.asdict(parsed)
    return from_plain(config_type, {**plain, "seed": seed} if seed is not None and "seed" in plain else plain)


def split_toml(arguments: Sequence[str], several: Collection[str] = ()) -> tuple[Path | None, list[str]]:
    """The CONFIG.toml among `arguments`, if any, and the rest. A word right after an option belongs to the option, and so do
    all words up to the next where the option is one of `several`, which take more values than one.
    """
    option, at = "", 0      # the last option, and its place
    for i, word in enumerate(arguments):
        if word.startswith("--"):
            option, at = word, i
        elif word.endswith(".toml") and not word.startswith("-"):
            takes = option and "=" not in option and (i == at + 1 or option[2:].replace("-", "_") in several)
            if not takes:
                return Path(word), [*arguments[:i], *arguments[i + 1:]]
    return None, list(arguments)


def _several(config_type: Any) -> set[str]:
    """Keys whose option takes several values."""
    return {field.name for field, hint in _fields(config_type) if get_origin(hint) is tuple}


def _mirror(config_type: Any, given: Mapping[str, Any]) -> type[Any]:
    """A dataclass with the same fields, `given` as defaults and no checks, for the command line to be read into.

    The checks wait for `from_plain`: a default that TOML left impossible may yet be mended by an option, and its
    refusals stay ConfigErrors.
    """
    import tyro

    comments, fields = field_comments(config_type), []
    for field, hint in _fields(config_type):
        help_text = tyro.conf.arg(help=comments.get(field.name, ""))
        if dataclasses.is_dataclass(hint):
            nested = _merged(hint, _checked(hint, _nested_default(field)), given.get(field.name, {}))
            fields.append((field.name, Annotated[_mirror(hint, nested), help_text], dataclasses.field()))
            continue
        default = given.get(field.name, _default(field))
        required = default is dataclasses.MISSING
        slot: Any = dataclasses.field() if required else dataclasses.field(default_factory=_give(default))
        fields.append((field.name, Annotated[hint, help_text], slot))
    return dataclasses.make_dataclass(config_type.__name__, fields, kw_only=True)


def _give(value: Any) -> Callable[[], Any]:
    return lambda: value


def _option(key: str) -> str:
    return key.replace("_", "-")


# ---- documentation --------------------------------------------------------------------------------------------------

def describe(config_type: type) -> str:
    """A Markdown table of the configuration's keys, nested ones included: option, type, default, meaning."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    rows += [f"| `{key}` | {_cell(kind)} | {_cell(default)} | {_cell(meaning)} |"
             for key, kind, default, meaning in _rows(config_type, {}, "")]
    return "\n".join(rows)


def _rows(config_type: Any, given: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    comments = field_comments(config_type)
    for field, hint in _fields(config_type):
        if dataclasses.is_dataclass(hint):
            nested = _merged(hint, _nested_default(field), given.get(field.name, {}))
            yield from _rows(hint, nested, f"{prefix}{field.name}.")
            continue
        default = given.get(field.name, _default(field))
        shown = "required" if default is dataclasses.MISSING else _shown_default(_plain(default))
        yield f"{prefix}{field.name}", _wanted(hint), shown, comments.get(field.name, "")


def _shown_default(value: Any) -> str:
    return "none" if value is None else f"`{toml_value(value) if not isinstance(value, Mapping) else value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
