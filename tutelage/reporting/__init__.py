"""Figures and the one self-contained HTML report. Nothing here knows a model: it is given numbers and text."""

from tutelage.reporting.html import render_html
from tutelage.reporting.model_card import CardInfo, DataUsed, model_card
from tutelage.reporting.report import (
    Answer,
    Card,
    Curve,
    Example,
    IntervalGroup,
    IntervalPlot,
    IntervalRow,
    Language,
    Line,
    Node,
    Note,
    People,
    Report,
    Row,
    Settings,
    Table,
    Verdict,
    lineage_node,
)

__all__ = [
    "Answer", "Card", "CardInfo", "Curve", "DataUsed", "Example", "IntervalGroup", "IntervalPlot", "IntervalRow",
    "Language", "Line", "Node", "Note", "People", "Report", "Row", "Settings", "Table", "Verdict", "lineage_node",
    "model_card", "render_html",
]
