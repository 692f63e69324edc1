"""Rewards by name: what each names, and what a manifest says of it.

    NAME, rm:NAME              a reward artifact, NAME(k=0) with the spread of its members; NAME[label] a classifier's
    ensemble(NAME, NAME, k=0)  several as one, with their spread
    signal:NAME(arguments)     a signal made of the text and a model (fluency, relevance …)
    hf:org/name[label]         a sequence classifier on the hub; DIR[label] in a directory
    rule:NAME(arguments)       a verifiable rule
    file.py:function           a Python function
    http(s)://…                an endpoint
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tutelage.errors import ArtifactError, ConfigError, RewardError
from tutelage.lineage import content_hash, file_hash, tree_hashes
from tutelage.models.builtin import cache_dir
from tutelage.models.load import resolve
from tutelage.models.precision import choose_precision
from tutelage.project import Artifact, Project
from tutelage.protocols import Score
from tutelage.rewards.callables import CallableReward, Function, load_callable
from tutelage.rewards.classifiers import load_classifier_reward
from tutelage.rewards.ensemble import Ensemble
from tutelage.rewards.http import EndpointReward
from tutelage.rewards.members import load_reward
from tutelage.rewards.rules import load_rule
from tutelage.rewards.signals import (
    ENCODER,
    SIGNALS,
    informative,
    load_fluency,
    load_relevance,
    packaged_encoder,
)
from tutelage.rewards.weighted import Part, WeightedReward
from tutelage.rewards.words import Called
from tutelage.scoring import Scoring

RULE, HUB, MODEL, SIGNAL, ENSEMBLE = "rule:", "hf:", "rm:", "signal:", "ensemble"

MOST_MEMBERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A reward, what metrics and messages call it, and the artifacts (parents) and files (sources) it is made of."""

    name: str
    score: Score
    parents: dict[str, str]
    sources: dict[str, str]


def resolve_reward(project: Project, reward: str | Function, scoring: Scoring | None = None) -> Named:
    """What `reward` names.

    Raises:
        RewardError, ArtifactError, ModelError, ConfigError: if nothing answers to it, or not as it is asked for.
    """
    scoring = scoring or Scoring()
    if not isinstance(reward, str):
        score = CallableReward(reward, scoring=scoring)
        return Named(name=score.name, score=score, parents={}, sources={
            f"reward {score.name}": hashlib.sha256(_source(reward).encode()).hexdigest()})
    if reward.startswith(("http://", "https://")):
        return _endpoint(reward, scoring)
    if reward.startswith(f"{ENSEMBLE}("):
        return _ensemble(project, Called.read(reward), scoring)
    if reward.startswith(RULE):
        return Named(name=reward, score=load_rule(reward.removeprefix(RULE), scoring), parents={}, sources={})
    file, _, function = reward.rpartition(":")
    if file.endswith(".py"):
        return Named(name=f"{Path(file).name}:{function}", score=load_callable(reward, scoring), parents={},
                     sources={f"reward {Path(file).name}:{function}": file_hash(Path(file))})
    if reward.startswith(SIGNAL):
        return _signal(project, reward, scoring)
    called = Called.read(reward)
    if called.name.startswith(HUB) or called.label is not None or (Path(called.name).expanduser() / "config.json").is_file():
        return _classifier(project, called, scoring)
    return _reward_model(project, reward.removeprefix(MODEL), scoring)


def resolve_rewards(project: Project, rewards: Sequence[str | Function], weights: Sequence[float] = (),
                    costs: Sequence[str | Function] = (), scoring: Scoring | None = None) -> Named:
    """Several as one: the sum of weight times score, its parts logged, and `costs` beside it.

    Raises:
        ConfigError: if there is none, or not one weight each.
    """
    if not rewards or not all(rewards):
        raise ConfigError("no reward is named. Set reward to an artifact, rule:NAME, hf:NAME[label], file.py:function, an "
                          "address or a Python function.")
    if weights and len(weights) != len(rewards):
        raise ConfigError(f"{len(weights)} weights for {len(rewards)} rewards; wanted one each, or none.")
    found = [resolve_reward(project, each, scoring) for each in (*rewards, *costs)]
    if len(found) == 1 and (not weights or weights[0] == 1.0):
        return found[0]
    names = _distinct([each.name for each in found])
    parts = [Part(name, each.score, weight, is_cost=i >= len(rewards)) for i, (name, each, weight)
             in enumerate(zip(names, found, (*(weights or [1.0] * len(rewards)), *[0.0] * len(costs)), strict=True))]
    parents = {"reward" if i == 0 else f"reward {i + 1}" if i < len(rewards) else f"cost {i + 1 - len(rewards)}": ref
               for i, each in enumerate(found) for ref in each.parents.values()}
    return Named(name=" + ".join(names[:len(rewards)]), score=WeightedReward(parts), parents=parents,
                 sources={key: value for each in found for key, value in each.sources.items()})


def _endpoint(url: str, scoring: Scoring) -> Named:
    """What it is made of cannot be known: a manifest has its address."""
    parts = urlsplit(url)
    return Named(name=f"{parts.netloc}{parts.path}".rstrip("/"), score=EndpointReward(url, scoring), parents={},
                 sources={f"reward {url}": "remote"})


def _classifier(project: Project, called: Called, scoring: Scoring) -> Named:
    source = resolve(called.name, project, kind="classifier")
    score = load_classifier_reward(source.path, Called(source.name, called.label, called.values, called.named), scoring.on_error)
    label = "" if called.label is None else f"[{called.label}]"
    return Named(name=f"{source.name}{label}", score=score, parents=source.parents("reward"), sources=source.sources("reward"))


def _reward_model(project: Project, reward: str, scoring: Scoring) -> Named:
    called = Called.read(reward)
    called.only("k")
    name, k = called.name, _spreads(called)
    try:
        artifact = project.artifact(name, "reward")
    except ArtifactError as error:
        if ":" in name or "/" in name:
            raise RewardError(f"no reward {name!r}: {error} Others are rule:NAME, hf:NAME[label], DIR[label], "
                              "file.py:function and http(s)://…") from None
        raise
    score = load_reward(artifact.path, str(artifact.manifest.facts["precision"]), scoring.on_error, k)
    return Named(name=name, score=score, parents={"reward": artifact.parent_ref}, sources={})


def _signal(project: Project, reward: str, scoring: Scoring) -> Named:
    called = Called.read(reward.removeprefix(SIGNAL))
    if called.name not in SIGNALS or called.label is not None:
        raise ConfigError(f"no signal {reward!r}. There are: {', '.join(f'{SIGNAL}{name}' for name in SIGNALS)}.")
    name = f"{SIGNAL}{called.name}"
    if called.name == "informative":
        return Named(name=name, score=informative(called, scoring.on_error), parents={}, sources={})
    called.only(values=1)
    if called.name == "relevance" and not called.values:
        directory = packaged_encoder()
        return Named(name=name, score=load_relevance(directory, scoring.on_error), parents={},
                     sources={f"reward {name} {ENCODER}": content_hash(tree_hashes(directory))})
    if not called.values:
        raise ConfigError(f"{name} wants a model: {name}(MODEL).")
    source = resolve(called.values[0], project)
    score: Score = (load_relevance(source.path, scoring.on_error) if called.name == "relevance" else
                    load_fluency(source.path, choose_precision("auto", cache_dir()), scoring.on_error))
    return Named(name=name, score=score, parents=source.parents("reward"), sources=source.sources(f"reward {name}"))


def _ensemble(project: Project, called: Called, scoring: Scoring) -> Named:
    called.only("k", values=MOST_MEMBERS)
    if len(called.values) < 2:
        raise ConfigError(f"ensemble wants two rewards or more; got {len(called.values)}: ensemble(NAME, NAME).")
    k = _spreads(called)
    found = [resolve_reward(project, name, scoring) for name in called.values]
    return Named(name=f"ensemble({', '.join(each.name for each in found)})", score=Ensemble([each.score for each in found], k),
                 parents={f"member {number}": ref for number, each in enumerate(found, start=1) for ref in each.parents.values()},
                 sources={key: value for each in found for key, value in each.sources.items()})


def _spreads(called: Called) -> float:
    """How many standard deviations over members are taken off their mean."""
    try:
        k = float(called.named.get("k", 0.0))
    except ValueError:
        k = -1.0
    if not 0 <= k < float("inf"):
        raise ConfigError(f"{called.name}: k is {called.named['k']!r}; wanted a number of 0 or more, standard deviations taken "
                          "off.")
    return k


def reward_artifacts(project: Project, reward: str) -> list[Artifact]:
    """The reward artifacts behind a name: one, those of an ensemble's members, or none where it is another kind of reward."""
    name = reward.removeprefix(MODEL)
    if name.startswith(f"{ENSEMBLE}("):
        return [each for member in Called.read(name).values for each in reward_artifacts(project, member)]
    if ":" in name or "[" in name or (Path(name).expanduser() / "config.json").is_file():
        return []
    return [project.artifact(Called.read(name).name, "reward")]


def _distinct(names: Sequence[str]) -> list[str]:
    """The same name twice would be one metric."""
    return [name if names.index(name) == i else f"{name} {names[:i + 1].count(name)}" for i, name in enumerate(names)]


def _source(function: Function) -> str:
    """The function's text, so that an edited reward is another reward; its name where there is no text."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return getattr(function, "__qualname__", "reward")
