"""The DPO family: judgments in, a policy out, without a reward model between.

The policy a run starts from is also its reference (`tuning.reference`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.chat import ChatTemplate
from tutelage.data.usage import write_used
from tutelage.lineage import Manifest
from tutelage.models.circumstances import begin_run
from tutelage.models.load import load_policy, load_tokenizer, resolve, save_policy
from tutelage.project import Artifact, Project
from tutelage.records import Preference
from tutelage.training import preflight
from tutelage.training.fit import fit
from tutelage.training.optimizer import freeze_layers
from tutelage.training.pairs import check_responses, group_pairs, judgments
from tutelage.tuning.config import Preferences
from tutelage.tuning.pairs import Pairs
from tutelage.tuning.reference import FILE as REFERENCE_FILE
from tutelage.tuning.singles import Singles


def preference(project: Project, config: Preferences, preferences: Sequence[Preference] | None = None,
               parents: Mapping[str, str] | None = None, people: Mapping[str, Any] | None = None,
               used: Mapping[str, Sequence[str]] | None = None) -> Artifact:
    """Make the policy `config` asks for, or give the one that was made from just that.

    Args:
        preferences: the judgments to train on; None reads the data set `config.data` names.
        parents: the samples that were judged, by role, for the manifest.
        people: who judged, for the manifest: annotator id -> {kind, judgments}.
        used: which of those samples: artifact -> ids.
    Raises:
        DataError: if there is no judgment of the kind the loss needs; ModelError, PreflightError, TrainingError, ResumeError.
    """
    source = resolve(config.model, project)
    said, origin = judgments(project, config.loss, config.data, preferences,
                             ("preference", "thumb") if config.loss == "kto" else ("preference",))
    tokenizer = load_tokenizer(source.path)
    template = ChatTemplate.load(source.path, tokenizer)
    manifest = Manifest(kind="model", name=config.name, stage="dpo",
                        parents={**source.parents("model"), **(parents or {}), **origin["parents"]},
                        sources={**source.sources("model"), **origin["sources"]}, people=people or {},
                        template=template.sha256, config=to_plain(config), seeds={"seed": config.seed})
    if (done := project.made_from(manifest.key)) is not None:
        return done
    run = begin_run(project, manifest, config.precision)
    precision = run.circumstances["precision"]
    policy = load_policy(source.path, precision, adapter=config.adapter if config.adapter.rank else None)
    freeze_layers(policy, config.optimizer.frozen_layers)
    task = _task(said, template, config, policy.ragged)
    console.print(f"{config.loss}: {task.summary}; precision {precision}")
    learned = fit("dpo", policy, task, config, run)
    facts = {**run.circumstances, **task.facts, **learned, "annotators": sorted({term.annotator for term in said})}
    with project.writing(replace(manifest, facts=facts)) as draft:
        save_policy(policy, tokenizer, draft.path)
        template.save(draft.path)
        rows = {parent.partition("#")[0]: [each.id for each in said] for parent in origin["parents"].values()}
        write_used(draft.path, {**(used or {}), **rows})
        preflight.reload(policy, draft.path, task.collate([0]).tokens, precision)
    (run.path / REFERENCE_FILE).unlink(missing_ok=True)
    run.finish()
    return draft.artifact


def _task(said: Sequence[Any], template: ChatTemplate, config: Preferences, share: bool) -> Pairs | Singles:
    if config.loss == "kto":
        return Singles(said, template, config)
    groups, dropped = group_pairs(said, template, config.max_length)
    task = Pairs(groups, dropped, config, share)
    check_responses(groups, template)
    return task
