"""Names of rewards with arguments: `tags(think, answer)`, `regex('^[0-9]+$')`, `hf:org/name[POSITIVE](as=probability)`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tutelage.errors import ConfigError

_NAMED = re.compile(r"(?P<name>[^\[\](]+)(\[(?P<label>[^\]]*)\])?(\((?P<arguments>.*)\))?", re.DOTALL)
_ARGUMENT = re.compile(r"""\s*(?:(?P<key>\w+)\s*=\s*)?(?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<bare>[^,'"]*))\s*(?:,|$)""")


@dataclass(frozen=True, slots=True)
class Called:
    """`name[label](values, key=value)`; all are texts, and those in quotes stand as they are: a backslash is a backslash."""

    name: str
    label: str | None = None
    values: tuple[str, ...] = ()
    named: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Called:
        """
        Raises:
            ConfigError: if brackets or quotes do not close, or a key stands twice.
        """
        found = _NAMED.fullmatch(text)
        if found is None:
            raise ConfigError(f"reward {text!r} cannot be read; wanted NAME, NAME[LABEL] or NAME(VALUE, KEY=VALUE).")
        values, named = _arguments(found["arguments"] or "", text)
        return cls(found["name"].strip(), found["label"], values, named)

    def only(self, *keys: str, values: int = 0) -> None:
        """Refuse what a reward does not take."""
        unknown = [key for key in self.named if key not in keys]
        if unknown or len(self.values) > values:
            got = ", ".join([*self.values[values:], *(f"{key}=" for key in unknown)])
            raise ConfigError(f"{self.name} does not take {got}; it takes "
                              + (", ".join(["a value"] * bool(values) + [f"{key}=" for key in keys]) or "nothing") + ".")


def _arguments(text: str, whole: str) -> tuple[tuple[str, ...], dict[str, str]]:
    values: list[str] = []
    named: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _ARGUMENT.match(text, at)
        if found is None or found.end() == at:
            raise ConfigError(f"reward {whole!r}: cannot read {text[at:]!r}. Put a value with commas or quotes into quotes.")
        value = next((each for each in (found["single"], found["double"]) if each is not None), (found["bare"] or "").strip())
        if found["key"] and found["key"] in named:
            raise ConfigError(f"reward {whole!r} says {found['key']} twice.")
        if found["key"]:
            named[found["key"]] = value
        else:
            values.append(value)
        at = found.end()
    return tuple(values), named
