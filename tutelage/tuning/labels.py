"""From labelled texts to rows that a classifier can learn: classes by number, texts as ids, a part kept out.

B texts · K classes
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.errors import DataError
from tutelage.records import Label
from tutelage.seeds import stream_seed
from tutelage.tuning.config import Classify


@dataclass(frozen=True, slots=True)
class Row:
    """A text as the model sees it, and the classes it is in, by number, in order."""

    name: str
    text: str
    ids: tuple[int, ...]
    classes: tuple[int, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Classes:
    """What is told apart. With `multi` a text may be in none or several, else it is in exactly one."""

    names: tuple[str, ...]
    multi: bool

    def numbers(self, record: Label) -> tuple[int, ...]:
        return tuple(sorted({self.names.index(label) for label in record.labels}))


def classes_of(records: Sequence[Label], config: Classify) -> Classes:
    """The classes of a data set: those the configuration lists, else all that occur, sorted.

    Raises:
        DataError: if all rows are labelled alike, a label is none of those listed, or a row is not in exactly one class
            where it has to be.
    """
    found = sorted({label for record in records for label in record.labels})
    if len({frozenset(record.labels) for record in records}) < 2:
        raise DataError(f"classify: all {len(records)} rows have the same labels ({', '.join(found) or 'none'}), so there is "
                        "nothing to tell apart. Give rows of at least two classes.")
    if config.labels and (unknown := [label for label in found if label not in config.labels]):
        raise DataError(f"classify: {', '.join(unknown[:5])} {'is' if len(unknown) == 1 else 'are'} none of the labels that are "
                        f"listed ({', '.join(config.labels)}). Mend the rows, or list all: --labels {' '.join(found)}.")
    several = [record for record in records if len(set(record.labels)) != 1]
    if several and config.task == "single":
        raise DataError(f"classify: {len(several)} of {len(records)} rows are not in exactly one class (first: row "
                        f"{several[0].id} in {len(set(several[0].labels))}). Mend them, or say --task multi.")
    return Classes(tuple(config.labels or found), config.task == "multi" or bool(several))


def encode(tokenizer: Any, texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Ids of each text as the tokenizer gives them to a classifier: with the special tokens it puts around one."""
    return [tuple(ids) for ids in tokenizer(list(texts), verbose=False)["input_ids"]] if texts else []


def encode_rows(records: Sequence[Label], classes: Classes, tokenizer: Any, max_length: int) -> tuple[list[Row], int]:
    """Rows within `max_length` tokens, and how many are longer.

    Raises:
        DataError: if a text has no token, or none is short enough.
    """
    rows = [Row(record.id, record.text, ids, classes.numbers(record), record.weight)
            for record, ids in zip(records, encode(tokenizer, [record.text for record in records]), strict=True)]
    if empty := [row.name for row in rows if not row.ids]:
        raise DataError(f"classify: {len(empty)} texts have no token (first: row {empty[0]}). Leave them out.")
    kept = [row for row in rows if len(row.ids) <= max_length]
    if not kept:
        raise DataError(f"classify: all {len(rows)} texts are longer than {max_length} tokens (the shortest has "
                        f"{min(len(row.ids) for row in rows)}). Raise max_length, where the model has positions for that.")
    return kept, len(rows) - len(kept)


def split_rows(rows: Sequence[Row], classes: Classes, fraction: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Train and held-out rows: by a hash of the text, so that equal texts are on one side.

    Raises:
        DataError: if no row of some class is left to train on.
    """
    def held(row: Row) -> bool:
        return stream_seed(seed, "classify", "heldout", row.text) / 2**63 < fraction

    train = [row for row in rows if not held(row)]
    seen = Counter(index for row in train for index in row.classes)
    unseen = [name for index, name in enumerate(classes.names) if not seen[index]]
    if unseen or not train:
        raise DataError(f"classify: of {len(rows)} rows within max_length, {len(train)} are left to train on, and none of these "
                        f"is labelled {', '.join(unseen[:5])}. Give more rows of it, or lower heldout_fraction ({fraction}).")
    return train, [row for row in rows if held(row)]


def class_weights(rows: Sequence[Row], classes: Classes, way: str) -> tuple[float, ...] | None:
    """(K,) what a text of each class counts in the loss; None where all count 1.

    Balanced: n / (K n_k), so that every class counts alike; with `multi` what a yes counts against a no, (n - n_k) / n_k.
    """
    if way == "none":
        return None
    counts = Counter(index for row in rows for index in row.classes)
    n, k = len(rows), len(classes.names)
    if classes.multi:
        return tuple((n - counts[index]) / counts[index] if counts[index] < n else 1.0 for index in range(k))
    return tuple(n / (k * counts[index]) for index in range(k))


def counted(rows: Sequence[Row], classes: Classes) -> Mapping[str, int]:
    """Rows of each class, by name."""
    counts = Counter(index for row in rows for index in row.classes)
    return {name: counts[index] for index, name in enumerate(classes.names)}
