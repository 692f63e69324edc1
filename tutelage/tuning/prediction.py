"""A classifier at work: texts in, labels and probabilities out.

    Predictor.load(path).predict(["Where is my parcel?"])[0].labels

B texts · K classes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutelage.batch import TokenBatch
from tutelage.data.loader import cut_by_tokens
from tutelage.errors import DataError
from tutelage.models.classifier import Classifier, load_classifier
from tutelage.models.load import load_tokenizer
from tutelage.tuning.labels import encode

MICRO_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of one text: its labels (one, or with a multi-label classifier any number) and the probability of every class."""

    labels: tuple[str, ...]
    probabilities: Mapping[str, float]


class Predictor:
    """A classifier with its tokenizer."""

    def __init__(self, classifier: Classifier, tokenizer: Any) -> None:
        self.classifier, self.tokenizer = classifier, tokenizer

    @classmethod
    def load(cls, directory: Path, precision: str = "") -> Predictor:
        """The classifier saved in `directory`, by default in the arithmetic it is saved in.

        Raises:
            ModelError: if there is none, or it cannot be read.
        """
        return cls(load_classifier(directory, precision), load_tokenizer(directory))

    def predict(self, texts: Sequence[str], threshold: float = 0.5) -> list[Prediction]:
        """One prediction a text, in order; no text changes another's, but for rounding.

        Args:
            threshold: with a multi-label classifier, the probability from which a label is given.
        Raises:
            DataError: if a text has no token, or more than the model has positions for.
        """
        rows = encode(self.tokenizer, texts)
        limit = self.classifier.max_tokens
        if bad := [place for place, ids in enumerate(rows) if not 0 < len(ids) <= limit]:
            raise DataError(f"text {bad[0]} has {len(rows[bad[0]])} tokens; wanted 1 to {limit}, as many as the model has "
                            f"positions for ({len(bad)} of {len(texts)} texts are refused). Shorten or leave them out.")
        classes = self.classifier.classes
        logits = class_logits(self.classifier, rows)
        chances = (logits.sigmoid() if self.classifier.multi_label else logits.softmax(1)).tolist()
        given = chosen_classes(logits, self.classifier.multi_label, threshold)
        return [Prediction(tuple(classes[index] for index in each), dict(zip(classes, chance, strict=True)))
                for each, chance in zip(given, chances, strict=True)]


@torch.no_grad()
def class_logits(classifier: Classifier, sequences: Sequence[Sequence[int]], micro_tokens: int = MICRO_TOKENS) -> Tensor:
    """(B, K) logits; texts go through the model in runs of at most `micro_tokens`."""
    runs = cut_by_tokens(range(len(sequences)), [len(ids) for ids in sequences], micro_tokens)
    logits = [classifier(pack([sequences[row] for row in run])).scores for run in runs]
    return torch.cat([each for each in logits if each is not None]) if logits else torch.zeros(0, len(classifier.classes))


def pack(sequences: Sequence[Sequence[int]]) -> TokenBatch:
    """Texts laid end to end; none of their tokens is a label."""
    return TokenBatch.pack(sequences, [[False] * len(ids) for ids in sequences])


def chosen_classes(logits: Tensor, multi: bool, threshold: float = 0.5) -> list[list[int]]:
    """The classes of each text, by number: the likeliest (of equals the first), or with `multi` all from `threshold` on."""
    if multi:
        return [[index for index, chance in enumerate(row) if chance >= threshold] for row in logits.sigmoid().tolist()]
    return logits.argmax(1, keepdim=True).tolist()
