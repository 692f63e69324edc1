"""Evaluation plans: what will be measured, frozen and hashed before anybody has seen a result, and departures from it.

A plan names prompts by their hash, the metric, the sample size, the test and when to stop. Who looks first and decides
afterwards what to measure, or goes on until it looks good, can show anything; a plan makes that visible.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage import disk
from tutelage.errors import DataError
from tutelage.evaluation.graders import BITS
from tutelage.lineage import content_hash
from tutelage.statistics import ALPHA, minimum_detectable_effect

FORMAT = 1
MOST_SPREAD = 1.0      # standard deviation of differences that lie between -1 and 1, at most
STOP = "when every prompt of the plan has been answered once by every model as often as the plan says; never earlier or later"
TEST = "paired randomisation test over prompts, two-sided, corrected by Holm over all differences of a family"


def describe(models: Mapping[str, str], prompts: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A plan as plain values, its hash in `sha256`.

    Args:
        models: name -> what it is (a content hash, or an address).
        prompts: name of each set -> its `sha256`, `metric` and `n`.
        settings: what responses depend on: samples, temperature, seed …
    """
    sets = {name: {**each, "detectable_at_worst": _at_worst(str(each["metric"]), int(each["n"]))}
            for name, each in prompts.items()}
    plan = {"format": FORMAT, "models": dict(models), "prompts": sets, "settings": dict(settings), "test": TEST, "alpha": ALPHA,
            "stop": STOP}
    return {**plan, "sha256": content_hash(plan)}


def _at_worst(metric: str, n: int) -> float | None:
    """The effect that `n` differences show even where they spread as far as those of marks from 0 to 1 can."""
    return None if n < 2 or metric == BITS else minimum_detectable_effect(n, MOST_SPREAD)


def write_plan(path: Path, plan: Mapping[str, Any]) -> None:
    """Write it once; a plan that stands is never changed.

    Raises:
        DataError: if there is a file already.
    """
    if path.exists():
        raise DataError(f"{path} exists; a frozen plan is not written over. Give another name, or take that one away.")
    draft = path.with_name(path.name + ".part")
    with disk.writing(path, "nothing was changed"):
        draft.write_text(json.dumps(plan, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        os.replace(draft, path)


def read_plan(path: Path) -> dict[str, Any]:
    """The plan of a file.

    Raises:
        DataError: if it is none, or was changed since it was frozen.
    """
    try:
        plan = dict(json.loads(path.read_text(encoding="utf-8")))
        claimed = plan.pop("sha256")
        prompts = {str(name): dict(each) for name, each in dict(plan["prompts"]).items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no evaluation plan: {error!r}. Write one with: tutelage evaluate … --freeze {path}") from None
    if content_hash(plan) != claimed:
        raise DataError(f"{path} was changed after it was frozen: its hash is {content_hash(plan)[:12]}, it claims "
                        f"{str(claimed)[:12]}. "
                        "Freeze a new plan and say that you did.")
    return {**plan, "prompts": prompts, "sha256": claimed}


def deviations(frozen: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    """Where `made` departs from `frozen`, one sentence each; empty where it does not."""
    found = []
    for name, before in frozen["prompts"].items():
        now = made["prompts"].get(name)
        if now is None:
            found.append(f"prompts {name} were planned and not asked")
            continue
        found += [f"prompts {name}: {key} is {_short(now.get(key))}, planned was {_short(before.get(key))}"
                  for key in ("sha256", "metric", "n") if now.get(key) != before.get(key)]
    found += [f"prompts {name} were asked and not planned" for name in made["prompts"] if name not in frozen["prompts"]]
    for key in ("models", "settings"):
        before, now = frozen.get(key, {}), made.get(key, {})
        found += [f"{key[:-1]} {name} is {_short(now.get(name))}, planned was {_short(before.get(name))}"
                  for name in dict.fromkeys([*before, *now]) if before.get(name) != now.get(name)]
    found += [f"{key} is {made.get(key)!r}, planned was {frozen.get(key)!r}" for key in ("test", "alpha", "stop", "format")
              if frozen.get(key) != made.get(key)]
    return found


def _short(value: Any) -> str:
    text = "nothing" if value in (None, "") else str(value)
    return text[:12] if len(text) == 64 else text
