"""The evaluation stage: models and held-out prompts in, a report artifact out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tutelage.algorithms.logprobs import KEEP_BYTES
from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.chat import ChatTemplate
from tutelage.data.datasets import Dataset, load_dataset, prompts_of, resolve_dataset
from tutelage.data.erasure import QUOTED
from tutelage.data.usage import write_used
from tutelage.errors import ConfigError
from tutelage.evaluation.compare import Comparison, compare, plain
from tutelage.evaluation.config import Evaluate
from tutelage.evaluation.contestant import Contestant
from tutelage.evaluation.examine import Local, Responds
from tutelage.evaluation.frontier import curve_of
from tutelage.evaluation.human import Human, Vote, by_people
from tutelage.evaluation.judge import Judged, judge_pairs
from tutelage.evaluation.lineage import ancestors, lineage_tree
from tutelage.evaluation.measure import kl_to_reference, perplexity
from tutelage.evaluation.pages import write_pages
from tutelage.evaluation.plans import describe, deviations, read_plan
from tutelage.evaluation.report import report_from_comparison, side_by_side
from tutelage.evaluation.strings import EVALUATION
from tutelage.evaluation.transcript import before_and_after, before_and_after_ids, transcript, transcript_ids
from tutelage.generation import config as generation
from tutelage.generation.stage import load_samples, sample
from tutelage.lineage import Manifest, content_hash
from tutelage.models.circumstances import begin_run
from tutelage.models.footprint import saved_bytes
from tutelage.models.load import ModelSource, load_policy, load_tokenizer, resolve
from tutelage.project import Artifact, Project
from tutelage.protocols import Score
from tutelage.records import AnnotatorKind, Sample, Scores
from tutelage.reporting.model_card import CardInfo, DataUsed, model_card
from tutelage.reporting.report import Curve, Language, Line, People, Report
from tutelage.reporting.strings import LANGUAGES, phrase
from tutelage.runs.directory import run_path
from tutelage.runs.metrics import curve
from tutelage.runs.plan import Plan, announce, resident_bytes
from tutelage.statistics import Estimate

# settings that a plan holds: what responses, or what is said of them, depend on
PLANNED = ("per_prompt", "best_of", "best_of_n", "temperature", "max_new_tokens", "reward", "judge", "instructions", "seed")
# stage -> the metrics of its run that the page shows: name, title and unit in English and Chinese
CURVES: Mapping[str, tuple[tuple[str, tuple[str, str], tuple[str, str]], ...]] = {
    "sft": (("loss", ("SFT loss", "SFT 损失"), ("nats a token", "奈特/词元")),),
    "reward": (("loss", ("Reward model loss", "奖励模型损失"), ("nats a judgment", "奈特/判断")),
               ("accuracy", ("Reward model accuracy", "奖励模型准确率"), ("share of the step's pairs", "该步比较对的占比"))),
    "rl": (("reward/total", ("Reward in RL", "强化学习中的奖励"), ("standard deviations", "标准差")),
           ("objective/kl", ("KL to the reference", "与参考模型的 KL"), ("nats a response", "奈特/回答")),
           ("objective/entropy", ("Entropy", "熵"), ("nats a token", "奈特/词元")),
           ("rollout/length", ("Response length", "回答长度"), ("tokens", "词元")),
           ("train/clip_fraction", ("Clip fraction", "裁剪比例"), ("share of tokens", "词元占比"))),
}
STEPS = ("steps", "步数")


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's part of an evaluation, before anything is compared."""

    name: str
    artifact: Artifact            # its samples
    samples: list[Sample]
    kl: list[float] | None        # one a sample, its prompt's plain sample's
    perplexity: Estimate | None


def evaluate(project: Project, config: Evaluate, truth: Score, reward: Score | None = None, *,
             judged_by: AnnotatorKind = "scripted", parents: Mapping[str, str] | None = None,
             sources: Mapping[str, str] | None = None, people: Sequence[People] = (),
             judge: Responds | None = None, votes: Sequence[Vote] = ()) -> Artifact:
    """Compare what `config` names, or give the report that was made of just that.

    Args:
        truth: grades every sample; its parts are reported too. `judged_by` says what kind of annotator it is.
        reward: a reward model's score, shown beside the truth, and what chooses the best of several.
        parents, sources: what else went in, by role, for the manifest: artifacts, and what came from outside.
        people: who gave the feedback that was learned from; told in the model card, and where they are scripted in the report.
        judge: who compares the last model with the reference, where that is a model behind an address.
        votes: what people said of the same two, of the campaign `config.human`.
    """
    if len(config.models) < 2:
        raise ConfigError("evaluate compares models: give at least two with --models A B.")
    names = config.names or config.models
    reference = config.reference or names[0]
    found = {name: resolve(model, project) for name, model in zip(names, config.models, strict=True)}
    data = load_dataset(resolve_dataset(project, config.data))
    _check_judging(config, data)
    frozen = read_plan(Path(config.frozen)) if config.frozen else None
    judging = resolve(config.judge, project) if config.judge and judge is None else None
    manifest = _manifest(project, config, data, {**found, **({"judge": judging} if judging else {})},
                         parents or {}, {**({"evaluation plan": str(frozen["sha256"])} if frozen else {}), **(sources or {})})
    if (done := project.made_from(manifest.key)) is not None:
        return done
    run = begin_run(project, manifest, config.precision)
    precision = str(run.circumstances["precision"])
    announce(_plan([source.path for source in (*found.values(), *([judging] if judging else []))], precision), run)
    measured = [_measure(project, config, name, model, found[reference].path, precision)
                for name, model in zip(names, config.models, strict=True)]
    contestants = _graded(config, measured, truth, reward)
    comparison = compare(contestants, reference, config.seed)
    if judging is not None:
        judge = Local(judging.path, precision, config.judge)
    judged = None if judge is None else _judged(judge, contestants, config.focus, reference, config.seed)
    human = _human(config, contestants, config.focus, reference, votes, truth, reward)
    made = describe_data(config, data, {name: source.content for name, source in found.items()})
    plan = None if frozen is None else (str(frozen["sha256"]), tuple(deviations(frozen, made)))
    before = names[0] if names[0] != config.focus else reference
    best = next((curve_of(each, config.seed) for each in contestants if each.name == config.best_of), [])
    facts = {"comparison": comparison.to_json(), "before_and_after": before_and_after(contestants, before, config.focus),
             "plan": made, "deviations": None if plan is None else list(plan[1]), "best_of": [plain(each) for each in best],
             **{name: None if each is None else each.to_json() for name, each in (("judged", judged), ("human", human))}}
    tree = tuple(lineage_tree(project, ref, role) for role, ref in manifest.parents.items())

    def page(language: Language) -> Report:
        return report_from_comparison(
            comparison, curves_of(project, manifest, language), side_by_side(contestants, seed=config.seed), tree,
            {"evaluation": to_plain(config), "circumstances": dict(run.circumstances)}, focus=config.focus, language=language,
            judged_by=judged_by, notes=_of_judges(people, language), plan=plan, judged=judged, human=human, frontier=best)

    with project.writing(replace(manifest, facts={
            **run.circumstances, "prompts": comparison.num_prompts,
            "samples": {each.name: each.artifact.parent_ref for each in measured}})) as draft:
        quoted = _write_files(draft.path, facts, contestants, before, config.focus)
        quoted |= _write_pages(draft.path, project, config.models[names.index(config.focus)], config.focus, page, people)
        (draft / QUOTED).write_text(json.dumps(quoted, indent=0) + "\n", encoding="utf-8")
        write_used(draft.path, _used(project, config, data, measured))
    run.finish()
    return draft.artifact


def _of_judges(people: Sequence[People], language: Language) -> list[str]:
    """What a reader must know of who gave the feedback."""
    return [phrase(EVALUATION, language, "note_scripted_judges")] if any(each.kind == "scripted" for each in people) else []


def _write_files(draft: Path, facts: Mapping[str, Any], contestants: Sequence[Contestant], before: str,
                 focus: str) -> dict[str, list[str]]:
    """The figures and the samples; which records each file quotes."""
    (draft / "report.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (draft / "samples.md").write_text(transcript(contestants), encoding="utf-8")
    return {"report.json": before_and_after_ids(contestants, before, focus), "samples.md": transcript_ids(contestants)}


def _write_pages(draft: Path, project: Project, model: str, name: str, page: Callable[..., Report],
                 people: Sequence[People]) -> dict[str, list[str]]:
    """The report and a model card in every language; which records each page quotes."""
    reports = write_pages(draft, page)
    for file, report in reports.items():
        card = _card(project, model, name, report, people)
        (draft / file.replace("report", "MODEL_CARD").replace(".html", ".md")).write_text(card, encoding="utf-8")
    return {file: list(report.quoted) for file, report in reports.items()}


def _manifest(project: Project, config: Evaluate, data: Dataset, models: Mapping[str, ModelSource], parents: Mapping[str, str],
              sources: Mapping[str, str]) -> Manifest:
    return Manifest(kind="report", name=config.name, stage="evaluate", config=to_plain(config),
                    parents=_joined(*(source.parents(name) for name, source in models.items()), data.parents,
                                    _instructions(project, config), parents),
                    sources=_joined(*(source.sources(name) for name, source in models.items()), data.sources, sources),
                    seeds={"seed": config.seed})


def _graded(config: Evaluate, measured: Sequence[Measured], truth: Score, reward: Score | None) -> list[Contestant]:
    """The contestants with their grades; the best of several of one of them is a contestant of its own."""
    contestants = []
    with console.progress("Grading", len(measured), "models") as bar:
        for each in measured:
            scores = reward.score(each.samples) if reward is not None else None
            contestants.append(Contestant(name=each.name, samples=each.samples, grades=truth.score(each.samples), kl=each.kl,
                                          reward=scores.total if scores else None, perplexity=each.perplexity))
            if each.name == config.best_of and scores is not None:
                contestants.append(best_of(contestants[-1], scores, f"{each.name}, best of {config.best_of_n}"))
            bar.advance(1)
    return contestants


def _check_judging(config: Evaluate, data: Dataset) -> None:
    """Refuse before anything is sampled what `judge_pairs` would refuse after it."""
    prompts = len(prompts_of(data.records)[: config.limit or None])
    if config.judge and prompts < 2:
        raise ConfigError(f"evaluate.judge needs two prompts or more to compare on; there is {prompts}. Raise limit, or leave "
                          "the judge out.")


def _judged(judge: Responds, contestants: Sequence[Contestant], focus: str, reference: str, seed: int) -> Judged:
    """What the judge makes of the first response of each to every prompt."""
    ours, theirs = (next(each for each in contestants if each.name == name) for name in (focus, reference))
    firsts = [(ours.samples[ours.rows[prompt][0]], theirs.samples[theirs.rows[prompt][0]]) for prompt in ours.rows]
    return judge_pairs(judge, [one.prompt.messages for one, _ in firsts], [one.text for one, _ in firsts],
                       [other.text for _, other in firsts], seed)


def _human(config: Evaluate, contestants: Sequence[Contestant], focus: str, reference: str, votes: Sequence[Vote], truth: Score,
           reward: Score | None) -> Human | None:
    """What people made of the last model and the reference, on the responses they saw."""
    if not config.human:
        return None
    ours, theirs = (next(each for each in contestants if each.name == name).samples[0].policy for name in (focus, reference))
    return by_people(votes, ours, theirs, {"truth": truth, **({"reward": reward} if reward is not None else {})}, config.seed)


def describe_data(config: Evaluate, data: Dataset, contents: Mapping[str, str]) -> dict[str, Any]:
    """This evaluation as a plan; `contents` are the models' hashes by name."""
    prompts = prompts_of(data.records)[: config.limit or None]
    name = data.artifact.ref if data.artifact is not None else ", ".join(data.sources)
    asked = {name: {"sha256": content_hash([prompt.to_json() for prompt in prompts]), "metric": "truth", "n": len(prompts)}}
    settings = {key: getattr(config, key) for key in PLANNED}
    return describe(contents, asked, {**settings, "reference": config.reference or (config.names or config.models)[0]})


def _instructions(project: Project, config: Evaluate) -> dict[str, str]:
    """The data set that perplexity is measured on, where it is an artifact."""
    found = resolve_dataset(project, config.instructions) if config.instructions else None
    return {"instructions": found.parent_ref} if isinstance(found, Artifact) else {}


def _used(project: Project, config: Evaluate, data: Dataset, measured: Sequence[Measured]) -> dict[str, list[str]]:
    """The prompts and the instructions that the report rests on, where they are rows of artifacts."""
    used = {}
    if data.artifact is not None:
        used[data.artifact.ref] = [sample.prompt.id for each in measured for sample in each.samples]
    if config.instructions and isinstance(found := resolve_dataset(project, config.instructions), Artifact):
        used[found.ref] = [record.id for record in load_dataset(found, "heldout").records]
    return used


def _plan(models: Sequence[Path], precision: str) -> Plan:
    """Two models at a time, for KL: one and the reference. Each one's sampling states its own plan when its turn comes."""
    held, saved = resident_bytes(), sorted(saved_bytes(path) for path in models)
    memory = {"the process and data": held, "the two largest models": 2 * sum(saved[-2:]),
              "logprobs of both": 2 * KEEP_BYTES}
    return Plan(stage="evaluate", memory=memory, disk={"samples and the report": 2**26}, held=held,
                remedy="Compare fewer or smaller models.")


def _joined(*mappings: Mapping[str, str]) -> dict[str, str]:
    return {key: value for mapping in mappings for key, value in mapping.items()}


def load_report(artifact: Artifact) -> dict[str, Any]:
    """The numbers of a report artifact (`comparison`) and a few of its samples (`before_and_after`)."""
    value: dict[str, Any] = json.loads((artifact.path / "report.json").read_text(encoding="utf-8"))
    return value


def best_of(contestant: Contestant, scores: Scores, name: str) -> Contestant:
    """Of each prompt's samples the one the reward likes best: what RL must beat to be worth its trouble.

    Its KL to the policy it was drawn from is at most log n - (n - 1) / n nats (Beirami et al. 2024, arXiv:2401.01879);
    no estimate from samples is given for it.
    """
    rows = [max(rows, key=lambda row: scores.total[row]) for rows in contestant.rows.values()]
    grades = Scores(total=tuple(contestant.grades.total[row] for row in rows),
                    parts={part: tuple(values[row] for row in rows) for part, values in contestant.grades.parts.items()})
    return Contestant(name=name, samples=[contestant.samples[row] for row in rows], grades=grades,
                      reward=[scores.total[row] for row in rows])


def _measure(project: Project, config: Evaluate, name: str, model: str, reference: Any, precision: str) -> Measured:
    """Samples, KL and perplexity of one model; only the samples take long, and they are artifacts of their own."""
    def draw(suffix: str, **settings: Any) -> Artifact:
        return sample(project, generation.Sample(
            model=model, prompts=config.data, name=f"{config.name}-{name}{suffix}".replace(" ", "-"), limit=config.limit,
            max_new_tokens=config.max_new_tokens, slots=config.slots, precision=config.precision, seed=config.seed, **settings),
            f"Sampling {name}{' at temperature 1' if suffix else ''}")

    artifact = draw("", per_prompt=config.best_of_n if name == config.best_of else config.per_prompt,
                    temperature=config.temperature)
    source, samples = resolve(model, project), load_samples(artifact)
    policy = load_policy(source.path, precision)
    kl = [0.0] * len(samples)
    if source.path != reference:
        plain = load_samples(artifact if config.temperature == 1.0 else draw("-plain", per_prompt=1))
        divergence = kl_to_reference(policy, load_policy(reference, precision), plain)
        by_id: dict[str, list[float]] = {}
        for each, nats in zip(plain, divergence.responses, strict=True):
            by_id.setdefault(each.prompt.id, []).append(nats)
        kl = [sum(by_id[each.prompt.id]) / len(by_id[each.prompt.id]) for each in samples]
    return Measured(name, artifact, samples, kl, _perplexity(project, config, policy, source.path))


def _perplexity(project: Project, config: Evaluate, policy: Any, path: Any) -> Estimate | None:
    if not config.instructions:
        return None
    template = ChatTemplate.load(path, load_tokenizer(path))
    rows = [template.render(record.messages, tools=record.tools)
            for record in load_dataset(resolve_dataset(project, config.instructions), "heldout").records]
    return perplexity(policy, [row.ids for row in rows], [row.response_mask for row in rows])


def curves_of(project: Project, manifest: Manifest, language: Language) -> list[Curve]:
    """What the runs behind this report's models and reward looked like, one plot a metric."""
    which = LANGUAGES.index(language)
    curves, seen = [], set()
    for artifact in ancestors(project, manifest):
        for metric, title, unit in CURVES.get(artifact.manifest.stage, ()):
            steps, values = curve(run_path(project, artifact.manifest) / "metrics.jsonl", metric)
            if steps and (artifact.ref, metric) not in seen:
                seen.add((artifact.ref, metric))
                curves.append(Curve(name=title[which], unit=unit[which], x_unit=STEPS[which], x=steps,
                                    lines=(Line(name=artifact.ref, y=values),)))
    return curves


def _card(project: Project, model: str, name: str, report: Report, people: Sequence[People]) -> str:
    source = resolve(model, project)
    manifest = Manifest.read(source.path) if (source.path / "manifest.json").is_file() else None
    behind = ancestors(project, manifest) if manifest is not None else []
    data = tuple(DataUsed(name=each.ref, rows=int(each.manifest.facts.get("kept", 0)), licence="", used_for=each.manifest.stage)
                 for each in behind if each.kind == "dataset")
    base = next((name.removeprefix("model ") for each in behind if each.manifest.stage == "sft"
                 for name in each.manifest.sources if name.startswith("model ")), "")
    return model_card(CardInfo(name=name, base_model=base, licence="Apache-2.0" if base else "", description=report.lede,
                               data=data, people=tuple(people)), report)


def table_rows(comparison: Comparison | Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the terminal's table."""
    plain = comparison if isinstance(comparison, Mapping) else comparison.to_json()
    summaries = plain["summaries"]
    parts = list(summaries[0]["parts"])
    columns = ["model", "truth", "95 %", f"against {plain['reference']}", *parts, "reward", "KL", "tokens", "ended"]
    rows = [[each["name"], _number(each["truth"]), f"{each['truth']['low']:.3f}–{each['truth']['high']:.3f}",
             _against(plain, each["name"]),
             *(_number(each["parts"][part]) for part in parts), _number(each["reward"]), _number(each["kl"]),
             _number(each["tokens"], 1), _number(each["ended"], 2)] for each in summaries]
    return columns, rows


def _against(comparison: Mapping[str, Any], name: str) -> str:
    """The verdict on one of them in truth, against the reference, which stands second in its pairs."""
    pair = next((each for each in comparison["pairs"]
                 if (each["first"], each["second"]) == (name, comparison["reference"])), None)
    if pair is None:
        return "–"
    truth = pair["truth"]["estimate"]
    return f"{pair['truth']['verdict'].replace('_', ' ')}, {truth['value']:+.3f} [{truth['low']:+.3f}, {truth['high']:+.3f}]"


def _number(estimate: Mapping[str, Any] | None, decimals: int = 3) -> str:
    return "–" if estimate is None or estimate["value"] is None else f"{estimate['value']:.{decimals}f}"
