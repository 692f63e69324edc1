"""The model card: Markdown with a YAML head, made from facts. What is not known is said to be not stated.

The YAML is written as JSON values, which YAML reads alike, with `<` escaped, so that no name can change its structure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tutelage.reporting.html import cell, json_for_script
from tutelage.reporting.report import People, Report, Table
from tutelage.reporting.strings import MODEL_CARD, phrase

_SPECIAL = re.compile(r"([\\`*_{}\[\]|#!~])")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataUsed:
    """A data set that went in. An empty licence is printed as not stated."""

    name: str
    rows: int
    licence: str = ""
    used_for: str = ""            # the stage: sft, reward, rl, evaluate


@dataclass(frozen=True, slots=True, kw_only=True)
class CardInfo:
    """What a card says besides the report's results."""

    name: str
    base_model: str = ""
    licence: str = ""             # of the weights, as an SPDX identifier
    languages: tuple[str, ...] = ("en",)
    description: str = ""
    data: tuple[DataUsed, ...] = ()
    people: tuple[People, ...] = ()
    limits: tuple[str, ...] = ()


def model_card(info: CardInfo, report: Report) -> str:
    """The card in the report's language: what it is, how to use it, its data and judges, results, limits, settings."""
    def say(key: str, **values: object) -> str:
        return phrase(MODEL_CARD, report.language, key, **values)

    blocks = [_front_matter(info), f"# {_plain(info.name)}", _plain(report.verdict)]
    blocks += [f"## {say('what')}", _plain(info.description)]
    if info.base_model:
        blocks.append(say("made_from", base=_code(info.base_model)))
    blocks += [f"## {say('use')}",
               f"```bash\ntutelage sample --model {_word(info.name)} --prompts prompts.jsonl\n```"]
    blocks += [f"## {say('data')}", _rows(say("data_columns"), (
        (_plain(each.name), f"{each.rows:,}", _plain(each.licence or say("unknown")), _plain(each.used_for))
        for each in info.data)) if info.data else say("no_data")]
    blocks += [f"## {say('feedback')}", say("feedback_about") if info.people else say("no_feedback")]
    if info.people:
        blocks.append(_rows(say("feedback_columns"),
                            ((say(who.kind), f"{who.annotators:,}", f"{who.judgments:,}") for who in info.people)))
    blocks += [f"## {say('results')}", say("results_about"), *(_table(table) for table in report.tables)]
    limits = dict.fromkeys([*info.limits, *(note.text for note in report.notes)])      # each once
    blocks += [f"## {say('limits')}", "\n".join(f"- {_plain(limit)}" for limit in limits) or say("no_limits")]
    if report.settings:
        blocks.append(f"## {say('made')}")
    for group in report.settings:
        items = "\n".join(f"- {_plain(name)}: `{_code(value)}`" for name, value in group.items)
        blocks.append(f"**{_plain(group.title)}**\n\n{items}")
    return "\n\n".join(block for block in blocks if block) + "\n"


def _front_matter(info: CardInfo) -> str:
    fields: dict[str, object] = {
        "language": list(info.languages), "license": info.licence or None, "base_model": info.base_model or None,
        "datasets": [each.name for each in info.data] or None, "library_name": "transformers",
        "pipeline_tag": "text-generation", "tags": ["tutelage", "rlhf"]}
    lines = (f"{name}: {json_for_script(value)}" for name, value in fields.items() if value is not None)
    return "---\n" + "\n".join(lines) + "\n---"


def _table(table: Table) -> str:
    """A report's table, with n in every heading or cell."""
    heads = [" ".join(filter(None, (column, note and f"({note})")))
             for column, note in zip(table.columns, table.notes or ("",) * len(table.columns), strict=True)]
    if table.n is not None:
        heads[0] += f" (n={table.n:,})"
    rows = ((_plain(row.label + (f" ({row.unit})" if row.unit else "")),
             *(_plain(" ".join(filter(None, cell(value, row.percent, n=table.n)))) for value in row.cells))
            for row in table.rows)
    return f"**{_plain(table.title)}**\n\n" + _rows(" | ".join(_plain(head) for head in heads), rows)


def _rows(heads: str, rows: Iterable[Sequence[str]]) -> str:
    width = len(re.findall(r"(?<!\\)\|", heads)) + 1
    return "\n".join([f"| {heads} |", "|" + " --- |" * width, *("| " + " | ".join(row) + " |" for row in rows)])


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave as it is, on one line."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", text)


def _code(text: str) -> str:
    """Text for a code span: one line, without what would end the span or a table's cell."""
    return " ".join(text.split()).replace("`", "'").replace("|", "/")


def _word(text: str) -> str:
    """A name for a command line in a code block."""
    return re.sub(r"[^\w.@/:-]", "_", text)
