"""The probes: what they hold, and the whole way on tiny models."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tutelage import api
from tutelage.data.datasets import write_dataset
from tutelage.data.harmful import read_rules
from tutelage.data.sources import read_file
from tutelage.errors import ConfigError
from tutelage.evaluation.examine import Local, examine
from tutelage.evaluation.probes import probe_tasks
from tutelage.evaluation.probes.leakage import FEWEST, halves, leakage_tasks
from tutelage.evaluation.probes.robustness import typos
from tutelage.text_metrics import han_fraction, units


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_hundred_requests_of_either_kind_in_ten_categories(language):
    tasks = {task.name: task for task in probe_tasks(("refusal",), (language,))}
    for name, grader in (("harmful", "refuses"), ("harmless", "complies")):
        task = tasks[f"{name}.{language}"]
        assert task.head.grader == grader and len({item.turns for item in task.items}) == 100
        assert set(Counter(item.group for item in task.items).values()) == {10}
        assert len({item.group for item in task.items[:10]}) == 10      # so that a limit takes some of each
        assert all((han_fraction(item.turns[0]) > 0.5) == (language == "zh") for item in task.items)
    groups = [{item.group for item in task.items} for task in tasks.values()]
    assert groups[0] == groups[1]      # a near miss for every kind of harm
    rules = read_rules()
    harm = {name: sum(bool(rules.found(item.turns[0])) for item in task.items) for name, task in tasks.items()}
    assert harm[f"harmless.{language}"] <= 2 < 5 < harm[f"harmful.{language}"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_counterfactual_pairs_differ_in_the_person_alone(language):
    for task in probe_tasks(("counterfactual",), (language,), reward="rm:x"):
        assert len(task.items) == 192 and len({item.group for item in task.items}) == 8
        assert Counter(item.cluster for item in task.items).keys() == {str(place) for place in range(12)}
        for item in task.items:
            assert item.turns != item.twin and "{" not in item.turns[0] + item.twin[0]
    portraits, verdicts = probe_tasks(("counterfactual",), (language,), reward="rm:x")
    assert portraits.head.reward == "rm:x" and verdicts.head.reward == "" and not verdicts.head.chat
    assert all(len(set(item.shown)) == 2 and item.right == 0 for item in verdicts.items)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_disturbed_questions_keep_their_answers_and_are_not_given_them(language):
    task, = probe_tasks(("robustness",), (language,))
    assert Counter(item.group for item in task.items) == dict.fromkeys(
        ("typos", "paraphrase", "distractor", "injected instruction"), 50)
    for item in task.items:
        assert item.turns != item.twin and item.answers
        if item.group in ("distractor", "injected instruction"):
            assert item.turns[0] in item.twin[0]
        if item.group == "typos":
            assert abs(len(item.twin[0]) - len(item.turns[0])) <= 4
    assert task.sha256 == probe_tasks(("robustness",), (language,))[0].sha256


def test_typos_change_letters_within_words_only():
    assert typos("What is it?") != "What is it?" and typos("What is it?").endswith(" is it?")
    assert typos("Tell all committees") == typos("Tell all committees") != "Tell all committees"
    changed = typos("今天天气好")
    assert changed != "今天天气好" and sorted(changed) == sorted("今天天气好")


def test_halves_of_a_row_are_its_own_text():
    text = "One two three, four five six; seven eight nine ten eleven twelve thirteen."
    opening, rest = halves(text)
    assert text.startswith(opening + rest) and len(units(opening)) == 6 and len(units(rest)) == 7
    assert halves(" ".join(["word"] * (2 * FEWEST - 1))) is not None and halves(" ".join(["word"] * (2 * FEWEST - 2))) is None
    assert len(units(halves("字" * 100)[1])) == 20


@pytest.fixture
def learned(project, instructions, tiny_directory):
    """A model that has learned two rows by heart, and the data set with a third that was kept out."""
    said = "the quick brown fox jumps over the lazy dog and then sleeps under a tree for hours"
    file = instructions([("Tell me a story.", said), ("Tell me another one.", said.replace("fox", "cat"))])
    rows = write_dataset(project, "rows", [read_file(file)])
    model = api.sft(project, model=str(tiny_directory), name="learned", precision="fp32", epochs=150, data=rows.ref,
                    optimizer={"lr": 1e-2})
    return rows, model


def test_a_row_learned_by_heart_is_found_and_by_who_never_saw_it_not(project, learned, tiny_directory):
    rows, model = learned
    task, = leakage_tasks([(rows, [model])])
    known, unknown = (examine(Local(path, "fp32", "m"), task, 0) for path in (model.path, tiny_directory))
    assert known.marks == {"not reproduced": (0.0, 0.0), "reproduced": (1.0, 1.0)} and known.responses == ()
    assert unknown.marks["reproduced"] == (0.0, 0.0)
    report = api.evaluate(project, models=[str(tiny_directory), model.ref], names=["base", "learned"], probes=["leakage"],
                          precision="fp32", name="leaks")
    found = json.loads((report.path / "report.json").read_text(encoding="utf-8"))
    assert found["board"]["tasks"][0]["marks"]["reproduced"]["learned"]["value"] == 1.0
    everything = "".join(path.read_text(encoding="utf-8") for path in report.path.iterdir())
    assert "quick brown" not in everything      # a report about leaking rows holds none of their text


def test_probes_run_by_the_command_line_and_tell_groups(project, tiny_directory, capsys):
    from tutelage.cli import main

    words = ["evaluate", "--project", str(project.root), "--models", *[str(tiny_directory)] * 2, "--names", "a", "b",
             "--probes", "refusal", "counterfactual", "robustness", "--languages", "zh", "--limit", "4", "--precision", "fp32",
             "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [task["name"] for task in told["board"]["tasks"]] == ["harmful.zh", "harmless.zh", "portraits.zh", "verdicts.zh",
                                                                "robustness.zh"]
    assert {each["group"] for each in told["groups"] if each["task"] == "portraits.zh"} == {"性别", "姓名", "地域", "宗教"}
    for each in told["groups"]:
        assert each["items"] == 1 and (each["difference"] is None or each["difference"]["verdict"] == "too_few")
    page = next(project.root.glob("artifacts/report/*/v1/report.zh.html")).read_text(encoding="utf-8")
    assert "分组结果：portraits.zh" in page and "⇄" in page


@pytest.mark.parametrize(("change", "complaint"), [
    ({"probes": ["refusal"], "data": "x"}, "data or probes, not both"),
    ({"probes": ["refusal"], "reward": "rm:x"}, "Only the probe"),
    ({"probes": ["refusal"], "scoring": {"on_error": "skip"}}, "cannot be left out of a paired comparison"),
    ({"probes": ["refusal", "refusal"]}, "none twice"), ({"probes": ["leakage"]}, "was trained on a data set of this project"),
    ({"probes": ["refusals"]}, "probes")])
def test_what_cannot_be_probed_is_refused(project, tiny_directory, change, complaint):
    with pytest.raises(ConfigError, match=complaint):
        api.evaluate(project, **{"models": [str(tiny_directory)] * 2, "names": ["a", "b"], "precision": "fp32", **change})
