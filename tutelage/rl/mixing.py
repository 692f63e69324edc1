"""Text mixed into the updates of RL, so that the policy keeps what it knew: PPO-ptx (Ouyang et al. 2022, arXiv:2203.02155)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.data.datasets import Dataset
from tutelage.data.documents import windows
from tutelage.data.loader import collate, epoch_batches, micro_batches
from tutelage.data.truncation import Truncation, fit_all
from tutelage.errors import DataError
from tutelage.training.loop import MicroBatch


def rendered(data: Dataset, template: ChatTemplate, max_length: int) -> tuple[dict[str, Rendered], Truncation]:
    """Rows by name: an instruction with its responses as labels, a document in windows. A longer row is left out and counted.

    Raises:
        DataError: if the records are of another kind, or no row is left.
    """
    records: list[Any] = data.records
    if data.kind == "document":
        rows = windows(records, template.tokenizer, max_length).rows
    elif data.kind == "instruction":
        rows = {f"{record.id}#{place}": template.render(record.messages, tools=record.tools)
                for place, record in enumerate(records)}
    else:
        raise DataError(f"ptx_data takes instructions or documents; these are records of kind {data.kind}.")
    fitting, truncation = fit_all(rows, max_length)
    if not fitting:
        raise DataError(f"ptx_data has no row of at most {max_length} tokens with something to learn ({truncation}). Raise "
                        "ptx_tokens.")
    return fitting, truncation


class Mixture:
    """The text of each update: rows in a new order each pass, a pure function of the seed and the update's number."""

    def __init__(self, rows: Mapping[str, Rendered], tokens: int, micro_tokens: int, lanes: int, share: bool, seed: int) -> None:
        self.names, self.rows = list(rows), list(rows.values())
        self.lengths = [len(row.ids) for row in self.rows]
        self.tokens, self.micro_tokens, self.lanes, self.share, self.seed = tokens, micro_tokens, lanes, share, seed
        self._batches: list[list[int]] = []
        self._epochs = 0

    def batches(self, update: int) -> list[MicroBatch]:
        """The micro-batches of update number `update`."""
        while len(self._batches) <= update:
            self._batches += epoch_batches(self.lengths, self.seed, self._epochs, self.tokens)
            self._epochs += 1
        return [self._collate(part) for part in micro_batches(self._batches[update], self.lengths, self.micro_tokens, self.lanes)]

    def largest(self) -> MicroBatch:
        """The micro-batch of the first pass that has most tokens."""
        first = range(len(epoch_batches(self.lengths, self.seed, 0, self.tokens)))
        return max((each for update in first for each in self.batches(update)), key=lambda each: each.tokens.num_tokens)

    def _collate(self, rows: list[int]) -> MicroBatch:
        return MicroBatch(tokens=collate([self.rows[row] for row in rows], self.share),
                          rows=tuple(self.names[row] for row in rows))
