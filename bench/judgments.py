"""One reward model of every kind of judgment, beside one of each kind alone and one of majority votes (docs/one-reward-model.md).

Scripted annotators with a known truth judge 289 prompts with up to six responses each. The trunk of a model is run once over all
of them; what is trained here is the head that reads its last hidden states, by the loss of `tutelage reward` itself, so that a
whole training takes a second and every setting can be tried in many seeds: of annotators, prompts and questions.

    joint           all judgments, each in its own words, with a reliability and thresholds for each annotator
    majority vote   the same judgments, several answers to one question made one by vote (ratings: by mean), all annotators alike
    joint, all alike         the same likelihood with nothing learned of annotators: what the annotators' parameters are worth
    joint, the two left out  by somebody who knows who they are, their demonstrations kept: what there is to be won in `noisy`
    …, a question each       as many answers, each to a question of its own and not three to one: there is nothing to vote on
    KIND            one kind's share of the judgments, with parameters for each annotator

The judgments of a kind cost the same number of answers. In the scenario `noisy` two annotators in ten answer nearly at random, in
`misleading` two say the opposite of what they see. Measured on prompts that were kept out, in pairs of responses that the truth
tells apart. Seeds below 100 were looked at while the likelihood was made, and are no part of what is reported; the comparisons
that count are joint less majority vote, at each number of answers in both scenarios, corrected by Holm for all of them, and their
mean over the numbers of answers.

    python -m bench judgments [--model smollm2-135m-q4 | tiny] [--answers 30 60 120 240] [--seeds 10] [--rows FILE]
    python -m bench judgments --full [--answers 120] [--seeds 1]      trains a whole model instead, 18 of its 30 blocks
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from bench.cached_heads import World, accuracies, learn, world
from bench.scripted_judgments import BAD, KINDS, annotators, by_vote, judgments
from tutelage.messages import record_id
from tutelage.project import Project
from tutelage.records import Preference, Ranking, Rating, Term, Thumb
from tutelage.reporting.report import Curve, Line
from tutelage.reporting.svg import curve_svg
from tutelage.rewards.config import Annotators, RewardModel
from tutelage.rewards.lessons import JUDGES_FILE
from tutelage.rewards.model import RewardScorer
from tutelage.rewards.train import train_reward
from tutelage.statistics import Estimate, holm, mean_interval, paired_difference, sign_flip_test, t_interval
from tutelage.training.config import Optimizer

PLOT = Path(__file__).parent.parent / "docs" / "one-reward-model.svg"
RESULTS = Path(__file__).parent / "results" / "judgments.json"
OVERLAP = 3               # annotators who are asked each question, without whom there is no vote
HELD_OUT = 0.35           # share of prompts that nobody judged
SCENARIOS = ("noisy", "misleading")
FIRST_SEED, SEEDS = 100, 10
ALIKE = Annotators(reliability=0.0, thresholds=0.0, loading=0.0, offset=0.0)
EACH = Annotators()
FEWEST_SEEDS = 3          # for an interval over seeds
# The whole model's training: docs/demo.md's reward model.
FULL: dict[str, Any] = {"layers": 18, "heldout_fraction": 0.0, "batch_tokens": 512,
                        "optimizer": Optimizer(lr=2e-4, head_lr=2e-3, warmup_fraction=0.1, frozen_layers=6)}
STYLE = """<style>text{font:11px sans-serif;fill:#555}.grid{stroke:#ddd}.stroke{fill:none;stroke-width:2}.band{opacity:.12}
.s0{stroke:#0072b2}.s1{stroke:#d55e00}.s2{stroke:#009e73}.s3{stroke:#cc79a7}.s4{stroke:#999}.s5{stroke:#e69f00}
polygon{stroke:none!important}polygon.s0{fill:#0072b2}polygon.s1{fill:#d55e00}polygon.s2{fill:#009e73}polygon.s3{fill:#cc79a7}
polygon.s4{fill:#999}polygon.s5{fill:#e69f00}.l0{fill:#0072b2}.l1{fill:#d55e00}.l2{fill:#009e73}.l3{fill:#cc79a7}
.l4{fill:#777}.l5{fill:#b87f00}text[class^=l]{font-size:8px}svg{background:#fff}</style>"""


# ---- the study ------------------------------------------------------------------------------------------------------

def models_of(terms: Sequence[Term], spread: Sequence[Term], kinds_too: bool) -> Iterator[tuple[str, Sequence[Term], Annotators]]:
    """`spread` are as many answers, each to a question of its own."""
    yield "joint", terms, EACH
    yield "majority vote", by_vote(terms), ALIKE
    yield "joint, all alike", terms, ALIKE
    yield "joint, the two left out", [term for term in terms if term.source == "demonstration" or term.person not in BAD], EACH
    yield "joint, a question each", spread, EACH
    yield "all alike, a question each", spread, ALIKE
    if kinds_too:
        for kind in KINDS:
            yield kind, [term for term in terms if (term.source or _kind(term)) == kind], EACH


def _kind(term: Term) -> str:
    return {Preference: "comparison", Ranking: "ranking", Rating: "rating", Thumb: "thumbs"}[type(term)]      # type: ignore[index]


def drawn(place: World, scenario: str, answers: int, seed: int, overlap: int = OVERLAP) -> tuple[list[str], list[Term]]:
    """Prompts that nobody judged, and the judgments of the others."""
    order = sorted(place.samples, key=lambda prompt: record_id(seed, prompt))
    cut = int(HELD_OUT * len(order))
    judged = {prompt: place.samples[prompt] for prompt in order[cut:]}
    return order[:cut], judgments(judged, annotators(seed, scenario), answers, seed, overlap)


def study(place: World, scenarios: Sequence[str], sizes: Sequence[int], seeds: Sequence[int], rows: Path | None,
          only: Sequence[str] = ()) -> dict[tuple[str, int], dict[str, dict[int, float]]]:
    """(scenario, answers) -> model -> seed -> its accuracy, a mean over prompts. `rows` keeps every training that is done, and
    spares it next time; `only` leaves the training of other models for later."""
    done = _rows(rows)
    found: dict[tuple[str, int], dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for seed, scenario, answers in product(seeds, scenarios, sizes):
        heldout, terms = drawn(place, scenario, answers, seed)
        spread = drawn(place, scenario, answers, seed, 1)[1]
        for name, said, priors in models_of(terms, spread, kinds_too=scenario == "noisy"):
            key = f"{scenario} {answers} {seed} {name}"
            if key not in done and (not only or name in only):
                right = accuracies(place, learn(place, said, priors), heldout)
                done[key] = sum(right.values()) / len(right)
                print(f"{key}: {done[key]:.4f}", file=sys.stderr, flush=True)
                if rows is not None:
                    with rows.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([key, done[key]]) + "\n")
            if key in done:
                found[scenario, answers][name][seed] = done[key]
    return found


def _rows(path: Path | None) -> dict[str, float]:
    return dict(map(json.loads, path.read_text(encoding="utf-8").splitlines())) if path is not None and path.is_file() else {}


def compared(found: Mapping[str, Mapping[int, float]]) -> dict[str, Any]:
    """Means, and what the joint model is better by, with Student's 95 % interval over seeds: of other annotators, prompts and
    questions. `p` is of the sign-flip test over seeds.
    """
    told: dict[str, Any] = {}
    for name, shares in found.items():
        if len(shares) < FEWEST_SEEDS:
            continue
        told[name] = {"seeds": len(shares), "accuracy": _rounded(t_interval(list(shares.values())))}
        if name != "joint":
            gaps = [found["joint"][seed] - share for seed, share in shares.items() if seed in found["joint"]]
            told[name] |= {"joint_is_better_by": _rounded(t_interval(gaps)), "p": round(sign_flip_test(gaps), 5)}
    return told


def _rounded(estimate: Estimate) -> list[float]:
    return [round(value, 4) for value in (estimate.value, estimate.low, estimate.high)]


def over_sizes(found: Mapping[tuple[str, int], Mapping[str, Mapping[int, float]]], scenario: str,
               sizes: Sequence[int]) -> dict[str, list[float]]:
    """model -> by seed what the joint model is better by, the mean over all numbers of answers; seeds that have them all."""
    told = {}
    for name in found[scenario, sizes[0]]:
        runs = [found[scenario, size] for size in sizes]
        whole = set.intersection(*(set(run.get(name, {})) & set(run["joint"]) for run in runs))
        if name != "joint" and len(whole) >= FEWEST_SEEDS:
            told[name] = [sum(run["joint"][seed] - run[name][seed] for run in runs) / len(runs) for seed in sorted(whole)]
    return told


def correct_for_all(results: Mapping[str, Mapping[int, dict[str, Any]]]) -> None:
    """Holm's p of joint less majority vote, over every scenario and number of answers."""
    rows = [told["majority vote"] for each in results.values() for told in each.values()]
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["holm_p"] = round(p, 5)


# ---- the whole model ------------------------------------------------------------------------------------------------

def full(model: str, place: World, scenario: str, answers: int, seeds: Sequence[int]) -> dict[str, Any]:
    """`tutelage reward` itself, 18 blocks and the head trained for one pass over the same judgments, on the same prompts."""
    found: dict[str, Any] = defaultdict(list)
    for seed in seeds:
        heldout, terms = drawn(place, scenario, answers, seed)
        for name, said, priors in models_of(terms, (), kinds_too=True):
            if name not in ("joint", "majority vote", *KINDS):
                continue
            with tempfile.TemporaryDirectory() as directory:
                settings = RewardModel(model=model, objective="joint", annotators=priors, seed=seed, **FULL)
                made = train_reward(Project.init(Path(directory) / "project"), settings, list(said))
                scorer = RewardScorer.load(made.path, str(made.manifest.facts["precision"]))
                judges = json.loads((made.path / JUDGES_FILE).read_text(encoding="utf-8"))["judges"]
                right = accuracies(place, {sample.id: score for prompt in heldout for sample, score in zip(
                    place.samples[prompt], scorer.score(place.samples[prompt]).total, strict=True)}, heldout)
            found[name].append({"seed": seed, "accuracy_by_prompt": right, "steps": made.manifest.facts["steps"],
                                "reliability": [each["reliability"] for each in judges]})
            print(f"{name}, seed {seed}: {sum(right.values()) / len(right):.4f}", file=sys.stderr, flush=True)
    told: dict[str, Any] = {"scenario": scenario, "answers": answers, "seeds": list(seeds), "layers": FULL["layers"]}
    rows = {name: [share for each in runs for share in each["accuracy_by_prompt"].values()] for name, runs in found.items()}
    clusters = [prompt for each in found["joint"] for prompt in each["accuracy_by_prompt"]]
    for name, shares in rows.items():
        told[name] = {"accuracy": _rounded(mean_interval(shares, clusters)), "steps": [each["steps"] for each in found[name]],
                      "reliability": [each["reliability"] for each in found[name]]}
        if name != "joint":
            told[name]["joint_is_better_by"] = _rounded(paired_difference(rows["joint"], shares, clusters))
    return told


# ---- what is shown --------------------------------------------------------------------------------------------------

def plot(results: Mapping[int, Mapping[str, Any]]) -> str:
    names = [name for name in ("joint", "majority vote", "comparison", "ranking", "rating", "thumbs")
             if all(name in each for each in results.values())]
    lines = tuple(Line(name=name, **dict(zip(("y", "low", "high"), zip(*(each[name]["accuracy"] for each in results.values()),
                                                                      strict=True), strict=True))) for name in names)
    curve = Curve(name="Held-out accuracy", unit="share of pairs", x=tuple(map(float, results)), x_unit="answers of each kind",
                  lines=lines)
    drawn = str(curve_svg(curve)).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="720" ', 1)
    drawn = drawn.replace('viewBox="0 0 360 200"', 'viewBox="0 0 360 218"', 1).replace(">", f">{STYLE}", 1)
    legend = "".join(f'<text class="l{at}" x="{10 + 58 * at}" y="213">{name}</text>' for at, name in enumerate(names))
    title = '<text x="6" y="12" font-size="9">Held-out accuracy, share of pairs; bands are 95 % intervals</text>'
    return drawn.replace("</svg>", f"{title}{legend}</svg>") + "\n"


def run(arguments: list[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="bench judgments")
    parser.add_argument("--model", default="smollm2-135m-q4")
    parser.add_argument("--answers", type=int, nargs="+", default=[])
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--cache", default="", help="a file for the hidden states")
    parser.add_argument("--rows", type=Path, help="a file of trainings that are done")
    parser.add_argument("--models", nargs="+", default=[], help="train these alone; of the others, what is in --rows")
    parser.add_argument("--full", action="store_true", help="train whole models, and keep the rest of the results as it is")
    asked = parser.parse_args(arguments)
    if not asked.full and 0 < asked.seeds < FEWEST_SEEDS:
        parser.error(f"--seeds {asked.seeds}: an interval over seeds takes {FEWEST_SEEDS}")
    place = world(asked.model, asked.cache)
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    if asked.full:
        [answers] = asked.answers or [120]
        seeds = range(asked.first_seed, asked.first_seed + (asked.seeds or 1))
        return {**before, "full_training": full(asked.model, place, asked.scenarios[0], answers, seeds)}
    seeds = range(asked.first_seed, asked.first_seed + (asked.seeds or SEEDS))
    sizes = asked.answers or [30, 60, 120, 240]
    found = study(place, asked.scenarios, sizes, seeds, asked.rows, asked.models)
    results = {scenario: {answers: compared(found[scenario, answers]) for answers in sizes} for scenario in asked.scenarios}
    correct_for_all(results)
    together = {scenario: {name: _rounded(t_interval(gaps)) for name, gaps in over_sizes(found, scenario, sizes).items()}
                for scenario in asked.scenarios}
    if "noisy" in results:
        PLOT.write_text(plot(results["noisy"]), encoding="utf-8")
    kept = {"full_training": before["full_training"]} if "full_training" in before else {}
    return {"model": asked.model, "prompts": len(place.samples), "responses": sum(map(len, place.samples.values())),
            "seeds": [seeds.start, seeds.stop - 1], **kept,
            "joint_is_better_by_over_all_numbers_of_answers": together,
            "answers_of_each_kind": {scenario: {str(answers): told for answers, told in each.items()}
                                     for scenario, each in results.items()}}
