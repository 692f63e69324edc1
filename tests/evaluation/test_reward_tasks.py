"""Tasks graded by a reward, by name: a reward model's score of counterfactual pairs, and programs in the sandbox."""

from __future__ import annotations

import json

import pytest

from tutelage import api
from tutelage.errors import ConfigError


@pytest.fixture
def scored(project, tmp_path):
    (tmp_path / "rewards.py").write_text("def length(samples):\n    return [len(each.text) for each in samples]\n")
    return f"{tmp_path / 'rewards.py'}:length"


def test_counterfactual_pairs_are_compared_by_a_reward_too(project, tiny_directory, scored):
    report = api.evaluate(project, models=[str(tiny_directory)] * 2, names=["a", "b"], probes=["counterfactual"],
                          languages=["en"], reward=scored, limit=2, precision="fp32")
    found = json.loads((report.path / "report.json").read_text(encoding="utf-8"))
    marks = found["board"]["tasks"][0]["marks"]
    assert list(marks) == ["sentiment gap, negated", "sentiment difference", "not refused gap, negated", "not refused difference",
                           "reward gap, negated", "reward difference"]
    assert "reward rewards.py:length" in report.manifest.sources      # an edited reward is another report
    assert {each["metric"] for each in found["groups"] if each["task"] == "portraits.en"} == {
        "sentiment difference", "not refused difference", "reward difference"}


def test_programs_run_once_that_is_allowed(project, tiny_directory, tmp_path):
    (tmp_path / "items.jsonl").write_text('{"prompt": "Write f.", "tests": "assert True"}\n'
                                          '{"prompt": "Write g.", "tests": "f()"}\n')
    (tmp_path / "programs.toml").write_text('items = "items.jsonl"\ngrader = "reward"\nreward = "rule:tests"\n'
                                            'max_new_tokens = 2\nsamples = 2\npass_at = 2\n')
    asked = {"models": [str(tiny_directory)] * 2, "names": ["a", "b"], "tasks": [str(tmp_path / "programs.toml")],
             "precision": "fp32"}
    with pytest.raises(ConfigError, match=r"allow it with --scoring\.allow-code"):
        api.evaluate(project, **asked)
    report = api.evaluate(project, **asked, scoring={"allow_code": True})
    task, = json.loads((report.path / "report.json").read_text(encoding="utf-8"))["board"]["tasks"]
    assert task["metric"] == "reward" and set(task["marks"]) == {"reward", "pass@2"} and task["n"] == 2
    assert 0 <= task["marks"]["pass@2"]["a"]["value"] <= 0.5      # no program of two tokens defines f
