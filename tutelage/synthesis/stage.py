"""The self-instruct stage: seed tasks and a writing model in, a data set of instructions marked `model` out.

A round is one step: requests for new tasks, the tasks that pass the filters, their answers, the answers that pass. What
each round shows follows from the seed, the round and what was kept before it, so an interrupted run goes on as it would
have gone (with a local model to the bit; a service draws as it likes).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.chat import ChatTemplate
from tutelage.data.datasets import Dataset, load_dataset, resolve_dataset
from tutelage.data.fingerprints import fingerprint, merkle_root
from tutelage.data.usage import write_used
from tutelage.errors import ConfigError, DataError
from tutelage.generation.engine import Engine
from tutelage.generation.memory import plan_sampling
from tutelage.lineage import Manifest, content_hash
from tutelage.messages import Message, messages_to_json, record_id
from tutelage.models.circumstances import begin_run
from tutelage.models.load import load_policy, load_tokenizer, resolve
from tutelage.project import Artifact, Project
from tutelage.records import Instruction, Sampling
from tutelage.runs.directory import Run
from tutelage.runs.plan import announce
from tutelage.runs.steps import steps
from tutelage.seeds import stream_seed
from tutelage.synthesis.asking import NEW_TASKS, Refused, language_of, read_tasks, request
from tutelage.synthesis.config import Generate
from tutelage.synthesis.endpoint import Endpoint
from tutelage.synthesis.filters import Novelty, trouble_with_response, trouble_with_task
from tutelage.synthesis.writers import LocalWriter, Writer


@dataclass(slots=True)
class Kept:
    """What was written so far, as a checkpoint holds it: pairs of task and response, refusals, and how much was read."""

    pairs: list[tuple[str, str]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    read: int = 0

    def state(self) -> dict[str, Any]:
        return {"lines": json.dumps({"pairs": self.pairs, "refused": [(each.text, each.reason) for each in self.refused],
                                     "read": self.read})}

    def load_state(self, state: Mapping[str, Any]) -> None:
        saved = json.loads(state["lines"])
        self.pairs = [(task, response) for task, response in saved["pairs"]]
        self.refused = [Refused(text, reason) for text, reason in saved["refused"]]
        self.read = saved["read"]


def generate(project: Project, config: Generate) -> Artifact:
    """Make the data set `config` asks for, or give the one that was made from just that. It may hold fewer pairs than
    asked where the model writes too little of use: the counts say so.

    Raises:
        DataError: if the seeds are no instructions, or nothing that was written could be kept; ConfigError, ModelError.
    """
    if not config.tasks:
        raise ConfigError("generate needs seed tasks: --from a data set of instructions, or a file of them.")
    data = load_dataset(resolve_dataset(project, config.tasks))
    if data.kind != "instruction":
        raise DataError(f"seed tasks are instructions; {config.tasks} holds records of kind {data.kind}.")
    manifest, open_writer = _endpoint(config, data) if config.endpoint else _local(project, config, data)
    if (done := project.made_from(manifest.key)) is not None:
        return done
    run = begin_run(project, manifest, config.precision)
    seeds = [record.prompt[-1].text for record in data.records]
    writer: Writer = open_writer(run)
    try:
        kept = _rounds(run, config, seeds, writer)
    finally:
        writer.close()
    return _finish(project, config, manifest, data, kept, run)


def _local(project: Project, config: Generate, data: Dataset) -> tuple[Manifest, Any]:
    source = resolve(config.model, project)
    template = ChatTemplate.load(source.path, load_tokenizer(source.path))

    def open_writer(run: Run) -> Writer:
        policy = load_policy(source.path, str(run.circumstances["precision"]))
        longest = max(len(template.render_prompt(record.prompt)) for record in data.records)
        shown = (config.demonstrations + config.own_demonstrations) * longest
        announce(plan_sampling("generate", policy, config.slots, [shown] * config.requests,
                               max(config.task_tokens, config.response_tokens), config.requests * NEW_TASKS), run)
        return LocalWriter(Engine(policy, template, slots=config.slots, name=source.name))

    manifest = _manifest(config, data, {**source.parents("model"), **data.parents}, {**source.sources("model"), **data.sources})
    return replace(manifest, template=template.sha256), open_writer


def _endpoint(config: Generate, data: Dataset) -> tuple[Manifest, Any]:
    writer = Endpoint(config.endpoint, config.endpoint_model, timeout_s=config.timeout_s, retries=config.retries)
    sources = {f"endpoint {writer.name}": content_hash([config.endpoint, config.endpoint_model]), **data.sources}
    return _manifest(config, data, dict(data.parents), sources), lambda run: writer


def _manifest(config: Generate, data: Dataset, parents: Mapping[str, str], sources: Mapping[str, str]) -> Manifest:
    return Manifest(kind="dataset", name=config.name, stage="generate", parents=parents, sources=sources,
                    config=to_plain(config), seeds={"seed": config.seed})


def _rounds(run: Run, config: Generate, seeds: Sequence[str], writer: Writer) -> Kept:
    kept = Kept()
    console.print(f"generate: {config.count} pairs wanted after {len(seeds)} seed tasks; {writer.name} writes")

    def one(i: int) -> dict[str, float]:
        written, refused, read = write_round(config, seeds, kept.pairs, writer, i)
        kept.pairs += written[:config.count - len(kept.pairs)]
        kept.refused += refused
        kept.read += read
        return {"kept": float(len(kept.pairs)), "refused": float(len(kept.refused)), "new": float(len(written))}

    steps(run, {"kept": kept}, config.most_rounds, one, "Writing", shown=("kept", "refused"), unit="rounds",
          done=lambda: len(kept.pairs) >= config.count, interval_s=0.0)      # a round costs far more than keeping it
    return kept


def write_round(config: Generate, seeds: Sequence[str], pairs: Sequence[tuple[str, str]], writer: Writer,
                number: int) -> tuple[list[tuple[str, str]], list[Refused], int]:
    """New pairs, what was refused, and how many tasks and answers were read."""
    own = [task for task, _ in pairs]
    asked = [request(seeds, own, language_of(seeds), demonstrations=config.demonstrations,
                     own_demonstrations=config.own_demonstrations, seed=config.seed, number=number * config.requests + i)
             for i in range(config.requests)]
    answers = writer.write(asked, _sampling(config, "tasks", number, config.temperature, config.task_tokens))
    tasks, refused = _new_tasks(config, [*seeds, *own], [read_tasks(each.text, each.ended) for each in answers])
    read = len(tasks) + len(refused)
    if not tasks:
        return [], refused, read
    responses = writer.write([(Message.of("user", task),) for task in tasks],
                             _sampling(config, "responses", number, config.temperature / 2, config.response_tokens))
    written = []
    for task, response in zip(tasks, responses, strict=True):
        if trouble := trouble_with_response(task, response.text, response.ended):
            refused.append(Refused(f"{task}\n{response.text}", trouble))
        else:
            written.append((task, response.text.strip()))
    return written, refused, read


def _new_tasks(config: Generate, known: Sequence[str],
               answers: Sequence[tuple[list[str], list[Refused]]]) -> tuple[list[str], list[Refused]]:
    novelty, tasks = Novelty(known), []
    refused = [each for _, malformed in answers for each in malformed]
    for found, _ in answers:
        for task in found:
            trouble = trouble_with_task(task) or ("" if novelty.is_new(task, config.similarity) else "task is not new")
            if trouble:
                refused.append(Refused(task, trouble))
            else:
                novelty.add(task)
                tasks.append(task)
    return tasks, refused


def _sampling(config: Generate, what: str, number: int, temperature: float, tokens: int) -> Sampling:
    return Sampling(temperature=temperature, top_p=config.top_p, max_new_tokens=tokens,
                    seed=stream_seed(config.seed, "self-instruct", what, number))


def _finish(project: Project, config: Generate, manifest: Manifest, data: Dataset, kept: Kept, run: Run) -> Artifact:
    reasons = Counter(each.reason for each in kept.refused)
    told = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(8))
    if not kept.pairs:
        raise DataError(f"generate: nothing that was written could be kept ({told or 'nothing was written'}). Give a larger "
                        "model, other seed tasks, or more --rounds.")
    if len(kept.pairs) < config.count:
        console.warn(f"generate: {len(kept.pairs)} of {config.count} pairs after {config.most_rounds} rounds; refused: {told}")
    records = [_instruction(task, response) for task, response in kept.pairs]
    # Any seed task may have been shown for any of them, so a row is taken to quote what its run was given: `used_rows`.
    rows = [{**line, "split": "train"} for line in fingerprint([(record.to_json(), ()) for record in records])]
    facts = {**run.circumstances, "records": "instruction", "read": kept.read, "kept": len(records), "refused": len(kept.refused),
             "reasons": dict(sorted(reasons.items())), "train": len(records), "heldout": 0, "duplicates": 0,
             "annotators": {"model": len(records)}, "merkle_root": merkle_root([row["hash"] for row in rows])}
    with project.writing(replace(manifest, facts=facts)) as draft:
        _write_lines(draft / "train.jsonl", [record.to_json() for record in records])
        _write_lines(draft / "rows.jsonl", rows)
        _write_lines(draft / "refusals.jsonl", [{"file": "", "row": number, "reason": each.reason, "text": each.text}
                                                for number, each in enumerate(kept.refused, start=1)])
        if data.artifact is not None:
            write_used(draft.path, {data.artifact.ref: [record.id for record in data.records]})
    run.finish()
    return draft.artifact


def _instruction(task: str, response: str) -> Instruction:
    messages = (Message.of("user", task), Message.of("assistant", response))
    return Instruction(id=record_id("instruction", messages_to_json(messages)), messages=messages, annotator="model")


def _write_lines(path: Any, values: Sequence[Mapping[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(value, ensure_ascii=False) + "\n" for value in values)
