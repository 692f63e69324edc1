"""From the figures of a reward model to the page about them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.evaluation.compare import FEWEST_PROMPTS
from tutelage.evaluation.judged_pairs import Item
from tutelage.evaluation.report import settings_of
from tutelage.evaluation.report_sections import Say
from tutelage.evaluation.reward_results import Calibration, Rated, RewardFigures, Slice
from tutelage.evaluation.reward_strings import REWARD
from tutelage.evaluation.strings import EVALUATION
from tutelage.messages import Messages
from tutelage.reporting.numbers import format_estimate, format_number
from tutelage.reporting.report import (
    Answer,
    Card,
    Cell,
    Curve,
    Example,
    IntervalGroup,
    IntervalPlot,
    IntervalRow,
    Language,
    Line,
    Node,
    Note,
    Report,
    Row,
    Table,
    Verdict,
)
from tutelage.reporting.strings import phrase
from tutelage.statistics import FEW_CLUSTERS, Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Pairs that were not measured on, by reason. `training` says what is known of the training data: `known` (nothing near it is
    left in), `prompts` (only equal prompts were left out, `why` being the reason) or `unknown`.
    """

    trained: int = 0
    near: int = 0
    long: int = 0
    tokens: int = 0                # more than so many are long
    skipped: int = 0
    skipped_why: str = ""
    training: str = "unknown"
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A reward with its figures and its worst errors, worst first."""

    name: str
    figures: RewardFigures
    left_out: LeftOut
    errors: Sequence[tuple[Item, Rated]]
    wrong: int
    regressed: float | None = None      # score units a unit of log(1 + tokens), where length was regressed out

    @property
    def verdict(self) -> Verdict | None:
        """Against chance; None where there is no decided pair."""
        accuracy = self.figures.accuracy
        if accuracy is None:
            return None
        if accuracy.n < FEWEST_PROMPTS:
            return "too_few"
        return "better" if accuracy.low > 0.5 else "worse" if accuracy.high < 0.5 else "tied"


def report_of_reward(found: Examined, *, language: Language, lineage: Sequence[Node] = (),
                     facts: Mapping[str, Any] | None = None) -> Report:
    """The page about a reward model."""
    def say(key: str, **values: object) -> str:
        return phrase(REWARD, language, key, **values)

    figures = found.figures
    accuracy = figures.accuracy
    said = {"name": found.name, "pairs": f"{figures.decided:,}", "fewest": FEWEST_PROMPTS,
            "accuracy": "" if accuracy is None else _in_text(accuracy, percent=True)}
    return Report(
        title=say("title", name=found.name), language=language, verdict=say(f"verdict_{found.verdict or 'none'}", **said),
        verdict_tone=found.verdict, lede=_lede(found, say, language), cards=_cards(found, say),
        tables=tuple(_tables(figures, say)), intervals=tuple(_groups(figures, say)),
        curves=() if figures.calibration is None else (_reliability(figures.calibration, say),),
        curves_title=say("calibration"), curves_about=say("calibration_about"), examples=_errors(found, say),
        examples_title=say("errors"), examples_about=say("errors_about", count=len(found.errors), wrong=f"{found.wrong:,}"),
        lineage=tuple(lineage), notes=tuple(_notes(found, say, language)),
        settings=settings_of(facts or {}, lambda key, **values: phrase(EVALUATION, language, key, **values)))


def _in_text(estimate: Estimate, percent: bool = False) -> str:
    return " ".join(format_estimate(estimate, 0.5 if percent else 0.0, percent))


def _lede(found: Examined, say: Say, language: Language) -> str:
    figures, ceiling = found.figures, found.figures.ceiling
    key = "lede_heldout" if found.left_out.training == "known" else "lede"
    sentences = [say(key, pairs=f"{figures.pairs:,}", prompts=f"{figures.prompts:,}")]
    if ceiling is not None:
        sentences.append(say("lede_ceiling", items=f"{ceiling.items:,}",
                             who=say(f"who_{ceiling.annotator}"), people=_in_text(ceiling.people, percent=True),
                             model=_in_text(ceiling.model, percent=True)))
    elif figures.pairs:
        sentences.append(say("lede_no_ceiling"))
    return phrase(EVALUATION, language, "between_sentences").join(sentences)


def _cards(found: Examined, say: Say) -> tuple[Card, ...]:
    figures = found.figures

    def undefined(name: str) -> str:
        return say(figures.undefined[name]) if name in figures.undefined else ""

    ceiling, calibration, length = figures.ceiling, figures.calibration, figures.length
    return (
        Card(label=say("accuracy"), value=figures.accuracy, percent=True, verdict=found.verdict, note=undefined("accuracy")),
        Card(label=_among(figures, say), value=None if ceiling is None else ceiling.people, percent=True,
             note=undefined("ceiling")),
        Card(label=say("ece"), value=None if calibration is None else calibration.error, note=undefined("calibration")),
        Card(label=say("at_equal"), value=None if length is None else length.at_equal, note=undefined("length")))


def _among(figures: RewardFigures, say: Say) -> str:
    kind = "human" if figures.ceiling is None else figures.ceiling.annotator
    return say("people", who=say(f"among_{kind}"))


def _tables(figures: RewardFigures, say: Say) -> list[Table]:
    rows: list[Row] = []

    def row(key: str, value: Cell, why: str = "", percent: bool = False, unit: str = "", label: str = "",
            **said: object) -> None:
        about = say(figures.undefined[why]) if why in figures.undefined else say(f"{key}_about", **said)
        rows.append(Row(label=label or say(key), about=about, cells=(value,), percent=percent, unit=unit))

    ceiling, calibration, length = figures.ceiling, figures.calibration, figures.length
    row("accuracy", figures.accuracy, "accuracy", percent=True)
    row("people", None if ceiling is None else ceiling.people, "ceiling", percent=True, label=_among(figures, say))
    if ceiling is not None:
        row("model_with_one", ceiling.model, percent=True, items=f"{ceiling.items:,}")
    row("ece", None if calibration is None else calibration.error, "calibration",
        luck=format_number(None if calibration is None else calibration.luck, 3))
    row("brier", None if calibration is None else calibration.brier, "calibration")
    row("thumbs", figures.thumbs, "thumbs")
    row("within", None if length is None else length.within, "length")
    row("at_equal", None if length is None else length.at_equal, "length")
    row("slope", None if length is None else length.slope, "length", unit=say("unit_score"))
    row("position", figures.position, "position")
    if figures.swap is not None:
        row("swap", figures.swap.largest, unit=say("unit_score"), turned=figures.swap.turned, pairs=figures.swap.pairs)
    rows += _spread_rows(figures, say)
    if not figures.ratings:
        row("ratings", None, "ratings")
    table = Table(title=say("measures"), about=say("measures_about"), columns=(say("measure"), say("value")), rows=tuple(rows))
    return [table, _ratings(figures, say)] if figures.ratings else [table]


def _spread_rows(figures: RewardFigures, say: Say) -> list[Row]:
    spread = figures.spread
    if spread is None:
        return [Row(label=say("spread"), about=say(figures.undefined["spread"]), cells=(None,))]
    about = say("spread_about", members=spread.members)
    told: list[tuple[str, Estimate | None, bool]] = [
        ("spread_right", spread.right, False), ("spread_wrong", spread.wrong, False), ("unanimous", spread.unanimous, True),
        ("when_unanimous", spread.when_unanimous, True), ("when_split", spread.when_split, True)]
    return [Row(label=say(key), about=say("nothing") if value is None else "" if percent else about, cells=(value,),
                percent=percent) for key, value, percent in told]


def _ratings(figures: RewardFigures, say: Say) -> Table:
    rows = tuple(Row(label=aspect, unit=say("ratings_rows", rows=f"{each.rows:,}"),
                     cells=(each.pearson, each.spearman, each.kendall)) for aspect, each in figures.ratings.items())
    columns = (say("aspect"), "Pearson", "Spearman", "Kendall")
    return Table(title=say("ratings"), about=say("ratings_about"), columns=columns, rows=rows)


def _groups(figures: RewardFigures, say: Say) -> list[IntervalGroup]:
    def plot(title: str, rows: Sequence[tuple[str, Estimate]]) -> IntervalPlot:
        return IntervalPlot(title=title, unit=say("unit_share"), percent=True, reference=0.5, limits=(0.0, 1.0), ticks=2,
                            low_label=say("is_wrong"), high_label=say("is_right"),
                            rows=tuple(IntervalRow(label=label, estimate=each) for label, each in rows))

    def labelled(way: str, each: Slice) -> str:
        return " + ".join(say(f"{way}_{name}") if f"{way}_{name}" in REWARD else name for name in each.name.split(" + "))

    found = []
    if figures.ceiling is not None:
        rows = [(_among(figures, say), figures.ceiling.people), (say("model_with_one"), figures.ceiling.model)]
        found.append(IntervalGroup(title=say("by_people"), about=say("by_people_about"), plots=(plot(say("by_people"), rows),)))
    plots = tuple(plot(say(f"by_{way}"), [(labelled(way, each), each.accuracy) for each in slices])
                  for way, slices in figures.slices.items())
    return [*found, IntervalGroup(title=say("slices"), about=say("slices_about"), plots=plots)] if plots else found


def _reliability(calibration: Calibration, say: Say) -> Curve:
    x = [0.5, *(each.said for each in calibration.bins), 1.0]
    nothing, seen = [math.nan], [each.happened for each in calibration.bins]
    return Curve(name=say("reliability"), unit=say("unit_votes"), x_unit=say("unit_probability"), x=x, lines=(
        Line(name=say("seen"), y=[*nothing, *(each.value for each in seen), *nothing],
             low=[*nothing, *(each.low for each in seen), *nothing], high=[*nothing, *(each.high for each in seen), *nothing]),
        Line(name=say("perfect"), y=x)))


def _errors(found: Examined, say: Say) -> tuple[Example, ...]:
    return tuple(Example(prompt=_text(item.prompt), prompt_id=item.quotes[0] if item.quotes else "", answers=(
        Answer(model=say("judged_better", share=format_number(item.share, 0, percent=True)), text=_text(item.better),
               parts={say("score"): rated.better}),
        Answer(model=say("judged_worse"), text=_text(item.worse), parts={say("score"): rated.worse})))
        for item, rated in found.errors)


def _text(messages: Messages) -> str:
    """A lone message as it is; several with their roles."""
    if len(messages) == 1:
        return messages[0].text
    return "\n".join(f"{message.role}: {message.text}" for message in messages)


def _notes(found: Examined, say: Say, language: Language) -> list[Note]:
    figures, left = found.figures, found.left_out
    notes = []
    if left.training == "unknown":
        notes.append(Note(text=say("note_unknown_training"), warning=True))
    if left.training == "prompts":
        notes.append(Note(text=say("note_not_compared", why=left.why), warning=True))
    if figures.length is not None and not figures.length.at_equal.low <= 0 <= figures.length.at_equal.high:
        notes.append(Note(text=say("note_length", value=_in_text(figures.length.at_equal)), warning=True))
    if figures.swap is not None and figures.swap.turned:
        notes.append(Note(text=say("note_swap", largest=format_number(figures.swap.largest)), warning=True))
    if len(figures.annotators) > 1:
        kinds = say("and").join(say(f"annotator_{kind}") for kind in figures.annotators)
        notes.append(Note(text=say("note_mixed", kinds=kinds), warning=True))
    if 0 < figures.prompts < FEW_CLUSTERS:
        notes.append(Note(text=phrase(EVALUATION, language, "note_few", n=figures.prompts), warning=True))
    notes += [Note(text=say(f"note_{key}", count=f"{count:,}", **more)) for key, count, more in (
        ("trained", left.trained, {}), ("near", left.near, {}), ("long", left.long, {"tokens": f"{left.tokens:,}"}),
        ("skipped", left.skipped, {"why": left.skipped_why})) if count]
    if figures.ceiling is not None and figures.ceiling.items < figures.pairs:
        notes.append(Note(text=say("note_ceiling", items=f"{figures.ceiling.items:,}", pairs=f"{figures.pairs:,}")))
    if found.regressed is not None:
        notes.append(Note(text=say("note_regressed", slope=format_number(found.regressed))))
    notes += [Note(text=phrase(EVALUATION, language, f"note_{kind}")) for kind in figures.annotators]
    return [*notes, *([Note(text=say("note_slices"))] if len(figures.slices) > 1 else [])]
