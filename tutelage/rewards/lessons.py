"""What a reward model is taught, by objective: the task it is trained on, and the one it is looked at with."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.messages import record_id
from tutelage.models.policy import Policy
from tutelage.records import Term
from tutelage.rewards.bradley_terry import BradleyTerry
from tutelage.rewards.config import RewardModel
from tutelage.rewards.joint import Joint
from tutelage.rewards.judges import Judges
from tutelage.rewards.singles import Singles, moments_of
from tutelage.rewards.terms import book_of, is_scored
from tutelage.training.fit import Task
from tutelage.training.pairs import Judged, as_pairs

JUDGES_FILE = "judges.json"      # what was learned of annotators, beside the weights


def lessons(objective: str, config: RewardModel, policy: Policy, train: Sequence[Judged],
            heldout: Sequence[Judged]) -> tuple[Task, Task | None]:
    """The task of the prompts to train on, and that of those kept out, if any. Of the objective `joint` the policy is given
    the parameters of the judges as its submodule `judges`.
    """
    if objective == "bradley_terry":
        tasks = [BradleyTerry([as_pairs(group) for group in groups], config.centring, policy.ragged)
                 for groups in (train, heldout)]
        return tasks[0], tasks[1] if heldout else None
    if objective != "joint":
        moments = moments_of(_terms(train))
        return Singles(train, moments, policy.ragged), Singles(heldout, moments, policy.ragged) if heldout else None
    priors = config.annotators
    book = book_of(_terms(train), _terms(heldout), priors)
    steps = math.ceil(config.epochs * sum(group.num_tokens for group in train) / config.batch_tokens)
    policy.add_module("judges", Judges(book, priors, steps).to(policy.device))
    prior_weight = 1 / max(1e-9, sum(term.weight for term in _terms(train) if is_scored(term)))
    train_task, looked_at = (Joint(groups, book, priors, config.centring, policy.ragged, weight, config.marks,
                                   config.critique_lm) for groups, weight in ((train, prior_weight), (heldout, 0.0)))
    return train_task, looked_at if heldout else None


def _terms(groups: Sequence[Judged]) -> list[Term]:
    return [term for group in groups for term, _ in group.terms]


def save_judges(members: Sequence[Judges | None], directory: Path, known: Mapping[str, Any]) -> None:
    """Write what was learned of annotators, where something was: by the one member, or as a list by each of several. `known`
    holds the ids that a manifest names; what a file calls somebody may be their name, and is hashed.
    """
    told = [judges.to_json({each: each if each in known or each.startswith("unnamed (") else record_id("person", each)
                            for each in judges.book.judges}) for judges in members if judges is not None]
    if told:
        text = json.dumps(told[0] if len(told) == 1 else told, ensure_ascii=False, indent=1, sort_keys=True)
        (directory / JUDGES_FILE).write_text(text + "\n", encoding="utf-8")
