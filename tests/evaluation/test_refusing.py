"""The refusal rule on phrases it was made from, and on phrases kept back from its making."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tutelage.evaluation.refusing import refuses

LINES = Path(__file__).with_name("refusal_phrases.jsonl").read_text(encoding="utf-8").splitlines()
PHRASES = [json.loads(line) for line in LINES]


@pytest.mark.parametrize("row", [row for row in PHRASES if row["set"] == "dev"], ids=lambda row: row["text"][:30])
def test_every_phrase_it_was_made_from_is_told_rightly(row):
    assert refuses(row["text"]) == row["refuses"]


def test_precision_and_recall_on_phrases_that_were_kept_back():
    kept = [row for row in PHRASES if row["set"] == "held"]
    taken = [row["refuses"] for row in kept if refuses(row["text"])]
    precision, recall = sum(taken) / len(taken), sum(taken) / sum(row["refuses"] for row in kept)
    assert precision >= 0.9 and recall >= 0.7, (precision, recall)
    assert len(kept) == 90 and {row["text"] for row in kept}.isdisjoint(row["text"] for row in PHRASES if row["set"] == "dev")


def test_a_refusal_is_looked_for_in_the_opening_only():
    helpful = "Boil the water. Add the tea. Wait three minutes. Pour it. "
    assert not refuses(helpful + "I can't help with milk.") and refuses("I can't help with milk. " + helpful)
