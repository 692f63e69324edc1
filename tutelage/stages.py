"""The stages as commands: each reads its configuration, runs the function of that name in `tutelage.api`, and says what
was made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any

from tutelage.config import load, read_toml, to_plain
from tutelage.console import console
from tutelage.options import Options, split_repeats
from tutelage.project import MARKER, Artifact, Asked, Project


def configured(config_type: type, stage: str, arguments: Sequence[str], options: Options) -> tuple[Project, dict[str, Any]]:
    """The project and the stage's settings: defaults, the project's `[stage]` table, CONFIG.toml, options."""
    if "--help" in arguments or "-h" in arguments:      # prints and leaves, without making a project
        load(config_type, arguments=arguments, program=f"tutelage {stage}")
    project = replace(Project.open(options.project, options.store), asked=Asked(allow_drift=options.allow_drift))
    defaults: Mapping[str, Any] = {}
    if (project.root / MARKER).is_file():
        defaults = read_toml(project.root / MARKER).get(stage, {})
    config: Any = load(config_type, arguments=arguments, program=f"tutelage {stage}", defaults=defaults, seed=options.seed)
    return project, to_plain(config)


Command = Callable[[list[str], Options], Mapping[str, Any]]


def planned(command: Command) -> Command:
    """Gives a stage `--plan` (say what it needs, make nothing), `--anyway` (start although that does not fit) and
    `--tensorboard` (write events beside the metrics).
    """
    @wraps(command)
    def run(arguments: list[str], options: Options) -> Mapping[str, Any]:
        words = [word for word in arguments if word not in ("--plan", "--anyway", "--tensorboard")]
        from tutelage.runs import plan, tensorboard

        mode: plan.Mode = "only" if "--plan" in arguments else "anyway" if "--anyway" in arguments else "state"
        try:
            with plan.mode(mode), tensorboard.asked_for("--tensorboard" in arguments):
                return command(words, options)
        except plan.Planned as made:
            return {"plan": made.plan.to_json()}
    return run


def run(config_type: type, stage: str, arguments: Sequence[str], options: Options,
        tell: Callable[[Artifact], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Read the settings and make the artifact, or as many as `--seeds` and `--sweep` ask for; `tell` says what one is."""
    repeats, words = split_repeats(arguments)
    if not repeats:
        project, settings = configured(config_type, stage, words, options)
        from tutelage import api

        return tell(getattr(api, stage)(project, **settings))
    every = {value: configured(config_type, stage, [*words, *([f"--{repeats.key}", value] if value else [])], options)
             for value in repeats.values or ("",)}      # all of them first: a value that is refused ends it before it begins
    project = next(iter(every.values()))[0]
    from tutelage import api
    from tutelage.repeats import repeat, variants

    wanted = variants({value: settings for value, (_, settings) in every.items()}, repeats.key, repeats.seeds)
    return repeat(project, stage, wanted, lambda settings: getattr(api, stage)(project, **settings), repeats.key)


@planned
def pretrain(arguments: list[str], options: Options) -> Mapping[str, Any]:
    from tutelage.tuning.config import Pretrain

    return run(Pretrain, "pretrain", arguments, options, _tell_pretrained)


def _tell_pretrained(artifact: Artifact) -> Mapping[str, Any]:
    facts = artifact.manifest.facts
    if "perplexity_after" in facts:
        console.print(f"held-out perplexity {facts['perplexity_before']:.4g} → {facts['perplexity_after']:.4g}, bits per byte "
                      f"{facts['bits_per_byte_before']:.4f} → {facts['bits_per_byte_after']:.4f}")
    return made(artifact)


@planned
def sft(arguments: list[str], options: Options) -> Mapping[str, Any]:
    from tutelage.tuning.config import SFT

    return run(SFT, "sft", arguments, options, made)


@planned
def dpo(arguments: list[str], options: Options) -> Mapping[str, Any]:
    from tutelage.tuning.config import Preferences

    return run(Preferences, "dpo", arguments, options, made)


@planned
def classify(arguments: list[str], options: Options) -> Mapping[str, Any]:
    from tutelage.tuning.config import Classify

    return run(Classify, "classify", arguments, options, _tell_classifier)


def _tell_classifier(artifact: Artifact) -> Mapping[str, Any]:
    from tutelage.class_metrics import table_rows
    from tutelage.tuning.classify import load_report

    report = load_report(artifact)
    if (heldout := report["heldout"]) is not None:
        console.table(f"{heldout['rows']} texts that were kept out: accuracy {heldout['accuracy']:.4f}", *table_rows(heldout))
    return {**made(artifact), "report": report}


@planned
def sample(arguments: list[str], options: Options) -> Mapping[str, Any]:
    from tutelage.generation.config import Sample

    return run(Sample, "sample", arguments, options, _tell_samples)


def _tell_samples(artifact: Artifact) -> Mapping[str, Any]:
    from tutelage.generation.stage import load_samples

    for each in load_samples(artifact)[:3]:
        console.print(f"> {each.prompt.messages[-1].text}\n{each.text}\n")
    return made(artifact)


@planned
def reward(arguments: list[str], options: Options) -> Mapping[str, Any]:
    from tutelage.rewards.config import RewardModel

    return run(RewardModel, "reward", arguments, options, _tell_reward)


def _tell_reward(artifact: Artifact) -> Mapping[str, Any]:
    facts = artifact.manifest.facts
    if facts["heldout_accuracy"] is not None:
        console.print(f"held-out accuracy {facts['heldout_accuracy']:.3f} on {facts['heldout_pairs']} pairs; judged by: "
                      f"{', '.join(facts['annotators'])}")
    return made(artifact)


@planned
def rl(arguments: list[str], options: Options) -> Mapping[str, Any]:
    from tutelage.rl.config import RL

    return run(RL, "rl", arguments, options, made)


@planned
def evaluate(arguments: list[str], options: Options) -> Mapping[str, Any]:
    from tutelage.evaluation.config import Evaluate, RewardReport

    if any(word.partition("=")[0].replace("_", "-") == "--reward-model" for word in arguments):
        return run(RewardReport, "evaluate_reward", arguments, options, _tell_reward_report)
    if any(word.partition("=")[0] == "--freeze" for word in arguments):
        return _freeze(*configured(Evaluate, "evaluate", arguments, options))
    return run(Evaluate, "evaluate", arguments, options, _tell_report)


def _freeze(project: Project, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    from tutelage import api

    plan = api.freeze_evaluation(project, **settings)
    for name, each in plan["prompts"].items():
        effect = each["detectable_at_worst"]
        console.print(f"{name}: n {each['n']}, {each['metric']}" + ("" if effect is None else (
            f"; a difference of {effect:.3f} shows 4 times in 5, however much models differ from prompt to prompt")))
    console.print(f"frozen as {settings['freeze']}, sha256 {plan['sha256']}; run it with --frozen {settings['freeze']}")
    return {"plan": plan}


def _tell_report(report: Artifact) -> Mapping[str, Any]:
    from tutelage.evaluation.stage import load_report, table_rows

    if "board" in (found := load_report(report)):
        from tutelage.evaluation import task_stage

        console.table("Tasks, mean with its 95 % interval", *task_stage.table_rows(found["board"]))
        for sentence in found["deviations"] or ():
            console.warn(f"departs from its plan: {sentence}")
        console.print(f"report: {report.path / 'report.html'}")
        return {**made(report), **{key: found[key] for key in ("board", "contamination", "deviations", "groups")}}
    comparison, judged, human = found["comparison"], found["judged"], found["human"]
    console.table("Held-out prompts, scripted truth", *table_rows(comparison))
    if judged is not None:
        rate, agree = judged["rate"], judged["consistent"]["value"]
        console.print(f"judged by {judged['judge']}: the last wins {rate['value']:.1%} [{rate['low']:.1%}, {rate['high']:.1%}] "
                      f"against {comparison['reference']}, p {judged['p']:.3f}; both orders agree in {agree:.1%}, "
                      f"{judged['unreadable']} answers named neither")
    if human is not None:
        rate = human["rate"]
        console.print(f"{human['votes']} votes of people: win rate {rate['value']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}], "
                      f"{human['win']['verdict']}")
    for sentence in found["deviations"] or ():
        console.warn(f"departs from its plan: {sentence}")
    console.print(f"report: {report.path / 'report.html'}")
    return {**made(report), **{key: found[key] for key in ("comparison", "judged", "human", "deviations")}}


def _tell_reward_report(report: Artifact) -> Mapping[str, Any]:
    from tutelage.evaluation.reward_stage import load_reward_report, table_rows

    found = load_reward_report(report)
    left = found["left_out"]
    console.table(f"{found['figures']['pairs']} pairs of {found['figures']['prompts']} prompts", *table_rows(found["figures"]))
    console.print(f"left out: {left['trained']} pairs of prompts it was trained on, {left['near']} nearly so, {left['long']} too "
                  f"long, {left['skipped']} without a score")
    console.print(f"report: {report.path / 'report.html'}")
    return {**made(report), **{key: found[key] for key in ("figures", "left_out")}}


@planned
def generate(arguments: list[str], options: Options) -> Mapping[str, Any]:
    """`tutelage data generate`."""
    from tutelage.synthesis.config import Generate

    words = ["--tasks" + word.removeprefix("--from") if word.partition("=")[0] == "--from" else word for word in arguments]
    return run(Generate, "generate", words, options, _tell_written)


def _tell_written(artifact: Artifact) -> Mapping[str, Any]:
    facts = artifact.manifest.facts
    reasons = sorted(facts["reasons"].items(), key=lambda each: -each[1])
    console.print(f"{facts['kept']} pairs written by a model, {facts['refused']} pieces refused: "
                  + ", ".join(f"{reason} {count}" for reason, count in reasons))
    return made(artifact)


def made(artifact: Artifact) -> dict[str, Any]:
    """What a stage command says and returns."""
    console.print(f"{artifact.ref}  {artifact.path}")
    return {"artifact": artifact.ref, "path": str(artifact.path), "content_id": artifact.manifest.content_id,
            "facts": dict(artifact.manifest.facts)}
