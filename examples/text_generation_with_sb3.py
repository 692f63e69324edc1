"""Stable-Baselines3 learns to write: `tutelage/TextGeneration-v0` with PPO and A2C (pip install 'tutelage[gym]').

The language model is a tiny one of random weights; what is trained is SB3's own policy, which sees the model's last hidden
state and chooses among eight letters. It is rewarded for every letter that says the prompt's again, so it has to find the
prompt in the hidden state: by chance an eighth is right.

    python examples/text_generation_with_sb3.py [--steps 10000] [--seeds 3]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import gymnasium
import torch
from stable_baselines3 import A2C, PPO

from tutelage.data.chat import ChatTemplate
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.records import Sample
from tutelage.rl.gym import ID

LETTERS = "abcdefgh"
LENGTH = 4
SETTINGS: dict[str, dict[str, Any]] = {
    "PPO": {"n_steps": 256, "batch_size": 64, "learning_rate": 1e-3, "gamma": 0.0, "ent_coef": 0.01},
    "A2C": {"n_steps": 16, "learning_rate": 2e-3, "gamma": 0.0, "ent_coef": 0.01},
}


def said_again(samples: Sequence[Sample]) -> list[float]:
    """How many of the response's letters are the prompt's, of `LENGTH`."""
    return [sample.text.count(sample.prompt.messages[-1].text) / LENGTH for sample in samples]


def environment() -> gymnasium.Env[Any, Any]:
    tokenizer = tiny_tokenizer()
    return gymnasium.make(ID, model=Policy(tiny_model(initializer_range=0.3)), template=ChatTemplate.of(tokenizer),
                          prompts=list(LETTERS), candidates=tokenizer.convert_tokens_to_ids(list(LETTERS)), reward=said_again,
                          pay="token", max_new_tokens=LENGTH)


def measure(agent: PPO | A2C, env: gymnasium.Env[Any, Any]) -> float:
    """Mean score over all prompts of the agent's likeliest responses."""
    scores = []
    for place in range(len(LETTERS)):
        seen, _ = env.reset(options={"prompt": place})
        over = False
        while not over:
            action, _ = agent.predict(seen, deterministic=True)
            seen, _, over, _, info = env.step(action)
        scores.append(info["score"])
    return sum(scores) / len(scores)


def train(name: str, seed: int, steps: int) -> tuple[float, float]:
    """The mean score before and after."""
    env = environment()
    agent = {"PPO": PPO, "A2C": A2C}[name]("MlpPolicy", env, seed=seed, device="cpu", **SETTINGS[name])
    before = measure(agent, env)
    agent.learn(steps)
    return before, measure(agent, env)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--steps", type=int, default=10_000, help="tokens that are chosen while learning")
    parser.add_argument("--seeds", type=int, default=3)
    words = parser.parse_args()
    torch.set_num_threads(1)      # a network this small gains nothing from a second one
    for name in SETTINGS:
        for seed in range(words.seeds):
            before, after = train(name, seed, words.steps)
            print(f"{name} seed {seed}: {before:.3f} -> {after:.3f}", flush=True)


if __name__ == "__main__":
    main()
