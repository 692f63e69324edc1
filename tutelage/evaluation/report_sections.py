"""Sections of the report of a comparison: who is tied with whom, length, the judge, reward against distance, the plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from tutelage.evaluation.compare import Comparison, Pair
from tutelage.evaluation.frontier import BestOf
from tutelage.evaluation.judge import Judged
from tutelage.evaluation.strings import EVALUATION
from tutelage.reporting.report import (
    Curve,
    IntervalGroup,
    IntervalPlot,
    IntervalRow,
    Language,
    Line,
    Note,
    Row,
    Table,
)
from tutelage.reporting.strings import phrase
from tutelage.statistics import Estimate

Say = Callable[..., str]


def tied_table(comparison: Comparison, say: Say, name: Callable[[str], str]) -> Table:
    """Who was not shown to differ from whom, in place of a ranking."""
    rows = tuple(Row(label=str(place), cells=(" = ".join(map(name, group)),)) for place,
                 group in enumerate(comparison.groups, start=1))
    return Table(title=say("groups"), about=say("groups_about"), columns=(say("group"), say("members")), rows=rows)


def plan_notes(plan: tuple[str, Sequence[str]] | None, language: Language) -> list[Note]:
    """What is said of the plan: that there was none, that it was kept, or each departure from it."""
    if plan is None:
        return [Note(text=phrase(EVALUATION, language, "note_no_plan"))]
    if not plan[1]:
        return [Note(text=phrase(EVALUATION, language, "note_plan", hash=plan[0][:12]))]
    return [Note(text=phrase(EVALUATION, language, "note_departure", hash=plan[0][:12], what=each), warning=True)
            for each in plan[1]]


def length_group(comparison: Comparison, say: Say, name: Callable[[str], str]) -> IntervalGroup:
    """What length has to do with it."""
    def label(pair: Pair) -> str:
        return say("against", first=name(pair.first), second=name(pair.second))

    controlled = IntervalPlot(
        title=say("controlled"), unit=say("unit_controlled"), n=comparison.num_prompts, reference=0.5, limits=(0.0, 1.0),
        percent=True, low_label=say("second_better"), high_label=say("first_better"),
        rows=tuple(IntervalRow(label=label(pair), estimate=pair.length_controlled.rate)
                   for pair in comparison.pairs if pair.length_controlled is not None))
    longer = IntervalPlot(
        title=say("longer"), unit=say("unit_words"), n=comparison.num_prompts, reference=0.0, low_label=say("second_longer"),
        high_label=say("first_longer"), rows=tuple(IntervalRow(label=label(pair), estimate=pair.longer)
                                                   for pair in comparison.pairs))
    return IntervalGroup(title=say("length"), about=say("length_about"), plots=(controlled, longer)
                         if controlled.rows else (longer,))


def judge_group(judged: Judged, say: Say, first: str, second: str) -> IntervalGroup:
    """The judge's win rates, and how far the judge itself can be trusted."""
    def plot(title: str, unit: str, reference: float | None, low: str, high: str, *rows: tuple[str, Estimate]) -> IntervalPlot:
        return IntervalPlot(title=say(title), unit=say(unit), reference=reference, limits=(0.0, 1.0), percent=True, low_label=low,
                            high_label=high, rows=tuple(IntervalRow(label=say(label), estimate=each) for label, each in rows))

    return IntervalGroup(title=say("judge", judge=judged.judge), about=say("judge_about", unreadable=judged.unreadable), plots=(
        plot("judge_wins", "unit_wins", 0.5, second, first, ("win_rate", judged.rate), ("controlled", judged.controlled.rate)),
        plot("judge_itself", "unit_share", 0.5, "", "", ("first_shown", judged.first_shown), ("consistent", judged.consistent))))


def frontier_curves(comparison: Comparison, best: Sequence[BestOf], say: Say, name: Callable[[str], str]) -> list[Curve]:
    """Truth and reward over the root of KL (Gao et al. 2023, arXiv:2210.10760): the line of best-of-n, and every policy that
    has a KL as a point.
    """
    policies = [each for each in comparison.summaries if each.kl is not None and each.reward is not None]
    if len(best) < 2 or not policies:
        return []
    x = sorted({each.kl for each in best} | {each.kl.value for each in policies if each.kl is not None})

    roots = [math.sqrt(max(kl, 0.0)) for kl in x]

    def line(label: str, at: Mapping[float, Estimate | None]) -> Line:
        values = [at.get(kl) for kl in x]
        return Line(name=label, y=[math.nan if each is None else each.value for each in values],
                    low=[math.nan if each is None else each.low for each in values],
                    high=[math.nan if each is None else each.high for each in values])

    curves = []
    for measure, unit in (("truth", "unit_points"), ("reward", "unit_reward")):
        lines = [line(say("best_of"), {each.kl: getattr(each, measure) for each in best})]
        lines += [line(name(each.name), {each.kl.value: getattr(each, measure)}) for each in policies if each.kl is not None]
        curves.append(Curve(name=say(f"frontier_{measure}"), unit=say(unit), x_unit=say("unit_root_nats"), x=roots,
                            lines=tuple(lines), about=say("frontier_about")))
    return curves
