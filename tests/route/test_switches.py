"""Every switch of the stages once, end to end on the tiny model (the habit of lm-human-preferences)."""

from pathlib import Path
from typing import Any

import pytest

import tutelage
from tutelage.errors import RewardError
from tutelage.project import Project

FAST: dict[str, Any] = {"lr": 1e-3}
PROMPTS = {"prompts": "builtin:prompts.rl.en"}


def wordiness(samples: Any) -> list[float]:
    return [len(set(sample.response_ids)) / 10 for sample in samples]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    patch = pytest.MonkeyPatch()
    patch.setenv("TUTELAGE_CACHE", str(tmp_path_factory.mktemp("cache")))
    found = Project.init(tmp_path_factory.mktemp("project"))
    tutelage.sft(found, model="tiny", data="builtin:instructions.zh", epochs=1, batch_tokens=8192, optimizer=FAST)
    yield found
    patch.undo()


@pytest.mark.parametrize("settings", [
    {"adapter": {"rank": 4}},
    {"adapter": {"rank": 4, "rs": True, "targets": ["q_proj", "v_proj"]}},
    {"precision": "fp32"},
    {"precision": "bf16", "micro_tokens": 2048},
    {"too_long": "cut", "max_length": 160},
    {"trained": "last"},
    {"optimizer": {"lr": 1e-3, "frozen_layers": 1, "weight_decay": 0.1, "schedule": "cosine"}},
    {"optimizer": {"lr": 1e-3, "max_grad_norm": 0.0, "schedule": "constant"}},
    {"template": {"user_open": "<指令>", "user_close": "</指令> ", "assistant_open": "<输出>", "assistant_close": "</输出>"}},
], ids=str)
def test_sft_with(project: Project, settings: dict[str, Any]) -> None:
    artifact = tutelage.sft(project, model="tiny", data="builtin:instructions.zh", name="switch", epochs=1,
                            **{"batch_tokens": 8192, "optimizer": FAST, **settings})
    assert artifact.verify() == []
    assert artifact.manifest.facts["last_loss"] < 6
    drawn = tutelage.sample(project, model=artifact.ref, limit=2, per_prompt=1, max_new_tokens=4, **PROMPTS)
    assert drawn.manifest.facts["samples"] == 2


@pytest.mark.parametrize("settings", [
    {"algorithm": "ppo"},
    {"algorithm": "rloo"},
    {"adapter": {"rank": 4}},
    {"precision": "fp32", "temperature": 0.7},
    {"settings": {"epochs": 2, "minibatches": 2}, "micro_tokens": 256},
    {"settings": {"kl_target": 2.0, "ent_coef": 0.01, "dual_clip": 3.0, "gae_lambda": 1.0}},
    {"optimizer": {"lr": 1e-3, "frozen_layers": 1}},
    {"missing_end_penalty": 0.0, "reward_clip": 0.5, "slots": 3},
], ids=str)
def test_rl_with(project: Project, settings: dict[str, Any]) -> None:
    artifact = tutelage.rl(project, policy="sft", reward=wordiness, name="switch", steps=2, prompts_per_step=4, per_prompt=2,
                           max_new_tokens=8, **{**PROMPTS, "optimizer": FAST, **settings})
    assert artifact.verify() == []
    assert artifact.manifest.facts["steps"] == 2


@pytest.mark.parametrize("settings", [
    {"temperature": 0.0}, {"top_k": 5}, {"top_p": 0.5}, {"slots": 2, "chunk_prompts": 1}, {"precision": "fp32"},
], ids=str)
def test_sample_with(project: Project, settings: dict[str, Any]) -> None:
    artifact = tutelage.sample(project, model="sft", limit=3, per_prompt=2, max_new_tokens=6, name="switch",
                               **{**PROMPTS, **settings})
    assert artifact.manifest.facts["samples"] == 6


def test_a_reward_that_fails_stops_the_run_and_says_where(project: Project) -> None:
    def broken(samples: Any) -> list[float]:
        return [float("nan")] * len(samples)

    with pytest.raises(RewardError, match="returned nan for 2 of 2 samples"):
        tutelage.rl(project, policy="sft", reward=broken, name="never", steps=1, prompts_per_step=1, per_prompt=2,
                    max_new_tokens=4, optimizer=FAST, **PROMPTS)
    assert not list((project.root / "artifacts" / "model").glob("never/v*"))


def test_the_directory_is_where_a_path_says(project: Project) -> None:
    assert tutelage.sft(Path(project.root), model="tiny", data="builtin:instructions.zh", epochs=1, batch_tokens=8192,
                        optimizer=FAST).ref == "model/sft@1"
