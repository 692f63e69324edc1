"""Preferences as batches: each prompt's responses once, however many pairs they stand in.

B unique responses · K pairs
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.records import Messages, Preference
from tutelage.training.loop import MicroBatch


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


def render_to_end_of_turn(template: ChatTemplate, prompt: Messages, response: Messages) -> Rendered:
    """The conversation up to the response's last token, where the score is read: as sampling leaves it, without what
    the template writes after an end of turn.
    """
    whole = template.render_response(prompt, response)
    end = max(span.end for span in whole.spans if span.trained)
    return replace(whole, ids=whole.ids[:end], response_mask=whole.response_mask[:end],
                   spans=tuple(span for span in whole.spans if span.end <= end))


def group_pairs(preferences: Sequence[Preference], template: ChatTemplate, max_length: int) -> tuple[list[Group], int]:
    """Groups in order of their prompts' first appearance, and how many pairs were dropped for their length."""
    by_prompt: dict[Messages, list[Preference]] = {}
    for preference in preferences:
        by_prompt.setdefault(preference.prompt, []).append(preference)
    groups, dropped = [], 0
    for prompt, terms in by_prompt.items():
        rendered: dict[Messages, Rendered] = {}
        for term in terms:
            for response in (term.chosen, term.rejected):
                if response not in rendered:
                    rendered[response] = render_to_end_of_turn(template, prompt, response)
        kept = [term for term in terms if max(len(rendered[term.chosen].ids), len(rendered[term.rejected].ids)) <= max_length]
        dropped += len(terms) - len(kept)
        if kept:
            used = list(dict.fromkeys(response for term in kept for response in (term.chosen, term.rejected)))
            groups.append(Group(prompt, len(template.render_prompt(prompt)), tuple(rendered[each] for each in used), tuple(
                (used.index(term.chosen), used.index(term.rejected), term) for term in kept)))
    return groups, dropped


def collate_groups(groups: Sequence[Group], share: bool = True) -> MicroBatch:
    """One micro-batch: B responses laid end to end behind their prompts, K pairs as indices into them.

    Prompts are shared unless the architecture cannot (`Policy.ragged`).
    """
    rows = [(group, response) for group in groups for response in group.responses]
    tokens = TokenBatch.pack([response.ids for _, response in rows], [response.response_mask for _, response in rows],
                             [group.prompt_length for group, _ in rows] if share else None)
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
