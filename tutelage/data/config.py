"""Keys of `tutelage data import`, which may stand under `[import]` in the project's `tutelage.toml` or a CONFIG.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tutelage.errors import ConfigError
from tutelage.records import AnnotatorKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """How files become a data set."""

    format: str = ""                     # a name in docs/data.md; empty finds it by the keys of the first rows
    columns: Mapping[str, str] = field(default_factory=dict)   # our key -> the file's column (a.b is b inside of a)
    annotator: AnnotatorKind = "human"   # who judged, or wrote the responses, where a row does not say
    split: str = ""                      # of a directory or hub data set with several; empty takes train
    split_ratio: float = 0.0             # share of the prompts that is held out
    strict: bool = False                 # refuse a file at its first bad row, instead of leaving the row out

    def __post_init__(self) -> None:
        if not 0.0 <= self.split_ratio < 1.0:
            raise ConfigError(f"split_ratio is {self.split_ratio}; wanted at least 0 and under 1.")
