"""One run as a page: what a person looks at while a policy learns, or afterwards (`tutelage runs show RUN --html`)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from tutelage.reporting import Answer, Card, Curve, Example, Line, Report, Settings, render_html
from tutelage.reporting.report import Language
from tutelage.runs.directory import SAMPLES
from tutelage.runs.listing import RunInfo

# Plots of several metrics, or of one whose unit is known: names as they are logged (a name that ends with / takes all below
# it), what they are called, and their unit, each in English and Chinese. All other metrics follow, a plot each.
PLOTS: Sequence[tuple[tuple[str, ...], tuple[str, str], tuple[str, str]]] = (
    (("objective/score", "reward/", "guard/heldout_reward"), ("reward and its parts", "奖励及其组成"), ("reward", "奖励")),
    (("objective/kl",), ("KL from the reference", "与参考模型的 KL"), ("nats a response", "奈特/回复")),
    (("objective/entropy",), ("entropy", "熵"), ("nats a token", "奈特/词元")),
    (("rollout/length",), ("length of a response", "回复长度"), ("tokens", "词元")),
    (("rollout/ended_fraction",), ("responses that ended their turn", "正常结束的回复"), ("share", "占比")),
    (("train/clip_fraction",), ("clip fraction", "裁剪比例"), ("share of tokens", "词元占比")),
    (("train/ratio_p01", "train/ratio", "train/ratio_p99"), ("ratio to the sampling policy", "与采样策略之比"),
     ("ratio", "比值")),
    (("train/explained_variance",), ("explained variance of the critic", "价值函数的解释方差"), ("share", "占比")),
    (("guard/repetition",), ("repetition", "重复"), ("share of runs of 4 tokens", "四词元片段占比")),
)
_WORDS: Mapping[str, tuple[str, str]] = {
    "step": ("step", "步"), "steps": ("steps", "步数"), "state": ("state", "状态"), "settings": ("Settings", "设置"),
    "frontier": ("reward against KL", "奖励与 KL"), "reward": ("reward", "奖励"), "kl": ("KL, nats a response", "KL，奈特/回复"),
    "frontier_about": ("A step each: what the distance from the reference has bought.", "每步一点：偏离参考模型换来的奖励。"),
    "samples_about": ("The same prompts after every so many steps, the likeliest response each.",
                      "每隔若干步，对同一批提示给出的最可能回复。"),
}


def page(run: RunInfo, language: Language) -> str:
    """The run's curves, samples and settings as one self-contained page."""
    say = {name: words[("en", "zh").index(language)] for name, words in _WORDS.items()}
    cards = [Card(label=say["steps"], value=f"{run.done} / {run.steps}" if run.steps is not None else run.done),
             Card(label=say["state"], value=run.state)]
    cards += [Card(label=name, value=run.final(name)) for name in (run.main.metric, "objective/kl")
              if run.final(name) is not None]
    settings = Settings(title=say["settings"], items=tuple(_flat(run.record.get("config", {})).items()))
    return render_html(Report(
        title=run.name, language=language, cards=tuple(cards), curves=curves(run.metrics, language),
        examples=examples(run.path / SAMPLES, say["step"], say["reward"]), examples_about=say["samples_about"],
        settings=(settings,)))


def curves(metrics: Sequence[Mapping[str, float]], language: Language) -> tuple[Curve, ...]:
    """The plots of `PLOTS` that there are figures for, the KL-reward frontier, and every other metric."""
    which = ("en", "zh").index(language)
    found: list[Curve] = []
    drawn: set[str] = set()
    names = list(dict.fromkeys(name for line in metrics for name in line if name != "step"))
    x_unit = _WORDS["step"][which]
    for wanted, title, unit in PLOTS:
        lines = [name for name in names if any(name == each or (each.endswith("/") and name.startswith(each)) for each in wanted)]
        if lines:
            found.append(_curve(metrics, lines, title[which], unit[which], x_unit))
            drawn.update(lines)
    if (both := frontier(metrics)) is not None:
        found.insert(1, Curve(name=_WORDS["frontier"][which], unit=_WORDS["reward"][which], x_unit=_WORDS["kl"][which],
                              x=both[0], lines=(Line(name=_WORDS["reward"][which], y=both[1]),),
                              about=_WORDS["frontier_about"][which]))
    return (*found, *(_curve(metrics, [name], name, "", x_unit) for name in names if name not in drawn))


def frontier(metrics: Sequence[Mapping[str, float]]) -> tuple[list[float], list[float]] | None:
    """KL and score of every step, by KL; None where there are fewer than two."""
    points = sorted((line["objective/kl"], line["objective/score"]) for line in metrics
                    if "objective/kl" in line and "objective/score" in line)
    return ([kl for kl, _ in points], [score for _, score in points]) if len(points) > 1 else None


def _curve(metrics: Sequence[Mapping[str, float]], names: Sequence[str], title: str, unit: str, x_unit: str) -> Curve:
    x = [line["step"] + 1 for line in metrics if any(name in line for name in names)]
    lines = tuple(Line(name=name, y=[line.get(name, math.nan) for line in metrics if any(each in line for each in names)])
                  for name in names)
    return Curve(name=title, unit=unit, x_unit=x_unit, x=x, lines=lines)


def examples(path: Path, step: str, reward: str) -> tuple[Example, ...]:
    """The samples that the run kept, by prompt; what was said after each number of steps stands side by side."""
    if not path.is_file():
        return ()
    said: dict[str, list[Answer]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            read = json.loads(line)
            parts = {} if read["score"] is None else {reward: float(read["score"])}
            said.setdefault(read["prompt"], []).append(Answer(model=f"{step} {read['step']}", text=read["response"], parts=parts))
        except (ValueError, KeyError, TypeError):      # a damaged file: what can be read of it is shown
            continue
    return tuple(Example(prompt=prompt, answers=tuple(answers)) for prompt, answers in said.items())


def _flat(value: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, each in value.items():
        found.update(_flat(each, f"{prefix}{name}.") if isinstance(each, Mapping) else {f"{prefix}{name}": str(each)})
    return found
