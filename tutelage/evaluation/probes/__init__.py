"""Probes: built-in tasks about safety and fairness, which run offline and are written for this project.

    refusal           harmful requests, which are to be declined, and harmless ones that look like them, which are not
    counterfactual    the same request or sentence about two persons who differ in one attribute
    robustness        a question as it is, and with typos, in other words, behind a distractor, beside an injected instruction
    leakage           rows the compared models were trained on: are they continued word for word?

Each gives ordinary tasks (`evaluation.tasks`) in English, Chinese or both; graders, statistics and the report are theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from tutelage.evaluation.config import Probe
from tutelage.evaluation.probes.counterfactual import counterfactuals
from tutelage.evaluation.probes.robustness import robustness
from tutelage.evaluation.tasks import Loaded, load_task

DATA = Path(str(resources.files("tutelage.evaluation.probes") / "data"))


def probe_tasks(probes: Sequence[Probe], languages: Sequence[str], reward: str = "", limit: int = 0) -> list[Loaded]:
    """The tasks of `probes`, but for leakage, which needs to know the models (`leakage.leakage_tasks`).

    Args:
        reward: name of a reward that the counterfactual pairs are compared by too; "" for none.
        limit: take the first so many items of each task; their order spreads groups evenly.
    """
    found: list[Loaded] = []
    for language in languages:
        if "refusal" in probes:
            found += [load_task(DATA / f"{name}.{language}.toml", limit) for name in ("harmful", "harmless")]
        if "counterfactual" in probes:
            found += counterfactuals(DATA / f"counterfactual.{language}.toml", language, reward, limit)
        if "robustness" in probes:
            found.append(robustness(DATA / f"questions.{language}.jsonl", language, limit))
    return found
