"""Preferences as batches: each prompt's responses once, however many pairs they stand in.

B unique responses · K pairs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.data.datasets import load_dataset, resolve_dataset
from tutelage.errors import DataError
from tutelage.lineage import content_hash
from tutelage.messages import Messages
from tutelage.project import Project
from tutelage.records import Critique, Marked, Preference, Ranking, Rating, Term, Thumb
from tutelage.training import preflight
from tutelage.training.loop import MicroBatch
from tutelage.training.responses import marked_tokens, render_critique, render_to_end_of_turn


def judgments(project: Project, stage: str, data: str, given: Sequence[Preference] | None,
              kinds: Sequence[str] = ("preference",)) -> tuple[list[Any], dict[str, Any]]:
    """The terms a stage trains on, those `given` or those of the data set, and where they come from: `parents` (artifacts)
    and `sources` (files) for its manifest.

    Raises:
        DataError: if there is none, or the data set holds records of another kind than `kinds`.
    """
    if given is not None:
        if not given:
            raise DataError("there is no judgment to train on. Import some: tutelage feedback import FILE.")
        said = content_hash([term.to_json() for term in given])
        return list(given), {"parents": {}, "sources": {f"{len(given)} preferences": said}}
    found = load_dataset(resolve_dataset(project, data))
    if found.kind not in kinds:
        raise DataError(f"{stage} trains on {' or '.join(f'{kind}s' for kind in kinds)}; {data} holds records of kind "
                        f"{found.kind}.")
    return list(found.records), {"parents": found.parents, "sources": found.sources}


@dataclass(frozen=True, slots=True)
class Group:
    """All pairs of one prompt: `pairs` index into `responses`."""

    prompt: Messages
    prompt_length: int
    responses: tuple[Rendered, ...]
    pairs: tuple[tuple[int, int, Preference], ...]      # chosen, rejected, the term

    @property
    def num_tokens(self) -> int:
        """With the prompt computed once."""
        return self.prompt_length + sum(len(response.ids) - self.prompt_length for response in self.responses)


@dataclass(frozen=True, slots=True)
class Judged:
    """All that was said of the responses to one prompt, each response once: a term of any kind, and which of them it is about.

    `passages` has, by a term's place, the tokens of each passage that is marked, counted from the response's first; `words`
    the conversations that end with a critique.
    """

    prompt: Messages
    prompt_length: int
    responses: tuple[Rendered, ...]
    terms: tuple[tuple[Term, tuple[int, ...]], ...]
    passages: Mapping[int, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    words: Mapping[int, Rendered] = field(default_factory=dict)

    @property
    def pairs(self) -> tuple[tuple[int, int, Preference], ...]:
        """Those of its terms that are preferences: chosen, rejected, the term."""
        return tuple((at[0], at[1], term) for term, at in self.terms if isinstance(term, Preference))

    @property
    def sequences(self) -> tuple[Rendered, ...]:
        """All that goes through the model: responses, then critiques."""
        return (*self.responses, *self.words.values())

    @property
    def num_tokens(self) -> int:
        """With the prompt computed once."""
        return self.prompt_length + sum(len(each.ids) - self.prompt_length for each in self.sequences)


def responses_of(term: Term) -> tuple[Messages, ...]:
    """What a term is about, in its own order; of a preference the chosen one first. A critique's words are no score of any.

    Raises:
        DataError: if it says nothing of how good a response is.
    """
    if isinstance(term, Preference):
        return term.chosen, term.rejected
    if isinstance(term, Ranking):
        return term.responses
    if isinstance(term, Rating | Thumb | Marked):
        return (term.response,)
    if isinstance(term, Critique):
        return ()
    raise DataError(f"{term.id} is a {type(term).__name__.lower()}, which does not say how good a response is.")


def group_judged(terms: Sequence[Term], template: ChatTemplate, max_length: int) -> tuple[list[Judged], int]:
    """Groups in order of their prompts' first appearance, and how many terms were dropped for a response over `max_length`."""
    by_prompt: dict[Messages, list[Term]] = {}
    for term in terms:
        by_prompt.setdefault(term.prompt, []).append(term)
    groups, dropped = [], 0
    for prompt, said in by_prompt.items():
        every = dict.fromkeys(response for term in said for response in responses_of(term))
        rendered = {response: render_to_end_of_turn(template, prompt, response) for response in every}
        spoken = {id(term): render_critique(term, template) for term in said if isinstance(term, Critique)}
        kept = [term for term in said if all(len(each.ids) <= max_length for each in (
            [spoken[id(term)]] if id(term) in spoken else [rendered[response] for response in responses_of(term)]))]
        dropped += len(said) - len(kept)
        if kept:
            used = list(dict.fromkeys(response for term in kept for response in responses_of(term)))
            groups.append(Judged(
                prompt, len(template.render_prompt(prompt)), tuple(rendered[each] for each in used),
                tuple((term, tuple(map(used.index, responses_of(term)))) for term in kept),
                {at: marked_tokens(term, template) for at, term in enumerate(kept) if isinstance(term, Marked)},
                {at: spoken[id(term)] for at, term in enumerate(kept) if isinstance(term, Critique)}))
    return groups, dropped


def group_pairs(preferences: Sequence[Preference], template: ChatTemplate, max_length: int) -> tuple[list[Group], int]:
    """The same of pairs alone."""
    groups, dropped = group_judged(preferences, template, max_length)
    return [as_pairs(group) for group in groups], dropped


def as_pairs(group: Judged) -> Group:
    """With its preferences alone."""
    return Group(group.prompt, group.prompt_length, group.responses, group.pairs)


def check_responses(groups: Sequence[Group], template: ChatTemplate) -> None:
    """The pre-flight checks of labels, end of turn and BOS, on every response that is compared."""
    rows = {f"{term.id}, {side}": group.responses[index] for group in groups for chosen, rejected, term in group.pairs
            for side, index in (("chosen", chosen), ("rejected", rejected))}
    check_rendered(rows, template)


def check_judged(groups: Sequence[Judged], template: ChatTemplate) -> None:
    """The same on every response that was judged in whatever way."""
    responses = {f"{term.id}, response {place + 1}": group.responses[index] for group in groups for term, at in group.terms
                 for place, index in enumerate(at)}
    words = {f"{group.terms[at][0].id}, in words": spoken for group in groups for at, spoken in group.words.items()}
    check_rendered({**responses, **words}, template)


def check_rendered(rows: Mapping[str, Rendered], template: ChatTemplate) -> None:
    preflight.labels(rows)
    preflight.end_of_turn(rows, template)
    preflight.one_bos(rows, template.tokenizer.bos_token_id)


def pack_responses(groups: Sequence[Group | Judged], share: bool = True) -> TokenBatch:
    """The responses of all groups, group by group, laid end to end behind their prompts."""
    rows = [(group, response) for group in groups for response in group.responses]
    return TokenBatch.pack([response.ids for _, response in rows], [response.response_mask for _, response in rows],
                           [group.prompt_length for group, _ in rows] if share else None)


def pack_sequences(groups: Sequence[Judged], share: bool = True) -> TokenBatch:
    """Of each group the responses and then the conversations that end with a critique, laid end to end behind their prompts. Of
    responses nothing is a label."""
    rows = [row for group in groups for row in (
        *((each.ids, (False,) * len(each.ids), group.prompt_length) for each in group.responses),
        *((each.ids, each.response_mask, group.prompt_length) for each in group.words.values()))]
    ids, masks, prompt_lengths = zip(*rows, strict=True)
    return TokenBatch.pack(ids, masks, prompt_lengths if share else None)


def collate_groups(groups: Sequence[Group], share: bool = True) -> MicroBatch:
    """One micro-batch: B responses laid end to end behind their prompts, K pairs as indices into them.

    Prompts are shared unless the architecture cannot (`Policy.ragged`).
    """
    tokens = pack_responses(groups, share)
    pairs, start = [], 0
    for group in groups:
        pairs += [(start + chosen, start + rejected, term) for chosen, rejected, term in group.pairs]
        start += len(group.responses)
    fields = {"chosen": torch.tensor([chosen for chosen, _, _ in pairs]),
              "rejected": torch.tensor([rejected for _, rejected, _ in pairs]),
              "label": torch.tensor([term.label for _, _, term in pairs]),
              "margin": torch.tensor([term.margin for _, _, term in pairs]),
              "weight": torch.tensor([term.weight for _, _, term in pairs])}
    return MicroBatch(tokens=tokens, rows=tuple(term.id for _, _, term in pairs), fields=fields)
