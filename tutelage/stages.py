"""The stages as commands: each reads its configuration, runs the function of that name in `tutelage.api`, and says what
was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.config import load, read_toml, to_plain
from tutelage.console import console
from tutelage.options import Options
from tutelage.project import MARKER, Artifact, Project


def configured(config_type: type, stage: str, arguments: Sequence[str], options: Options) -> tuple[Project, dict[str, Any]]:
    """The project and the stage's settings: defaults, the project's `[stage]` table, CONFIG.toml, options."""
    if "--help" in arguments or "-h" in arguments:      # prints and leaves, without making a project
        load(config_type, arguments=arguments, program=f"tutelage {stage}")
    project = Project.open(options.project, options.store)
    defaults: Mapping[str, Any] = {}
    if (project.root / MARKER).is_file():
        defaults = read_toml(project.root / MARKER).get(stage, {})
    config: Any = load(config_type, arguments=arguments, program=f"tutelage {stage}", defaults=defaults, seed=options.seed)
    return project, to_plain(config)


def sft(arguments: list[str], options: Options) -> dict[str, Any]:
    from tutelage.tuning.config import SFT

    project, settings = configured(SFT, "sft", arguments, options)
    from tutelage import api

    return made(api.sft(project, **settings))


def dpo(arguments: list[str], options: Options) -> dict[str, Any]:
    from tutelage.tuning.config import Preferences

    project, settings = configured(Preferences, "dpo", arguments, options)
    from tutelage import api

    return made(api.dpo(project, **settings))


def sample(arguments: list[str], options: Options) -> dict[str, Any]:
    from tutelage.generation.config import Sample

    project, settings = configured(Sample, "sample", arguments, options)
    from tutelage import api
    from tutelage.generation.stage import load_samples

    artifact = api.sample(project, **settings)
    for each in load_samples(artifact)[:3]:
        console.print(f"> {each.prompt.messages[-1].text}\n{each.text}\n")
    return made(artifact)


def reward(arguments: list[str], options: Options) -> dict[str, Any]:
    from tutelage.rewards.config import RewardModel

    project, settings = configured(RewardModel, "reward", arguments, options)
    from tutelage import api

    artifact = api.reward(project, **settings)
    facts = artifact.manifest.facts
    if facts["heldout_accuracy"] is not None:
        console.print(f"held-out accuracy {facts['heldout_accuracy']:.3f} on {facts['heldout_pairs']} pairs; judged by: "
                      f"{', '.join(facts['annotators'])}")
    return made(artifact)


def rl(arguments: list[str], options: Options) -> dict[str, Any]:
    from tutelage.rl.config import RL

    project, settings = configured(RL, "rl", arguments, options)
    from tutelage import api

    return made(api.rl(project, **settings))


def evaluate(arguments: list[str], options: Options) -> dict[str, Any]:
    from tutelage.evaluation.config import Evaluate

    project, settings = configured(Evaluate, "evaluate", arguments, options)
    from tutelage import api
    from tutelage.evaluation.stage import load_report, table_rows

    report = api.evaluate(project, **settings)
    comparison = load_report(report)["comparison"]
    console.table("Held-out prompts, scripted truth", *table_rows(comparison))
    console.print(f"report: {report.path / 'report.html'}")
    return {**made(report), "comparison": comparison}


def made(artifact: Artifact) -> dict[str, Any]:
    """What a stage command says and returns."""
    console.print(f"{artifact.ref}  {artifact.path}")
    return {"artifact": artifact.ref, "path": str(artifact.path), "content_id": artifact.manifest.content_id,
            "facts": dict(artifact.manifest.facts)}
