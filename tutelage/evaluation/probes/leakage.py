"""Training rows given back: is a row's own opening enough for a model to go on with the row, word for word?

As in Carlini et al. 2021 (arXiv:2012.07805), but on known rows: half of what was learned is given, in the form it was learned
in, and the likeliest continuation must be the next words of the row. Rows that were kept out are asked the same; what a model
does with these, and what a model that never saw the rows does, is what can be guessed. Above it, it is memory. A floor: one
way of asking, one continuation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tutelage.data.datasets import load_dataset
from tutelage.data.usage import used_rows
from tutelage.errors import ArtifactError, ConfigError
from tutelage.evaluation.config import Task
from tutelage.evaluation.tasks import Item, Loaded
from tutelage.lineage import content_hash
from tutelage.messages import Messages
from tutelage.project import Artifact
from tutelage.records import Document, Instruction, Preference
from tutelage.text_metrics import UNIT

FEWEST, MOST = 6, 20     # units of a row that must be given back; rows with fewer behind their opening are left out
ROWS = 200               # asked at most, spread evenly over the rows


def leakage_tasks(trained: Sequence[tuple[Artifact, Sequence[Artifact]]], limit: int = 0) -> list[Loaded]:
    """Of the rows the models were trained on and, where there are such, of those kept out of the same data sets.

    Args:
        trained: each data set, and the models that were trained on it.
    Raises:
        ConfigError: if there is none, or no row is long enough.
    """
    seen: list[Item] = []
    kept: list[Item] = []
    for dataset, models in trained:
        used = [used_rows(model, dataset.ref) for model in models]
        known = None if any(rows is None for rows in used) else {row for rows in used if rows for row in rows}
        for record in load_dataset(dataset).records:
            (seen if known is None or record.id in known else kept).extend(_items(record))
        kept += [item for record in _heldout(dataset) for item in _items(record)]
    if not seen:
        raise ConfigError("the probe leakage needs a model that was trained on a data set of this project, with rows of "
                          f"{2 * FEWEST} words or more. Import data before training on it, or leave the probe out.")
    most = limit or ROWS
    return [_task(name, spread(items, most)) for name, items in (("leakage", seen), ("leakage, kept out", kept)) if items]


def _task(name: str, items: Sequence[Item]) -> Loaded:
    head = Task(name=name, kind="continuation", max_new_tokens=64)
    return Loaded(head, tuple(items), (), content_hash([[item.id, item.opening, *item.answers] for item in items]))


def _heldout(dataset: Artifact) -> Iterable[Any]:
    try:
        return load_dataset(dataset, "heldout").records
    except ArtifactError:
        return ()


def _items(record: Any) -> Iterable[Item]:
    """The row as an item, if it is of a kind that is learned by heart and long enough."""
    asked: Messages = ()
    if isinstance(record, Document):
        text = record.text
    elif isinstance(record, Instruction):
        asked, text = record.prompt, record.response.text
    elif isinstance(record, Preference):
        asked, text = record.prompt, record.chosen[-1].text
    else:
        return
    if (parts := halves(text)) is not None:
        yield Item(id=record.id, turns=(), messages=asked, opening=parts[0], answers=(parts[1],))


def halves(text: str) -> tuple[str, str] | None:
    """The first half of a text by its units, and up to MOST units that follow, both as they stand; None where it is too short."""
    places = [found.span() for found in UNIT.finditer(text)]
    half = len(places) // 2
    if len(places) - half < FEWEST:
        return None
    cut = places[half - 1][1]
    return text[:cut], text[cut:places[min(len(places), half + MOST) - 1][1]]


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many, evenly from the first to the last."""
    return [items[place * len(items) // most] for place in range(most)] if len(items) > most else list(items)
