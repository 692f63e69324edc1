"""The sampling stage: prompts in, a samples artifact out; what was drawn before a kill is not drawn again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tutelage.config import to_plain
from tutelage.data.chat import ChatTemplate
from tutelage.data.datasets import load_dataset, prompts_of, resolve_dataset
from tutelage.generation import config as configs
from tutelage.generation.engine import Engine
from tutelage.generation.samples import SAMPLES_FILE, by_prompt, load_samples
from tutelage.lineage import Manifest
from tutelage.models.circumstances import begin_run
from tutelage.models.load import load_policy, load_tokenizer, resolve
from tutelage.project import Artifact, Project
from tutelage.records import Sample, Sampling
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
    engine = Engine(load_policy(source.path, str(run.circumstances["precision"])), template, slots=config.slots, name=source.name)
    sampling = Sampling(temperature=config.temperature, top_p=config.top_p, top_k=config.top_k,
                        max_new_tokens=config.max_new_tokens, seed=config.seed)
    chunks = [prompts[start : start + config.chunk_prompts] for start in range(0, len(prompts), config.chunk_prompts)]
    collected = Collected()

    def draw(i: int) -> dict[str, float]:
        drawn = engine.generate(chunks[i], sampling, config.per_prompt)
        collected.samples += drawn
        return {"samples": float(len(collected.samples)), "length": sum(len(each.response_ids) for each in drawn) / len(drawn),
                "ended_fraction": sum(each.ended for each in drawn) / len(drawn)}

    steps(run, {"collected": collected}, len(chunks), draw, label, shown=("samples", "length"), unit="chunks")
    facts = {**run.circumstances, "prompts": len(prompts), "samples": len(collected.samples),
             "ended": sum(each.ended for each in collected.samples)}
    with project.writing(replace(manifest, facts=facts)) as directory, \
            open(directory / SAMPLES_FILE, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(each.to_json(), ensure_ascii=False) + "\n" for each in collected.samples)
    run.finish()
    made = project.made_from(manifest.key)
    assert made is not None
    return made
