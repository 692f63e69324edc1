"""The stages as Python functions, named as on the command line.

    import tutelage
    tutelage.sft("my-project", model="smollm2-135m-q4", data="answers.jsonl", name="taught")
    tutelage.rl("my-project", policy="taught", prompts="prompts.jsonl", reward=lambda samples: [len(s.text) for s in samples])

`project` is a directory, made a project where it is none, or a `Project`. Settings are those of the stage's
configuration, nested ones as mappings: `optimizer={"lr": 1e-5}`. Each returns the artifact it made, or the one it had
made from just that.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tutelage.config import from_plain
from tutelage.data.datasets import load_dataset, resolve_dataset
from tutelage.data.sources import read_file
from tutelage.data.writer import write_dataset
from tutelage.errors import ConfigError
from tutelage.evaluation.config import Evaluate, RewardReport
from tutelage.evaluation.examine import Responds
from tutelage.evaluation.human import Vote, read_votes, votes_hash
from tutelage.evaluation.judged_pairs import Judgments, Voice, judgments_of, pairs_of_ratings
from tutelage.evaluation.plans import write_plan
from tutelage.evaluation.reward_stage import Given, Rewarded, examine_reward
from tutelage.evaluation.stage import describe_data
from tutelage.evaluation.stage import evaluate as _evaluate
from tutelage.evaluation.task_stage import describe_tasks, evaluate_tasks, is_address, load_tasks, rewards_named
from tutelage.feedback.gathering import Gathered, erased_samples, gather, gather_each, origin, says_more
from tutelage.feedback.scripted import ScriptedTruth
from tutelage.feedback.voices import Speech, speech
from tutelage.generation.config import Sample
from tutelage.generation.stage import sample as _sample
from tutelage.lineage import content_hash
from tutelage.messages import Message, messages_id, record_id
from tutelage.models.load import resolve
from tutelage.project import Artifact, Project
from tutelage.protocols import Score
from tutelage.records import Prompt
from tutelage.rewards.callables import Function
from tutelage.rewards.config import RewardModel
from tutelage.rewards.model import RewardScorer
from tutelage.rewards.resolve import resolve_reward, resolve_rewards, reward_artifacts
from tutelage.rewards.split import judged_data, known_of, trained_on, trained_with
from tutelage.rewards.train import train_reward
from tutelage.rl.config import RL
from tutelage.rl.own_loop import OwnLoop
from tutelage.rl.presets import algorithm
from tutelage.rl.stage import rl as _rl
from tutelage.scoring import Scoring
from tutelage.store import Store
from tutelage.synthesis.config import Generate
from tutelage.synthesis.endpoint import Endpoint
from tutelage.synthesis.stage import generate as _generate
from tutelage.tuning.classify import classify as _classify
from tutelage.tuning.config import SFT, Classify, Preferences, Pretrain
from tutelage.tuning.prediction import Prediction, Predictor
from tutelage.tuning.preference import preference as _preference
from tutelage.tuning.pretrain import pretrain as _pretrain
from tutelage.tuning.sft import sft as _sft


def generate(project: str | Path | Project, **settings: Any) -> Artifact:
    """Have a model write tasks and responses after the example of seed tasks; settings as in `synthesis.config.Generate`."""
    with (opened := _open(project, "generate", settings)).lock():
        return _generate(opened, from_plain(Generate, settings))


def sft(project: str | Path | Project, **settings: Any) -> Artifact:
    """Supervised fine-tuning; settings as in `tuning.config.SFT`."""
    with (opened := _open(project, "sft", settings)).lock():
        return _sft(opened, from_plain(SFT, settings))


def pretrain(project: str | Path | Project, **settings: Any) -> Artifact:
    """Next-token training on raw text; settings as in `tuning.config.Pretrain`."""
    with (opened := _open(project, "pretrain", settings)).lock():
        return _pretrain(opened, from_plain(Pretrain, settings))


def dpo(project: str | Path | Project, **settings: Any) -> Artifact:
    """Preference optimisation without a reward model; settings as in `tuning.config.Preferences`. `data="feedback"` takes the
    project's judgments.
    """
    config = from_plain(Preferences, settings)
    with (opened := _open(project, "dpo", settings)).lock():
        gathered = _feedback(opened, config.data)
        return _preference(opened, config, **(origin(gathered) if gathered else {}))


def classify(project: str | Path | Project, **settings: Any) -> Artifact:
    """Train a classifier on labelled texts; settings as in `tuning.config.Classify`."""
    with (opened := _open(project, "classify", settings)).lock():
        return _classify(opened, from_plain(Classify, settings))


def predict(project: str | Path | Project, *, model: str, texts: Sequence[str], threshold: float = 0.5) -> list[Prediction]:
    """Labels and probabilities of texts by a classifier: an artifact's name or a directory. With a multi-label one, labels
    are given from probability `threshold` on.
    """
    opened = _open(project, "predict", {})
    return Predictor.load(resolve(model, opened, kind="classifier").path).predict(texts, threshold)


def sample(project: str | Path | Project, **settings: Any) -> Artifact:
    """Draw responses; settings as in `generation.config.Sample`."""
    with (opened := _open(project, "sample", settings)).lock():
        return _sample(opened, from_plain(Sample, settings))


def reward(project: str | Path | Project, **settings: Any) -> Artifact:
    """Train a reward model; settings as in `rewards.config.RewardModel`. `data="feedback"` takes the project's judgments."""
    config = from_plain(RewardModel, settings)
    with (opened := _open(project, "reward", settings)).lock():
        gathered, config = _judged(opened, config)
        return train_reward(opened, config, **(origin(gathered) if gathered else {}))


Reward = str | Function


def rl(project: str | Path | Project, prompts: str | Path | Sequence[str | Prompt] = "", /, *, reward: Reward | Sequence[Reward],
       cost: Reward | Sequence[Reward] = (), **settings: Any) -> Artifact:
    """Train a policy; settings as in `rl.config.RL`.

        tutelage.rl("my-project", policy="taught", prompts="prompts.jsonl", reward="rule:exact")
        tutelage.rl("smollm2-135m-q4", ["Name a river.", "Name a bird."], reward=lambda samples: [-len(s.text) for s in samples])

    Args:
        project: a project; or, where `prompts` stand right behind it and `policy` is not set, the model to start from, which is
            then trained in the project of the setting `project` (a new directory `tutelage-project` by default).
        prompts: a data set or a file, or the prompts themselves.
        reward: a name or a function of samples that gives one float each, or several of them (with `reward_weight`).
        cost: names or functions whose means `constraints.limit` bounds; the same as `constraints.cost`.
    """
    if prompts and "policy" not in settings:
        settings["policy"], project = str(project), settings.pop("project", "tutelage-project")
    prompts = prompts or settings.pop("prompts", "")
    rewards, costs = _each(reward), _each(cost) or tuple(settings.get("constraints", {}).get("cost", ()))
    constraints = {**settings.get("constraints", {}), **({"cost": [_name(each) for each in costs]} if costs else {})}
    asked = from_plain(RL, {**settings, "reward": [_name(each) for each in rewards], "constraints": constraints})
    algorithm(asked.algorithm, asked.settings)      # what is wrong with them is said before a reward is loaded
    opened = _open(project, "rl", {})
    with opened.lock():
        if prompts:
            settings["prompts"] = _prompts(opened, prompts)
            asked = replace(asked, prompts=settings["prompts"])
        found = resolve_rewards(opened, rewards, asked.reward_weight, costs, asked.scoring)
        opened = _open(opened, "rl", {**settings, "reward": reward, **({"cost": cost} if _each(cost) else {})})
        parents, sources = found.parents, found.sources
        heldout: Score | None = None
        if asked.guard.reward:
            watching = resolve_reward(opened, asked.guard.reward, asked.scoring)
            heldout = watching.score
            parents = {**parents, **{f"guard {role}": parent for role, parent in watching.parents.items()}}
            sources = {**sources, **{f"guard {role}": source for role, source in watching.sources.items()}}
        return _rl(opened, asked, found.score, parents, sources, heldout)


def policy_trainer(model: str, **settings: Any) -> OwnLoop:
    """PPO, or another preset, for a loop of one's own; settings as those of `rl.own_loop.OwnLoop.of`.

        metrics = tutelage.policy_trainer("smollm2-135m-q4", algorithm="ppo").step(prompts, responses, scores)
    """
    return OwnLoop.of(model, **settings)


def _each(given: Reward | Sequence[Reward]) -> tuple[Reward, ...]:
    return (given,) if isinstance(given, str) or callable(given) else tuple(given)


def _name(reward: Reward) -> str:
    return reward if isinstance(reward, str) else getattr(reward, "__name__", "reward")


def _prompts(project: Project, prompts: str | Path | Sequence[str | Prompt]) -> str:
    """The name of a data set of them, made where they were given themselves."""
    if isinstance(prompts, str | Path):
        return str(prompts)
    records = [Prompt(id=messages_id("prompt", asked), messages=asked) if isinstance(each, str) else each
               for each in prompts for asked in [(Message.of("user", str(each)),)]]
    name = f"prompts-{record_id(*(each.to_json() for each in records))}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{name}.jsonl")
        path.write_text("".join(json.dumps(_row(each)) + "\n" for each in records), encoding="utf-8")
        return write_dataset(project, name, [read_file(path)]).ref


def _row(prompt: Prompt) -> dict[str, Any]:
    """A prompt as a file of prompts has it."""
    row = prompt.to_json()
    messages = row.pop("messages")
    return {**row, "prompt": messages}


def evaluate(project: str | Path | Project, **settings: Any) -> Artifact:
    """Compare models on prompts with key facts, by the scripted truth, or on tasks and probes; settings as in
    `evaluation.config.Evaluate`.
    On tasks a model may be the address of an OpenAI-compatible service: http://127.0.0.1:8000/v1#model.
    """
    config = from_plain(Evaluate, settings)
    with (opened := _open(project, "evaluate", settings)).lock():
        if config.on_tasks:
            found = {name: resolve_reward(opened, name, config.scoring) for name in rewards_named(config)}
            with _addresses(config.models) as addresses:
                return evaluate_tasks(opened, config, addresses, {name: each.score for name, each in found.items()},
                                      {f"{role} {name}": ref for name, each in found.items()
                                       for role, ref in each.parents.items()},
                                      {key: source for each in found.values() for key, source in each.sources.items()})
        votes = _votes(opened, config.human)
        told = {f"votes of {config.human}": votes_hash(votes)} if config.human else {}
        with _addresses([config.judge]) as judges:
            judge = judges.get(config.judge)
            if not config.reward:
                return _evaluate(opened, config, ScriptedTruth(), judge=judge, votes=votes, sources=told)
            reward = resolve_reward(opened, config.reward, config.scoring)
            return _evaluate(opened, config, ScriptedTruth(), reward.score, parents=reward.parents,
                             sources={**reward.sources, **told}, judge=judge, votes=votes)


def _votes(project: Project, campaign: str) -> list[Vote]:
    """What people said in a campaign of the project's store; nothing where none is named."""
    if not campaign:
        return []
    with Store.open(project.store_place) as store:
        return read_votes(store, campaign, erased_samples(project, store))


LOG_ODDS = ("bradley_terry", "joint")      # the objectives of a reward model under which a gap is log-odds


def evaluate_reward(project: str | Path | Project, **settings: Any) -> Artifact:
    """Hold a reward model against judgments it was not trained on; settings as in `evaluation.config.RewardReport`.

    Raises:
        ConfigError: if no judgments are named and the reward is no artifact that could say what it kept out.
    """
    config = from_plain(RewardReport, settings)
    with (opened := _open(project, "evaluate_reward", settings)).lock():
        artifacts = reward_artifacts(opened, config.reward_model)
        names, split = _judged_data(config, artifacts)
        heard = None
        if "feedback" in (*names, *(name for each in artifacts for name in trained_with(each))):
            with Store.open(opened.store_place) as store:
                heard, gathered = speech(opened, store), gather(opened, store)
        given = [_given_feedback(heard, gathered) if heard and name == "feedback" else _given_data(opened, name, split)
                 for name in names]
        reward = _rewarded(opened, config, artifacts, heard)
        return examine_reward(opened, replace(config, data=", ".join(names)), reward, Given.together(given))


def _judged_data(config: RewardReport, artifacts: Sequence[Artifact]) -> tuple[tuple[str, ...], str]:
    """Which judgments, and of data set artifacts which split: those named, else what the first reward model kept out."""
    if config.data:
        return (config.data,), "heldout"
    if not artifacts:
        raise ConfigError(f"{config.reward_model} does not say what it was trained on: name judgments with --data.")
    apart = str(artifacts[0].manifest.config.get("heldout", ""))
    return ((apart,), "heldout") if apart else (trained_with(artifacts[0]), "train")


def _given_feedback(heard: Speech, gathered: Gathered) -> Given:
    voices = [Voice(term=each.term, kind=each.kind, chosen_first=each.chosen_first, quotes=each.samples) for each in heard.pairs]
    voices += [replace(voice, quotes=tuple(sample for judgment in voice.quotes for sample in heard.samples[judgment]))
               for voice in pairs_of_ratings(heard.ratings)]
    judgments = Judgments(voices=tuple(voices), ratings=heard.ratings, thumbs=heard.thumbs)
    said = content_hash([each.to_json() for each in (*(voice.term for voice in voices), *heard.ratings, *heard.thumbs)])
    return Given(judgments=judgments, parents=gathered.parents, sources={"judgments": said}, used=gathered.used,
                 people=gathered.people)


def _given_data(project: Project, data: str, split: str) -> Given:
    found = judged_data(project, data, split)
    used = {found.artifact.ref: [record.id for record in found.records]} if found.artifact is not None else {}
    return Given(judgments=judgments_of(found.records), parents=found.parents, sources=found.sources, used=used)


def _rewarded(project: Project, config: RewardReport, artifacts: Sequence[Artifact], heard: Speech | None) -> Rewarded:
    found = resolve_reward(project, config.reward_model, Scoring(on_error="skip"))
    members = getattr(found.score, "members", [found.score])
    scorers = [each for each in members if isinstance(each, RewardScorer)]
    facts: dict[str, Any] = {}
    if len(scorers) == len(members):
        slopes = [scorer.length.slope / scorer.std for scorer in scorers if scorer.length is not None]
        log_odds = all(each.manifest.facts.get("objective", "bradley_terry") in LOG_ODDS for each in artifacts)
        facts = {"unit": sum(scorer.std for scorer in scorers) / len(scorers) if log_odds else None,
                 "tokens": scorers[0].num_tokens,
                 "max_tokens": min(int(each.manifest.config.get("max_length", 0)) for each in artifacts),
                 "precision": str(artifacts[0].manifest.facts["precision"]),
                 "regressed": sum(slopes) / len(slopes) if slopes else None}
    known = known_of([trained_on(each, project, heard.prompts if heard else ()) for each in artifacts])
    return Rewarded(name=config.reward_model, score=found.score, parents=found.parents, sources=found.sources,
                    trained=known.prompts, asked=known.asked, gone=known.why, **facts)


def freeze_evaluation(project: str | Path | Project, **settings: Any) -> dict[str, Any]:
    """Write the plan of an evaluation to `freeze`, with its hash, and measure nothing; the plan."""
    config = from_plain(Evaluate, settings)
    opened, names = _open(project, "evaluate", settings), config.names or config.models
    models = {name: resolve(model, opened) for name, model in zip(names, config.models, strict=True) if not is_address(model)}
    contents = {name: source.content for name, source in models.items()}
    plan = (describe_tasks(config, load_tasks(config, opened, models.values()), contents) if config.on_tasks
            else describe_data(config, load_dataset(resolve_dataset(opened, config.data)), contents))
    write_plan(Path(config.freeze), plan)
    return plan


@contextmanager
def _addresses(models: Sequence[str]) -> Iterator[dict[str, Responds]]:
    """Those of `models` that are addresses, `#` before the name of the service's model."""
    found: dict[str, Endpoint] = {}
    try:
        for model in models:
            if is_address(model):
                url, _, name = model.partition("#")
                found[model] = Endpoint(url, name)
        yield dict(found)
    finally:
        for endpoint in found.values():
            endpoint.close()


def _feedback(project: Project, data: str, method: str = "vote") -> Gathered | None:
    """The project's own judgments and where they come from, where `data` asks for these."""
    if data != "feedback":
        return None
    with Store.open(project.store_place) as store:
        return gather(project, store, method=method)


def _judged(project: Project, config: RewardModel) -> tuple[Gathered | None, RewardModel]:
    """The project's own judgments, where they are asked for: combined to pairs, or each by itself where they say more than
    pairs do; and the settings with the objective that is."""
    if "feedback" not in (config.data, *config.also):
        return None, config
    with Store.open(project.store_place) as store:
        if config.objective != "bradley_terry":
            each = gather_each(project, store)
            if config.objective == "auto" and (config.critique_lm or says_more(each.terms, config.sources)):
                return each, replace(config, objective="joint")
            if config.objective != "auto" or {config.data, *config.also} != {"feedback"}:
                return each, config
        return gather(project, store, method=config.aggregation, of_kinds=frozenset(config.sources)), config


def _open(project: str | Path | Project, command: str, settings: Mapping[str, Any]) -> Project:
    """The project, knowing what is asked of it, so that its runs can be gone on with (`tutelage runs resume`)."""
    opened = project if isinstance(project, Project) else Project.init(Path(project))
    return replace(opened, asked=replace(opened.asked, command=command, settings=settings))
