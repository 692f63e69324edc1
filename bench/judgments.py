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
import math
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.data.chat import ChatTemplate
from tutelage.data.datasets import builtin_path, load_dataset
from tutelage.feedback import kinds
from tutelage.feedback.scripted import ScriptedAnnotator, ScriptedTruth
from tutelage.messages import record_id
from tutelage.models.load import load_policy, load_tokenizer, resolve
from tutelage.models.policy import Policy, PolicyOutput
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.project import Project
from tutelage.records import Preference, Prompt, Ranking, Rating, Sample, Term, Thumb
from tutelage.reporting.report import Curve, Line
from tutelage.reporting.svg import curve_svg
from tutelage.rewards.config import Annotators, RewardModel
from tutelage.rewards.joint import Joint
from tutelage.rewards.judges import Judges
from tutelage.rewards.lessons import JUDGES_FILE
from tutelage.rewards.model import RewardScorer, score_sequences
from tutelage.rewards.terms import book_of
from tutelage.rewards.train import train_reward
from tutelage.statistics import Estimate, holm, mean_interval, paired_difference, sign_flip_test, t_interval
from tutelage.training.config import Optimizer
from tutelage.training.pairs import Judged, group_judged, responses_of

PLOT = Path(__file__).parent.parent / "docs" / "one-reward-model.svg"
RESULTS = Path(__file__).parent / "results" / "judgments.json"
KINDS = ("comparison", "ranking", "rating", "thumbs", "demonstration")
OVERLAP = 3               # annotators who are asked each question, without whom there is no vote
BAD = ("a8", "a9")        # of the ten, those who answer nearly at random, or mislead
HELD_OUT = 0.35           # share of prompts that nobody judged
TOLD_APART = 0.05         # truth, 0 to 1, by which the responses of a pair that is looked at differ
SCENARIOS = ("noisy", "misleading")
FIRST_SEED, SEEDS = 100, 10
RIDGES = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3)      # a judgment; the best by likelihood on a fifth of the judged prompts
ALIKE = Annotators(reliability=0.0, thresholds=0.0, loading=0.0, offset=0.0)
EACH = Annotators()
KIND_SEEDS = 3            # in which single kinds are trained: they differ by so much that three tell
# The whole model's training: docs/demo.md's reward model.
FULL: dict[str, Any] = {"layers": 18, "precision": "bf16", "heldout_fraction": 0.0, "batch_tokens": 512,
                        "optimizer": Optimizer(lr=2e-4, head_lr=2e-3, warmup_fraction=0.1, frozen_layers=6)}
STYLE = """<style>text{font:11px sans-serif;fill:#555}.grid{stroke:#ddd}.stroke{fill:none;stroke-width:2}.band{opacity:.12}
.s0{stroke:#0072b2}.s1{stroke:#d55e00}.s2{stroke:#009e73}.s3{stroke:#cc79a7}.s4{stroke:#999}.s5{stroke:#e69f00}
polygon{stroke:none!important}polygon.s0{fill:#0072b2}polygon.s1{fill:#d55e00}polygon.s2{fill:#009e73}polygon.s3{fill:#cc79a7}
polygon.s4{fill:#999}polygon.s5{fill:#e69f00}.l0{fill:#0072b2}.l1{fill:#d55e00}.l2{fill:#009e73}.l3{fill:#cc79a7}
.l4{fill:#777}.l5{fill:#b87f00}text[class^=l]{font-size:8px}svg{background:#fff}</style>"""


# ---- what is judged -------------------------------------------------------------------------------------------------

def responses_to(prompts: Sequence[tuple[Prompt, str]]) -> dict[str, list[Sample]]:
    """prompt id -> responses: the wanted one and what a worse model might make of it."""
    found = {}
    for at, (prompt, wanted) in enumerate(prompts):
        other = prompts[(at + 17) % len(prompts)][1]
        words = wanted.split()
        shuffled = sorted(words, key=lambda word: record_id(prompt.id, word))
        first = wanted.split(". ")[0].rstrip(".") + "."
        texts = [(wanted, True), (f"Certainly! Here is what you need to know. {wanted} Would you like to know more?", True),
                 (" ".join(words[:max(3, len(words) // 2)]), False), (other, True), (" ".join(shuffled), True),
                 (f"{first} {first} {first}", True), (f"{prompt.messages[-1].text} {first}", True),
                 (f"{first} I hope this helps!", True)]
        chosen = sorted(range(1, len(texts)), key=lambda which: record_id(prompt.id, which))[:5]
        samples = [_sample(prompt, *texts[which]) for which in (0, *chosen)]
        found[prompt.id] = list({sample.text: sample for sample in samples}.values())
    return found


def _sample(prompt: Prompt, text: str, ended: bool) -> Sample:
    return Sample(id=record_id(prompt.id, text), prompt=prompt, prompt_ids=(), response_ids=(), logprobs=(), response_mask=(),
                  text=text, ended=ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Misleading(ScriptedAnnotator):
    """Says the opposite of what it sees."""

    def compare(self, prompt: Prompt, a: Sample, b: Sample, seed: int) -> dict[str, Any]:
        said = ScriptedAnnotator.compare(self, prompt, a, b, seed)
        return {**said, "winner": {"a": "b", "b": "a"}.get(said["winner"], said["winner"])}

    def rank(self, samples: Sequence[Sample], seed: int) -> dict[str, Any]:
        ranks = ScriptedAnnotator.rank(self, samples, seed)["ranks"]
        return {"ranks": [1 + sum(other > rank for other in set(ranks)) for rank in ranks]}

    def rate(self, sample: Sample, seed: int, aspect: str = "helpful") -> dict[str, Any]:
        return {"scores": {aspect: 6 - ScriptedAnnotator.rate(self, sample, seed, aspect)["scores"][aspect]}}

    def like(self, sample: Sample, seed: int) -> dict[str, Any]:
        return {"up": not ScriptedAnnotator.like(self, sample, seed)["up"]}


def annotators(seed: int, scenario: str) -> list[ScriptedAnnotator]:
    """Ten people with tastes, of whom the last two answer nearly at random, or mislead."""
    draw = random.Random(seed)
    parts = ("content", "voice", "complete", "clean", "fit")
    team = []
    for number in range(10):
        is_bad = f"a{number}" in BAD
        noise = 3.0 if is_bad and scenario == "noisy" else 0.06 + 0.08 * draw.random()
        team.append((Misleading if is_bad and scenario == "misleading" else ScriptedAnnotator)(
            id=f"a{number}", noise=noise, tastes={part: 0.7 + 0.6 * draw.random() for part in parts},
            length_bias=0.02 * draw.random() - 0.01, position_bias=0.2 * draw.random() - 0.1,
            strictness=0.3 * draw.random() - 0.15))
    return team


def judgments(samples: Mapping[str, Sequence[Sample]], team: Sequence[ScriptedAnnotator], answers: int, seed: int,
              overlap: int) -> list[Term]:
    """`answers` of each kind, each question asked of `overlap` annotators; a rating or a thumb is asked of one response."""
    draw = random.Random(seed)
    terms: list[Term] = []
    for kind in KINDS:
        for _ in range(answers // overlap):
            of = samples[draw.choice(sorted(samples))]
            count = {"comparison": 2, "ranking": min(4, len(of)), "demonstration": len(of)}.get(kind, 1)
            shown = draw.sample(list(of), count)
            for annotator in draw.sample(list(team), overlap):
                terms += _asked(kind, annotator, shown if draw.random() < 0.5 else shown[::-1], seed, draw)
    return terms


def _asked(kind: str, annotator: ScriptedAnnotator, shown: Sequence[Sample], seed: int, draw: random.Random) -> list[Term]:
    prompt, by_id = shown[0].prompt, {sample.id: sample for sample in shown}
    if kind == "demonstration":      # whoever writes, even carelessly, is taken to write the wanted response, or to mislead
        pick = min if isinstance(annotator, Misleading) else max
        best, other = pick(shown, key=lambda sample: ScriptedTruth().score([sample]).total), draw.choice(shown)
        if best.text == other.text:
            return []
        return [Preference(id=record_id("d", annotator.id, best.id, other.id), prompt=prompt.messages, chosen=best.response,
                           rejected=other.response, person=annotator.id, source="demonstration")]
    answer = {"comparison": lambda: annotator.compare(prompt, shown[0], shown[-1], seed),
              "ranking": lambda: annotator.rank(shown, seed), "rating": lambda: annotator.rate(shown[0], seed),
              "thumbs": lambda: annotator.like(shown[0], seed)}[kind]()
    said = kinds.new_judgment(kind, annotator.id, "scripted", prompt, [sample.id for sample in shown], answer)
    return [term for term in kinds.terms(said, by_id) if isinstance(term, Preference | Ranking | Rating | Thumb)]


def by_vote(terms: Sequence[Term]) -> list[Term]:
    """One term a question: what most said, whoever they were; of a rating the mean, of a ranking the order of mean places."""
    asked: dict[tuple[Any, ...], list[Term]] = defaultdict(list)
    for term in terms:
        asked[_question(term)].append(term)
    return [_voted(said) for said in asked.values()]


def _question(term: Term) -> tuple[Any, ...]:
    return type(term).__name__, term.source, term.prompt, tuple(sorted(each[0].text for each in responses_of(term)))


def _voted(said: Sequence[Any]) -> Term:
    first, weight = said[0], float(len(said))
    if isinstance(first, Preference):
        share = sum(term.label if term.chosen == first.chosen else 1 - term.label for term in said) / weight
        return replace(first, label=float(share > 0.5) if share != 0.5 else 0.5, margin=0.0, weight=weight, person="")
    if isinstance(first, Ranking):
        places = [sum(term.ranks[term.responses.index(each)] for term in said) / weight for each in first.responses]
        order = sorted(set(places))
        return replace(first, ranks=tuple(1 + order.index(place) for place in places), weight=weight, person="")
    if isinstance(first, Rating):
        mean = sum(term.scores["helpful"] for term in said) / weight
        return replace(first, scores={"helpful": float(round(mean))}, weight=weight, person="")
    return replace(first, up=sum(term.up for term in said) * 2 > weight, weight=weight, person="")


# ---- what learns ----------------------------------------------------------------------------------------------------

class Cached(nn.Module):
    """In the place of a policy: the head on hidden states that were computed before, in the order of the groups' responses."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features                                                 # (B, D)
        self.weight = nn.Parameter(torch.zeros(features.shape[1]))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, tokens: Any, **asked: bool) -> PolicyOutput:
        return PolicyOutput(scores=self.features @ self.weight + self.bias)


@dataclass(frozen=True)
class World:
    """Prompts with their responses, the truth about these, and what the trunk makes of them."""

    template: ChatTemplate
    samples: Mapping[str, Sequence[Sample]]
    truth: Mapping[str, float]                     # sample id -> 0 to 1
    features: Mapping[tuple[int, ...], Tensor]     # token ids of prompt and response -> (D,)
    of_sample: Mapping[str, tuple[int, ...]]

    def head_of(self, groups: Sequence[Judged]) -> Cached:
        return Cached(torch.stack([self.features[response.ids] for group in groups for response in group.responses]))


def world(model: str, cache: str = "") -> World:
    """`cache` is a file of hidden states, made where it is not there."""
    template = ChatTemplate.of(tiny_tokenizer()) if model == "tiny" else _template(resolve(model).path)
    rows = [(Prompt(id=row.id, messages=row.prompt), row.response.text)
            for row in load_dataset(builtin_path("instructions.en")).records]
    samples = responses_to(rows)
    every = [sample for each in samples.values() for sample in each]
    groups, _ = group_judged([Thumb(id=sample.id, prompt=sample.prompt.messages, response=sample.response, up=True)
                              for sample in every], template, 10_000)
    hidden = torch.load(cache, weights_only=True) if Path(cache).is_file() else hidden_states(trunk(model), groups)
    if cache:
        torch.save(hidden, cache)
    hidden = (hidden - hidden.mean(0)) / (hidden.std(0) + 1e-6) / math.sqrt(hidden.shape[1])
    ids = [response.ids for group in groups for response in group.responses]
    names = [term.id for group in groups for term, _ in group.terms]
    truth = dict(zip((sample.id for sample in every), ScriptedTruth().score(every).total, strict=True))
    return World(template, samples, truth, dict(zip(ids, hidden, strict=True)), dict(zip(names, ids, strict=True)))


def hidden_states(policy: Policy, groups: Sequence[Judged]) -> Tensor:
    """(B, D): what the score head would read, of every response in order."""
    caught: list[Tensor] = []
    hook = policy.get_submodule("score_head").register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0].float()))
    for at, group in enumerate(groups):
        score_sequences(policy, [response.ids for response in group.responses], [group.prompt_length] * len(group.responses))
        if at % 50 == 0:
            print(f"hidden states of {at} of {len(groups)} prompts", file=sys.stderr, flush=True)
    hook.remove()
    return torch.cat(caught)


def trunk(model: str) -> Policy:
    return Policy(tiny_model(), score_head=True) if model == "tiny" else load_policy(resolve(model).path, "bf16", score_head=True)


def _template(directory: Path) -> ChatTemplate:
    return ChatTemplate.load(directory, load_tokenizer(directory))


def learn(place: World, terms: Sequence[Term], priors: Annotators) -> Tensor:
    """(D,) the head's weights, with the ridge that tells most of a fifth of the prompts, then fitted to all."""
    groups, _ = group_judged(terms, place.template, 10_000)
    apart = groups[::5]
    rest = [group for at, group in enumerate(groups) if at % 5]
    costs, found = [], None
    for ridge in RIDGES:
        found, cost = _fit(place, rest, apart, priors, ridge, found)
        costs.append(cost)
    return _fit(place, groups, [], priors, RIDGES[costs.index(min(costs))], found)[0]


def _fit(place: World, groups: Sequence[Judged], apart: Sequence[Judged], priors: Annotators, ridge: float,
         start: Tensor | None) -> tuple[Tensor, float]:
    """Weights after L-BFGS over everything at once, and the nats a judgment of `apart`."""
    terms, others = ([term for group in side for term, _ in group.terms] for side in (groups, apart))
    weight, book = sum(term.weight for term in terms), book_of(terms, others, priors)
    head = place.head_of(groups)
    if start is not None:
        head.weight.data.copy_(start)
    judges = Judges(book, priors)
    head.add_module("judges", judges)
    task = Joint(groups, book, priors, 0.0, True, 1 / weight)
    batch = task.collate(range(len(groups)))
    learned = [each for each in head.parameters() if each.requires_grad]
    optimizer = torch.optim.LBFGS(learned, max_iter=60, history_size=20, tolerance_grad=1e-5, tolerance_change=1e-5,
                                  line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = ridge * head.weight.square().sum() / 2
        for each in task.terms(head, batch):      # type: ignore[arg-type]
            loss = loss + each.weight * each.loss.sum / each.loss.count
        loss.backward()      # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)
    found = head.weight.detach().clone()
    if not apart:
        return found, 0.0
    looked = Joint(apart, book, priors, 0.0, True)
    other = place.head_of(apart)
    other.add_module("judges", judges)
    with torch.no_grad():
        other.weight.copy_(found)
        other.bias.copy_(head.bias)
        [cost] = looked.terms(other, looked.collate(range(len(apart))))      # type: ignore[arg-type]
    return found, float(cost.loss.sum / cost.loss.count)


def accuracies(place: World, learned: Tensor | Mapping[str, float], prompts: Sequence[str]) -> dict[str, float]:
    """By prompt, the share of its pairs that the head's weights, or the scores of samples, put in the truth's order."""
    found = {}
    for prompt in prompts:
        scored = [(float(place.features[place.of_sample[sample.id]] @ learned) if isinstance(learned, Tensor)
                   else learned[sample.id], place.truth[sample.id]) for sample in place.samples[prompt]]
        right = [float((a - b) * (s - t) > 0) for (a, s), (b, t) in combinations(scored, 2) if abs(s - t) > TOLD_APART]
        if right:
            found[prompt] = sum(right) / len(right)
    return found


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
        for name, said, priors in models_of(terms, spread, kinds_too=scenario == "noisy" and seed < seeds[0] + KIND_SEEDS):
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
        if len(shares) < 3:
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
        if name != "joint" and len(whole) > 2:
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
        for name, said, priors in models_of(terms, (), kinds_too=False):
            if name not in ("joint", "majority vote"):
                continue
            with tempfile.TemporaryDirectory() as directory:
                settings = RewardModel(model=model, objective="joint", annotators=priors, seed=seed, **FULL)
                made = train_reward(Project.init(Path(directory) / "project"), settings, list(said))
                scorer = RewardScorer.load(made.path, settings.precision)
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
    gap = paired_difference(rows["joint"], rows["majority vote"], clusters)
    return {**told, "joint_is_better_by": _rounded(gap)}


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
