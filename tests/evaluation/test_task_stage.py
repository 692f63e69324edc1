"""The whole way on tiny models: task files in, a report out; a kill in between, a plan kept and not kept, a model over HTTP."""

from __future__ import annotations

import json

import pytest

from tutelage import api
from tutelage.data.datasets import write_dataset
from tutelage.data.sources import read_file
from tutelage.errors import ConfigError
from tutelage.evaluation import examine as examining
from tutelage.evaluation import task_stage
from tutelage.models.load import save_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    for seed in (0, 1):
        save_policy(Policy(tiny_model(seed=seed, initializer_range=0.2)), tiny_tokenizer(), folder / f"m{seed}")
    return [str(folder / "m0"), str(folder / "m1")]


@pytest.fixture
def tasks(tmp_path):
    def lines(name, *rows):
        (tmp_path / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")

    lines("choice.jsonl", *({"question": f"{n} + 1 =", "choices": [str(n), str(n + 1), "北京"], "answer": 1} for n in range(8)))
    lines("qa.items.jsonl", *({"q": f"Say {n}.", "answer": str(n)} for n in range(6)))
    (tmp_path / "qa.toml").write_text('items = "qa.items.jsonl"\nprompt = "{q}"\nmax_new_tokens = 4\nsamples = '
                                      '2\ntemperature = 1.0\n'
                                      'pass_at = 2\n')
    lines("prose.jsonl", {"text": "A short text."}, {"text": "一段短文。"}, {"text": "x"})
    lines("talk.items.jsonl", *({"prompt": f"Is {n} even?", "answer": "yes", "pushback": "I doubt it."} for n in range(3)))
    (tmp_path / "talk.toml").write_text('items = "talk.items.jsonl"\ngrader = "sycophancy"\nmax_new_tokens = 3\n')
    (tmp_path / "plain.toml").write_text('items = "choice.jsonl"\nprompt = "{question}"\nkind = "choice"\nchat = false\nby '
                                         '= "raw"\n')
    return [str(tmp_path / name) for name in ("choice.jsonl", "qa.toml", "prose.jsonl", "talk.toml", "plain.toml")]


@pytest.fixture
def asked(models, tasks):
    return {"models": models, "names": ["base", "new"], "tasks": tasks, "precision": "fp32", "name": "quiz"}


def test_every_kind_of_task_is_done_by_both_and_reported_in_both_languages(project, asked):
    report = api.evaluate(project, **asked)
    found = json.loads((report.path / "report.json").read_text(encoding="utf-8"))
    board = found["board"]
    assert [(task["name"], task["metric"], task["n"]) for task in board["tasks"]] == [
        ("choice", "accuracy", 8), ("qa", "exact match", 6), ("prose", "bits a byte, negated", 3),
        ("talk", "not talked out of it", 3),
        ("plain", "accuracy", 8)]
    for task in board["tasks"]:
        for marks in task["marks"].values():
            assert set(marks) == {"base", "new"} and all(each["n"] == task["n"] for each in marks.values())
    assert 4 < -board["tasks"][2]["marks"]["bits a byte, negated"]["base"]["value"] < 20
    assert "pass@2" in board["tasks"][1]["marks"]
    assert found["facts"]["base"]["prose"]["perplexity"] > 1 and found["deviations"] is None
    rows = [json.loads(line) for line in (report.path / "marks.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 2 * (8 + 6 + 3 + 3 + 8)
    english, chinese = ((report.path / name).read_text(encoding="utf-8") for name in ("report.html", "report.zh.html"))
    assert "new against base on 5 tasks" in english and "在 5 项任务上的对比" in chinese and "No plan was frozen" in english
    assert report.verify() == [] and api.evaluate(project, **asked).ref == report.ref


def test_a_model_against_itself_is_tied_on_everything(project, asked):
    found = json.loads((api.evaluate(project, **{**asked, "models": [asked["models"][0]] * 2}).path / "report.json").read_text())
    for task in found["board"]["tasks"]:
        assert {pair["verdict"] for pair in task["pairs"]} <= {"tied", "too_few"}
        if task["metric"] != "exact match":      # drawn responses are those of one seed, so these agree too
            assert all(pair["estimate"]["value"] == 0 for pair in task["pairs"])


def test_the_reference_may_stand_last(project, asked):
    report = api.evaluate(project, **{**asked, "reference": "new", "tasks": asked["tasks"][:1]})
    assert "base against new on 1 tasks" in (report.path / "report.html").read_text(encoding="utf-8")


def test_a_kill_between_tasks_loses_nothing_and_changes_nothing(project, asked, monkeypatch, tmp_path):
    whole = json.loads((api.evaluate(project, **asked).path / "report.json").read_text())
    real, calls = examining.examine, []

    def dying(*arguments):
        calls.append(1)
        if len(calls) == 7:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    monkeypatch.setattr(task_stage, "examine", dying)
    other = tmp_path / "other"
    with pytest.raises(KeyboardInterrupt):
        api.evaluate(other, **asked)
    monkeypatch.setattr(task_stage, "examine", lambda *arguments: calls.append(1) or real(*arguments))
    again = json.loads((api.evaluate(other, **asked).path / "report.json").read_text())
    assert len(calls) == 7 + 4 and again["board"] == whole["board"]


def test_a_plan_is_kept_or_the_report_says_where_it_was_not(project, asked, tmp_path):
    plan = str(tmp_path / "plan.json")
    api.freeze_evaluation(project, **{**asked, "freeze": plan})
    kept = api.evaluate(project, **{**asked, "frozen": plan})
    assert json.loads((kept.path / "report.json").read_text())["deviations"] == []
    assert "departs from the plan in nothing" in (kept.path / "report.html").read_text()
    bent = api.evaluate(project, **{**asked, "frozen": plan, "limit": 2, "seed": 5, "name": "bent"})
    sentences = json.loads((bent.path / "report.json").read_text())["deviations"]
    assert any("n is 2, planned was 8" in each for each in sentences) and any("seed is 5, planned was 0" in each
                                                                              for each in sentences)
    assert "Departs from its plan" in (bent.path / "report.html").read_text()
    assert bent.manifest.facts["deviations"] == len(sentences)


def test_items_that_a_model_was_trained_on_are_found(project, asked, instructions, models):
    file = instructions([("3 + 1 =", "It is 4."), *((f"Something else about {n} rivers", "yes indeed") for n in range(6))])
    rows = write_dataset(project, "rows", [read_file(file)])
    taught = api.sft(project, model=models[0], name="taught", precision="fp32", epochs=1, data=rows.ref)
    report = api.evaluate(project, **{**asked, "models": [models[0], taught.ref], "tasks": asked["tasks"][:1]})
    found = json.loads((report.path / "report.json").read_text())["contamination"]
    assert found == {"new": {"choice": {"checked": 8, "by_run": [], "by_likeness": [3]}}}
    assert "1 items of choice were found in what new was trained on" in (report.path / "report.html").read_text()


def test_a_model_behind_an_address_does_text_tasks(project, asked, service):
    service.answer = lambda body: json.dumps({"choices": [{"message": {
        "content": body["messages"][-1]["content"].removeprefix("Say ").strip(".")}, "finish_reason": "stop"}]}).encode()
    report = api.evaluate(project, **{**asked, "models": [asked["models"][0], f"{service.url}#small"],
                                      "tasks": [asked["tasks"][1]]})
    task = json.loads((report.path / "report.json").read_text())["board"]["tasks"][0]
    assert task["marks"]["exact match"]["new"]["value"] == 1.0 and task["pairs"][0]["verdict"] == "better"
    assert service.seen[0]["model"] == "small" and len(service.seen) == 12


@pytest.mark.parametrize(("change", "complaint"), [
    ({"models": ["http://127.0.0.1:9/v1", "http://127.0.0.1:9/v1#b"]}, "task choice needs a model's probabilities"),
    ({"names": ["x", "x"]}, "wanted names of their own"), ({"reward": "rm:x"}, "a task brings its own grader"),
    ({"data": "prompts.jsonl"}, "data or tasks, not both")])
def test_what_cannot_be_asked_is_refused_before_anything_is_loaded(project, asked, change, complaint):
    with pytest.raises(ConfigError, match=complaint):
        api.evaluate(project, **{**asked, **change})


def test_two_tasks_of_one_name_are_refused(project, asked):
    with pytest.raises(ConfigError, match="wanted names of their own"):
        api.evaluate(project, **{**asked, "tasks": [asked["tasks"][0]] * 2})
