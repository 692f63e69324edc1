"""Plans that cannot be bent, items that were seen in training, boards that claim no order nobody showed."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from tutelage.errors import DataError
from tutelage.evaluation.board import board, recipes_of
from tutelage.evaluation.contamination import contamination, texts_of
from tutelage.evaluation.examine import Examined
from tutelage.evaluation.graders import BITS
from tutelage.evaluation.plans import describe, deviations, read_plan, write_plan
from tutelage.messages import Message
from tutelage.records import Document, Instruction

PROMPTS = {"quiz": {"sha256": "a" * 64, "metric": "exact match", "n": 100}}


def test_a_plan_is_read_as_it_was_frozen(tmp_path):
    plan = describe({"base": "b" * 64}, PROMPTS, {"seed": 0})
    write_plan(tmp_path / "plan.json", plan)
    assert read_plan(tmp_path / "plan.json") == plan and deviations(plan, plan) == []
    assert plan["prompts"]["quiz"]["detectable_at_worst"] == pytest.approx(0.283, abs=0.002)     # 2.83 / sqrt(100)
    bits = describe({}, {"prose": {"sha256": "a" * 64, "metric": BITS, "n": 100}}, {})      # without bounds nothing can be said
    assert bits["prompts"]["prose"]["detectable_at_worst"] is None
    with pytest.raises(DataError, match="not written over"):
        write_plan(tmp_path / "plan.json", plan)


def test_a_plan_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "plan.json"
    write_plan(path, describe({}, PROMPTS, {}))
    path.write_text(path.read_text().replace('"n": 100', '"n": 90'))
    with pytest.raises(DataError, match="changed after it was frozen"):
        read_plan(path)
    path.write_text("[]")
    with pytest.raises(DataError, match="is no evaluation plan"):
        read_plan(path)


@pytest.mark.parametrize(("change", "sentence"), [
    (lambda plan: plan["prompts"]["quiz"].update(n=90), "prompts quiz: n is 90, planned was 100"),
    (lambda plan: plan["prompts"]["quiz"].update(metric="token F1"), "metric is token F1, planned was exact match"),
    (lambda plan: plan["prompts"]["quiz"].update(sha256="c" * 64), "sha256 is cccccccccccc, planned was aaaaaaaaaaaa"),
    (lambda plan: plan["prompts"].pop("quiz"), "planned and not asked"),
    (lambda plan: plan["prompts"].update(more=PROMPTS["quiz"]), "more were asked and not planned"),
    (lambda plan: plan["models"].update(base="d" * 64), "model base is dddddddddddd, planned was bbbbbbbbbbbb"),
    (lambda plan: plan["settings"].update(seed=1), "setting seed is 1, planned was 0"),
    (lambda plan: plan.update(alpha=0.1), "alpha is 0.1, planned was 0.05")])
def test_every_departure_is_named(change, sentence):
    frozen = describe({"base": "b" * 64}, PROMPTS, {"seed": 0})
    made = json.loads(json.dumps(frozen))
    change(made)
    found = deviations(frozen, made)
    assert len(found) == 1 and sentence in found[0]


WORDS = [f"w{number}" for number in range(4000)]


def prose(rng, count):
    return " ".join(rng.choice(WORDS) for _ in range(count))


def test_what_was_planted_is_found_and_nothing_else():
    rng = random.Random(0)
    training = [prose(rng, 60) for _ in range(200)]
    evaluation = [prose(rng, 40) for _ in range(50)]
    evaluation[3] = prose(rng, 10) + " " + " ".join(training[7].split()[20:33]) + " " + prose(rng, 9)    # 13 words
    evaluation[8] = prose(rng, 10) + " " + " ".join(training[9].split()[20:32]) + " " + prose(rng, 9)    # 12 words
    evaluation[5] = training[11].upper() + "!"      # a whole row, dressed up
    found = contamination(evaluation, training)
    assert found.by_run == (3, 5) and found.by_likeness == (5,) and found.found == (3, 5) and found.checked == 50


def test_chinese_and_short_questions_are_found():
    training = texts_of([Instruction(id="i", messages=(Message.of("user", "What is the capital of France?"),
                                                       Message.of("assistant", "Paris, on the Seine."))),
                         Document(id="d", text="春天的早晨，村口的老槐树下坐着几位下棋的老人，谁也没有说话。")])
    assert "What is the capital of France?" in training
    found = contamination(["what is the capital of France", "老槐树下坐着几位下棋的老人，谁都笑了。", "秋天的傍晚"], training)
    assert found.by_likeness == (0,) and found.by_run == (1,) and contamination(["anything"], []).found == ()


def examined(task, rows):
    return [Examined(task=task, marks={"exact match": tuple(row)}) for row in rows]


def test_a_board_ties_what_does_not_differ_and_parts_what_does():
    rng = np.random.default_rng(0)
    base = (rng.random(120) < 0.4).astype(float)
    better = np.where(rng.random(120) < 0.6, 1.0, base)
    level = (rng.random(120) < 0.4).astype(float)
    rows = {name: [Examined(task="quiz", marks={"exact match": tuple(map(float, row))})]
            for name, row in (("base", base), ("level", level), ("better", better))}
    found = board(rows, "base")
    task = found.tasks[0]
    assert task.groups == [("better",), ("base", "level")] or task.groups == [("better",), ("level", "base")]
    assert task.against("better", "base").verdict == "better" and task.against("base", "better").verdict == "worse"
    assert found.tally("better") == {"better": 1, "worse": 0, "tied": 0, "too_few": 0} and found.num_tests == 3
    assert 0.05 < task.detectable < 0.3
    json.dumps(found.to_json(), allow_nan=False)


def test_many_tasks_are_corrected_for_their_number():
    """The same difference, alone and among nineteen tasks where nothing differs."""
    apart = [1.0] * 6 + [0.0] * 40      # six wins, no loss: p = 2/64
    none = [0.0, 1.0] * 23

    def rows(tasks):
        return {"base": [Examined(task=name, marks={"m": tuple([0.0] * 46 if up else none)}) for name, up in tasks],
                "new": [Examined(task=name, marks={"m": tuple(apart if up else none[::-1])}) for name, up in tasks]}

    alone = board(rows([("t", True)]), "base").tasks[0].against("new", "base")
    among = board(rows([("t", True), *((f"n{i}", False) for i in range(19))]), "base").tasks[0].against("new", "base")
    assert alone.p == among.p == pytest.approx(2 / 64) and (alone.verdict, among.verdict) == ("better", "tied")


def test_seeds_of_a_recipe_are_known_by_their_names_and_compared_together():
    assert recipes_of(["base", "rl-s0", "rl-s1", "sft-s3", "odd-s"]) == {"rl": ["rl-s0", "rl-s1"]}
    rng = np.random.default_rng(1)
    base = rng.random(80)
    lucky = {"base": base, "rl-s0": base + 0.6 + 0.1 * rng.normal(size=80), "rl-s1": base - 0.2 + 0.1 * rng.normal(size=80)}
    found = board({name: [Examined(task="t", marks={"m": tuple(map(float, row))})] for name, row in lucky.items()}, "base")
    assert found.tasks[0].against("rl-s0", "base").verdict == "better"
    recipe, = found.recipes
    assert (recipe.name, recipe.seeds, recipe.difference.n) == ("rl", 2, 2)
    assert recipe.difference.value == pytest.approx(0.2, abs=0.05) and recipe.difference.low < 0 < recipe.difference.high
