"""A row used by the demo is erased: what descended from it was known, and the demo made again does not contain it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tutelage.cli import main
from tutelage.data.datasets import load_dataset
from tutelage.project import Project


def run(*words: str, project: Path) -> dict[str, Any]:
    """What a command gives machines."""
    out = subprocess.run([sys.executable, "-m", "tutelage.cli", *words, "--project", str(project), "--json"], capture_output=True,
                         text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300)
    assert out.stdout, out.stderr[-2000:]
    return json.loads(out.stdout.splitlines()[-1])


def files_with(project: Path, *texts: str) -> list[str]:
    """Files below artifacts/ and runs/ that hold one of the texts, as JSON writes it or as it is."""
    wanted = {form.encode() for text in texts
              for form in (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])}
    return sorted(path.relative_to(project).as_posix() for folder in ("artifacts", "runs")
                  for path in (project / folder).rglob("*")
                  if path.is_file() and any(each in path.read_bytes() for each in wanted))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("demo") / "project"
    assert main(["demo", "--tiny", "--project", str(directory)]) == 0
    return directory


def test_a_prompt_of_rl_is_erased_from_every_artifact_and_everything_after_it_is_made_without_it(demo: Path) -> None:
    project = Project.open(demo)
    prompt = load_dataset(project.artifact("rl-prompts")).records[3]      # among those that samples were drawn for
    text = prompt.messages[-1].text
    assert "artifacts/samples/for-judging/v1/samples.jsonl" in files_with(demo, text)
    erased = run("data", "erase", "rl-prompts", prompt.id, "--reason", "case 7", project=demo)
    assert files_with(demo, text) == []
    assert set(erased["holders"]) == {"dataset/rl-prompts@1", "samples/for-judging@1"}
    used = set(json.loads((project.artifact("rlhf").path / "used_rows.json").read_text())["dataset/rl-prompts@1"])
    # The reward model was trained on samples of it; RL and the report come after the reward model. SFT does not descend.
    why = erased["descendants"]
    assert set(why) == {"reward/reward@1", "model/rlhf@1", "samples/demo-RLHF@1", "samples/demo-RLHF-plain@1", "report/demo@1"}
    assert why["reward/reward@1"] == "made with it, as a row of samples/for-judging@1"
    assert why["model/rlhf@1"] in ("made from reward/reward@1", "made with it, as a row of dataset/rl-prompts@1") and used
    assert {name.rpartition("-")[0] for name in erased["runs"]} == {
        "sample-for-judging", "reward-reward", "rl-rlhf", "sample-demo-RLHF", "sample-demo-RLHF-plain", "evaluate-demo"}
    assert erased["store_samples"] == 4

    checked = run("verify", project=demo)
    assert checked["changed"] == {} and checked["exit_code"] == 0
    assert [line.split(";")[0] for line in checked["tombstones"]["dataset/rl-prompts@1"]] == [f"row {prompt.id} was erased"]
    assert len(checked["tombstones"]["samples/for-judging@1"]) == 4

    assert main(["demo", "--tiny", "--project", str(demo)]) == 0
    again = Project.open(demo)
    assert {name: again.artifact(name).version for name in ("sft", "for-judging", "reward/reward", "rlhf", "report/demo")} == {
        "sft": 1, "for-judging": 2, "reward/reward": 2, "rlhf": 2, "report/demo": 2}
    assert files_with(demo, text) == []
    nodes = run("lineage", "report/demo", project=demo)["nodes"]
    assert not set(why) & set(nodes)
    # Of what held the row only what is left of it was used: each new artifact names it in the state without the row.
    parents = {ref for name, node in nodes.items() if name not in erased["holders"] for ref in node["parents"].values()}
    assert all("~" in ref for ref in parents if ref.partition("#")[0] in erased["holders"])
    assert prompt.id not in (again.artifact("rlhf").path / "used_rows.json").read_text()
    assert run("verify", project=demo)["changed"] == {}


@pytest.mark.faults
def test_an_instruction_is_erased_and_all_the_weights_descend_from_it(demo: Path) -> None:
    project = Project.open(demo)
    record = load_dataset(project.artifact("instructions")).records[0]
    text = record.response.text
    erased = run("data", "erase", "instructions", record.id, project=demo)
    assert set(erased["holders"]) == {"dataset/instructions@1"} and files_with(demo, text) == []
    assert erased["descendants"]["model/sft@1"] == "made with it, as a row of dataset/instructions@1"
    names = {ref.partition("@")[0] for ref in erased["descendants"]}
    assert {"samples/for-judging", "reward/reward", "model/rlhf", "report/demo"} <= names
    assert not any(ref.startswith(("dataset/", "samples/demo-base")) for ref in erased["descendants"])

    words = ["rl", "--policy", "sft", "--reward", "reward", "--prompts", "rl-prompts", "--project", str(demo)]
    refused = subprocess.run([sys.executable, "-m", "tutelage.cli", *words], capture_output=True, text=True)
    assert refused.returncode == 1 and "which was made with a row that was erased since" in refused.stderr
    assert main(["demo", "--tiny", "--project", str(demo)]) == 0
    nodes = run("lineage", "report/demo", project=demo)["nodes"]
    assert not set(erased["descendants"]) & set(nodes) and {"model/sft@2"} <= set(nodes)
