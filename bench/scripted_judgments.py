"""What is judged in `bench judgments`, by whom, and what was said: prompts with up to six responses, ten scripted annotators."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tutelage.feedback import kinds
from tutelage.feedback.scripted import ScriptedAnnotator, ScriptedTruth
from tutelage.messages import record_id
from tutelage.records import Preference, Prompt, Ranking, Rating, Sample, Term, Thumb
from tutelage.training.pairs import responses_of

KINDS = ("comparison", "ranking", "rating", "thumbs", "demonstration")
BAD = ("a8", "a9")        # of the ten, those who answer nearly at random, or mislead


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
