"""Dataclass, plain values, TOML and command line say the same, and wrong words are named."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from tutelage.config import (
    describe,
    field_comments,
    from_plain,
    load,
    read_toml,
    split_toml,
    to_plain,
    to_toml,
)
from tutelage.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """How to step."""

    lr: float = 1e-4   # learning rate, 100 % of it [peak]
    betas: tuple[float, float] = (0.9, 0.95)   # decay of the first
                                               # and the second moment

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ConfigError(f"lr is {self.lr}; wanted > 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Train something."""

    model: str
    # Names of the rewards,
    # summed.
    reward: tuple[str, ...] = ()
    steps: Steps = field(default_factory=lambda: Steps(lr=3e-4))   # its updates
    packing: bool = True
    limit: int | None = None   # rows | all
    where: Path = Path("out")
    kind: Literal["ppo", "grpo"] = "ppo"
    weights: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    job: Job = field(default_factory=lambda: Job(model="m", steps=Steps(lr=7.0, betas=(0.1, 0.2))))


FULL = Job(model='a "quoted"\\ name\n', reward=("x", "规则"), steps=Steps(lr=1e-05, betas=(0.5, 1)), packing=False,
           limit=7, where=Path("/tmp/é"), kind="grpo", weights={"a b": 1.5, "c": 1e300}, seed=3)


def test_plain_values_are_json_and_give_the_configuration_back() -> None:
    plain = to_plain(Job(model="m", where=Path("a/b"), reward=("x",)))
    assert json.loads(json.dumps(plain)) == plain
    assert plain["where"] == "a/b" and plain["reward"] == ["x"] and plain["steps"]["betas"] == [0.9, 0.95]
    assert from_plain(Job, plain) == Job(model="m", where=Path("a/b"), reward=("x",))


@pytest.mark.parametrize("job", [FULL, Job(model=""), Job(model="\x7f\t\x00")])
def test_toml_gives_the_configuration_back(job: Job) -> None:
    assert from_plain(Job, tomllib.loads(to_toml(job))) == job


def test_none_is_left_out_of_toml_and_refused_where_it_would_come_back_as_something_else() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Trap:
        limit: int | None = 5

    Trap.__annotations__["limit"] = int | None       # the test's own class cannot be looked up by name
    assert "limit" not in to_toml(Job(model="m"))
    with pytest.raises(ConfigError, match="limit: none cannot be written"):
        to_toml(Trap(limit=None))


def test_a_nested_table_keeps_the_defaults_of_its_owner() -> None:
    # Job's own default learning rate is 3e-4, Steps' is 1e-4.
    assert from_plain(Job, {"model": "m", "steps": {"betas": [0, 0]}}).steps == Steps(lr=3e-4, betas=(0.0, 0.0))
    assert from_plain(Outer, {"job": {"steps": {"lr": 1}}}).job.steps == Steps(lr=1.0, betas=(0.1, 0.2))
    assert load(Outer, arguments=["--job.steps.lr", "2"], program="t").job.steps == Steps(lr=2.0, betas=(0.1, 0.2))


@pytest.mark.parametrize(("values", "message"), [
    ({"modle": "m"}, r"unknown key modle\. Did you mean model\? Known here: model, reward, steps"),
    ({"model": "m", "steps": {"rl": 1}}, r"unknown key steps\.rl\. Did you mean steps\.lr\? Known here: lr, betas"),
    ({"model": "m", "zzz": 1}, r"unknown key zzz\. Known here"),
    ({}, r"model is not set and has no default; wanted a text\. Set it in the TOML file or as --model"),
    ({"model": 3}, r"model is 3 \(int\); wanted a text"),
    ({"model": "m", "steps": {"lr": "1e-4"}}, r"steps\.lr is '1e-4' \(str\); wanted a number"),
    ({"model": "m", "steps": {"lr": True}}, r"steps\.lr is True \(bool\); wanted a number"),
    ({"model": "m", "seed": True}, r"seed is True \(bool\); wanted a whole number"),
    ({"model": "m", "seed": 1.0}, r"seed is 1\.0 \(float\); wanted a whole number"),
    ({"model": "m", "packing": 1}, r"packing is 1 \(int\); wanted true or false"),
    ({"model": "m", "limit": "7"}, r"limit is '7' \(str\); wanted a whole number or none"),
    ({"model": "m", "kind": "pppo"}, r"kind is 'pppo' \(str\); wanted one of 'ppo', 'grpo'\. Did you mean 'ppo'\?"),
    ({"model": "m", "reward": "x"}, r"reward is 'x' \(str\); wanted a list, each a text"),
    ({"model": "m", "reward": ["x", 1]}, r"reward\[1\] is 1 \(int\); wanted a text"),
    ({"model": "m", "steps": {"betas": [1]}}, r"steps\.betas is \[1\] \(list\); wanted a list of 2"),
    ({"model": "m", "weights": {"a": "b"}}, r"weights\.a is 'b' \(str\); wanted a number"),
    ({"model": "m", "weights": {"a": math.nan}}, r"weights\.a is nan \(float\); wanted a finite number"),
    ({"model": "m", "steps": {"betas": [math.inf, 0]}}, r"steps\.betas\[0\] is inf \(float\); wanted a finite number"),
    ({"model": "m", "steps": 3}, r"steps is 3 \(int\); wanted a table of keys"),
    ({"model": "m", "steps": {"lr": -1}}, r"lr is -1\.0; wanted > 0"),
    ([], r"the configuration is \[\] \(list\); wanted a table of keys"),
])
def test_wrong_values_are_named(values: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_plain(Job, values)


def test_a_whole_number_may_stand_for_a_number() -> None:
    lr = from_plain(Job, {"model": "m", "steps": {"lr": 1}}).steps.lr
    assert lr == 1.0 and isinstance(lr, float)


def test_a_nested_configuration_may_not_be_optional() -> None:
    @dataclass(frozen=True)
    class Bad:
        steps: Any = None

    Bad.__annotations__["steps"] = Steps | None
    with pytest.raises(TypeError, match="stands alone"):
        from_plain(Bad, {})


def test_toml_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        read_toml(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(tmp_path)
    broken = tmp_path / "broken.toml"
    broken.write_text("model = 'm'\nseed = = 3\n")
    with pytest.raises(ConfigError, match=r"broken\.toml is not TOML: .*line 2"):
        read_toml(broken)
    broken.write_bytes(b"model = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_toml(broken)
    broken.write_bytes("\ufeffmodel = 'm'".encode())
    assert read_toml(broken) == {"model": "m"}


def test_options_override_toml_which_overrides_defaults(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text('model = "m"\nlimit = 3\nreward = ["x"]\n[steps]\nlr = 1\n')
    arguments = [str(path), "--steps.lr", "1e-5", "--no-packing", "--reward", "a", "b", "--kind", "grpo"]
    job = load(Job, arguments=arguments, program="t", defaults={"limit": 9, "seed": 4, "steps": {"betas": [0, 0]}})
    assert job == Job(model="m", limit=3, reward=("a", "b"), packing=False, kind="grpo", seed=4,
                      steps=Steps(lr=1e-5, betas=(0.0, 0.0)))
    assert load(Job, toml=path, arguments=[], program="t", seed=8).seed == 8


def test_a_value_that_toml_left_impossible_is_mended_by_an_option(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text('model = "m"\nsteps.lr = -1\n')
    assert load(Job, toml=path, arguments=["--steps.lr", "1"], program="t").steps.lr == 1.0
    with pytest.raises(ConfigError, match=r"lr is -1\.0"):
        load(Job, toml=path, program="t")


def test_an_error_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    path.write_text('modle = "m"\n')
    with pytest.raises(ConfigError, match=r"job\.toml: unknown key modle"):
        load(Job, toml=path, program="t")


def test_a_refusal_of_the_configuration_itself_passes_through() -> None:
    with pytest.raises(ConfigError, match=r"^lr is -1\.0; wanted > 0\.$"):
        load(Job, arguments=["--model", "m", "--steps.lr", "-1"], program="t")


@pytest.mark.parametrize(("arguments", "said"), [
    (["--model", "m", "--stpes.lr", "1"], "--steps.lr"),
    (["--model", "m", "--limit", "x"], "limit"),
    (["--model", "m", "--kind", "dpo"], "grpo"),
    ([], "--model"),
])
def test_wrong_options_exit_with_2_and_name_the_option(arguments: list[str], said: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as leaving:
        load(Job, arguments=arguments, program="t")
    out, err = capsys.readouterr()
    assert leaving.value.code == 2 and said in err and out == ""


def test_help_shows_comments_and_defaults_from_toml(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "job.toml"
    path.write_text('model = "my-model"\n')
    with pytest.raises(SystemExit) as leaving:
        load(Job, toml=path, arguments=["--help"], program="tutelage job")
    text = " ".join(capsys.readouterr().out.split())
    assert leaving.value.code == 0
    for words in ("tutelage job", "Train something.", "100 % of it [peak]", "Names of the rewards, summed.", "my-model",
                  "--steps.betas", "CONFIG.toml", "--project"):
        assert words in text


def test_the_file_among_arguments_stands_for_itself() -> None:
    assert split_toml(["c.toml", "--lr", "1"]) == (Path("c.toml"), ["--lr", "1"])
    assert split_toml(["--model", "m", "c.toml"]) == (Path("c.toml"), ["--model", "m"])
    assert split_toml(["--data", "d.toml"]) == (None, ["--data", "d.toml"])
    assert split_toml(["--lr=1", "c.toml"]) == (Path("c.toml"), ["--lr=1"])
    assert split_toml([]) == (None, [])
    many = ["--tasks", "a.toml", "b.jsonl", "c.toml", "--lr", "1"]
    assert split_toml(many, {"tasks"}) == (None, many)
    assert split_toml([*many, "d.toml"], {"tasks"}) == (Path("d.toml"), many)
    assert split_toml(["d.toml", *many], {"tasks"}) == (Path("d.toml"), many)


def test_comments_beside_and_above_are_the_help() -> None:
    assert field_comments(Job)["reward"] == "Names of the rewards, summed."
    assert field_comments(Steps)["betas"] == "decay of the first and the second moment"
    assert field_comments(Job)["model"] == ""


def test_describe_lists_every_key_with_its_type_and_default() -> None:
    lines = describe(Job).splitlines()
    assert "| `model` | a text | required |  |" in lines
    assert "| `steps.lr` | a number | `0.0003` | learning rate, 100 % of it [peak] |" in lines
    assert "| `limit` | a whole number or none | none | rows \\| all |" in lines
    assert len(lines) == 2 + 10
