"""Sections of a report: results by group, one plot a metric; and what people made of two models."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tutelage.evaluation.groups import Slice
from tutelage.evaluation.human import Human
from tutelage.evaluation.report_sections import Say
from tutelage.reporting.report import IntervalGroup, IntervalPlot, IntervalRow, Verdict


def group_sections(slices: Sequence[Slice], say: Say) -> list[IntervalGroup]:
    """A section a task that has groups."""
    tests = sum(each.difference is not None for each in slices)
    sections = []
    for task in dict.fromkeys(each.task for each in slices):
        own = [each for each in slices if each.task == task]
        reference = next((each.model for each in own if each.difference is None), "")
        about = say("by_group_signed", tests=tests) if own[0].signed else say("by_group_about", tests=tests, reference=reference)
        plots = tuple(_plot(metric, [each for each in own if each.metric == metric], say)
                      for metric in dict.fromkeys(each.metric for each in own))
        sections.append(IntervalGroup(title=say("by_group", task=task), about=about, plots=plots))
    return sections


def _plot(metric: str, slices: Sequence[Slice], say: Say) -> IntervalPlot:
    signed = slices[0].signed
    return IntervalPlot(
        title=metric, unit=say("signed_unit" if signed else "mark_unit"), reference=0.0 if signed else None,
        rows=tuple(IntervalRow(label=say("slice", group=each.group, model=each.model), estimate=each.mark,
                               verdict=verdict_shown(each)) for each in slices))


def verdict_shown(each: Slice) -> Verdict | None:
    """How a slice is coloured: a gap between two persons that was shown is bad whichever way it lies."""
    if each.difference is None:
        return None
    verdict = each.difference.verdict
    return "worse" if verdict == "better" and each.signed and each.metric.endswith(" difference") else verdict


def human_group(human: Human, say: Say, first: str, second: str) -> IntervalGroup:
    """People's win rate, how far they lean to what is shown first, and which automatic measures go with them."""
    people = ", ".join(say("human_people", count=count, kind=say(f"human_kind_{kind}")) for kind, count in human.people.items())
    wins = IntervalPlot(title=say("judge_wins"), unit=say("unit_wins"), reference=0.5, limits=(0.0, 1.0), percent=True,
                        low_label=second, high_label=first, rows=(
                            IntervalRow(label=say("human_verdict"), estimate=human.rate, verdict=human.win.verdict),
                            IntervalRow(label=say("first_shown"), estimate=human.first_shown)))
    known = tuple(IntervalRow(label=name, estimate=each) for name, each in human.agreement.items() if not math.isnan(each.value))
    agreement = IntervalPlot(title=say("human_agreement"), unit=say("unit_correlation"), reference=0.0,
                             limits=(-1.0, 1.0), rows=known)
    return IntervalGroup(title=say("human"), about=say("human_about", votes=human.votes, prompts=human.prompts, people=people),
                         plots=(wins, agreement) if known else (wins,))
