"""Settings nobody meant: every field of every stage with a wrong type, a wrong range, a wrong spelling, and settings that
contradict each other.

Each is refused by name before anything is begun: exit code 2, one line that holds the key and what was wanted, no traceback,
no run. The fields are read from the configurations themselves, so a new one is tried without a word here.
"""

from __future__ import annotations

import dataclasses
import math
import random
import string
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from tutelage.cli import main
from tutelage.evaluation.config import Evaluate
from tutelage.generation.config import Sample
from tutelage.project import Project
from tutelage.rewards.config import RewardModel
from tutelage.rl.config import RL, Algorithm
from tutelage.synthesis.config import Generate
from tutelage.toml import plain_to_toml
from tutelage.tuning.config import SFT, Classify, Preferences, Pretrain

STAGES: dict[str, type] = {"pretrain": Pretrain, "sft": SFT, "classify": Classify, "dpo": Preferences, "reward": RewardModel,
                           "sample": Sample, "rl": RL, "evaluate": Evaluate, "data generate": Generate}
MAY_BE_BELOW_ZERO = ("seed", "heldout_seed", "target")
WRONG_TYPES = (True, 7, 0.5, "words", [], ["words"], [0.5, "words"], {}, {"words": 1})
CONTRADICTIONS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("sft", {"max_length": 4096, "batch_tokens": 2048}, "max_length"),
    ("sft", {"data": ""}, "data"),
    ("dpo", {"loss": "robust"}, "smoothing"),
    ("dpo", {"loss": "robust", "smoothing": 0.5}, "smoothing"),
    ("reward", {"members": 2}, "adapter.rank"),
    ("reward", {"critique_lm": 0.1, "objective": "bradley_terry"}, "critique_lm"),
    ("rl", {"settings": {"clip_range": 0.0}}, "clip_range"),
    ("rl", {"settings": {"kl_in": "loss", "kl_estimator": "k1"}}, "kl_estimator"),
    ("rl", {"settings": {"kl_ceof": 0.1}}, "kl_coef"),
    ("rl", {"settings": {"epochs": 1.5}}, "epochs"),
    ("rl", {"overlong_tokens": 65, "max_new_tokens": 64}, "overlong_tokens"),
    ("evaluate", {"models": ["a", "b"], "names": ["a"]}, "names"),
    ("evaluate", {"models": ["a", "b"], "best_of": "a"}, "reward"),
    ("evaluate", {"models": ["a", "b"], "reference": "c"}, "reference"),
    ("data generate", {"own_demonstrations": -1}, "own_demonstrations"),
)


@dataclasses.dataclass(frozen=True)
class Case:
    stage: str
    key: str                    # with dots, or what else the message must name
    settings: Mapping[str, Any]
    kind: str


def fields(config_type: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key with its type, nested ones by their dotted names."""
    hints = get_type_hints(config_type)
    for field in dataclasses.fields(config_type):
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from fields(hint, f"{prefix}{field.name}.")       # type: ignore[arg-type]
        else:
            yield prefix + field.name, hint


def fits(hint: Any, value: Any) -> bool:
    """Whether `value` is of the type, by rules of its own: a whole number is a number, true and false are neither."""
    arms = get_args(hint)
    if get_origin(hint) is Literal:
        return value in arms
    if get_origin(hint) is tuple:
        if not isinstance(value, list) or (arms[-1] is not Ellipsis and len(arms) != len(value)):
            return False
        each = [arms[0]] * len(value) if arms[-1] is Ellipsis else arms
        return all(fits(arm, item) for arm, item in zip(each, value, strict=True))
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and (hint is bool or bool in arms)
    if get_origin(hint) in (dict, Mapping) or "Mapping" in str(get_origin(hint)):
        return isinstance(value, dict) and all(fits(arms[1], item) for item in value.values())
    if arms:
        return any(fits(arm, value) for arm in arms)
    return isinstance(value, {int: int, float: (int, float), str: str, Path: str}.get(hint, ()))


def nested(key: str, value: Any) -> dict[str, Any]:
    head, dot, rest = key.partition(".")
    return {head: nested(rest, value) if dot else value}


def misspelt(name: str, draw: random.Random) -> str:
    at = draw.randrange(len(name))
    return draw.choice([name[:at] + name[at + 1:], name[:at] + draw.choice(string.ascii_lowercase) + name[at:], name + "s",
                        name[:at] + name[at:at + 2][::-1] + name[at + 2:]])


def cases(draw: random.Random) -> Iterator[Case]:
    """One case after the other, stage by stage and field by field."""
    for stage, config_type in STAGES.items():
        known = dict(fields(config_type))
        for key, hint in known.items():
            for value in WRONG_TYPES:
                if not fits(hint, value):
                    yield Case(stage, key, nested(key, value), "type")
            numbers = {int, float} & {hint, *get_args(hint)}
            if numbers and get_origin(hint) is not dict:
                below = [] if key.rpartition(".")[2] in MAY_BE_BELOW_ZERO else [-1, -10**9]
                for value in [*below, *([math.nan, math.inf, -math.inf] if float in numbers else [])]:
                    yield Case(stage, key, nested(key, [value, value] if get_origin(hint) is tuple else value), "range")
            for _ in range(2):
                wrong = misspelt(key.rpartition(".")[2], draw)
                if wrong not in {other.rpartition(".")[2] for other in known}:
                    yield Case(stage, wrong, nested(f"{key.rpartition('.')[0]}.{wrong}".lstrip("."), 1), "spelling")
    for key, hint in fields(Algorithm):
        for value in ("words", math.nan, -1):
            if not fits(hint, value) or (value != "words" and float in {hint, *get_args(hint)}):
                yield Case("rl", key, {"settings": {key: value}}, "setting")
    yield from (Case(stage, key, settings, "contradiction") for stage, settings, key in CONTRADICTIONS)


def refused(case: Case, project: Project, capsys: pytest.CaptureFixture[str]) -> str:
    """What is wrong with how `case` was refused; empty where all is right."""
    path = project.root / "wrong.toml"
    path.write_text(plain_to_toml(case.settings), encoding="utf-8")
    capsys.readouterr()
    code = main([*case.stage.split(), str(path), "--project", str(project.root)])
    told = capsys.readouterr().err
    lines = [line for line in told.splitlines() if line.startswith("error: ")]
    troubles = [f"exit code {code}"] if code != 2 else []
    if len(lines) != 1 or "Traceback" in told or "bug of Tutelage" in told:
        troubles.append("not one clear line")
    elif case.key.rpartition(".")[2] not in lines[0] or ("wanted" not in lines[0] and not _says_what(lines[0])):
        troubles.append("the key, or what was wanted, is not in it")
    if list(project.runs.glob("*")) if project.runs.exists() else []:
        troubles.append("a run was begun")
    return f"{case}: {', '.join(troubles)}: {told.strip()[-300:]}" if troubles else ""


def _says_what(line: str) -> bool:
    return any(word in line for word in ("must be", "Known here", "needs", "go together", "is none of", "does not fit", "Set "))


def everything() -> list[Case]:
    return list(cases(random.Random(0)))


def test_every_field_of_every_stage_is_tried() -> None:
    every = everything()
    for stage, config_type in STAGES.items():
        tried = {case.key for case in every if case.stage == stage and case.kind in ("type", "range")}
        assert tried == {key for key, _ in fields(config_type)}
    assert len(every) > 1000 and {"type", "range", "spelling", "setting", "contradiction"} == {case.kind for case in every}


def test_some_malformed_settings_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project, every = Project.init(tmp_path / "project"), everything()
    some = [*random.Random(0).sample(every, 40), *(case for case in every if case.kind == "contradiction")]
    assert [trouble for case in some if (trouble := refused(case, project, capsys))] == []


@pytest.mark.faults
def test_all_malformed_settings_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = Project.init(tmp_path / "project")
    assert [trouble for case in everything() if (trouble := refused(case, project, capsys))] == []
