"""Train a reward model on judgments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.chat import ChatTemplate
from tutelage.data.usage import write_used
from tutelage.errors import ConfigError
from tutelage.lineage import Manifest
from tutelage.models.adapters import renew_adapter
from tutelage.models.circumstances import begin_run
from tutelage.models.load import ADAPTER, keep_layers, load_policy, load_tokenizer, resolve, save_policy
from tutelage.models.policy import Policy
from tutelage.project import Artifact, Project
from tutelage.records import Preference, Term
from tutelage.rewards.config import RewardModel
from tutelage.rewards.joint import decided_pairs
from tutelage.rewards.judges import Judges
from tutelage.rewards.lessons import lessons, save_judges
from tutelage.rewards.measuring import check_padding, facts_of, measured, with_responses
from tutelage.rewards.members import Member, learned_by, own_weights, save_members
from tutelage.rewards.model import put_weights
from tutelage.rewards.reading import Read, count_judgments, read_terms, teaches, unnamed_people
from tutelage.rewards.split import heldout_terms, refuse_leaks, split_groups, write_split
from tutelage.rewards.terms import is_scored
from tutelage.runs.directory import Run
from tutelage.training import preflight
from tutelage.training.fit import fit
from tutelage.training.heldout import HeldOut
from tutelage.training.optimizer import freeze_language_head, freeze_layers
from tutelage.training.pairs import Judged, check_judged, group_judged, pack_responses


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
    if config.members > 1 and (source.path / ADAPTER).exists():
        raise ConfigError(f"reward: {config.model} has an adapter of its own, in the place of which {config.members} members "
                          "would put theirs. Take the model it was trained from, or export it merged.")
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
    apart = [term for term in apart if is_scored(term) or teaches(term, read.objective, config)]
    groups, dropped = group_judged(read.terms, template, config.max_length)
    train, heldout = _sides(groups, group_judged(apart, template, config.max_length)[0], config)
    counts = _tell(read, train, heldout, dropped)
    check_judged([*train, *heldout], template)
    policy = _trunk(source.path, config, precision, any(group.passages for group in train))
    members = [_member(policy, read.objective, config, run, train, heldout, number) for number in range(config.members)]
    put_weights(policy, members[0].weights)
    facts = {**run.circumstances, **learned_by(members), **counts, "dropped_too_long": dropped, "objective": read.objective,
             **facts_of([each.measured for each in members], train, heldout),
             "annotators": sorted({term.annotator for term in read.terms})}
    with project.writing(replace(manifest, facts=facts)) as draft:
        save_policy(policy, tokenizer, draft.path)
        template.save(draft.path)
        save_judges([each.judges for each in members], draft.path, people or {})
        write_used(draft.path, {**(used or {}), **read.used([term for group in groups for term, _ in group.terms])})
        write_split(draft.path, train, heldout)
        save_members(members, draft.path)
        preflight.reload(policy, draft.path, pack_responses([with_responses(train)], policy.ragged), precision, score_head=True,
                         token_head=policy.token_head is not None)
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
    console.print("reward: judgments to learn from: " + ", ".join(f"{name} {each['train']}" for name, each in by_source.items())
                  + (f"; left out: {', '.join(f'{name} {count}' for name, count in read.left_out.items())}"
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


def _trunk(path: Path, config: RewardModel, precision: str, marked: bool) -> Policy:
    """The model that is trained, with its heads and its first adapter."""
    policy = load_policy(path, precision, score_head=True, token_head=marked, adapter_seed=config.seed,
                         adapter=config.adapter if config.adapter.rank else None)
    if config.layers:
        keep_layers(policy, config.layers)
    _freeze(policy, config)
    if config.checkpointing:
        policy.checkpoint_blocks()
    return policy


def _freeze(policy: Policy, config: RewardModel) -> None:
    freeze_language_head(policy)
    freeze_layers(policy, config.optimizer.frozen_layers)


def _member(policy: Policy, objective: str, config: RewardModel, run: Run, train: Sequence[Judged], heldout: Sequence[Judged],
            number: int) -> Member:
    """Train member `number`, from 0: as a model alone whose seed is so much larger, to the bit."""
    own = replace(config, seed=config.seed + number)
    if number:
        console.print(f"reward: member {number + 1} of {config.members}")
        renew_adapter(policy, own.adapter, own.seed)
        policy.renew_heads()
        _freeze(policy, own)
    task, looked_at = lessons(objective, own, policy, train, heldout)
    watched = HeldOut(looked_at, own, every=own.evaluate_every, patience=own.patience) if looked_at else None
    learned = fit("reward", policy, task, own, run.part(f"member-{number + 1}") if number else run, watched)
    check_padding(policy, with_responses(train), run.circumstances["precision"])
    judges = getattr(policy, "judges", None)
    return Member(weights=own_weights(policy), learned=learned, judges=judges if isinstance(judges, Judges) else None,
                  measured=measured(policy, train, heldout, own))
