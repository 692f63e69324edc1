"""Train a reward model on judgments."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch

from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.chat import ChatTemplate
from tutelage.data.usage import write_used
from tutelage.lineage import Manifest
from tutelage.models.circumstances import begin_run
from tutelage.models.load import keep_layers, load_policy, load_tokenizer, resolve, save_policy
from tutelage.models.policy import Policy
from tutelage.project import Artifact, Project
from tutelage.records import Preference, Term
from tutelage.rewards import length
from tutelage.rewards.config import RewardModel
from tutelage.rewards.joint import decided_pairs
from tutelage.rewards.lessons import lessons, save_judges
from tutelage.rewards.model import SCALE_FILE, score_sequences
from tutelage.rewards.reading import Read, count_judgments, read_terms, unnamed_people
from tutelage.rewards.split import heldout_terms, refuse_leaks, split_groups, write_split
from tutelage.training import preflight
from tutelage.training.fit import fit
from tutelage.training.heldout import HeldOut
from tutelage.training.optimizer import freeze_language_head, freeze_layers
from tutelage.training.pairs import Group, Judged, check_judged, group_judged, pack_responses


def train_reward(project: Project, config: RewardModel, preferences: Sequence[Term] | None = None,
                 parents: Mapping[str, str] | None = None, people: Mapping[str, Any] | None = None,
                 used: Mapping[str, Sequence[str]] | None = None) -> Artifact:
    """Make the reward model `config` asks for, or give the one that was made from just that.

    Args:
        preferences: the project's own judgments as terms, of whatever kind; None reads the data set `config.data` names.
        parents: what else went in, by role, for the manifest: the samples that were judged.
        people: who judged, for the manifest: annotator id -> {kind, judgments}; None knows their kinds only.
        used: of which samples of those parents the terms speak: artifact -> ids; None where nobody knows.
    """
    source = resolve(config.model, project)
    read = read_terms(project, config, preferences)
    tokenizer = load_tokenizer(source.path)
    template = ChatTemplate.load(source.path, tokenizer)
    apart, its_parents, its_sources = heldout_terms(project, config.heldout) if config.heldout else ([], {}, {})
    manifest = Manifest(kind="reward", name=config.name, stage="reward",
                        parents={**source.parents("model"), **(parents or {}), **read.parents, **its_parents},
                        sources={**source.sources("model"), **read.sources, **its_sources},
                        people=people or unnamed_people(read.terms),
                        template=template.sha256, config=to_plain(config), seeds={"seed": config.seed})
    if (done := project.made_from(manifest.key)) is not None:
        return done
    run = begin_run(project, manifest, config.precision)
    precision = run.circumstances["precision"]
    groups, dropped = group_judged(read.terms, template, config.max_length)
    train, heldout = _sides(groups, group_judged(apart, template, config.max_length)[0], config)
    counts = _tell(read, train, heldout, dropped)
    check_judged([*train, *heldout], template)
    policy = load_policy(source.path, precision, score_head=True, adapter=config.adapter if config.adapter.rank else None,
                         adapter_seed=config.seed)
    freeze_language_head(policy)
    if config.layers:
        keep_layers(policy, config.layers)
    freeze_layers(policy, config.optimizer.frozen_layers)
    if config.checkpointing:
        policy.checkpoint_blocks()
    task, looked_at = lessons(read.objective, config, policy, train, heldout)
    watched = HeldOut(looked_at, config, every=config.evaluate_every, patience=config.patience) if looked_at else None
    learned = fit("reward", policy, task, config, run, watched)
    _check_padding(policy, train, precision)
    measured, scale = _measured(policy, train, heldout, config)
    facts = {**run.circumstances, **learned, **counts, "dropped_too_long": dropped, "objective": read.objective,
             **measured, "annotators": sorted({term.annotator for term in read.terms})}
    with project.writing(replace(manifest, facts=facts)) as draft:
        save_policy(policy, tokenizer, draft.path)
        template.save(draft.path)
        save_judges(policy, draft.path, people or {})
        write_used(draft.path, {**(used or {}), **read.used([term for group in groups for term, _ in group.terms])})
        write_split(draft.path, train, heldout)
        (draft / SCALE_FILE).write_text(json.dumps(scale) + "\n", encoding="utf-8")
        preflight.reload(policy, draft.path, pack_responses(train[:1], policy.ragged), precision, score_head=True)
    run.finish()
    return draft.artifact


def _tell(read: Read, train: Sequence[Judged], heldout: Sequence[Judged], dropped: int) -> dict[str, Any]:
    """Say what goes in, and give it as facts: pairs, and how many judgments of each source."""
    pairs, kept_out = (sum(len(decided_pairs(group, ties=True)) for group in groups) for groups in (train, heldout))
    counts = {name: count_judgments([term for group in groups for term, _ in group.terms])
              for name, groups in (("train", train), ("heldout", heldout))}
    by_source = {name: {side: counts[side][name] for side in counts} for name in sorted(counts["train"] | counts["heldout"])}
    console.print(f"reward: {read.objective}; {pairs} pairs of {len(train)} prompts to train on, {kept_out} of {len(heldout)} "
                  f"kept out, {dropped} too long")
    console.print("reward: learns from " + ", ".join(f"{each['train']} {name}" for name, each in by_source.items())
                  + (f"; leaves out {', '.join(f'{count} {name}' for name, count in read.left_out.items())}"
                     if read.left_out else ""))
    return {"pairs": pairs + kept_out, "heldout_pairs": kept_out, "judgments": by_source, "left_out": dict(read.left_out)}


def _sides(groups: list[Judged], apart: list[Judged], config: RewardModel) -> tuple[list[Judged], list[Judged]]:
    """What is trained on, smoothed, and what is kept out: the groups `apart` where the settings name such data."""
    train, heldout = (groups, apart) if config.heldout else split_groups(groups, config.heldout_fraction, config.heldout_seed)
    refuse_leaks(train, heldout)
    return smoothed(train, config.label_smoothing), heldout


def smoothed(groups: Sequence[Judged], smoothing: float) -> list[Judged]:
    """Labels of pairs drawn towards a tie: p becomes (1 - e) p + e (1 - p), as if one judgment in 1 / e had been turned round."""
    if not smoothing:
        return list(groups)
    return [replace(group, terms=tuple(
        (replace(term, label=(1 - smoothing) * term.label + smoothing * (1 - term.label)), at) if isinstance(term, Preference)
        else (term, at) for term, at in group.terms)) for group in groups]


def _measured(policy: Policy, train: Sequence[Judged], heldout: Sequence[Judged],
              config: RewardModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the manifest says of the trained model, and what its scale file holds."""
    raw = [score_group(policy, group) for group in train]
    removed = length.fitted(train, raw) if config.regress_length else None
    scores = length.without(removed, train, raw)
    kept_out = length.without(removed, heldout, [score_group(policy, group) for group in heldout])
    mean, std = _moments(scores)
    facts = {"train_accuracy": accuracy(train, scores), "heldout_accuracy": accuracy(heldout, kept_out),
             "length_correlation": {"train": length.correlation(train, raw), "heldout": length.correlation(heldout, kept_out)},
             "length_slope": None if removed is None else removed.slope}
    return facts, {"mean": mean, "std": std, **({} if removed is None else {"length": asdict(removed)})}


def score_group(policy: Policy, group: Group | Judged) -> torch.Tensor:
    """(responses,) raw scores."""
    return score_sequences(policy, [response.ids for response in group.responses],
                           [group.prompt_length] * len(group.responses))


def accuracy(groups: Sequence[Group | Judged], scores: Sequence[torch.Tensor]) -> float | None:
    """Share of decided pairs (label not 0.5) whose better side scores higher, equal scores half; None without pairs."""
    correct = [1.0 if score[better] > score[worse] else 0.5 if score[better] == score[worse] else 0.0
               for group, score in zip(groups, scores, strict=True) for better, worse in decided_pairs(group)]
    return sum(correct) / len(correct) if correct else None


def _moments(scores: Sequence[torch.Tensor]) -> tuple[float, float]:
    every = torch.cat(list(scores))
    return float(every.mean()), max(float(every.std(correction=0)), 1e-6)


def _check_padding(policy: Policy, groups: Sequence[Judged], precision: str) -> None:
    group = groups[0]
    together = score_group(policy, group)
    alone = torch.cat([score_sequences(policy, [response.ids], [group.prompt_length]) for response in group.responses])
    spread = float(together.std()) if len(together) > 1 else 1.0
    preflight.padding(alone, together, "the reward", 1e-3 if precision == "fp32" else 0.3 + 0.3 * spread)
