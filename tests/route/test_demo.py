"""The whole loop on the tiny model, as a person would run it: through the command line, and without a network."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tutelage.project import Project

STAGES = ("sft", "sample", "reward", "rl", "evaluate")


def tutelage(*words: str, cache: Path, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TUTELAGE_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    command = [*prefix, sys.executable, "-m", "tutelage.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def without_network() -> tuple[str, ...]:
    """A prefix that runs a command in an empty network namespace, or nothing where the kernel does not let us."""
    prefix = ("unshare", "--map-root-user", "--net")
    allowed = shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    return prefix if allowed else ()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, subprocess.CompletedProcess[str]]:
    cache, directory = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("demo") / "project"
    assert tutelage("models", "pull", "tiny", cache=cache).returncode == 0
    done = tutelage("demo", "--tiny", "--json", "--project", str(directory), cache=cache, prefix=without_network())
    return cache, directory, done


def test_the_tiny_demo_runs_in_an_empty_network_namespace(demo: tuple) -> None:
    _, _, done = demo
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert len(done.stdout.splitlines()) == 1                      # under --json everything else is on stderr
    assert Path(result["path"]).is_file()
    assert [each["name"] for each in result["comparison"]["summaries"]] == ["base", "SFT", "SFT, best of 4", "RLHF"]


def test_every_stage_leaves_an_artifact_and_a_finished_run(demo: tuple) -> None:
    _, directory, _ = demo
    project = Project.open(directory)
    assert {artifact.manifest.stage for artifact in project.artifacts()} == {"import", *STAGES}
    assert not list(project.runs.glob("*/checkpoints/*"))          # what was only needed to go on is gone
    assert {path.name.split("-")[0] for path in project.runs.iterdir()} == set(STAGES)


def test_a_second_demo_repeats_nothing(demo: tuple) -> None:
    cache, directory, done = demo
    before = [(artifact.ref, artifact.manifest.content_id) for artifact in Project.open(directory).artifacts()]
    again = tutelage("demo", "--tiny", "--json", "--project", str(directory), cache=cache)
    assert again.returncode == 0, again.stderr[-2000:]
    assert "steps to do" not in again.stderr
    assert [(artifact.ref, artifact.manifest.content_id) for artifact in Project.open(directory).artifacts()] == before
    wanted, got = (json.loads(each.stdout.splitlines()[-1]) for each in (done, again))
    assert got["comparison"] == wanted["comparison"]


def test_lineage_walks_from_the_policy_to_every_file_template_seed_and_person(demo: tuple) -> None:
    cache, directory, _ = demo
    done = tutelage("lineage", "rlhf", "--json", "--project", str(directory), cache=cache)
    nodes = json.loads(done.stdout.splitlines()[-1])["nodes"]
    assert {ref.split("@")[0] for ref in nodes} == {
        "model/rlhf", "model/sft", "reward/reward", "samples/for-judging", "dataset/instructions", "dataset/rl-prompts"}
    sources = {name for node in nodes.values() for name in node["sources"]}
    assert {"instructions.en.jsonl", "prompts.rl.en.jsonl", "model tiny"} <= sources
    assert all(node["template"] for ref, node in nodes.items() if ref.startswith(("model/", "reward/", "samples/")))
    assert all(node["seeds"] for node in nodes.values())
    people = nodes["reward/reward@1"]["people"]
    assert len(people) == 5 and all(person["kind"] == "scripted" and person["judgments"] > 0 for person in people.values())


def test_everything_verifies_until_a_byte_changes(demo: tuple, tmp_path: Path) -> None:
    cache, directory, _ = demo
    copy = tmp_path / "project"
    shutil.copytree(directory, copy)
    assert tutelage("verify", "--project", str(copy), cache=cache).returncode == 0
    weights = next((copy / "artifacts" / "model" / "rlhf").glob("v1/model.safetensors"))
    with open(weights, "r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    done = tutelage("verify", "--project", str(copy), cache=cache)
    assert done.returncode == 1
    assert "model/rlhf@1: model.safetensors is changed" in done.stdout


def test_the_report_stands_alone_and_is_written_in_both_languages(demo: tuple) -> None:
    _, directory, _ = demo
    report = Project.open(directory).artifact("demo", "report").path
    for name in ("report.html", "report.zh.html"):
        page = (report / name).read_text(encoding="utf-8")
        assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
        assert "RLHF" in page
        assert ("SFT loss" in page) is (name == "report.html") and ("SFT 损失" in page) is (name == "report.zh.html")
        assert ("are scripted: rules" in page) is (name == "report.html")
    assert (report / "MODEL_CARD.md").read_text(encoding="utf-8").startswith("---\n")
    assert (report / "samples.md").read_text(encoding="utf-8").count("*RLHF*") == 12
