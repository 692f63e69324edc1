"""Heads on the hidden states of a trunk that is run once, fitted by the loss of `tutelage reward`, so that a training takes
seconds.

B responses · D hidden width
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.scripted_judgments import responses_to
from tutelage.data.chat import ChatTemplate
from tutelage.data.datasets import builtin_path, load_dataset
from tutelage.feedback.scripted import ScriptedTruth
from tutelage.models.builtin import cache_dir
from tutelage.models.load import load_policy, load_tokenizer, resolve
from tutelage.models.policy import Policy, PolicyOutput
from tutelage.models.precision import choose_precision
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.records import Prompt, Sample, Term, Thumb
from tutelage.rewards.config import Annotators
from tutelage.rewards.joint import Joint
from tutelage.rewards.judges import Judges
from tutelage.rewards.model import score_sequences
from tutelage.rewards.terms import book_of
from tutelage.training.pairs import Judged, group_judged

TOLD_APART = 0.05         # truth, 0 to 1, by which the responses of a pair that is looked at differ
RIDGES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)      # a judgment; the best by likelihood on a fifth of the judged prompts


class Cached(nn.Module):
    """In the place of a policy: the head on hidden states that were computed before, in the order of the groups' responses."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features                                                 # (B, D)
        self.weight = nn.Parameter(torch.zeros(features.shape[1]))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, tokens: Any, **asked: bool) -> PolicyOutput:
        return PolicyOutput(scores=self.features @ self.weight + self.bias)


@dataclass(frozen=True)
class World:
    """Prompts with their responses, the truth about these, and what the trunk makes of them."""

    template: ChatTemplate
    samples: Mapping[str, Sequence[Sample]]
    truth: Mapping[str, float]                     # sample id -> 0 to 1
    features: Mapping[tuple[int, ...], Tensor]     # token ids of prompt and response -> (D,)
    of_sample: Mapping[str, tuple[int, ...]]

    def head_of(self, groups: Sequence[Judged]) -> Cached:
        return Cached(torch.stack([self.features[response.ids] for group in groups for response in group.responses]))


def world(model: str, cache: str = "") -> World:
    """`cache` is a file of hidden states, made where it is not there."""
    template = ChatTemplate.of(tiny_tokenizer()) if model == "tiny" else _template(resolve(model).path)
    rows = [(Prompt(id=row.id, messages=row.prompt), row.response.text)
            for row in load_dataset(builtin_path("instructions.en")).records]
    samples = responses_to(rows)
    every = [sample for each in samples.values() for sample in each]
    groups, _ = group_judged([Thumb(id=sample.id, prompt=sample.prompt.messages, response=sample.response, up=True)
                              for sample in every], template, 10_000)
    hidden = torch.load(cache, weights_only=True) if Path(cache).is_file() else hidden_states(trunk(model), groups)
    if cache:
        torch.save(hidden, cache)
    hidden = (hidden - hidden.mean(0)) / (hidden.std(0) + 1e-6) / math.sqrt(hidden.shape[1])
    ids = [response.ids for group in groups for response in group.responses]
    names = [term.id for group in groups for term, _ in group.terms]
    truth = dict(zip((sample.id for sample in every), ScriptedTruth().score(every).total, strict=True))
    return World(template, samples, truth, dict(zip(ids, hidden, strict=True)), dict(zip(names, ids, strict=True)))


def hidden_states(policy: Policy, groups: Sequence[Judged]) -> Tensor:
    """(B, D): what the score head would read, of every response in order."""
    caught: list[Tensor] = []
    hook = policy.get_submodule("score_head").register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].float()))
    for at, group in enumerate(groups):
        score_sequences(policy, [response.ids for response in group.responses], [group.prompt_length] * len(group.responses))
        if at % 50 == 0:
            print(f"hidden states of {at} of {len(groups)} prompts", file=sys.stderr, flush=True)
    hook.remove()
    return torch.cat(caught)


def trunk(model: str) -> Policy:
    return Policy(tiny_model(), score_head=True) if model == "tiny" else load_policy(
        resolve(model).path, choose_precision("auto", cache_dir()), score_head=True)


def _template(directory: Path) -> ChatTemplate:
    return ChatTemplate.load(directory, load_tokenizer(directory))


def learn(place: World, terms: Sequence[Term], priors: Annotators) -> Tensor:
    """(D,) the head's weights, with the ridge that tells most of a fifth of the prompts, then fitted to all."""
    groups, _ = group_judged(terms, place.template, 10_000)
    apart = groups[::5]
    rest = [group for at, group in enumerate(groups) if at % 5]
    costs, found = [], None
    for ridge in RIDGES:
        found, cost = _fit(place, rest, apart, priors, ridge, found)
        costs.append(cost)
    return _fit(place, groups, [], priors, RIDGES[costs.index(min(costs))], found)[0]


def _fit(place: World, groups: Sequence[Judged], apart: Sequence[Judged], priors: Annotators, ridge: float,
         start: Tensor | None) -> tuple[Tensor, float]:
    """Weights after L-BFGS over everything at once, and the nats a judgment of `apart`."""
    terms, others = ([term for group in side for term, _ in group.terms] for side in (groups, apart))
    weight, book = sum(term.weight for term in terms), book_of(terms, others, priors)
    head = place.head_of(groups)
    if start is not None:
        head.weight.data.copy_(start)
    judges = Judges(book, priors)
    head.add_module("judges", judges)
    task = Joint(groups, book, priors, 0.0, True, 1 / weight)
    batch = task.collate(range(len(groups)))
    learned = [each for each in head.parameters() if each.requires_grad]
    optimizer = torch.optim.LBFGS(learned, max_iter=60, history_size=20, tolerance_grad=1e-5, tolerance_change=1e-5,
                                  line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = ridge * head.weight.square().sum() / 2
        for each in task.terms(head, batch):      # type: ignore[arg-type]
            loss = loss + each.weight * each.loss.sum / each.loss.count
        loss.backward()      # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)
    found = head.weight.detach().clone()
    if not apart:
        return found, 0.0
    looked = Joint(apart, book, priors, 0.0, True)
    other = place.head_of(apart)
    other.add_module("judges", judges)
    with torch.no_grad():
        other.weight.copy_(found)
        other.bias.copy_(head.bias)
        [cost] = looked.terms(other, looked.collate(range(len(apart))))      # type: ignore[arg-type]
    return found, float(cost.loss.sum / cost.loss.count)


def accuracies(place: World, learned: Tensor | Mapping[str, float], prompts: Sequence[str]) -> dict[str, float]:
    """By prompt, the share of its pairs that the head's weights, or the scores of samples, put in the truth's order."""
    found = {}
    for prompt in prompts:
        scored = [(float(place.features[place.of_sample[sample.id]] @ learned) if isinstance(learned, Tensor)
                   else learned[sample.id], place.truth[sample.id]) for sample in place.samples[prompt]]
        right = [float((a - b) * (s - t) > 0) for (a, s), (b, t) in combinations(scored, 2) if abs(s - t) > TOLD_APART]
        if right:
            found[prompt] = sum(right) / len(right)
    return found
