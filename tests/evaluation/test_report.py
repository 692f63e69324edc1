"""The report of a comparison says what the comparison allows, in both languages."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tutelage.evaluation.compare import compare
from tutelage.evaluation.report import report_from_comparison, side_by_side
from tutelage.messages import Message
from tutelage.records import Prompt
from tutelage.reporting import Curve, Line, Node, render_html

N = 24


@pytest.fixture
def rivals(contestant):
    def build(*levels, **rest):
        rng = random.Random(2)
        noise = [rng.gauss(0, 0.05) for _ in range(N)]
        return [contestant(name, [level + each + rng.gauss(0, 0.02) for each in noise], **rest.get(name, {}))
                for name, level in zip(("base", "sft", "rlhf"), levels, strict=False)]
    return build


def test_the_verdict_is_one_sentence_about_the_last_against_the_reference(rivals):
    report = report_from_comparison(compare(rivals(0.2, 0.4, 0.6), "base"))
    assert report.verdict.startswith("rlhf is better than base: it wins 100%")
    assert report.verdict_tone == "better" and "Against sft it is better, by 0.2" in report.lede
    assert "24 prompts" in report.lede and "one response each" in report.lede


def test_a_tie_is_said_as_tied_everywhere(rivals):
    report = report_from_comparison(compare(rivals(0.4, 0.4), "base"))
    assert report.verdict.startswith("sft and base are tied") and report.verdict_tone == "tied"
    assert "includes zero" in report.lede
    for plot in report.intervals[0].plots:
        assert [row.verdict for row in plot.rows] == ["tied"]
    assert "better than" not in report.verdict and "= tied" in render_html(report)


@pytest.mark.parametrize("language, why", [("en", "corrected for all pairs that were compared it is not shown (p = 0.2"),
                                           ("zh", "差别未得到证明（p = 0.2")])
def test_a_tie_whose_interval_leaves_zero_out_says_that_it_is_the_correction(rivals, language, why):
    """An interval of one pair may leave zero out where the test over all pairs shows nothing; "includes zero" would be false."""
    comparison = compare(rivals(0.2, 0.4, 0.6), "base")
    unsure = [replace(pair, truth=replace(pair.truth, verdict="tied", p_holm=0.2)) for pair in comparison.pairs]
    report = report_from_comparison(replace(comparison, pairs=tuple(unsure)), language=language)
    assert report.lede.count(why) == 1 and report.lede.count("p = 0.2") == 2
    assert "includes zero" not in report.lede and "包含零" not in report.lede


def test_a_loss_is_said_with_its_size(rivals):
    report = report_from_comparison(compare(rivals(0.6, 0.4), "base"))
    assert report.verdict.startswith("sft is worse than base") and report.verdict_tone == "worse"
    assert "lower by 0.2" in report.lede and "−" not in report.lede


def test_too_few_prompts_are_said_to_be_too_few(contestant):
    report = report_from_comparison(compare([contestant("base", [0.0] * 3), contestant("new", [1.0] * 3)], "base"))
    assert report.verdict.startswith("3 prompts are too few") and report.verdict_tone == "too_few"
    assert any(note.warning and "3 prompts are few" in note.text for note in report.notes)


def test_the_focus_can_be_named_and_models_and_parts_given_names(rivals):
    report = report_from_comparison(compare(rivals(0.2, 0.4, 0.6), "base"), focus="sft",
                                    labels={"sft": "Instruct", "half": "Half of it"})
    assert report.verdict.startswith("Instruct is better than base")
    assert report.tables[0].columns == ("Measure", "base", "Instruct", "rlhf")
    assert [plot.title for plot in report.intervals[1].plots] == ["Half of it", "flaw"]


def test_reward_without_truth_is_warned_of(rivals):
    gamed = rivals(0.4, 0.4, base={"reward": [0.0] * N}, sft={"reward": [1.0] * N})
    notes = report_from_comparison(compare(gamed, "base")).notes
    assert notes[0].warning and "was not shown: perhaps the reward model is being exploited" in notes[0].text
    fell = compare(rivals(0.6, 0.4, base={"reward": [0.0] * N}, sft={"reward": [1.0] * N}), "base")
    assert "while its truth fell: the reward model is being exploited" in report_from_comparison(fell).notes[0].text
    earned = rivals(0.2, 0.6, base={"reward": [0.0] * N}, sft={"reward": [1.0] * N})
    assert not any("exploited" in note.text for note in report_from_comparison(compare(earned, "base")).notes)


def test_length_is_warned_of(rivals):
    long = rivals(0.2, 0.6, sft={"texts": ["one two three four"] * N}, base={"texts": ["one two"] * N})
    assert any("2.0 times as many words" in note.text for note in report_from_comparison(compare(long, "base")).notes)


@pytest.mark.parametrize(("kind", "words"), [
    ("scripted", "by a script"), ("model", "by a model"), ("human", "by people")])
def test_who_gave_the_truth_is_said(rivals, kind, words):
    report = report_from_comparison(compare(rivals(0.2, 0.6), "base"), judged_by=kind)
    assert any(words in note.text for note in report.notes)


def test_how_many_verdicts_are_spoken_is_counted(rivals):
    report = report_from_comparison(compare(rivals(0.2, 0.4, 0.6), "base"))
    spoken = [row.verdict for group in report.intervals for plot in group.plots for row in plot.rows if row.verdict]
    assert any(note.text.startswith(f"{len(spoken)} differences") for note in report.notes)


def test_rows_that_nobody_measured_are_left_out(rivals):
    labels = [(row.label, row.unit) for row in report_from_comparison(compare(rivals(0.2, 0.6), "base")).tables[0].rows]
    assert ("Truth", "points") in labels and "Perplexity" not in dict(labels) and "Reward" not in dict(labels)


def test_facts_become_settings(rivals):
    report = report_from_comparison(compare(rivals(0.2, 0.6), "base"), facts={
        "seed": 3, "RL": {"kl_coef": 0.05, "lora": True, "layers": [1, 2], "adapter": None, "optimizer": {"lr": 1e-5}}})
    assert [(group.title, group.items) for group in report.settings] == [
        ("Settings", (("seed", "3"),)), ("RL", (
            ("kl_coef", "0.05"), ("lora", "yes"), ("layers", "1, 2"), ("adapter", "–"), ("optimizer", "lr 1e-05")))]


def test_responses_are_drawn_by_the_seed_whatever_the_order(rivals, contestant):
    ours = rivals(0.2, 0.6)
    drawn = side_by_side(ours, count=5, seed=1)
    turned = []
    for each in ours:
        backwards = reversed(list(zip(each.samples, each.grades.total, strict=True)))
        turned.append(contestant(each.name, {sample.prompt.id: [truth] for sample, truth in backwards}))
    assert [each.prompt_id for each in side_by_side(turned, count=5, seed=1)] == [each.prompt_id for each in drawn]
    assert [each.prompt_id for each in side_by_side(ours, count=5, seed=2)] != [each.prompt_id for each in drawn]
    assert len(side_by_side(ours, count=99)) == N
    first = drawn[0]
    place = int(first.prompt_id[1:])
    assert [answer.model for answer in first.answers] == ["base", "sft"]
    assert first.answers[1].truth == ours[1].grades.total[place] and first.answers[1].sample_id == f"sft{place}"
    assert first.prompt == f"What is {first.prompt_id}?"


def test_a_conversation_is_shown_with_its_roles(contestant):
    rival = contestant("a", [1.0])
    prompt = Prompt(id="p00", messages=(Message.of("system", "Be brief."), Message.of("user", "Hi")))
    rival = replace(rival, samples=[replace(rival.samples[0], prompt=prompt)])
    assert side_by_side([rival])[0].prompt == "system: Be brief.\nuser: Hi"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_whole_page_in_both_languages(rivals, language):
    ours = rivals(0.2, 0.4, 0.6)
    loss = Curve(name="loss", unit="nats", x_unit="step", x=[0, 1], lines=(Line(name="a", y=[2, 1]),))
    report = report_from_comparison(compare(ours, "base"), [loss], side_by_side(ours), [Node(ref="model/rlhf@1")],
                                    {"seed": 0}, language, notes=["One more thing."])
    html = render_html(report)
    assert ("更好" in html) == (language == "zh") and ("▲ better" in html) == (language == "en")
    assert report.quoted and len(report.examples) == 20 and report.notes[-1].text == "One more thing."
    assert ("rlhf 优于 base" if language == "zh" else "rlhf is better than base") in html
