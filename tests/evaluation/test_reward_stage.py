"""The report of a reward model, from the names on the command line to the pages."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tutelage import api
from tutelage.cli import main
from tutelage.data.erasure import QUOTED
from tutelage.errors import ConfigError, DataError
from tutelage.evaluation.config import RewardReport
from tutelage.evaluation.judged_pairs import judgments_of
from tutelage.evaluation.reward_stage import Given, Rewarded, examine_reward, load_reward_report
from tutelage.feedback.kinds import new_judgment
from tutelage.messages import Message
from tutelage.project import Artifact, Project
from tutelage.records import Preference, Prompt, Sample, Scores
from tutelage.store import Store


def row(number: int, draw: random.Random) -> dict[str, Any]:
    """The response with a z is the better one."""
    name = "".join(draw.choice(string.ascii_lowercase[:25]) for _ in range(12))
    good, bad = ("".join(draw.choice(string.ascii_lowercase[:25]) for _ in range(draw.randint(2, 6))) for _ in range(2))
    return {"prompt": f"{name} {number}", "chosen": good + "z", "rejected": bad}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draw = random.Random(0)
    path = tmp_path_factory.mktemp("data") / "pairs.jsonl"
    path.write_text("".join(json.dumps(row(number, draw)) + "\n" for number in range(90)))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_directory: Path, judged: Path) -> tuple[Project, Artifact]:
    project = Project.init(tmp_path_factory.mktemp("project"))
    made = api.reward(project, model=str(tiny_directory), data=str(judged), name="judge", precision="fp32", epochs=4,
                      batch_tokens=512, heldout_fraction=0.4, optimizer={"lr": 3e-3})
    return project, made


def report(project: Project, **settings: Any) -> tuple[Artifact, dict[str, Any]]:
    made = api.evaluate_reward(project, **settings)
    return made, load_reward_report(made)


def test_without_data_it_is_examined_on_what_it_kept_out(trained: tuple[Project, Artifact]) -> None:
    project, reward = trained
    made, found = report(project, reward_model="judge")
    facts = reward.manifest.facts
    assert found["figures"]["pairs"] == facts["heldout_pairs"] > 20
    assert found["figures"]["accuracy"]["value"] == pytest.approx(facts["heldout_accuracy"])
    assert found["left_out"]["trained"] == 90 - facts["heldout_pairs"] and found["left_out"]["training"] == "known"
    assert made.manifest.parents == {"reward": reward.parent_ref}
    assert made.manifest.sources and not made.verify()
    assert found["figures"]["swap"]["largest"] < 1e-4 and found["figures"]["swap"]["turned"] == 0
    assert api.evaluate_reward(project, reward_model="judge") == made


def test_of_the_whole_file_what_it_was_trained_on_is_left_out(trained: tuple[Project, Artifact], judged: Path,
                                                              tmp_path: Path) -> None:
    """Near duplicates too: a held-out prompt in capitals is not one it was trained on, a trained one in capitals is."""
    project, _ = trained
    _, whole = report(project, reward_model="judge", data=str(judged), name="whole")
    _, kept = report(project, reward_model="judge")
    assert whole["figures"]["accuracy"] == kept["figures"]["accuracy"] and whole["left_out"] == kept["left_out"]
    rows = [json.loads(line) for line in judged.read_text().splitlines()]
    loud = tmp_path / "loud.jsonl"
    loud.write_text("".join(json.dumps({**each, "prompt": each["prompt"].upper() + "!"}) + "\n" for each in rows))
    _, found = report(project, reward_model="judge", data=str(loud), name="loud")
    assert found["left_out"]["near"] == whole["left_out"]["trained"] and found["left_out"]["trained"] == 0
    assert found["figures"]["pairs"] == whole["figures"]["pairs"]


def test_the_pages_are_there_and_name_the_rows_they_quote(trained: tuple[Project, Artifact]) -> None:
    project, _ = trained
    made, found = report(project, reward_model="judge", errors=3, name="pages")
    english, chinese = ((made.path / name).read_text(encoding="utf-8") for name in ("report.html", "report.zh.html"))
    assert '<html lang="en">' in english and '<html lang="zh-CN">' in chinese and "奖励模型 judge" in chinese
    assert "not known: no pair was judged by two" in english and "未知：没有任何一对由两人评判" in chinese
    assert len(found["errors"]) == min(3, found["wrong"])
    for error in found["errors"]:
        assert error["score_better"] < error["score_worse"] and error["better"][0]["content"][0]["text"].endswith("z")
        assert f">{error['worse'][0]['content'][0]['text']}</p>" in english
    quoted = json.loads((made.path / QUOTED).read_text())
    assert set(quoted) == {"report.html", "report.zh.html", "report.json"}
    assert all(len(names) == len(found["errors"]) for names in quoted.values())
    json.loads((made.path / "report.json").read_text(), parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


def test_other_kinds_of_judgments_have_their_figures(trained: tuple[Project, Artifact], tmp_path: Path) -> None:
    project, _ = trained
    draw = random.Random(1)
    path = tmp_path / "ratings.jsonl"
    rows = []
    for number in range(12):
        each = row(number + 500, draw)
        rows += [{"prompt": each["prompt"], "response": each["chosen"], "helpfulness": 4 + number % 2},
                 {"prompt": each["prompt"], "response": each["rejected"], "helpfulness": 1 + number % 2}]
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    _, found = report(project, reward_model="judge", data=str(path), name="rated")
    figures = found["figures"]
    assert [each["name"] for each in figures["slices"]["kind"]] == ["rating"] and figures["pairs"] == 12
    assert figures["ratings"]["helpfulness"]["rows"] == 24 and figures["ratings"]["helpfulness"]["spearman"]["value"] > 0.5
    liked = tmp_path / "thumbs.jsonl"
    liked.write_text("".join(json.dumps({"prompt": each["prompt"], "completion": each["response"],
                                         "label": each["helpfulness"] > 2}) + "\n" for each in rows))
    _, found = report(project, reward_model="judge", data=str(liked), name="liked")
    assert found["figures"]["pairs"] == 0 and found["figures"]["thumbs"]["value"] > 0.7
    assert found["figures"]["undefined"]["accuracy"] == "no_pairs"


def test_a_reward_that_gives_no_log_odds_has_no_calibration(trained: tuple[Project, Artifact], judged: Path) -> None:
    project, _ = trained
    _, found = report(project, reward_model="signal:informative", data=str(judged), name="signal")
    assert found["figures"]["calibration"] is None and found["figures"]["undefined"]["calibration"] == "no_probability"
    assert found["left_out"]["training"] == "unknown" and found["figures"]["pairs"] == 90
    with pytest.raises(ConfigError, match="name judgments with --data"):
        api.evaluate_reward(project, reward_model="signal:informative")


def test_an_ensemble_knows_what_any_member_was_trained_on(trained: tuple[Project, Artifact], tiny_directory: Path,
                                                          judged: Path) -> None:
    project, reward = trained
    api.reward(project, model=str(tiny_directory), data=str(judged), name="other", precision="fp32", epochs=1, batch_tokens=512,
               heldout_fraction=0.4, seed=1, optimizer={"lr": 3e-3})
    made, found = report(project, reward_model="ensemble(judge, other)", name="both")
    assert found["figures"]["pairs"] == reward.manifest.facts["heldout_pairs"]
    assert found["figures"]["spread"]["members"] == 2 and found["figures"]["calibration"] is not None
    assert set(made.manifest.parents) == {"member 1", "member 2"}


class Lengths:
    """A score that is the number of characters, and none for an empty response."""

    def score(self, samples: list[Sample]) -> Scores:
        return Scores(total=tuple(float(len(sample.text)) if sample.text != "?" else float("nan") for sample in samples),
                      skipped={at: "lengths has no score" for at, sample in enumerate(samples) if sample.text == "?"})


def given(preference: Callable[..., Preference], *pairs: tuple[str, str, str]) -> Given:
    return Given(judgments=judgments_of([preference(*pair) for pair in pairs]), sources={"pairs": "0" * 64})


def test_what_has_no_score_or_is_too_long_is_left_out_and_counted(project: Project,
                                                                  preference: Callable[..., Preference]) -> None:
    reward = Rewarded(name="lengths", score=Lengths(), tokens=lambda sample: len(sample.text), max_tokens=9)
    pairs = [("one", "longer", "short"), ("two", "?", "short"), ("three", "much too long", "short"), ("four", "abc", "abcd")]
    made = examine_reward(project, RewardReport(reward_model="lengths"), reward, given(preference, *pairs))
    found = load_reward_report(made)
    assert found["left_out"] == {"trained": 0, "near": 0, "long": 1, "tokens": 9, "skipped": 1,
                                 "skipped_why": "lengths has no score", "training": "unknown", "why": ""}
    assert found["figures"]["pairs"] == 2 and found["figures"]["accuracy"]["value"] == 0.5
    assert [error["score_worse"] for error in found["errors"]] == [4.0]
    with pytest.raises(DataError, match=r"no judgment is left to examine lengths on: 1 too long"):
        examine_reward(project, RewardReport(reward_model="lengths", name="none"), reward, given(preference, pairs[2]))
    with pytest.raises(DataError, match=r"gives no score to any of 1 pairs \(first: lengths has no score\)"):
        examine_reward(project, RewardReport(reward_model="lengths", name="none"), reward, given(preference, pairs[1]))


def test_the_first_so_many_pairs_with_all_that_was_said_of_them(project: Project, preference: Callable[..., Preference]) -> None:
    pairs = [("one", "longer", "short"), ("one", "short", "longer"), ("two", "ab", "a"), ("three", "abc", "a")]
    made = examine_reward(project, RewardReport(reward_model="lengths", limit=2), Rewarded(name="lengths", score=Lengths()),
                          given(preference, *pairs))
    figures = load_reward_report(made)["figures"]
    assert figures["pairs"] == 2 and figures["decided"] == 1 and figures["ceiling"]["items"] == 1


def test_on_the_command_line(trained: tuple[Project, Artifact], capsys: pytest.CaptureFixture[str]) -> None:
    project, _ = trained
    assert main(["evaluate", "--reward-model", "judge", "--project", str(project.root), "--name", "said", "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["artifact"] == "report/said@1" and said["figures"]["accuracy"]["n"] == said["figures"]["prompts"]
    assert main(["evaluate", "--reward-model", "nobody", "--project", str(project.root)]) == 1
    assert "nobody" in capsys.readouterr().err
    assert main(["evaluate", "--reward-model", "judge", "--errors", "-1", "--project", str(project.root)]) == 2


def test_of_the_projects_own_judgments_every_voice_is_heard(project: Project, tiny_directory: Path) -> None:
    """Two people on every pair, who differ on one in five: the ceiling is known, and so is who was shown what first."""
    draw = random.Random(2)
    with Store.open(project.store_place) as store:
        for who in ("ann", "bob"):
            store.add_person(who, "human", who)
        for number in range(20):
            each = row(number, draw)
            prompt = Prompt(id=f"p{number}", messages=(Message.of("user", each["prompt"]),))
            good, bad = (Sample(id=f"{name}{number}", prompt=prompt, prompt_ids=(), response_ids=(), logprobs=(),
                                response_mask=(), text=each[side], ended=True)
                         for name, side in (("good", "chosen"), ("bad", "rejected")))
            store.add_samples([good, bad])
            for who in ("ann", "bob"):
                shown = (good, bad) if (number + (who == "bob")) % 2 else (bad, good)
                liked = bad if who == "bob" and number % 5 == 0 else good
                store.add_judgments([new_judgment("comparison", who, "human", prompt, [sample.id for sample in shown],
                                                  {"winner": "a" if shown[0] is liked else "b", "strength": 2})])
    api.reward(project, model=str(tiny_directory), name="own", precision="fp32", heldout_fraction=0.4)
    made, found = report(project, reward_model="own")
    figures = found["figures"]
    assert 3 < figures["pairs"] < 20 and found["left_out"]["trained"] == 2 * (20 - figures["pairs"])
    assert figures["ceiling"]["items"] == figures["pairs"] and figures["annotators"] == {"human": figures["pairs"]}
    assert figures["ceiling"]["people"]["value"] == pytest.approx(figures["decided"] / figures["pairs"])
    assert set(made.manifest.people) == {"ann", "bob"}
    quoted = json.loads((made.path / QUOTED).read_text())["report.html"]
    assert len(quoted) == 2 * len(found["errors"]) and all(name.startswith(("good", "bad")) for name in quoted)
