"""The model card: what it says, what it leaves open, and that names cannot change its structure."""

from __future__ import annotations

import json
import re

import pytest

from tutelage.lineage import Manifest
from tutelage.reporting import CardInfo, DataUsed, Note, People, Report, Row, Table, lineage_node, model_card
from tutelage.statistics import Estimate

REPORT = Report(title="t", verdict="rlhf is better than base.", notes=(Note(text="48 prompts are few."),), tables=(
    Table(title="Every measure", columns=("Measure", "base", "rlhf"), n=48, notes=("", "96 responses", "96 responses"),
          rows=(Row(label="Truth", unit="points", cells=(Estimate(0.41, 0.36, 0.46, 48), None)),)),))
INFO = CardInfo(
    name="rlhf", base_model="smollm2-135m-q4", licence="Apache-2.0", languages=("en", "zh-CN"),
    data=(DataUsed(name="instructions-en", rows=1200, licence="CC-BY-4.0", used_for="sft"),
          DataUsed(name="mine", rows=3)),
    people=(People(kind="human", annotators=3, judgments=120), People(kind="scripted", annotators=1, judgments=400)),
    limits=("Answers may be wrong.",))


def front_matter(card: str) -> dict[str, object]:
    """The head, read line by line: every value is JSON."""
    head = card.split("---\n")[1]
    return {line.partition(": ")[0]: json.loads(line.partition(": ")[2]) for line in head.splitlines()}


def test_the_head_names_licence_language_base_and_data():
    assert front_matter(model_card(INFO, REPORT)) == {
        "language": ["en", "zh-CN"], "license": "Apache-2.0", "base_model": "smollm2-135m-q4",
        "datasets": ["instructions-en", "mine"], "library_name": "transformers", "pipeline_tag": "text-generation",
        "tags": ["tutelage", "rlhf"]}


def test_the_head_is_yaml():
    yaml = pytest.importorskip("yaml")
    card = model_card(INFO, REPORT)
    assert yaml.safe_load(card.split("---\n")[1]) == front_matter(card)


def test_results_carry_interval_and_n_and_a_dash_where_nothing_was_measured():
    card = model_card(INFO, REPORT)
    assert "| Measure (n=48) | base (96 responses) | rlhf (96 responses) |" in card
    assert "| Truth (points) | 0.41 \\[0.36, 0.46\\] | – |" in card


def test_annotators_are_counted_by_kind_and_licences_are_never_guessed():
    card = model_card(INFO, REPORT)
    assert "| human | 3 | 120 |" in card and "| scripted | 1 | 400 |" in card and "520" not in card
    assert "| instructions-en | 1,200 | CC-BY-4.0 | sft |" in card and "| mine | 3 | not stated |  |" in card


def test_limits_hold_the_notes_of_the_report_and_nothing_known_is_said():
    assert "- Answers may be wrong.\n- 48 prompts are few." in model_card(INFO, REPORT)
    assert model_card(CardInfo(name="x", limits=("48 prompts are few.",)), REPORT).count("48 prompts are few.") == 1
    empty = model_card(CardInfo(name="x"), Report(title="t"))
    assert "does not mean there are none" in empty and "No data set was recorded." in empty
    assert "No judgments were used." in empty and "license" not in front_matter(empty)


def test_the_card_speaks_chinese():
    card = model_card(INFO, Report(title="t", language="zh"))
    assert "## 训练数据" in card and "| 人 | 3 | 120 |" in card and "未说明" in card and "## What" not in card


@pytest.mark.parametrize("name", [
    "a\n---\nevil: 1", "a: b", "x|y", "<script>alert(1)</script>", "`code`", "- [ ] x", "\"q\""])
def test_a_name_cannot_change_the_structure(name):
    card = model_card(CardInfo(name=name, base_model=name, data=(DataUsed(name=name, rows=1, licence=name),)), REPORT)
    assert front_matter(card)["base_model"] == name
    assert card.count("\n---\n") == 1 and "<script>" not in re.sub("`[^`\n]+`", "", card)
    rows = [line for line in card.splitlines() if "| 1 |" in line]
    assert len(rows) == 1 and rows[0].replace("\\|", "").count("|") == 5


def test_a_node_keeps_counts_of_people_and_no_names():
    manifest = Manifest(
        kind="dataset", name="feedback", stage="feedback", sources={"raw.jsonl": "aa"}, seeds={"order": 3},
        people={"ana@x": {"kind": "human", "judgments": 5}, "bo": {"kind": "human", "judgments": 7},
                "script": {"kind": "scripted", "judgments": 9}}, files={"rows.jsonl": "bb"})
    node = lineage_node("dataset/feedback@1", manifest, role="data")
    assert node.people == (People(kind="human", annotators=2, judgments=12),
                           People(kind="scripted", annotators=1, judgments=9))
    assert node.files == {"raw.jsonl": "aa", "rows.jsonl": "bb"} and node.seeds == {"order": 3}
    assert "ana" not in repr(node)
