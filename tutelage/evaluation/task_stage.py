"""Evaluation on tasks: models and task files in, a report artifact out. What was asked before a kill is not asked again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.datasets import load_dataset
from tutelage.data.erasure import QUOTED
from tutelage.data.usage import write_used
from tutelage.errors import ArtifactError, ConfigError
from tutelage.evaluation.board import board
from tutelage.evaluation.config import Evaluate, Task
from tutelage.evaluation.contamination import Contamination, contamination, texts_of
from tutelage.evaluation.examine import Examined, Local, Responds, check_models, examine, load_examined
from tutelage.evaluation.graders import metrics_of
from tutelage.evaluation.groups import by_group, clusters_of, to_json
from tutelage.evaluation.lineage import ancestors, lineage_tree
from tutelage.evaluation.pages import write_pages
from tutelage.evaluation.plans import describe, deviations, read_plan
from tutelage.evaluation.probes import probe_tasks
from tutelage.evaluation.probes.leakage import leakage_tasks
from tutelage.evaluation.task_report import report_from_board
from tutelage.evaluation.tasks import Loaded, load_task
from tutelage.evaluation.twins import compared
from tutelage.lineage import Manifest, content_hash
from tutelage.models.circumstances import begin_run
from tutelage.models.footprint import saved_bytes
from tutelage.models.load import ModelSource, resolve
from tutelage.project import Artifact, Project
from tutelage.protocols import Score
from tutelage.runs.plan import Plan, announce, resident_bytes
from tutelage.runs.steps import steps

MARKS = "marks.jsonl"      # one line an item and model: its marks


def is_address(model: str) -> bool:
    return model.startswith(("http://", "https://"))


class Collected:
    """The marks so far, as a checkpoint holds them: a list a model, of one `Examined` a task."""

    def __init__(self, models: int) -> None:
        self.rows: list[list[Examined]] = [[] for _ in range(models)]

    def state(self) -> dict[str, Any]:
        return {"marks": json.dumps([[each.to_json() for each in row] for row in self.rows])}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.rows = load_examined(state["marks"])


def evaluate_tasks(project: Project, config: Evaluate, addresses: Mapping[str, Responds],
                   rewards: Mapping[str, Score] | None = None, parents: Mapping[str, str] | None = None,
                   outside: Mapping[str, str] | None = None) -> Artifact:
    """Have every model do every task, or give the report that was made of just that.

    Args:
        addresses: the models that are behind an address, by what `config.models` calls them.
        rewards: those that tasks are graded by (`rewards_named`), by name.
        parents, outside: what these are made of, for the manifest: artifacts, and what came from elsewhere.
    """
    if len(config.models) < 2:
        raise ConfigError("evaluate compares models: give at least two with --models A B.")
    names = config.names or config.models
    if len(set(names)) != len(names):
        raise ConfigError(f"evaluate: the models are called {', '.join(names)}; wanted names of their own, with --names.")
    sources = {name: resolve(model, project) for name, model in zip(names, config.models, strict=True) if model not in addresses}
    tasks = load_tasks(config, project, sources.values())
    check_models(tasks, list(addresses))
    frozen = read_plan(Path(config.frozen)) if config.frozen else None
    manifest = _manifest(config, tasks, sources, dict(zip(names, config.models, strict=True)), frozen)
    manifest = replace(manifest, parents={**manifest.parents, **(parents or {})}, sources={**manifest.sources, **(outside or {})})
    if (done := project.made_from(manifest.key)) is not None:
        if addresses:
            console.warn(f"{done.ref} is from before: what answers at {', '.join(addresses)} was not asked again. If it is "
                         "another model now, give another --name.")
        return done
    run = begin_run(project, manifest, config.precision)
    announce(_plan([source.path for source in sources.values()]), run)
    collected, loaded = Collected(len(names)), _Loader(sources, addresses, str(run.circumstances["precision"]))

    def ask(i: int) -> dict[str, float]:
        model, task = divmod(i, len(tasks))
        found = examine(loaded.model(names[model], config.models[model]), tasks[task], config.seed, rewards)
        collected.rows[model].append(found)
        own = next(iter(found.marks.values()))
        return {"mark": sum(own) / len(own), "items": float(len(own))}

    steps(run, {"collected": collected}, len(names) * len(tasks), ask, "Evaluating", shown=("mark",), unit="tasks")
    examined = dict(zip(names, collected.rows, strict=True))
    reference = config.reference or names[0]
    found = board(examined, reference, config.seed, {task.name: clusters_of(task) for task in tasks})
    slices = by_group(examined, tasks, reference, config.seed)
    made = describe_tasks(config, tasks, {name: source.content for name, source in sources.items()})
    plan = None if frozen is None else (str(frozen["sha256"]), deviations(frozen, made))
    leaks = _leaks(project, sources, tasks) if config.contamination else {}
    facts = {"board": found.to_json(), "plan": made, "planned": plan and plan[0], "deviations": plan and list(plan[1]),
             "groups": to_json(slices), **_by_task(examined, leaks)}
    tree = tuple(lineage_tree(project, ref, role) for role, ref in manifest.parents.items())
    page = partial(report_from_board, found, examined, tasks, leaks, slices, focus=config.focus, lineage=tree, plan=plan,
                   facts={"evaluation": to_plain(config), "circumstances": dict(run.circumstances)})
    with project.writing(replace(manifest, facts={
            **run.circumstances, "tasks": {task.name: task.sha256 for task in tasks},
            "items": sum(len(task.items) for task in tasks), "deviations": len(plan[1]) if plan else 0})) as draft:
        (draft / "report.json").write_text(json.dumps(_strict(facts), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        _write_marks(draft / MARKS, examined, tasks)
        quoted = {file: list(report.quoted) for file, report in write_pages(draft.path, page).items()}
        (draft / QUOTED).write_text(json.dumps(quoted, indent=0) + "\n", encoding="utf-8")
        write_used(draft.path, {})
    run.finish()
    return draft.artifact


def _by_task(examined: Mapping[str, Sequence[Examined]],
             leaks: Mapping[str, Mapping[str, Contamination]]) -> dict[str, Any]:
    """For the report's JSON: what each model has beside its marks, task by task."""
    return {"contamination": {model: {task: _leak_json(each) for task, each in row.items()} for model, row in leaks.items()},
            "facts": {model: {each.task: dict(each.facts) for each in row if each.facts} for model, row in examined.items()}}


def load_tasks(config: Evaluate, project: Project | None = None, sources: Iterable[ModelSource] = ()) -> list[Loaded]:
    """The tasks of files and the probes; the probe leakage needs to know the project and what the models are."""
    found = [load_task(Path(task).expanduser(), config.limit) for task in config.tasks]
    found += probe_tasks(config.probes, config.languages, config.reward, config.limit)
    return found + (leakage_tasks(_trained_on(project, sources), config.limit) if project and "leakage" in config.probes else [])


def rewards_named(config: Evaluate) -> list[str]:
    """Every reward that a task is graded by."""
    return list(dict.fromkeys(task.head.reward for task in load_tasks(config) if task.head.reward))


def _trained_on(project: Project, sources: Iterable[ModelSource]) -> list[tuple[Artifact, list[Artifact]]]:
    """Every data set that one of the models descends from, with the models on the way that were trained on it."""
    found: dict[str, tuple[Artifact, dict[str, Artifact]]] = {}
    for model in (project.artifact(source.name) for source in sources if source.is_artifact):
        behind = [*ancestors(project, model.manifest), model]
        for dataset in (each for each in behind if each.kind == "dataset"):
            users = {each.ref: each for each in behind if each.kind == "model"
                     and any(ref.partition("#")[0] == dataset.ref for ref in each.manifest.parents.values())}
            if users:
                found.setdefault(dataset.ref, (dataset, {}))[1].update(users)
    return [(dataset, list(users.values())) for dataset, users in found.values()]


def describe_tasks(config: Evaluate, tasks: Sequence[Loaded], contents: Mapping[str, str]) -> dict[str, Any]:
    """This evaluation as a plan; a model behind an address is known by its address alone."""
    names = config.names or config.models
    models = {name: contents.get(name, model) for name, model in zip(names, config.models, strict=True)}
    prompts = {task.name: {"sha256": task.sha256, "metric": own_metric(task.head), "n": len(task.items)} for task in tasks}
    return describe(models, prompts, {"seed": config.seed, "reference": config.reference or names[0]})


def own_metric(head: Task) -> str:
    """The metric that verdicts on a task are about."""
    metrics = metrics_of(head)
    return compared(head, metrics)[0] if head.twin else metrics[0]


class _Loader:
    """Holds one local model at a time."""

    def __init__(self, sources: Mapping[str, ModelSource], addresses: Mapping[str, Responds], precision: str) -> None:
        self.sources, self.addresses, self.precision = sources, addresses, precision
        self.held: Local | None = None

    def model(self, name: str, model: str) -> Responds:
        if name not in self.sources:
            return self.addresses[model]
        if self.held is None or self.held.name != name:
            self.held = None      # the one before is let go of first
            self.held = Local(self.sources[name].path, self.precision, name)
        return self.held


def _manifest(config: Evaluate, tasks: Sequence[Loaded], sources: Mapping[str, ModelSource], models: Mapping[str, str],
              frozen: Mapping[str, Any] | None) -> Manifest:
    parents = {role: ref for name, source in sources.items() for role, ref in source.parents(name).items()}
    outside = {key: digest for name, source in sources.items() for key, digest in source.sources(name).items()}
    outside |= {f"task {task.name}": task.sha256 for task in tasks}
    outside |= {f"model {name} at {model}": content_hash(model) for name, model in models.items() if name not in sources}
    if frozen is not None:
        outside["evaluation plan"] = str(frozen["sha256"])
    return Manifest(kind="report", name=config.name, stage="evaluate", config=to_plain(config), parents=parents, sources=outside,
                    seeds={"seed": config.seed})


def _plan(models: Sequence[Path]) -> Plan:
    held = resident_bytes()
    memory = {"the process and data": held, "the largest model": 2 * max(map(saved_bytes, models), default=0)}
    return Plan(stage="evaluate", memory=memory, disk={"marks and the report": 2**26}, held=held,
                remedy="Compare smaller models.")


def _leaks(project: Project, sources: Mapping[str, ModelSource], tasks: Sequence[Loaded]) -> dict[str, dict[str, Contamination]]:
    """What each model was trained on inside this project, against every task; of what lies outside a warning."""
    found: dict[str, dict[str, Contamination]] = {}
    for name, source in sources.items():
        manifest = source.path / "manifest.json"
        if not manifest.is_file():
            continue
        texts: list[str] = []
        own = Manifest.read(source.path)
        behind = ancestors(project, own)
        outside = sorted({file for each in (own, *(artifact.manifest for artifact in behind if artifact.kind != "dataset"))
                          for file in each.sources if not file.startswith(("model ", "reward "))})
        if outside:
            console.warn(f"{name} was trained on {', '.join(outside)}, outside the project, where items cannot be looked "
                         "for. Import data before training on it: tutelage data import FILE")
        for artifact in behind:
            if artifact.kind == "dataset":
                try:
                    texts += texts_of(load_dataset(artifact).records)
                except ArtifactError as error:
                    console.warn(f"{artifact.ref} was not searched for items of the tasks: {error}")
        if texts:
            found[name] = {task.name: contamination([item.bare for item in task.items], texts) for task in tasks
                           if task.head.kind != "continuation"}
    return found


def _leak_json(found: Contamination) -> dict[str, Any]:
    return {"checked": found.checked, "by_run": list(found.by_run), "by_likeness": list(found.by_likeness)}


def _write_marks(path: Path, examined: Mapping[str, Sequence[Examined]], tasks: Sequence[Loaded]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for at, task in enumerate(tasks):
            for place, item in enumerate(task.items):
                for model, row in examined.items():
                    marks = {metric: values[place] for metric, values in row[at].marks.items()}
                    said = {"response": row[at].responses[place]} if row[at].responses else {}
                    file.write(json.dumps({"task": task.name, "item": item.id, "model": model, "marks": marks, **said},
                                          ensure_ascii=False) + "\n")


def _strict(value: Any) -> Any:
    """JSON has no NaN: what was not measured becomes null."""
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and value != value else value


def table_rows(value: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the terminal's table, from a report's `board`."""
    def cell(each: Mapping[str, Any]) -> str:
        return f"{each['value']:.3f} [{each['low']:.3f}, {each['high']:.3f}]"

    rows = []
    for task in value["tasks"]:
        marks = task["marks"][task["metric"]]
        rows.append([task["name"], task["metric"], str(task["n"]), *(cell(marks[model]) for model in value["models"]),
                     " > ".join(" = ".join(group) for group in task["groups"])])
    return ["task", "metric", "n", *value["models"], "tied groups"], rows
