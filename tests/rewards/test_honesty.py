"""What keeps a reward model honest: smoothed labels, no leak between the sides, and length measured or taken out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tutelage.data.chat import ChatTemplate
from tutelage.errors import ConfigError, DataError
from tutelage.project import Project
from tutelage.records import Preference, Sample
from tutelage.rewards import length
from tutelage.rewards.config import RewardModel
from tutelage.rewards.model import SCALE_FILE, RewardScorer
from tutelage.rewards.split import SPLIT_FILE, prompt_name, refuse_leaks, split_groups, trained_on
from tutelage.rewards.train import smoothed, train_reward
from tutelage.training.config import Optimizer
from tutelage.training.pairs import Judged, group_judged

Prefer = Callable[..., Preference]

LONG = "Tell me in a few words why the sea is salty and the lake behind our house is not"


@pytest.fixture
def groups(preference: Prefer, template: ChatTemplate) -> Callable[..., list[Judged]]:
    def build(*prompts: str) -> list[Judged]:
        return group_judged([preference(prompt, "good", "bad") for prompt in prompts], template, 1000)[0]
    return build


@pytest.fixture
def config(tiny_directory: Path) -> Callable[..., RewardModel]:
    def build(**changes: Any) -> RewardModel:
        return RewardModel(**{"model": str(tiny_directory), "precision": "fp32", "optimizer": Optimizer(lr=1e-2), **changes})
    return build


def test_a_smoothed_label_is_the_binary_symmetric_channels(preference: Prefer, template: ChatTemplate) -> None:
    """With e = 0.1: 1 -> 0.9, 0.5 -> 0.5, 0.8 -> 0.9 * 0.8 + 0.1 * 0.2 = 0.74."""
    terms = [preference(f"p{label}", "a", "b", label=label) for label in (1.0, 0.5, 0.8)]
    found = smoothed(group_judged(terms, template, 100)[0], 0.1)
    assert [term.label for group in found for _, _, term in group.pairs] == pytest.approx([0.9, 0.5, 0.74])
    assert [group.responses for group in found] == [group.responses for group in group_judged(terms, template, 100)[0]]
    with pytest.raises(ConfigError, match=r"label_smoothing 0\.5"):
        RewardModel(label_smoothing=0.5)


def test_smoothing_holds_scores_back_and_leaves_the_held_out_labels_alone(project: Project, preference: Prefer,
                                                                          config: Callable[..., RewardModel]) -> None:
    terms = [preference(f"question {n * 37}", "z" * (1 + n % 3), "a" * (1 + n % 3)) for n in range(12)]
    spread = []
    for name, smoothing in (("plain", 0.0), ("smooth", 0.3)):
        made = train_reward(project, config(name=name, label_smoothing=smoothing, epochs=6, batch_tokens=256), terms)
        spread.append(json.loads((made.path / SCALE_FILE).read_text())["std"])
        assert made.manifest.facts["heldout_accuracy"] is not None
    assert spread[1] < 0.8 * spread[0]


def test_prompts_that_are_nearly_the_same_are_on_one_side(groups: Callable[..., list[Judged]]) -> None:
    """Ten families of four wordings that differ by a mark or a capital letter."""
    prompts = [f"{LONG}, part {name}{mark}" for name in "abcdefghij" for mark in ("", ".", "!", " ?")]
    families = [f"{hash_} {name} " + "".join(chr(97 + (ord(c) * (n + 3)) % 26) for c in LONG)
                for n, (hash_, name) in enumerate((c, c * 5) for c in "abcdefghij")]
    unlike = [f"{family}{mark}" for family in families for mark in ("", ".", "!", " ?")]
    train, heldout = split_groups(groups(*unlike), 0.3, 0)
    assert heldout and not {group.prompt[0].text.rstrip(".!? ") for group in train} & {
        group.prompt[0].text.rstrip(".!? ") for group in heldout}
    refuse_leaks(train, heldout)
    with pytest.raises(DataError, match="nothing can be kept out"):
        split_groups(groups(*prompts[:4]), 0.3, 0)


def test_held_out_judgments_whose_prompts_are_trained_on_are_refused(
        project: Project, tmp_path: Path, preference: Prefer, config: Callable[..., RewardModel]) -> None:
    def write(name: str, *prompts: str) -> str:
        rows = [{"prompt": prompt, "chosen": "z", "rejected": "a"} for prompt in prompts]
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    train = write("train.jsonl", LONG, "And what is a river?", "Who wrote the song about the lamp?")
    for leak in (LONG, LONG.upper() + "?!"):
        with pytest.raises(DataError, match="1 of 2 held-out prompts are trained on too"):
            train_reward(project, config(data=train, heldout=write("leak.jsonl", "Something else altogether", leak)))
    assert not project.artifacts("reward")
    clean = write("clean.jsonl", "Something else altogether", "Name a bird that cannot fly")
    made = train_reward(project, config(data=train, heldout=clean))
    assert made.manifest.facts["heldout_pairs"] == 2 and "heldout clean.jsonl" in made.manifest.sources
    split = json.loads((made.path / SPLIT_FILE).read_text())
    assert len(split["train"]) == 3 and len(split["heldout"]) == 2


def test_the_same_prompts_are_kept_out_whatever_the_seed(project: Project, preference: Prefer,
                                                         config: Callable[..., RewardModel]) -> None:
    terms = [preference(f"question {n * 37}", "good", "bad") for n in range(12)]
    sides = [json.loads((train_reward(project, config(seed=seed), terms).path / SPLIT_FILE).read_text()) for seed in (0, 1)]
    assert sides[0] == sides[1] and sides[0]["heldout"]
    other = train_reward(project, config(heldout_seed=5, heldout_fraction=0.4), terms)
    assert json.loads((other.path / SPLIT_FILE).read_text()) != sides[0]


def test_what_it_was_trained_on_is_known_as_long_as_it_is_there(project: Project, tmp_path: Path, preference: Prefer,
                                                                config: Callable[..., RewardModel]) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"question {n * 37}", "chosen": "z", "rejected": "a"} for n in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = train_reward(project, config(data=str(path), heldout_fraction=0.3))
    known = trained_on(made, project)
    assert known.prompts is not None and known.asked is not None and len(known.prompts) == len(known.asked) < 6
    path.write_text(json.dumps(rows[0]) + "\n")
    gone = trained_on(made, project)
    assert gone.prompts == known.prompts and gone.asked is None and "are gone from" in gone.why
    path.unlink()
    assert trained_on(made, project).asked is None


def test_what_length_earns_is_measured_among_equals(preference: Prefer, template: ChatTemplate) -> None:
    """Scores are 3 for the better side and half the logarithm of the tokens: a slope of a half, a correlation of 1."""
    terms = [preference(f"p{n}", "a" * (1 + 7 * n % 13), "b" * (1 + 5 * n % 11)) for n in range(12)]
    found = group_judged(terms, template, 100)[0]
    scores = [torch.tensor([0.5 * math.log1p(len(response.ids) - group.prompt_length) + (3.0 if at == group.pairs[0][0] else 0.0)
                            for at, response in enumerate(group.responses)]) for group in found]
    assert length.correlation(found, scores) == pytest.approx(1.0, abs=1e-6)
    term = length.fitted(found, scores)
    assert term is not None and term.slope == pytest.approx(0.5, abs=1e-5)
    left = length.without(term, found, scores)
    gaps = [float(each[group.pairs[0][0]] - each[group.pairs[0][1]]) for group, each in zip(found, left, strict=True)]
    assert gaps == pytest.approx([3.0] * 12, abs=1e-5)
    assert float(torch.cat(left).mean()) == pytest.approx(float(torch.cat(scores).mean()), abs=1e-5)
    same = group_judged([preference("p", "aa", "bb"), preference("q", "cc", "dd")], template, 100)[0]
    assert length.fitted(same, [torch.tensor([1.0, 0.0])] * 2) is None


def test_regressed_out_length_earns_nothing_in_the_artifact(project: Project, preference: Prefer,
                                                            config: Callable[..., RewardModel],
                                                            sample: Callable[..., Sample]) -> None:
    """Longer is better in nine of ten; what the artifact scores is what was measured, with length taken out."""
    draw = np.random.default_rng(0)
    terms = []
    for n in range(40):
        good, bad = (("a" * int(draw.integers(8, 16)), "a" * int(draw.integers(1, 8))) if n % 10 else
                     ("a" * int(draw.integers(1, 8)), "a" * int(draw.integers(8, 16))))
        terms.append(preference(f"question {n * 37}", good, bad))
    settings = {"epochs": 4, "batch_tokens": 512, "heldout_fraction": 0.2, "optimizer": Optimizer(lr=3e-3)}
    plain = train_reward(project, config(name="plain", **settings), terms)
    fair = train_reward(project, config(name="fair", regress_length=True, **settings), terms)
    assert plain.manifest.facts["length_slope"] is None and fair.manifest.facts["length_slope"] > 0
    measured = [made.manifest.facts["length_correlation"]["train"] for made in (plain, fair)]
    assert measured[0] == pytest.approx(measured[1])      # before anything is taken out
    names = set(json.loads((fair.path / SPLIT_FILE).read_text())["train"])
    slopes = []
    for made in (plain, fair):
        scorer = RewardScorer.load(made.path, "fp32")
        trained = [term for term in terms if prompt_name(term.prompt) in names]
        scores = scorer.score([sample(term.prompt[0].text, side[0].text)
                               for term in trained for side in (term.chosen, term.rejected)])
        assert abs(float(torch.tensor(scores.total).mean())) < 0.01
        gaps = np.array(scores.total[::2]) - np.array(scores.total[1::2])
        longer = [math.log1p(len(term.chosen[0].text) + 1) - math.log1p(len(term.rejected[0].text) + 1) for term in trained]
        slopes.append(float(np.polyfit(longer, gaps, 1)[0]))
    assert slopes[0] > 0.5 and abs(slopes[1]) < 1e-4
