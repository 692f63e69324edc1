"""CartPole whose reward nobody wrote: it is learned from comparisons of short clips (Christiano et al. 2017, arXiv:1706.03741).

    a PPO agent plays ─► pairs of clips ─► a judge says which is better ─► a reward network ─► the agent is trained on it ─┐
    ▲                                                                                                                      │
    └──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘

The judge is scripted here and stands for a person: of two clips the better is the one whose pole falls less often, then the
one that is more upright and nearer the middle. The agent never sees CartPole's own reward. Nor is it told when an episode ends:
when the pole falls it goes on with the next one, because an agent that is paid anything positive a step would learn to make
episodes long whatever the comparisons said (the paper's section 3.1). Comparisons that are shuffled teach nothing: --shuffled.

    python examples/cartpole_from_preferences.py [--rounds 5] [--steps 5000] [--seeds 3] [--shuffled]
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO

from tutelage.algorithms import bradley_terry_loss

CLIP = 20           # steps of a clip
PAIRS = 200         # comparisons a round
HORIZON = 200       # steps between resets the agent knows of
SCALE = np.array([2.4, 2.0, 0.21, 2.0], np.float32)      # of position, speed, angle and its speed


@dataclass(frozen=True)
class Clip:
    seen: np.ndarray        # (CLIP, 4) what the agent saw before each action
    actions: np.ndarray     # (CLIP,)
    falls: int


class LearnedReward(gymnasium.Wrapper[Any, Any, Any, Any]):
    """CartPole without its reward and without an end: what the agent is paid is what the network says."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__(gymnasium.make("CartPole-v1").unwrapped)
        self.network, self.steps, self.falls = network, 0, 0
        self.seen = np.zeros(4, np.float32)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        self.seen, info = self.env.reset(**options)
        self.steps = 0
        return self.seen, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        with torch.no_grad():
            reward = float(self.network(inputs(self.seen[None], np.array([action])))[0])
        self.seen, _, fell, _, info = self.env.step(action)
        if fell:
            self.falls += 1
            self.seen, _ = self.env.reset()
        self.steps += 1
        return self.seen, reward, False, self.steps >= HORIZON, {**info, "fell": fell}


def inputs(seen: np.ndarray, actions: np.ndarray) -> torch.Tensor:
    """(N, 6): the four numbers of the state, each about 1 where it ends badly, and which way the cart was pushed."""
    return torch.tensor(np.concatenate([seen / SCALE, np.eye(2, dtype=np.float32)[actions]], 1))


def reward_network() -> torch.nn.Sequential:
    return torch.nn.Sequential(torch.nn.Linear(6, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1), torch.nn.Tanh(),
                               torch.nn.Flatten(0))


def play(agent: PPO, env: LearnedReward, count: int) -> list[Clip]:
    """Clips of the agent as it explores."""
    clips, seen = [], env.reset()[0]
    for _ in range(count):
        states, actions, falls = [], [], 0
        for _ in range(CLIP):
            action, _ = agent.predict(seen)
            states.append(seen)
            actions.append(int(action))
            seen, _, _, late, info = env.step(int(action))
            falls += info["fell"]
            seen = env.reset()[0] if late else seen
        clips.append(Clip(np.array(states, np.float32), np.array(actions), falls))
    return clips


def prefers_first(one: Clip, other: Clip) -> bool:
    """The scripted judge, who sees the clips and knows no reward."""
    def looks(clip: Clip) -> tuple[int, float]:
        return clip.falls, float(np.abs(clip.seen[:, 2]).mean() / 0.21 + np.abs(clip.seen[:, 0]).mean() / 2.4)

    return looks(one) < looks(other)


def fit(network: torch.nn.Module, pairs: list[tuple[Clip, Clip]], epochs: int = 150) -> float:
    """Teach the network that the first clip of each pair is worth more; the share of pairs it has right afterwards."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    sides = [torch.stack([inputs(pair[side].seen, pair[side].actions) for pair in pairs]) for side in (0, 1)]      # (P, CLIP, 6)

    def worth(side: torch.Tensor) -> torch.Tensor:
        return network(side.flatten(0, 1)).view(len(pairs), CLIP).sum(1)

    for _ in range(epochs):
        loss = bradley_terry_loss(worth(sides[0]), worth(sides[1]))
        optimizer.zero_grad()
        (loss.sum / loss.count).backward()
        optimizer.step()
    with torch.no_grad():
        return float((worth(sides[0]) > worth(sides[1])).float().mean())


def balanced_for(agent: PPO, episodes: int = 10) -> float:
    """Steps until the pole falls, of 500 at most: CartPole's own reward, which is only measured."""
    env, lengths = gymnasium.make("CartPole-v1"), []
    for seed in range(episodes):
        seen, _ = env.reset(seed=seed)
        over, steps = False, 0
        while not over:
            action, _ = agent.predict(seen, deterministic=True)
            seen, _, fell, late, _ = env.step(int(action))
            over, steps = fell or late, steps + 1
        lengths.append(steps)
    return sum(lengths) / len(lengths)


def learn(seed: int, rounds: int, steps: int, shuffled: bool = False) -> tuple[float, float]:
    """Steps balanced before and after."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    network = reward_network()
    env = LearnedReward(network)
    agent = PPO("MlpPolicy", env, seed=seed, device="cpu", n_steps=1000, batch_size=100, gamma=0.98, learning_rate=1e-3)
    before, pairs = balanced_for(agent), []
    for _ in range(rounds):
        clips = play(agent, env, 2 * PAIRS)
        for one, other in zip(clips[:PAIRS], clips[PAIRS:], strict=True):
            first = draw.random() < 0.5 if shuffled else prefers_first(one, other)
            pairs.append((one, other) if first else (other, one))
        right = fit(network, pairs)
        agent.learn(steps, reset_num_timesteps=False)
        print(f"  {len(pairs)} comparisons, {right:.0%} of them learned: balanced for {balanced_for(agent):.0f} steps",
              flush=True)
    return before, balanced_for(agent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5000, help="of the agent, a round")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shuffled", action="store_true", help="comparisons by the toss of a coin")
    words = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(words.seeds):
        print(f"seed {seed}", flush=True)
        before, after = learn(seed, words.rounds, words.steps, words.shuffled)
        print(f"seed {seed}: balanced for {before:.0f} -> {after:.0f} steps of 500", flush=True)


if __name__ == "__main__":
    main()
