"""The RL stage: sample, score, update, again; a policy artifact at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.chat import ChatTemplate
from tutelage.data.datasets import load_dataset, prompts_of, resolve_dataset
from tutelage.data.loader import permutation
from tutelage.data.usage import write_used
from tutelage.generation.engine import Engine
from tutelage.lineage import Manifest
from tutelage.models.circumstances import begin_run
from tutelage.models.load import load_policy, load_tokenizer, resolve, save_policy
from tutelage.models.policy import Policy
from tutelage.project import Artifact, Project
from tutelage.protocols import ChecksPrompts, Generate, Score
from tutelage.records import Prompt, Sample, Sampling
from tutelage.rl.config import RL
from tutelage.rl.constraint import Constraint
from tutelage.rl.memory import largest_load
from tutelage.rl.presets import algorithm
from tutelage.rl.scored import scored
from tutelage.rl.surrogate import Surrogate
from tutelage.rl.trainer import PolicyTrainer, _tokens
from tutelage.runs.checkpoint import Best
from tutelage.runs.meter import count, phase
from tutelage.runs.metrics import metric_at
from tutelage.runs.steps import steps
from tutelage.seeds import stream_seed
from tutelage.training import preflight
from tutelage.training.lanes import Lanes, lanes_here
from tutelage.training.memory import prepare
from tutelage.training.optimizer import Masters, freeze_layers

SHOWN = ("objective/score", "objective/kl", "rollout/length")


def rl(project: Project, config: RL, reward: Score, reward_parents: Mapping[str, str],
       reward_sources: Mapping[str, str] | None = None) -> Artifact:
    """Make the policy `config` asks for, or give the one that was made from just that.

    Args:
        reward: judges the samples; `reward_parents` (artifacts) and `reward_sources` (files) say in the manifest what it is.
    """
    source = resolve(config.policy, project)
    data = load_dataset(resolve_dataset(project, config.prompts))
    prompts = prompts_of(data.records, wanted=True)
    if isinstance(reward, ChecksPrompts):
        reward.check(prompts)
    settings = algorithm(config.algorithm, config.settings)
    tokenizer = load_tokenizer(source.path)
    template = ChatTemplate.load(source.path, tokenizer)
    manifest = Manifest(kind="model", name=config.name, stage="rl",
                        parents={**source.parents("policy"), **reward_parents, **data.parents},
                        sources={**source.sources("policy"), **(reward_sources or {}), **data.sources},
                        template=template.sha256, config={**to_plain(config), "composition": to_plain(settings)},
                        seeds={"seed": config.seed})
    if (done := project.made_from(manifest.key)) is not None:
        return done
    run = begin_run(project, manifest, config.precision)
    precision = run.circumstances["precision"]
    policy = load_policy(source.path, precision, value_head=settings.has_critic,
                         adapter=config.adapter if config.adapter.rank else None)
    reference = _reference(policy, source.path, precision)
    freeze_layers(policy, config.optimizer.frozen_layers)
    updates = config.steps * settings.epochs * settings.minibatches
    lanes = Lanes(policy, 1 if config.adapter.dropout else lanes_here(policy.device))
    load = largest_load(policy, [template.render_prompt(prompt.messages) for prompt in prompts], config, settings, lanes.count)
    masters = prepare("rl", policy, load, run, lambda: Masters(policy, config.optimizer, updates, lanes),
                      Surrogate(settings, config.temperature, check_ratio=False))
    trainer = PolicyTrainer(policy, reference, masters, settings, micro_tokens=config.micro_tokens,
                            temperature=config.temperature, seed=config.seed, max_new_tokens=config.max_new_tokens)
    loop = Loop(config, prompts, Engine(policy, template, slots=config.slots, name=config.name), reward, trainer)
    console.print(f"rl: {config.algorithm} on {len(prompts)} prompts, {loop.prompts_per_step} x {config.per_prompt} samples "
                  f"a step; precision {precision}")
    steps(run, {"trainer": trainer, "constraint": loop.constraint}, config.steps, loop.step, "RL", shown=SHOWN,
          best=Best("objective/score"))

    facts = {**run.circumstances, "prompts": len(prompts), "steps": config.steps,
             "first_score": metric_at(run.metrics, 0, "objective/score"),
             "last_score": metric_at(run.metrics, config.steps - 1, "objective/score"),
             "last_kl": metric_at(run.metrics, config.steps - 1, "objective/kl")}
    with project.writing(replace(manifest, facts=facts)) as draft:
        save_policy(policy, tokenizer, draft.path)
        template.save(draft.path)
        if data.artifact is not None:
            write_used(draft.path, {data.artifact.ref: loop.used()})
        probe = Engine(policy, template, slots=1).generate(prompts[:1], Sampling(max_new_tokens=8))
        preflight.reload(policy, draft.path, _tokens(probe, False), precision, value_head=policy.value_head is not None)
        preflight.train_is_serve(template, draft.path, (*prompts[0].messages, *probe[0].response))
    run.finish()
    return draft.artifact


def _reference(policy: Policy, path: Path, precision: str) -> Policy | None:
    """The model the policy starts as, frozen; None where turning the policy's adapter off gives just that.

    With an adapter that came with the model, off is what was before that model was made, so a copy is needed.
    """
    start = load_policy(path, precision).requires_grad_(False)
    return None if policy.has_adapter and not start.has_adapter else start


class Loop:
    """What one RL step is: everything random in it follows from the seed and the step's number."""

    def __init__(self, config: RL, prompts: Sequence[Prompt], engine: Generate, reward: Score, trainer: PolicyTrainer) -> None:
        self.config, self.engine, self.reward, self.trainer = config, engine, reward, trainer
        self.constraint = Constraint(config.constraints)
        self.prompts = list({prompt.id: prompt for prompt in prompts}.values())
        self.prompts_per_step = min(config.prompts_per_step, len(self.prompts))

    def step(self, i: int) -> dict[str, float]:
        c = self.config
        sampling = Sampling(temperature=c.temperature, max_new_tokens=c.max_new_tokens,
                            seed=stream_seed(c.seed, "rl", "samples", i))
        with phase("sampling"):
            samples = self.engine.generate(self._prompts(i), sampling, c.per_prompt)
        count(sampled=sum(len(sample.response_ids) for sample in samples))
        with phase("scoring"):
            samples, scores, metrics = scored(self.reward, samples)
        preflight.finite_scores(scores.total, [sample.id for sample in samples])
        shaped = [_shape(score, sample, c) for score, sample in zip(scores.total, samples, strict=True)]
        shaped, held = self.constraint(shaped, scores.costs)
        return {**metrics, **held, **self.trainer.step(samples, shaped)}

    def used(self) -> list[str]:
        """Ids of the prompts that the steps drew samples for."""
        return [prompt.id for i in range(self.config.steps) for prompt in self._prompts(i)]

    def _prompts(self, i: int) -> list[Prompt]:
        """The step's prompts: the data in a new order each pass. What does not fill a step at the end of a pass is left
        out of it, so that no step holds a prompt twice: its samples would be drawn from the same random numbers.
        """
        size = self.prompts_per_step
        epoch, place = divmod(i, len(self.prompts) // size)
        order = permutation(len(self.prompts), self.config.seed, epoch)
        return [self.prompts[index] for index in order[place * size:(place + 1) * size]]


def _shape(score: float, sample: Sample, config: RL) -> float:
    """The score that is optimised: clipped, less the penalties for a turn that did not end and for one near the limit."""
    clipped = max(-config.reward_clip, min(config.reward_clip, score))
    over = max(0, len(sample.response_ids) - config.max_new_tokens + config.overlong_tokens)
    long = config.overlong_penalty * over / config.overlong_tokens if config.overlong_tokens else 0.0
    return clipped - long - (0.0 if sample.ended else config.missing_end_penalty)
