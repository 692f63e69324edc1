"""How rows are spread over the values of a field, and weights for a sampler that spreads them more evenly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.data.languages import language
from tutelage.data.texts import prompt_text, responses

MISSING = "(none)"

WEIGHTS = "weights.jsonl"      # of a data set: a line a row to train on, its id and sampler weight


def field_of(record: Any, name: str) -> str:
    """The value of a field as text: `language` (of prompt and response), a field of the record, or a key of its `meta`."""
    if name == "language":
        return language(" ".join([prompt_text(record), *responses(record)[:1]])) or "unknown"
    value = getattr(record, name, None)
    if value is None or value == "":
        meta = getattr(record, "meta", None) or {}
        value = meta.get(name.removeprefix("meta."))
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or MISSING
    return MISSING if value is None or value == "" else str(value)


def sampler_weights(counts: Mapping[str, int], evenness: float = 1.0) -> dict[str, float]:
    """Weight of a row by its value: (1 / count)^evenness, scaled so that the mean over rows is 1.

    With `evenness` 1 every value is drawn as often as another, with 0 as it stands, with 0.5 by the root of its count.
    """
    if not 0.0 <= evenness <= 1.0:
        raise ValueError(f"evenness is {evenness}; wanted 0 to 1.")
    raw = {value: count ** -evenness for value, count in counts.items() if count}
    mean = sum(counts[value] * weight for value, weight in raw.items()) / sum(counts[value] for value in raw)
    return {value: weight / mean for value, weight in raw.items()}


def balance(values: Sequence[str], evenness: float = 1.0) -> list[dict[str, Any]]:
    """A line for each value, the commonest first: rows, share, weight and the share under the weight."""
    counts = Counter(values)
    if not counts:
        return []
    weights = sampler_weights(counts, evenness)
    return [{"value": value, "rows": count, "share": count / len(values), "weight": weights[value],
             "weighted_share": count * weights[value] / len(values)} for value, count in counts.most_common()]
