"""The examination of a reward model: a reward and judgments in, a report artifact out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.erasure import QUOTED
from tutelage.data.fingerprints import prompt_key
from tutelage.data.splits import leakage
from tutelage.data.usage import write_used
from tutelage.errors import DataError
from tutelage.evaluation.config import RewardReport
from tutelage.evaluation.judged_pairs import Item, Judgments, Voice, items_of, prompt_name, sample_of
from tutelage.evaluation.lineage import lineage_tree
from tutelage.evaluation.pages import write_pages
from tutelage.evaluation.reward_figures import measure
from tutelage.evaluation.reward_report import Examined, LeftOut, report_of_reward
from tutelage.evaluation.reward_results import Rated, Swap
from tutelage.lineage import Manifest
from tutelage.messages import Messages, messages_to_json
from tutelage.models.circumstances import begin_run
from tutelage.project import Artifact, Project
from tutelage.protocols import Score
from tutelage.records import Prompt, Sample, Scores
from tutelage.runs.directory import Run
from tutelage.runs.plan import Plan, announce, resident_bytes
from tutelage.scoring import MEMBER

AT_ONCE = 32          # responses given to a reward at a time, so that progress shows
LONGEST = 300         # characters of a reason for a missing score that are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewarded:
    """A reward as it is examined.

    `unit`: log-odds that one unit of its score stands for, None where it gives no log-odds. `tokens`: the length of a sample
    as it reads it, and `max_tokens` the most it was trained with (0: no limit). `trained`: names of the prompts it was trained
    on, None where nobody knows, and `asked` what these prompts say, None where they are not here any more (`gone` says why).
    """

    name: str
    score: Score
    precision: str = "fp32"
    unit: float | None = None
    tokens: Callable[[Sample], int] | None = None
    max_tokens: int = 0
    trained: frozenset[str] | None = None
    asked: Sequence[str] | None = None
    gone: str = ""
    regressed: float | None = None
    parents: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Judgments and where they come from: `used` names the rows of the parents that they are."""

    judgments: Judgments
    parents: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    used: Mapping[str, Sequence[str]] = field(default_factory=dict)
    people: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def together(cls, each: Sequence[Given]) -> Given:
        """All of them; the parents of the second and later ones under names of their own."""
        judgments = Judgments(voices=tuple(voice for one in each for voice in one.judgments.voices),
                              ratings=tuple(rating for one in each for rating in one.judgments.ratings),
                              thumbs=tuple(thumb for one in each for thumb in one.judgments.thumbs))
        parents = {role if place == 0 else f"{role} {place + 1}": ref for place, one in enumerate(each)
                   for role, ref in one.parents.items()}
        return cls(judgments=judgments, parents=parents, sources={k: v for one in each for k, v in one.sources.items()},
                   used={k: v for one in each for k, v in one.used.items()},
                   people={k: v for one in each for k, v in one.people.items()})


def examine_reward(project: Project, config: RewardReport, reward: Rewarded, given: Given) -> Artifact:
    """Hold `reward` against judgments, or give the report that was made of just that.

    What the reward was trained on is left out and counted, and so is what is nearly the same, what is too long and what has no
    score.

    Raises:
        DataError: if nothing is left.
    """
    manifest = Manifest(kind="report", name=config.name, stage="evaluate", config=to_plain(config),
                        parents={**reward.parents, **given.parents}, sources={**reward.sources, **given.sources},
                        people=dict(given.people), seeds={"seed": config.seed})
    if (done := project.made_from(manifest.key)) is not None:
        return done
    judgments, left = _unseen(given.judgments, reward)
    judgments, left = _fitting(judgments, left, reward, config.limit)
    if not (judgments.voices or judgments.ratings or judgments.thumbs):
        raise DataError(f"no judgment is left to examine {reward.name} on: {_counted(left)}. Give others with --data.")
    run = begin_run(project, manifest, reward.precision)
    announce(_plan(), run)
    found = _examined(judgments, left, reward, config)
    figures = found.figures
    facts = {**run.circumstances, "pairs": figures.pairs, "decided": figures.decided, "prompts": figures.prompts,
             "accuracy": None if figures.accuracy is None else figures.accuracy.value, "left_out": asdict(found.left_out)}
    with project.writing(replace(manifest, facts=facts)) as draft:
        _write(draft.path, project, config, manifest, found, run)
        write_used(draft.path, given.used)
    run.finish()
    return draft.artifact


def _counted(left: LeftOut) -> str:
    told = {"pairs of prompts it was trained on": left.trained, "of prompts nearly the same": left.near, "too long": left.long,
            "without a score": left.skipped}
    return ", ".join(f"{count} {what}" for what, count in told.items() if count) or "none was given"


def _unseen(judgments: Judgments, reward: Rewarded) -> tuple[Judgments, LeftOut]:
    """Without what the reward was trained on, and what is nearly the same."""
    if reward.trained is None:
        return judgments, LeftOut()
    fresh = judgments.of_prompts(frozenset(judgments.prompts) - reward.trained)
    left = LeftOut(trained=len(judgments.voices) - len(fresh.voices), training="prompts", why=reward.gone)
    if reward.asked is None:
        return fresh, left
    prompts = fresh.prompts
    near = {leak.heldout for leak in leakage(list(reward.asked), [
        prompt_key(Prompt(id="", messages=prompt)) for prompt in prompts.values()])}
    kept = fresh.of_prompts(frozenset(name for place, name in enumerate(prompts) if place not in near))
    return kept, replace(left, near=len(fresh.voices) - len(kept.voices), training="known")


def _fitting(judgments: Judgments, left: LeftOut, reward: Rewarded, limit: int) -> tuple[Judgments, LeftOut]:
    """Of the first `limit` pairs those that are no longer than what the reward was trained with."""
    voices = judgments.voices
    if limit:
        first = {id(voice) for item in _by_pair(voices)[:limit] for voice in item}
        voices = tuple(voice for voice in voices if id(voice) in first)
    judgments = replace(judgments, voices=voices)
    tokens = reward.tokens
    if tokens is None or not reward.max_tokens:
        return judgments, left

    def fits(prompt: Messages, response: Messages) -> bool:
        assert tokens is not None
        return tokens(sample_of(prompt, response)) <= reward.max_tokens

    kept = tuple(each for each in voices
                 if fits(each.term.prompt, each.term.chosen) and fits(each.term.prompt, each.term.rejected))
    ratings = tuple(each for each in judgments.ratings if fits(each.prompt, each.response))
    thumbs = tuple(each for each in judgments.thumbs if fits(each.prompt, each.response))
    return Judgments(voices=kept, ratings=ratings, thumbs=thumbs), \
        replace(left, long=len(voices) - len(kept), tokens=reward.max_tokens)


def _by_pair(voices: Sequence[Voice]) -> list[list[Voice]]:
    found: dict[tuple[str, frozenset[Messages]], list[Voice]] = {}
    for voice in voices:
        pair = (prompt_name(voice.term.prompt), frozenset((voice.term.chosen, voice.term.rejected)))
        found.setdefault(pair, []).append(voice)
    return list(found.values())


class _Scored:
    """The scores of responses, by the sample that stands for each."""

    def __init__(self, samples: Sequence[Sample], scores: Scores) -> None:
        self.place = {sample.id: at for at, sample in enumerate(samples)}
        self.total, self.skipped = scores.total, scores.skipped
        self.members = [values for name, values in scores.parts.items() if name.startswith(MEMBER)]

    def of(self, prompt: Messages, response: Messages) -> float:
        return self.total[self.place[sample_of(prompt, response).id]]

    def pair(self, item: Item) -> Rated:
        better, worse = (self.place[sample_of(item.prompt, side).id] for side in (item.better, item.worse))
        return Rated(better=self.total[better], worse=self.total[worse],
                     members=tuple((values[better], values[worse]) for values in self.members))


def _examined(judgments: Judgments, left: LeftOut, reward: Rewarded, config: RewardReport) -> Examined:
    items = items_of(judgments.voices)
    samples = _samples(judgments)
    scored = _Scored(samples, _score(reward.score, samples, "Scoring"))
    every = [scored.pair(item) for item in items]
    kept = [at for at, each in enumerate(every) if math.isfinite(each.gap)]
    items, rated = [items[at] for at in kept], [every[at] for at in kept]
    left = replace(left, skipped=len(every) - len(kept), skipped_why=next(iter(scored.skipped.values()), "")[:LONGEST])
    if every and not kept and not (judgments.ratings or judgments.thumbs):
        raise DataError(f"{reward.name} gives no score to any of {len(every)} pairs (first: {left.skipped_why}).")
    swap = _swapped(reward.score, samples, scored, items, rated)
    figures = measure(items, rated, judgments, scored.of, unit=reward.unit, swap=swap, seed=config.seed)
    wrong = [(item, each) for item, each in zip(items, rated, strict=True) if item.decided and each.gap < 0]
    wrong.sort(key=lambda found: (found[1].gap, prompt_name(found[0].prompt)))
    return Examined(name=config.reward_model, figures=figures, left_out=left, errors=wrong[:config.errors], wrong=len(wrong),
                    regressed=reward.regressed)


def _samples(judgments: Judgments) -> list[Sample]:
    """Every judged response once, those to one prompt side by side."""
    said = [(each.term.prompt, side) for each in judgments.voices for side in (each.term.chosen, each.term.rejected)]
    said += [(each.prompt, each.response) for each in judgments.ratings]
    said += [(each.prompt, each.response) for each in judgments.thumbs]
    by_prompt: dict[Messages, dict[str, Sample]] = {}
    for prompt, response in said:
        sample = sample_of(prompt, response)
        by_prompt.setdefault(prompt, {}).setdefault(sample.id, sample)
    return [sample for samples in by_prompt.values() for sample in samples.values()]


def _score(reward: Score, samples: Sequence[Sample], label: str) -> Scores:
    total: list[float] = []
    parts: dict[str, list[float]] = {}
    skipped: dict[int, str] = {}
    with console.progress(label, len(samples), "responses") as bar:
        for start in range(0, len(samples), AT_ONCE):
            scores = reward.score(samples[start:start + AT_ONCE])
            skipped |= {start + at: why for at, why in scores.skipped.items()}
            total += scores.total
            for name, values in scores.parts.items():
                parts.setdefault(name, []).extend(values)
            bar.advance(len(scores.total))
    return Scores(total=tuple(total), parts={name: tuple(values) for name, values in parts.items()}, skipped=skipped)


def _swapped(reward: Score, samples: Sequence[Sample], scored: _Scored, items: Sequence[Item], rated: Sequence[Rated]) -> Swap:
    """Score everything again, last first: neither the batch nor the order of a pair may matter."""
    backwards = samples[::-1]
    again = _Scored(backwards, _score(reward, backwards, "Scoring in the opposite order"))
    changes = [abs(again.total[again.place[name]] - scored.total[at]) for name, at in scored.place.items()]
    turned = sum(again.pair(item).gap * each.gap < 0 or (again.pair(item).gap == 0) != (each.gap == 0)
                 for item, each in zip(items, rated, strict=True))
    largest = max((change for change in changes if math.isfinite(change)), default=0.0)
    return Swap(largest=largest, turned=turned, pairs=len(items))


def _plan() -> Plan:
    """The reward is in memory when this is asked; what a forward needs beside it is bounded by its micro-batch."""
    held = resident_bytes()
    return Plan(stage="evaluate", memory={"the process and the reward": held, "scoring": 2**28}, disk={"the report": 2**22},
                held=held, remedy="Give a smaller reward model.")


def _write(draft: Path, project: Project, config: RewardReport, manifest: Manifest, found: Examined, run: Run) -> None:
    report = {"reward_model": config.reward_model, "figures": found.figures.to_json(), "left_out": asdict(found.left_out),
              "wrong": found.wrong, "errors": [_error(item, rated) for item, rated in found.errors]}
    (draft / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    tree = tuple(lineage_tree(project, ref, role) for role, ref in manifest.parents.items())
    facts = {"evaluation": to_plain(config), "circumstances": dict(run.circumstances)}
    pages = write_pages(draft, partial(report_of_reward, found, lineage=tree, facts=facts))
    shown = sorted({name for item, _ in found.errors for name in item.quotes})
    (draft / QUOTED).write_text(json.dumps(dict.fromkeys(("report.json", *pages), shown), indent=0) + "\n", encoding="utf-8")


def _error(item: Item, rated: Rated) -> dict[str, Any]:
    return {"prompt": messages_to_json(item.prompt), "better": messages_to_json(item.better),
            "worse": messages_to_json(item.worse), "share": item.share, "judges": item.judges,
            "score_better": rated.better, "score_worse": rated.worse}


def load_reward_report(artifact: Artifact) -> dict[str, Any]:
    """What `report.json` of the artifact holds: `figures`, `left_out`, `errors`."""
    value: dict[str, Any] = json.loads((artifact.path / "report.json").read_text(encoding="utf-8"))
    return value


def table_rows(figures: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of the terminal's table."""
    rows = [["accuracy", *_told(figures["accuracy"])]]
    rows += [[f"  {way}: {each['name']}", *_told(each["accuracy"])] for way, slices in figures["slices"].items()
             for each in slices if len(slices) > 1]
    if (ceiling := figures["ceiling"]) is not None:
        rows += [["one judge with another", *_told(ceiling["people"])], ["the model with one judge", *_told(ceiling["model"])]]
    if (calibration := figures["calibration"]) is not None:
        rows += [["calibration error", *_told(calibration["error"])], ["Brier score", *_told(calibration["brier"])]]
    if (length := figures["length"]) is not None:
        rows.append(["length among equals, correlation", *_told(length["at_equal"])])
    return ["measure", "value", "95 %", "prompts"], rows


def _told(estimate: Mapping[str, Any] | None) -> list[str]:
    if estimate is None or estimate["value"] is None:
        return ["–", "", ""]
    interval = "" if estimate["low"] is None else f"{estimate['low']:.3f}–{estimate['high']:.3f}"
    return [f"{estimate['value']:.3f}", interval, str(estimate["n"])]
