"""From a comparison to the page about it: verdict, table, plots, responses, and what to keep in mind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from tutelage.evaluation.compare import FEWEST_PROMPTS, Comparison, Difference, Pair, mirrored
from tutelage.evaluation.contestant import Contestant, Summary
from tutelage.evaluation.frontier import BestOf, overoptimised
from tutelage.evaluation.group_sections import human_group
from tutelage.evaluation.human import Human
from tutelage.evaluation.judge import Judged
from tutelage.evaluation.report_sections import Say, frontier_curves, judge_group, length_group, plan_notes, tied_table
from tutelage.evaluation.strings import EVALUATION
from tutelage.messages import record_id
from tutelage.records import AnnotatorKind, Prompt
from tutelage.reporting.numbers import NOT_MEASURED, format_estimate, format_number
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
    Node,
    Note,
    Report,
    Row,
    Settings,
    Table,
)
from tutelage.reporting.strings import phrase
from tutelage.statistics import FEW_CLUSTERS, Estimate

_LENGTH_RATIO = 1.25     # from here on, a difference in length is worth a warning


def report_from_comparison(
        comparison: Comparison, curves: Sequence[Curve] = (), samples: Sequence[Example] = (),
        lineage: Sequence[Node] = (), facts: Mapping[str, Any] | None = None, language: Language = "en", *,
        title: str = "", focus: str = "", judged_by: AnnotatorKind = "scripted",
        labels: Mapping[str, str] | None = None, notes: Sequence[str] = (),
        plan: tuple[str, Sequence[str]] | None = None, judged: Judged | None = None, human: Human | None = None,
        frontier: Sequence[BestOf] = ()) -> Report:
    """The report of a comparison.

    Args:
        samples: see `side_by_side`.
        facts: how it was made: group -> {name: value}; a plain value goes into a group of its own.
        focus: the contestant the verdict is about; else the last that is not the reference.
        judged_by: who gave the truth; said on the page.
        labels: names to show for contestants and parts instead of their own.
        notes: caveats besides those that follow from the numbers.
        plan: hash of the plan that was frozen beforehand, and the departures from it; None where there was none.
        judged: what a model as judge made of the focus against the reference.
        human: what people made of the same two.
        frontier: what keeping the best of n responses of a model gives, n = 1, 2, …
    """
    def say(key: str, **values: object) -> str:
        return phrase(EVALUATION, language, key, **values)

    shown = labels or {}
    reference = comparison.reference
    focus = focus or [each.name for each in comparison.summaries if each.name != reference][-1]
    pair = comparison.pair(focus, reference)

    def name(each: str) -> str:
        return shown.get(each, each.replace("_", " ") if each in comparison.part_names else each)

    tables = [_table(comparison, say, name)]
    if len(comparison.summaries) > 2:
        tables.append(tied_table(comparison, say, name))
    groups = [_wins(comparison, say, name)]
    if comparison.part_names:
        groups.append(_parts(comparison, say, name))
    groups.append(length_group(comparison, say, name))
    if human is not None:
        groups.insert(0, human_group(human, say, name(pair.first), name(pair.second)))
    if judged is not None:
        groups.append(judge_group(judged, say, name(pair.first), name(pair.second)))
    return Report(
        title=title or say("title", focus=name(focus), reference=name(reference)), language=language,
        verdict=_verdict(comparison, pair, say, name), verdict_tone=pair.truth.verdict,
        lede=_lede(comparison, pair, say, name), cards=_cards(comparison, pair, say, name),
        tables=tuple(tables), intervals=tuple(groups), curves=(*frontier_curves(comparison, frontier, say, name), *curves),
        examples=tuple(replace(example, answers=tuple(
            replace(answer, model=name(answer.model), parts={name(part): value for part, value in answer.parts.items()})
            for answer in example.answers)) for example in samples),
        examples_about=say("examples_about", count=len(samples), n=comparison.num_prompts, seed=comparison.seed),
        lineage=tuple(lineage), settings=settings_of(facts or {}, say),
        notes=tuple(_all_notes(comparison, pair, judged_by, plan_notes(plan, language), notes, say, name)))


def side_by_side(contestants: Sequence[Contestant], count: int = 20, seed: int = 0) -> tuple[Example, ...]:
    """`count` prompts drawn by `seed`, whatever order they came in, with the first response of each contestant."""
    rows = [contestant.rows for contestant in contestants]
    drawn = sorted(rows[0], key=lambda prompt_id: record_id(seed, prompt_id))[:count]
    examples = []
    for prompt_id in drawn:
        answers = []
        for contestant, places in zip(contestants, rows, strict=True):
            row = places[prompt_id][0]
            sample = contestant.samples[row]
            answers.append(Answer(
                model=contestant.name, text=sample.text, ended=sample.ended, tokens=len(sample.response_ids),
                truth=contestant.grades.total[row], sample_id=sample.id,
                parts={part: values[row] for part, values in contestant.grades.parts.items()}))
        prompt = contestants[0].samples[rows[0][prompt_id][0]].prompt
        examples.append(Example(prompt=_prompt_text(prompt), answers=tuple(answers), prompt_id=prompt_id))
    return tuple(examples)


def _prompt_text(prompt: Prompt) -> str:
    """A lone question as it is; a conversation with its roles."""
    if len(prompt.messages) == 1:
        return prompt.messages[0].text
    return "\n".join(f"{message.role}: {message.text}" for message in prompt.messages)


def _in_text(estimate: Estimate, percent: bool = False) -> str:
    return " ".join(format_estimate(estimate, 0.5 if percent else 0.0, percent))


def _verdict(comparison: Comparison, pair: Pair, say: Say, name: Callable[[str], str]) -> str:
    return say(f"verdict_{pair.truth.verdict}", focus=name(pair.first), reference=name(pair.second),
               n=comparison.num_prompts, fewest=FEWEST_PROMPTS, win=_in_text(pair.win_rate, percent=True))


def _lede(comparison: Comparison, pair: Pair, say: Say, name: Callable[[str], str]) -> str:
    each = [summary.num_samples // summary.num_prompts for summary in comparison.summaries]
    if len(set(each)) > 1:
        samples = say("uneven_samples", few=min(each), many=max(each))
    else:
        samples = say("one_sample") if each[0] == 1 else say("many_samples", each=each[0])
    sentences = [say("lede", n=comparison.num_prompts, samples=samples)]
    if pair.truth.verdict != "too_few":
        sentences.insert(0, _told("truth", pair.truth, say))
        for summary in comparison.summaries:
            if summary.name not in (pair.first, pair.second):
                other = comparison.pair(pair.first, summary.name).truth
                sentences.insert(-1, _told("lede", other, say, other=name(summary.name)))
    return say("between_sentences").join(sentences)


def _told(sentence: str, difference: Difference, say: Say, **values: object) -> str:
    """The verdict in words; where an interval leaves zero out and the corrected test does not follow, that is why it is tied."""
    estimate = difference.estimate
    unsure = difference.verdict == "tied" and (estimate.low > 0 or estimate.high < 0)
    return say(f"{sentence}_{'unsure' if unsure else difference.verdict}", difference=_difference(difference),
               p=format_number(difference.p_holm), **values)


def _difference(difference: Difference) -> str:
    """"0.21 [0.14, 0.28]"; of a loss its size, because the words around it say the direction."""
    estimate = difference.estimate
    return _in_text(mirrored(estimate, 0.0) if difference.verdict == "worse" else estimate)


def _cards(comparison: Comparison, pair: Pair, say: Say, name: Callable[[str], str]) -> tuple[Card, ...]:
    ours, theirs = comparison.summary(pair.first), comparison.summary(pair.second)

    def was(estimate: Estimate | None, percent: bool = False) -> str:
        return "" if estimate is None else say("card_was", reference=name(pair.second),
                                               value=_in_text(estimate, percent))

    cards = [
        Card(label=say("card_wins", focus=name(pair.first), reference=name(pair.second)), value=pair.win_rate,
             percent=True, verdict=pair.win.verdict),
        Card(label=say("card_truth", focus=name(pair.first)), value=ours.truth, unit=say("unit_points"),
             verdict=pair.truth.verdict, note=was(theirs.truth)),
        Card(label=say("card_length"), value=ours.words, unit=say("unit_words"), note=was(theirs.words)),
        Card(label=say("ended"), value=ours.ended, percent=True, note=was(theirs.ended, percent=True)),
    ]
    if ours.kl is not None:
        cards.insert(2, Card(label=say("card_kl"), value=ours.kl, unit=say("unit_nats")))
    return tuple(cards)


def _table(comparison: Comparison, say: Say, name: Callable[[str], str]) -> Table:
    summaries = comparison.summaries

    def row(label: str, cell_of: Callable[[Summary], Cell], about: str, unit: str = "", percent: bool = False) -> Row:
        return Row(label=label, cells=tuple(cell_of(summary) for summary in summaries), about=about, unit=unit,
                   percent=percent)

    points = say("unit_points")
    rows = [row(say("truth"), lambda each: each.truth, say("truth_about"), points)]
    for part in comparison.part_names:
        rows.append(row(name(part), partial(_part, part), say("part_about"), points))
    rows += [
        row(say("reward"), lambda each: each.reward, say("reward_about"), say("unit_reward")),
        row(say("kl"), lambda each: each.kl, say("kl_about"), say("unit_nats")),
        row(say("tokens"), lambda each: each.tokens, say("tokens_about"), say("unit_tokens")),
        row(say("words"), lambda each: each.words, say("words_about"), say("unit_words")),
        row(say("ended"), lambda each: each.ended, say("ended_about"), percent=True),
        row(say("distinct_1"), lambda each: each.distinct_1, say("distinct_1_about")),
        row(say("distinct_2"), lambda each: each.distinct_2, say("distinct_2_about")),
        row(say("repetition"), lambda each: each.repetition, say("repetition_about"), percent=True),
        row(say("self_bleu"), lambda each: each.self_bleu, say("self_bleu_about")),
        row(say("refused"), lambda each: each.refused, say("refused_about"), percent=True),
        row(say("perplexity"), lambda each: each.perplexity, say("perplexity_about")),
    ]
    return Table(
        title=say("measures"), about=say("table_about", n=comparison.num_prompts), n=comparison.num_prompts,
        columns=(say("measure"), *(name(summary.name) for summary in summaries)),
        notes=("", *(say("responses", count=summary.num_samples) for summary in summaries)),
        rows=tuple(each for each in rows if any(value is not None for value in each.cells)))


def _part(part: str, summary: Summary) -> Estimate:
    return summary.parts[part]


def _wins(comparison: Comparison, say: Say, name: Callable[[str], str]) -> IntervalGroup:
    against_reference = [pair for pair in comparison.pairs if pair.second == comparison.reference]
    pairs = against_reference + [pair for pair in comparison.pairs if pair.second != comparison.reference]

    def label(pair: Pair) -> str:
        return say("against", first=name(pair.first), second=name(pair.second))

    wins = IntervalPlot(
        title=say("win_rate"), unit=say("unit_wins"), n=comparison.num_prompts, reference=0.5, limits=(0.0, 1.0),
        percent=True, low_label=say("second_better"), high_label=say("first_better"),
        rows=tuple(IntervalRow(label=label(pair), estimate=pair.win_rate, verdict=pair.win.verdict)
                   for pair in pairs))
    differences = IntervalPlot(
        title=say("difference"), unit=say("unit_difference"), n=comparison.num_prompts, reference=0.0,
        low_label=say("second_better"), high_label=say("first_better"),
        rows=tuple(IntervalRow(label=label(pair), estimate=pair.truth.estimate, verdict=pair.truth.verdict)
                   for pair in pairs))
    return IntervalGroup(title=say("wins"), about=say("wins_about"), plots=(wins, differences))


def _parts(comparison: Comparison, say: Say, name: Callable[[str], str]) -> IntervalGroup:
    def row(summary: Summary, part: str) -> IntervalRow:
        verdict = None
        if summary.name != comparison.reference:
            verdict = comparison.pair(summary.name, comparison.reference).parts[part].verdict
        return IntervalRow(label=name(summary.name), estimate=summary.parts[part], verdict=verdict)

    ends = [end for summary in comparison.summaries for estimate in summary.parts.values()
            for end in (estimate.low, estimate.value, estimate.high) if math.isfinite(end)]
    room = 0.04 * (max(ends) - min(ends)) or 0.5
    limits = (min(ends) - room, max(ends) + room)      # one axis for all, so that the parts compare by eye
    plots = tuple(IntervalPlot(title=name(part), limits=limits, unit=say("unit_points"), n=comparison.num_prompts,
                               rows=tuple(row(summary, part) for summary in comparison.summaries))
                  for part in comparison.part_names)
    about = say("parts_about", reference=name(comparison.reference))
    return IntervalGroup(title=say("parts"), about=about, plots=plots)


def settings_of(facts: Mapping[str, Any], say: Say) -> tuple[Settings, ...]:
    plain = {key: value for key, value in facts.items() if not isinstance(value, Mapping)}
    groups = {key: value for key, value in facts.items() if isinstance(value, Mapping)}
    if plain:
        groups = {say("settings"): plain, **groups}
    return tuple(Settings(title=title, items=tuple((key, _setting(value, say)) for key, value in group.items()))
                 for title, group in groups.items())


def _setting(value: Any, say: Say) -> str:
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    if isinstance(value, list | tuple):
        return ", ".join(_setting(each, say) for each in value) or NOT_MEASURED
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_setting(each, say)}" for key, each in value.items()) or NOT_MEASURED
    if value is None or value == "":
        return NOT_MEASURED
    return f"{value:g}" if isinstance(value, float) else str(value)


def _all_notes(comparison: Comparison, pair: Pair, judged_by: AnnotatorKind, of_plan: Sequence[Note], others: Sequence[str],
               say: Say, name: Callable[[str], str]) -> list[Note]:
    """Departures from the plan first, what the caller adds last."""
    return [*(note for note in of_plan if note.warning), *_notes(comparison, pair, judged_by, say, name),
            *(note for note in of_plan if not note.warning), *(Note(text=text) for text in others)]


def _notes(comparison: Comparison, pair: Pair, judged_by: AnnotatorKind, say: Say,
           name: Callable[[str], str]) -> list[Note]:
    ours, theirs = comparison.summary(pair.first), comparison.summary(pair.second)
    n = comparison.num_prompts
    names = {"focus": name(pair.first), "reference": name(pair.second)}
    notes = []
    if pair.reward is not None and pair.reward.verdict == "better" and pair.truth.verdict in ("worse", "tied"):
        notes.append(Note(text=say(f"note_overoptimised_{pair.truth.verdict}", **names), warning=True))
    notes += [Note(text=say(f"note_fell_{each.measure}", before=name(each.before), after=name(each.after)), warning=True)
              for each in overoptimised(comparison)]
    ratio = ours.words.value / theirs.words.value if theirs.words.value > 0 else 1.0
    if ratio >= _LENGTH_RATIO:
        notes.append(Note(text=say("note_length", ratio=format_number(ratio, 1), **names), warning=True))
    if n < FEW_CLUSTERS:
        notes.append(Note(text=say("note_few", n=n), warning=True))
    notes.append(Note(text=say(f"note_{judged_by}")))
    notes.append(Note(text=say("note_intervals", n=n)))
    notes.append(Note(text=say("note_many", count=_count_verdicts(comparison))))
    return notes


def _count_verdicts(comparison: Comparison) -> int:
    """How many verdicts the page speaks: win rates, differences, and parts against the reference."""
    others = len(comparison.summaries) - 1
    return 2 * len(comparison.pairs) + others * len(comparison.part_names)


