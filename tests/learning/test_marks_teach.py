"""From marks to behaviour: people mark letters, a reward of each token learns them, and a policy learns what they say."""

from __future__ import annotations

import json
import random
import string
from dataclasses import replace
from pathlib import Path

import pytest

from tutelage.generation.config import Sample as Draw
from tutelage.generation.stage import load_samples, sample
from tutelage.messages import Message
from tutelage.project import Project
from tutelage.records import Marked
from tutelage.rewards.config import Marks, RewardModel
from tutelage.rewards.resolve import resolve_reward
from tutelage.rewards.train import train_reward
from tutelage.rl.config import RL
from tutelage.rl.stage import rl
from tutelage.training.config import Optimizer
from tutelage.tuning.config import SFT
from tutelage.tuning.sft import sft

GOOD, WRONG, LENGTH = "aeiou", "nrstl", 6


def letters(draw: random.Random) -> str:
    return "".join(draw.choice(string.ascii_lowercase) for _ in range(LENGTH))


def judged(prompt: str, text: str) -> Marked:
    """Every vowel is good, five of the consonants are wrong, and the others are nobody's word."""
    marks = tuple({"start": at, "end": at + 1, "mark": "good" if letter in GOOD else "unsafe"}
                  for at, letter in enumerate(text) if letter in GOOD + WRONG)
    return Marked(id=f"{prompt}{text}", prompt=(Message.of("user", prompt),), response=(Message.of("assistant", text),),
                  marks=marks)


def shares(project: Project, model: str, prompts: str, name: str) -> tuple[float, float]:
    """Of good and of wrong letters among all that is said."""
    drawn = load_samples(sample(project, Draw(model=model, prompts=prompts, name=name, per_prompt=16, max_new_tokens=LENGTH + 2,
                                              precision="fp32")))
    said = "".join(each.text for each in drawn)
    return sum(map(said.count, GOOD)) / len(said), sum(map(said.count, WRONG)) / len(said)


@pytest.mark.parametrize("turned", [False, True], ids=["as marked", "marks turned round"])
def test_a_policy_learns_what_marks_say(project: Project, tiny_directory: Path, tmp_path: Path, turned: bool) -> None:
    draw, prompts = random.Random(0), tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"instruction": f"q{i}", "output": letters(draw)}) + "\n" for i in range(240)))
    taught = sft(project, SFT(model=str(tiny_directory), data=str(prompts), precision="fp32", epochs=4, batch_tokens=1024,
                              optimizer=Optimizer(lr=3e-3)))
    terms = [judged(f"q{i}", letters(draw)) for i in range(240)]
    if turned:
        terms = [replace(each, marks=tuple({**mark, "mark": "good" if mark["mark"] == "unsafe" else "wrong"}
                                           for mark in each.marks)) for each in terms]
    reward = train_reward(project, RewardModel(model=str(tiny_directory), precision="fp32", epochs=4, batch_tokens=1024,
                                               marks=Marks(reward=1.0), optimizer=Optimizer(lr=3e-3)), terms)
    assert reward.manifest.facts["passages_right"]["heldout"] > 0.95
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps({"prompt": f"q{i}"}) + "\n" for i in range(4)))
    found = resolve_reward(project, "reward")
    made = rl(project, RL(policy=taught.ref, prompts=str(few), algorithm="reinforce_mean", settings={"kl_coef": 0.0}, steps=40,
                          prompts_per_step=4, per_prompt=16, max_new_tokens=LENGTH + 2, missing_end_penalty=0.0, precision="fp32",
                          reward_clip=50.0, look_every=0, optimizer=Optimizer(lr=5e-3, warmup_fraction=0.0)),
              found.score, found.parents)
    before, after = shares(project, taught.ref, str(few), "before"), shares(project, made.ref, str(few), "after")
    rises, falls = (1, 0) if turned else (0, 1)
    assert before[rises] < 0.35 and before[falls] > 0.1
    assert after[rises] > 0.7 and after[falls] < 0.05, (before, after)
