"""The sampling stage: prompts in, a samples artifact out; what was drawn before a kill is not drawn again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tutelage.config import to_plain
from tutelage.data.chat import ChatTemplate
from tutelage.data.datasets import load_dataset, prompts_of, resolve_dataset
from tutelage.data.fingerprints import ROWS, fingerprint, merkle_root
from tutelage.generation import config as configs
from tutelage.generation.engine import Engine
from tutelage.generation.memory import plan_sampling
from tutelage.generation.samples import SAMPLES_FILE, by_prompt, load_samples
from tutelage.lineage import Manifest
from tutelage.models.circumstances import begin_run
from tutelage.models.load import load_policy, load_tokenizer, resolve
from tutelage.project import Artifact, Project
from tutelage.records import Sample, Sampling
from tutelage.runs.plan import announce
from tutelage.runs.signals import stop_if_asked
from tutelage.runs.steps import steps

__all__ = ["SAMPLES_FILE", "Collected", "by_prompt", "load_samples", "sample"]


class Collected:
    """The samples so far, as a checkpoint holds them."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def state(self) -> dict[str, Any]:
        return {"lines": json.dumps([sample.to_json() for sample in self.samples])}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.samples = [Sample.from_json(value) for value in json.loads(state["lines"])]


def sample(project: Project, config: configs.Sample, label: str = "Sampling") -> Artifact:
    """Draw what `config` asks for, or give what was drawn for just that."""
    source = resolve(config.model, project)
    data = load_dataset(resolve_dataset(project, config.prompts))
    prompts = prompts_of(data.records)[: config.limit or None]
    template = ChatTemplate.load(source.path, load_tokenizer(source.path))
    manifest = Manifest(kind="samples", name=config.name, stage="sample", parents={**source.parents("model"), **data.parents},
                        sources={**source.sources("model"), **data.sources}, template=template.sha256,
                        config=to_plain(config), seeds={"seed": config.seed})
    if (done := project.made_from(manifest.key)) is not None:
        return done
    run = begin_run(project, manifest, config.precision)
    engine = Engine(load_policy(source.path, str(run.circumstances["precision"])), template, slots=config.slots, name=source.name,
                    merge=config.merge_adapter)
    lengths = [len(template.render_prompt(prompt.messages)) for prompt in prompts]
    announce(plan_sampling("sample", engine.policy, config.slots, lengths, config.max_new_tokens,
                           len(prompts) * config.per_prompt, engine.merge), run)
    sampling = Sampling(temperature=config.temperature, top_p=config.top_p, top_k=config.top_k, min_p=config.min_p,
                        repetition_penalty=config.repetition_penalty, min_new_tokens=config.min_new_tokens,
                        max_new_tokens=config.max_new_tokens, stop_strings=config.stop_strings, seed=config.seed)
    chunks = [prompts[start : start + config.chunk_prompts] for start in range(0, len(prompts), config.chunk_prompts)]
    collected = Collected()

    def draw(i: int) -> dict[str, float]:
        drawn = engine.generate(chunks[i], sampling, config.per_prompt, on_done=lambda _: stop_if_asked())
        collected.samples += drawn
        return {"samples": float(len(collected.samples)), "length": sum(len(each.response_ids) for each in drawn) / len(drawn),
                "ended_fraction": sum(each.ended for each in drawn) / len(drawn)}

    steps(run, {"collected": collected}, len(chunks), draw, label, shown=("samples", "length"), unit="chunks")
    lines = fingerprint([(each.to_json(), [each.prompt.id]) for each in collected.samples])
    merged = {} if engine.deviation is None else {"merge_deviation_nats": engine.deviation}
    facts = {**run.circumstances, **merged, "prompts": len(prompts), "samples": len(collected.samples),
             "ended": sum(each.ended for each in collected.samples), "merkle_root": merkle_root([line["hash"] for line in lines])}
    with project.writing(replace(manifest, facts=facts)) as draft:
        _write_lines(draft / SAMPLES_FILE, (each.to_json() for each in collected.samples))
        _write_lines(draft / ROWS, lines)
    run.finish()
    return draft.artifact


def _write_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
