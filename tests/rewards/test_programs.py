"""`rule:tests`: whether a program in a response passes its prompt's unit tests, and what it may not do to seem to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tutelage.data.sources import read_file
from tutelage.errors import ConfigError, RewardError
from tutelage.records import Sample
from tutelage.rewards.programs import program_of
from tutelage.rewards.rules import load_rule
from tutelage.scoring import Scoring

Say = Callable[..., Sample]
ALLOWED = Scoring(allow_code=True, code_s=2.0)
TESTS = "import math\nassert square(2) == 4\nassert square(3) == math.pow(3, 2)\ncheck = square(-1)\nassert check == 1"


@pytest.fixture
def programs(sample: Say) -> Callable[..., list[Sample]]:
    def build(*responses: str, tests: str = TESTS) -> list[Sample]:
        made = [sample("p", text, f"s{i}") for i, text in enumerate(responses)]
        return [replace(each, prompt=replace(each.prompt, meta={"tests": tests} if tests else {})) for each in made]
    return build


def test_passing_is_one_and_everything_else_is_not(programs: Callable[..., list[Sample]]) -> None:
    right = "Here:\n```python\ndef square(x):\n    return x * x\n```\nIt multiplies."
    given = programs(
        right, "def square(x): return 4", "def square(x: return", "```\nimport os; os._exit(0)\n```", "raise SystemExit(0)",
        "while True: pass", "import sys; sys.setrecursionlimit(10**9)\ndef square(x): return square(x)",
        "print('begun'); print('[3, 3]')\nopen('main.py', 'w').write('')\ndef square(x): raise AssertionError")
    assert load_rule("tests", ALLOWED).score(given).total == (1.0, *[0.0] * 7)
    share = load_rule("tests(share=yes)", ALLOWED).score(given[:2]).total
    assert share == (1.0, pytest.approx(1 / 3))


def test_code_does_not_run_unless_it_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r"runs programs that a language model writes.*--scoring.allow-code"):
        load_rule("tests", Scoring())


def test_prompts_without_tests_are_found_before_the_run(programs: Callable[..., list[Sample]]) -> None:
    rule = load_rule("tests", ALLOWED)
    for tests, said in (("", "have no unit tests"), ("x = 1", "have no unit tests"), ("assert (", "that are no Python")):
        with pytest.raises(RewardError, match=said):
            rule.check([each.prompt for each in programs("x", tests=tests)])
        with pytest.raises(RewardError, match=said):
            rule.score(programs("x", tests=tests))
    rule.check([each.prompt for each in programs("x")])


def test_a_list_of_tests_in_a_file_is_one_program(tmp_path, programs: Callable[..., list[Sample]]) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"prompt": "Write f.", "test_list": ["assert f(1) == 1", "assert f(2) == 2"]}\n')
    prompt, = read_file(path).records
    assert prompt.meta == {"test_list": "assert f(1) == 1\nassert f(2) == 2"}
    said = replace(programs("def f(x): return x")[0], prompt=prompt)
    assert load_rule("tests(key=test_list)", ALLOWED).score([said]).total == (1.0,)


@pytest.mark.parametrize(("text", "program"), [
    ("x = 1", "x = 1"), ("a\n```python\nx = 1\n```\nb\n```sh\nls\n```", "x = 1\n"), ("```\nx\n```", "x\n"),
    ("```py\na\n```\n```python\nb\n```", "a\n\nb\n"), ("```python\ncut off", "cut off")])
def test_the_program_in_a_response(text: str, program: str) -> None:
    assert program_of(text) == program
