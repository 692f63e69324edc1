"""From a board of tasks to the page about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.evaluation.board import Board, TaskResult
from tutelage.evaluation.contamination import Contamination
from tutelage.evaluation.examine import Examined
from tutelage.evaluation.group_sections import group_sections
from tutelage.evaluation.groups import Slice
from tutelage.evaluation.report import settings_of
from tutelage.evaluation.report_sections import Say, plan_notes
from tutelage.evaluation.strings import EVALUATION
from tutelage.evaluation.task_strings import TASKS
from tutelage.evaluation.tasks import Item, Loaded
from tutelage.reporting.numbers import format_number
from tutelage.reporting.report import (
    Answer,
    Card,
    Example,
    IntervalGroup,
    IntervalPlot,
    IntervalRow,
    Language,
    Node,
    Note,
    Report,
    Row,
    Table,
    Verdict,
)
from tutelage.reporting.strings import phrase
from tutelage.statistics import FEW_CLUSTERS, Estimate

SHOWN = 3      # items of each task whose responses stand on the page
Leaks = Mapping[str, Mapping[str, Contamination]]      # model -> task -> what was found


def report_from_board(board: Board, examined: Mapping[str, Sequence[Examined]], tasks: Sequence[Loaded], leaks: Leaks,
                      slices: Sequence[Slice] = (), *, focus: str, language: Language,
                      lineage: Sequence[Node] = (), facts: Mapping[str, Any] | None = None,
                      plan: tuple[str, Sequence[str]] | None = None) -> Report:
    """The report of models on tasks.

    Args:
        focus: the model the verdict is about.
        plan: hash of the frozen plan and the departures from it; None where there was no plan.
    """
    def say(key: str, **values: object) -> str:
        return phrase(TASKS, language, key, **values)

    tally = board.tally(focus)
    count = len(board.tasks)
    tone = overall(tally)
    key = "mixed" if tally["better"] and tally["worse"] else tone
    names = {"focus": focus, "reference": board.reference, "count": count}
    tables = [_marks(board, say)]
    if any(each.facts for row in examined.values() for each in row):
        tables.append(_over_all(board, examined, say))
    if len(board.models) > 2:
        tables.append(_groups(board, say))
    tables += _confusions(board, examined, say)
    if any(found.found for row in leaks.values() for found in row.values()):
        tables.append(_leaks(leaks, tasks, say))
    return Report(
        title=say("title", **names), language=language, verdict=say(f"verdict_{key}", **names, **tally), verdict_tone=tone,
        lede=say("lede", count=count, items=f"{sum(task.n for task in board.tasks):,}", tests=board.num_tests),
        cards=tuple(_card(task, focus, board.reference, language, say) for task in board.tasks[:4]), tables=tuple(tables),
        intervals=(*_intervals(board, say), *group_sections(slices, say)),
        examples=_examples(examined, tasks, say), examples_about=say("examples_about"),
        lineage=tuple(lineage), settings=settings_of(facts or {}, lambda key,
                                                     **values: phrase(EVALUATION, language, key, **values)),
        notes=tuple(_notes(board, leaks, plan, language, say)))


def overall(tally: Mapping[str, int]) -> Verdict:
    """The colour of the verdict: one way only where nothing speaks for the other."""
    if tally["better"] and not tally["worse"]:
        return "better"
    if tally["worse"] and not tally["better"]:
        return "worse"
    return "too_few" if tally["too_few"] == sum(tally.values()) else "tied"


def _card(task: TaskResult, focus: str, reference: str, language: Language, say: Say) -> Card:
    was = " ".join((format_number(task.own[reference].value, 3),))
    return Card(label=say("line", task=task.name, metric=task.metric), value=task.own[focus],
                verdict=task.against(focus, reference).verdict,
                note=phrase(EVALUATION, language, "card_was", reference=reference, value=was))


def _marks(board: Board, say: Say) -> Table:
    rows = []
    for task in board.tasks:
        for metric, marks in task.marks.items():
            about = ""
            if metric == task.metric and math.isfinite(task.detectable):
                about = say("shown", effect=format_number(task.detectable, 3))
            rows.append(Row(label=say("line", task=task.name, metric=metric), about=about,
                            cells=tuple(marks[model] for model in board.models)))
    return Table(title=say("marks"), about=say("marks_about"), columns=(say("task"), *board.models), rows=tuple(rows))


def _over_all(board: Board, examined: Mapping[str, Sequence[Examined]], say: Say) -> Table:
    """What only all items together have, such as perplexity or the BLEU of a corpus."""
    rows = []
    for at, task in enumerate(board.tasks):
        facts = {model: examined[model][at].facts for model in board.models}
        rows += [Row(label=say("line", task=task.name, metric=name.replace("_", " ")),
                     cells=tuple(facts[model][name] for model in board.models))
                 for name, value in facts[board.models[0]].items() if isinstance(value, int | float)]
    return Table(title=say("over_all"), about=say("over_all_about"), columns=(say("task"), *board.models), rows=tuple(rows))


def _confusions(board: Board, examined: Mapping[str, Sequence[Examined]], say: Say) -> list[Table]:
    """Of every model and every task of labels, which label was named where which was wanted."""
    found = []
    for at, task in enumerate(board.tasks):
        for model in board.models:
            counts: Mapping[str, Mapping[str, int]] = examined[model][at].facts.get("confusion", {})
            rows = tuple(Row(label=wanted, cells=tuple(row.values())) for wanted, row in counts.items())
            if rows:
                found.append(Table(title=say("confusion", task=task.name, model=model), about=say("confusion_about"), rows=rows,
                                   columns=(say("wanted_label"), *counts, say("no_label"))))
    return found


def _groups(board: Board, say: Say) -> Table:
    rows = tuple(Row(label=task.name, cells=(" > ".join(" = ".join(group) for group in task.groups),)) for task in board.tasks)
    return Table(title=say("groups"), about=say("groups_about"), columns=(say("task"), say("group")), rows=rows)


def _leaks(leaks: Leaks, tasks: Sequence[Loaded], say: Say) -> Table:
    rows = tuple(Row(label=task.name, unit=say("leaks_of", n=len(task.items)), cells=tuple(
        len(row[task.name].found) if task.name in row else None for row in leaks.values())) for task in tasks)
    return Table(title=say("leaks"), about=say("leaks_about"), columns=(say("task"), *leaks), rows=rows)


def _intervals(board: Board, say: Say) -> list[IntervalGroup]:
    plots = [_plot(model, board.reference, [(task.name, task.against(model, board.reference).estimate,
                                             task.against(model, board.reference).verdict) for task in board.tasks], say)
             for model in board.models if model != board.reference]
    found = [IntervalGroup(title=say("differences", reference=board.reference), plots=tuple(plots),
                           about=say("differences_about", reference=board.reference))]
    if board.recipes:
        rows = tuple(IntervalRow(label=say("recipe", recipe=each.name, seeds=each.seeds, task=each.task),
                                 estimate=each.difference)
                     for each in board.recipes)
        found.append(IntervalGroup(title=say("recipes"), about=say("recipes_about", reference=board.reference), plots=(
            IntervalPlot(title=say("recipes"), unit=say("unit"), rows=rows, reference=0.0),)))
    return found


def _plot(model: str, reference: str, rows: Sequence[tuple[str, Estimate, Verdict]], say: Say) -> IntervalPlot:
    return IntervalPlot(title=model, unit=say("unit"), reference=0.0, low_label=say("worse_side", reference=reference),
                        high_label=say("better_side", model=model),
                        rows=tuple(IntervalRow(label=name, estimate=estimate, verdict=verdict) for name, estimate,
                                   verdict in rows))


def _examples(examined: Mapping[str, Sequence[Examined]], tasks: Sequence[Loaded], say: Say) -> tuple[Example, ...]:
    found = []
    for at, task in enumerate(tasks):
        for place, item in enumerate(task.items[:SHOWN]):
            if any(not row[at].responses for row in examined.values()):
                continue
            answers = tuple(Answer(model=model, text=row[at].responses[place], ended=row[at].ended[place], tokens=None,
                                   truth=row[at].marks[next(iter(row[at].marks))][place]) for model, row in examined.items())
            found.append(Example(prompt=_asked(item, say), answers=answers, prompt_id=item.id))
    return tuple(found)


def _asked(item: Item, say: Say) -> str:
    wanted = item.shown[item.right] if item.right >= 0 else next(iter(item.answers), "")
    forms = [*item.turns, *(["⇄", *item.twin] if item.twin else [])]
    return "\n".join((*forms, *([say("wanted", answer=wanted)] if wanted else [])))


def _notes(board: Board, leaks: Leaks, plan: tuple[str, Sequence[str]] | None, language: Language,
           say: Say) -> list[Note]:
    told = plan_notes(plan, language)
    notes = [each for each in told if each.warning]
    for model, row in leaks.items():
        notes += [Note(text=say("note_leaks", count=len(found.found), task=task, model=model), warning=True)
                  for task, found in row.items() if found.found]
    notes += [Note(text=say("note_few", task=task.name, n=task.n), warning=True) for task in board.tasks if task.n < FEW_CLUSTERS]
    if not board.recipes:
        notes.append(Note(text=say("note_seeds")))
    return [*notes, *(each for each in told if not each.warning)]
