"""The RL stage: sample, score, update, again; a policy artifact at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.chat import ChatTemplate
from tutelage.data.datasets import load_dataset, prompts_of, resolve_dataset
from tutelage.data.usage import write_used
from tutelage.generation.engine import Engine
from tutelage.lineage import Manifest
from tutelage.models.circumstances import begin_run
from tutelage.models.load import load_policy, load_tokenizer, resolve, save_policy
from tutelage.models.policy import Policy
from tutelage.project import Artifact, Project
from tutelage.protocols import ChecksPrompts, Score
from tutelage.records import Prompt, Sampling
from tutelage.rl.beside import Beside
from tutelage.rl.config import RL, Algorithm
from tutelage.rl.critic import Critic, load_critic
from tutelage.rl.guard import Guard
from tutelage.rl.loop import Loop
from tutelage.rl.memory import largest_load
from tutelage.rl.presets import algorithm
from tutelage.rl.snapshots import Snapshots
from tutelage.rl.surrogate import Surrogate
from tutelage.rl.trainer import PolicyTrainer, _tokens
from tutelage.runs.directory import Run
from tutelage.runs.metrics import Best, metric_at
from tutelage.runs.steps import steps
from tutelage.training import preflight
from tutelage.training.lanes import Lanes, lanes_here
from tutelage.training.memory import prepare
from tutelage.training.optimizer import Masters, freeze_layers

SHOWN = ("objective/score", "objective/kl", "rollout/length")


def rl(project: Project, config: RL, reward: Score, reward_parents: Mapping[str, str],
       reward_sources: Mapping[str, str] | None = None, heldout: Score | None = None) -> Artifact:
    """Make the policy `config` asks for, or give the one that was made from just that.

    Args:
        reward: judges the samples; `reward_parents` (artifacts) and `reward_sources` (files) say in the manifest what it is.
        heldout: the guard's reward, which nothing is trained on; the same two say what it is.
    """
    settings = algorithm(config.algorithm, config.settings)
    source = resolve(config.policy, project)
    beside = Beside.find(project, config, settings)
    data = load_dataset(resolve_dataset(project, config.prompts))
    prompts = prompts_of(data.records, wanted=True)
    if isinstance(reward, ChecksPrompts):
        reward.check(prompts)
    tokenizer = load_tokenizer(source.path)
    template = ChatTemplate.load(source.path, tokenizer)
    manifest = Manifest(kind="model", name=config.name, stage="rl",
                        parents={**source.parents("policy"), **reward_parents, **data.parents, **beside.parents()},
                        sources={**source.sources("policy"), **(reward_sources or {}), **data.sources, **beside.sources()},
                        template=template.sha256, config={**to_plain(config), "composition": to_plain(settings)},
                        seeds={"seed": config.seed})
    if (done := project.made_from(manifest.key)) is not None:
        return done
    run = begin_run(project, manifest, config.precision)
    precision = run.circumstances["precision"]
    trainer = _trainer(run, source.path, template, prompts, config, settings, beside)
    policy = trainer.policy
    guard = Guard(config.guard, trainer, run, heldout)
    loop = Loop(config, prompts, Engine(policy, template, slots=config.slots, name=config.name), reward, trainer, guard.watch)
    console.print(f"rl: {config.algorithm} on {len(prompts)} prompts, {loop.prompts_per_step} x {config.per_prompt} samples "
                  f"a step; precision {precision}")
    snapshots = Snapshots(run, loop.prompts, loop.engine, reward, config.max_new_tokens) if config.look_every else None

    def step(i: int) -> dict[str, float]:
        if snapshots is not None and i % config.look_every == 0:
            snapshots.look(i)
        return loop.step(i)

    steps(run, {"trainer": trainer, "loop": loop, "guard": guard}, config.steps, step, "RL", shown=SHOWN, done=guard.ended,
          best=guard.best or Best("objective/score"))
    guard.restore()
    if snapshots is not None:
        snapshots.look(guard.made)

    facts = {**run.circumstances, "prompts": len(prompts), **guard.facts(),
             "first_score": metric_at(run.metrics, 0, "objective/score"),
             "last_score": metric_at(run.metrics, guard.made - 1, "objective/score"),
             "last_kl": metric_at(run.metrics, guard.made - 1, "objective/kl"),
             **(loop.baseline.facts() if loop.baseline.measured else {})}
    with project.writing(replace(manifest, facts=facts)) as draft:
        save_policy(policy, tokenizer, draft.path)
        template.save(draft.path)
        if used := {**({data.artifact.ref: loop.used(guard.made)} if data.artifact is not None else {}), **beside.used()}:
            write_used(draft.path, used)
        probe = Engine(policy, template, slots=1).generate(prompts[:1], Sampling(max_new_tokens=8))
        preflight.reload(policy, draft.path, _tokens(probe, False), precision, value_head=policy.value_head is not None)
        preflight.train_is_serve(template, draft.path, (*prompts[0].messages, *probe[0].response))
    run.finish()
    return draft.artifact


def _trainer(run: Run, path: Path, template: ChatTemplate, prompts: Sequence[Prompt], config: RL, settings: Algorithm,
             beside: Beside) -> PolicyTrainer:
    """The policy in `path`, loaded and planned for, with all that it learns with."""
    precision = run.circumstances["precision"]
    policy = load_policy(path, precision, value_head=settings.has_critic and not config.critic,
                         adapter=config.adapter if config.adapter.rank else None)
    reference = _reference(policy, path, precision)
    freeze_layers(policy, config.optimizer.frozen_layers)
    lanes = Lanes(policy, 1 if config.adapter.dropout else lanes_here(policy.device))
    mixture = beside.mixture(template, config, lanes.count, policy.ragged)
    critic = None if beside.critic is None else load_critic(beside.critic.path, precision)
    load = largest_load(policy, [template.render_prompt(prompt.messages) for prompt in prompts], config, settings, lanes.count,
                        mixture.largest() if mixture else None, critic)
    updates = max(1, config.steps - settings.critic_warmup) * settings.epochs * settings.minibatches
    masters = prepare("rl", policy, load, run, lambda: Masters(policy, config.optimizer, updates, lanes),
                      Surrogate(settings, config.temperature, check_ratio=False))
    return PolicyTrainer(policy, reference, masters, settings, micro_tokens=config.micro_tokens,
                         temperature=config.temperature, seed=config.seed, max_new_tokens=config.max_new_tokens,
                         critic=_with_optimizer(critic, config, settings, lanes.count), mixture=mixture)


def _reference(policy: Policy, path: Path, precision: str) -> Policy | None:
    """The model the policy starts as, frozen; None where turning the policy's adapter off gives just that.

    With an adapter that came with the model, off is what was before that model was made, so a copy is needed.
    """
    start = load_policy(path, precision).requires_grad_(False)
    return None if policy.has_adapter and not start.has_adapter else start


def _with_optimizer(critic: Policy | None, config: RL, settings: Algorithm, lanes: int) -> Critic | None:
    if critic is None:
        return None
    rate = config.critic_lr or config.optimizer.lr
    optimizer = replace(config.optimizer, lr=rate, head_lr=None, frozen_layers=0)
    updates = config.steps * settings.epochs * settings.minibatches
    return Critic(Masters(critic, optimizer, updates, Lanes(critic, lanes)), settings.value_clip)
