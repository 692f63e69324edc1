"""Train a reward model on preferences.

B unique responses of a batch · K pairs among them
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from tutelage.algorithms import bradley_terry_loss
from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.chat import ChatTemplate
from tutelage.data.usage import write_used
from tutelage.lineage import Manifest
from tutelage.models.circumstances import begin_run
from tutelage.models.load import keep_layers, load_policy, load_tokenizer, resolve, save_policy
from tutelage.models.policy import Policy
from tutelage.project import Artifact, Project
from tutelage.records import Preference
from tutelage.rewards import length
from tutelage.rewards.config import RewardModel
from tutelage.rewards.model import SCALE_FILE, score_sequences
from tutelage.rewards.split import heldout_terms, refuse_leaks, split_groups, write_split
from tutelage.training import preflight
from tutelage.training.fit import Task, fit
from tutelage.training.heldout import HeldOut
from tutelage.training.loop import MicroBatch, Term
from tutelage.training.optimizer import freeze_language_head, freeze_layers
from tutelage.training.pairs import Group, check_responses, collate_groups, group_pairs, judgments


class BradleyTerry(Task):
    """Prompts with their judged responses; one term, counted in judgments."""

    label = "Reward model"
    shown = ("loss", "accuracy")
    scores_only = True

    def __init__(self, groups: Sequence[Group], centring: float, share: bool) -> None:
        self.groups, self.centring, self.share = groups, centring, share
        self.lengths = [group.num_tokens for group in groups]

    def collate(self, rows: Sequence[int]) -> MicroBatch:
        return collate_groups([self.groups[row] for row in rows], self.share)

    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        return {"pairs": float(batch.fields["weight"].sum())}

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
        scores = policy(batch.tokens, logprobs=False, scores=True).scores
        assert scores is not None
        fields = batch.fields
        return [Term("pairs", bradley_terry_loss(scores[fields["chosen"]], scores[fields["rejected"]], fields["margin"],
                                                 fields["label"], self.centring, fields["weight"]))]

    def rates(self, metrics: Mapping[str, float]) -> dict[str, float]:
        return {"accuracy": metrics["correct"] / max(metrics["decided"], 1e-9)}


def train_reward(project: Project, config: RewardModel, preferences: Sequence[Preference] | None = None,
                 parents: Mapping[str, str] | None = None, people: Mapping[str, Any] | None = None,
                 used: Mapping[str, Sequence[str]] | None = None) -> Artifact:
    """Make the reward model `config` asks for, or give the one that was made from just that.

    Args:
        preferences: the terms to train on; None reads the data set `config.data` names.
        parents: what else went in, by role, for the manifest: the samples that were judged.
        people: who judged, for the manifest: annotator id -> {kind, judgments}; None knows their kinds only.
        used: of which samples of those parents the terms speak: artifact -> ids; None where nobody knows.
    """
    source = resolve(config.model, project)
    terms, origin = judgments(project, "reward", config.data, preferences)
    tokenizer = load_tokenizer(source.path)
    template = ChatTemplate.load(source.path, tokenizer)
    apart, its_parents, its_sources = heldout_terms(project, config.heldout) if config.heldout else ([], {}, {})
    manifest = Manifest(kind="reward", name=config.name, stage="reward",
                        parents={**source.parents("model"), **(parents or {}), **origin["parents"], **its_parents},
                        sources={**source.sources("model"), **origin["sources"], **its_sources}, people=people or _people(terms),
                        template=template.sha256, config=to_plain(config), seeds={"seed": config.seed})
    if (done := project.made_from(manifest.key)) is not None:
        return done
    run = begin_run(project, manifest, config.precision)
    precision = run.circumstances["precision"]
    groups, dropped = group_pairs(terms, template, config.max_length)
    train, heldout = _sides(groups, group_pairs(apart, template, config.max_length)[0], config)
    console.print(f"reward: {sum(len(group.pairs) for group in train)} pairs of {len(train)} prompts to train on, "
                  f"{sum(len(group.pairs) for group in heldout)} of {len(heldout)} kept out, {dropped} too long")
    check_responses([*train, *heldout], template)
    policy = load_policy(source.path, precision, score_head=True, adapter=config.adapter if config.adapter.rank else None,
                         adapter_seed=config.seed)
    freeze_language_head(policy)
    if config.layers:
        keep_layers(policy, config.layers)
    freeze_layers(policy, config.optimizer.frozen_layers)
    if config.checkpointing:
        policy.checkpoint_blocks()
    watched = HeldOut(BradleyTerry(heldout, config.centring, policy.ragged), config, every=config.evaluate_every,
                      patience=config.patience) if heldout else None
    learned = fit("reward", policy, BradleyTerry(train, config.centring, policy.ragged), config, run, watched)
    _check_padding(policy, train, precision)
    measured, scale = _measured(policy, train, heldout, config)
    facts = {**run.circumstances, **learned, "pairs": sum(len(group.pairs) for group in groups), "dropped_too_long": dropped,
             **measured,
             "annotators": sorted({term.annotator for term in terms})}
    with project.writing(replace(manifest, facts=facts)) as draft:
        save_policy(policy, tokenizer, draft.path)
        template.save(draft.path)
        write_used(draft.path, {**(used or {}), **_used(origin["parents"], groups)})
        write_split(draft.path, train, heldout)
        (draft / SCALE_FILE).write_text(json.dumps(scale) + "\n", encoding="utf-8")
        preflight.reload(policy, draft.path, collate_groups(train[:1], policy.ragged).tokens, precision, score_head=True)
    run.finish()
    return draft.artifact


def _used(parents: Mapping[str, str], groups: Sequence[Group]) -> dict[str, list[str]]:
    """Rows of the data set that were trained on or kept out; those dropped as too long were not used."""
    return {parent.partition("#")[0]: [term.id for group in groups for _, _, term in group.pairs] for parent in parents.values()}


def _people(terms: Sequence[Preference]) -> dict[str, Any]:
    counts = Counter(kind for term in terms for kind in [term.annotator] * max(1, len(term.judgment_ids)))
    return {f"unnamed ({kind})": {"kind": kind, "judgments": count} for kind, count in sorted(counts.items())}


def _sides(groups: list[Group], apart: list[Group], config: RewardModel) -> tuple[list[Group], list[Group]]:
    """What is trained on, smoothed, and what is kept out: the groups `apart` where the settings name such data."""
    train, heldout = (groups, apart) if config.heldout else split_groups(groups, config.heldout_fraction, config.heldout_seed)
    refuse_leaks(train, heldout)
    return smoothed(train, config.label_smoothing), heldout


def _measured(policy: Policy, train: Sequence[Group], heldout: Sequence[Group],
              config: RewardModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the manifest says of the trained model, and what its scale file holds."""
    raw = [score_group(policy, group) for group in train]
    removed = length.fitted(train, raw) if config.regress_length else None
    scores = length.without(removed, train, raw)
    kept_out = length.without(removed, heldout, [score_group(policy, group) for group in heldout])
    mean, std = _moments(scores)
    facts = {"train_accuracy": accuracy(train, scores), "heldout_pairs": sum(len(group.pairs) for group in heldout),
             "heldout_accuracy": accuracy(heldout, kept_out),
             "length_correlation": {"train": length.correlation(train, raw), "heldout": length.correlation(heldout, kept_out)},
             "length_slope": None if removed is None else removed.slope}
    return facts, {"mean": mean, "std": std, **({} if removed is None else {"length": asdict(removed)})}


def smoothed(groups: Sequence[Group], smoothing: float) -> list[Group]:
    """Labels drawn towards a tie: p becomes (1 - e) p + e (1 - p), as if one judgment in 1 / e had been turned round."""
    if not smoothing:
        return list(groups)
    return [replace(group, pairs=tuple(
        (chosen, rejected, replace(term, label=(1 - smoothing) * term.label + smoothing * (1 - term.label)))
        for chosen, rejected, term in group.pairs)) for group in groups]


def score_group(policy: Policy, group: Group) -> torch.Tensor:
    """(responses,) raw scores."""
    return score_sequences(policy, [response.ids for response in group.responses],
                           [group.prompt_length] * len(group.responses))


def accuracy(groups: Sequence[Group], scores: Sequence[torch.Tensor]) -> float | None:
    """Share of decided pairs (label not 0.5) whose chosen side scores higher, equal scores half; None without pairs."""
    correct = [1.0 if score[chosen] > score[rejected] else 0.5 if score[chosen] == score[rejected] else 0.0
               for group, score in zip(groups, scores, strict=True)
               for chosen, rejected, term in group.pairs if term.label != 0.5]
    return sum(correct) / len(correct) if correct else None


def _moments(scores: Sequence[torch.Tensor]) -> tuple[float, float]:
    every = torch.cat(list(scores))
    return float(every.mean()), max(float(every.std(correction=0)), 1e-6)


def _check_padding(policy: Policy, groups: Sequence[Group], precision: str) -> None:
    group = groups[0]
    together = score_group(policy, group)
    alone = torch.cat([score_sequences(policy, [response.ids], [group.prompt_length]) for response in group.responses])
    spread = float(together.std()) if len(together) > 1 else 1.0
    preflight.padding(alone, together, "the reward", 1e-3 if precision == "fp32" else 0.3 + 0.3 * spread)
