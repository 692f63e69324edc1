"""`rule:tests`: the program in a response, run against its prompt's unit tests in a sandbox.

A program that is wrong, crashes, or goes over its limits does not pass: that is a verdict. A sandbox that cannot run it is an
error. The program is told nothing that would let it write the verdict itself: a random word that stands in no file comes back
with it.
"""

from __future__ import annotations

import ast
import json
import re
import secrets
from collections.abc import Sequence

from tutelage.console import console
from tutelage.errors import ConfigError, RewardError
from tutelage.records import Prompt, Sample, Scores
from tutelage.rewards.outcomes import Failed, in_threads, settle
from tutelage.sandbox import Limits, Ran, Sandbox
from tutelage.scoring import Scoring

WALL = 12      # clock to processor time: a machine that is busy is not a program that is slow
_FENCED = re.compile(r"```[ \t]*(\w*)[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)

# Reads the random word before anything of the response runs; each statement of the tests is one test.
_HARNESS = '''
import ast, json, os, sys


def main(word):
    print(word, "begun", flush=True)
    keep, nowhere = os.dup(1), os.open("/dev/null", os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with open("program.json", encoding="utf-8") as file:
        program, tests = json.load(file)
    os.remove("program.json")
    os.write(keep, (word + " " + json.dumps(judge(program, ast.parse(tests).body)) + "\\n").encode())


def judge(program, statements):
    space, passed = {"__name__": "program"}, 0
    works = done(compile, program, "program.py", "exec", then=space)
    for statement in statements:
        is_test = isinstance(statement, (ast.Assert, ast.Expr))
        fine = works and done(compile, ast.Module(body=[statement], type_ignores=[]), "tests.py", "exec", then=space)
        works, passed = fine or (works and is_test), passed + (fine and is_test)
    return passed, sum(isinstance(each, (ast.Assert, ast.Expr)) for each in statements)


def done(compile, *code, then):
    try:
        exec(compile(*code), then)
        return True
    except BaseException:
        return False


main(sys.stdin.readline().strip())
'''.lstrip()


class ProgramTests:
    """The `Score` that is 1.0 where all tests pass, else 0.0; or, with `share`, the share of them that does."""

    def __init__(self, key: str, share: bool, scoring: Scoring) -> None:
        """
        Raises:
            ConfigError: if programs were not allowed to run. SandboxError: if there is no way to run one here.
        """
        if not scoring.allow_code:
            raise ConfigError("rule:tests runs programs that a language model writes, in a sandbox. What that does and does not "
                              "keep out stands in docs/rewards.md; allow it with --scoring.allow-code.")
        self.name, self.key, self.share, self.scoring = "rule:tests", key, share, scoring
        self.sandbox = Sandbox.find()
        if not self.sandbox.hides_files_and_network:
            why = "; ".join(f"{name}: {reason}" for name, reason in self.sandbox.missing.items())
            console.warn(f"rule:tests: programs run with limits only, and see this machine's files and network ({why}). Install "
                         "bubblewrap, or allow user namespaces.")

    def check(self, prompts: Sequence[Prompt]) -> None:
        """
        Raises:
            RewardError: if a prompt has no tests, or some that are no Python.
        """
        bad = {prompt.id: why for prompt in prompts if (why := self._trouble(str(prompt.meta.get(self.key, ""))))}
        if bad:
            name, why = next(iter(bad.items()))
            raise RewardError(f"{self.name}: {len(bad)} of {len(prompts)} prompts {why} (first: {name}). Give rows with unit "
                              f"tests by the key {self.key!r}, or another key: {self.name}(key=…).")

    @staticmethod
    def _trouble(tests: str) -> str:
        try:
            statements = ast.parse(tests).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return "have unit tests that are no Python"
        return "" if any(isinstance(each, ast.Assert | ast.Expr) for each in statements) else "have no unit tests"

    def score(self, samples: Sequence[Sample]) -> Scores:
        s = self.scoring
        outcomes = in_threads(self._one, samples, s.at_once, 0, stop=s.on_error == "stop")
        return settle(self.name, outcomes, samples, s.on_error)

    def _one(self, sample: Sample) -> float | Failed:
        tests = str(sample.prompt.meta.get(self.key, ""))
        if why := self._trouble(tests):
            return Failed(f"finds that prompts {why}")
        s, word = self.scoring, secrets.token_hex(16)
        limits = Limits(cpu_s=s.code_s, wall_s=WALL * s.code_s, memory_mb=s.code_memory_mb)
        ran = self.sandbox.run({"main.py": _HARNESS, "program.json": json.dumps([program_of(sample.text), tests])}, limits,
                               given=f"{word}\n".encode())
        return _verdict(ran, word, self.share)


def _verdict(ran: Ran, word: str, share: bool) -> float | Failed:
    lines = ran.output.decode("utf-8", "replace").splitlines()
    if f"{word} begun" not in lines:
        return Failed(f"could not begin to run a program (code {ran.code}: {(lines or ['no output'])[-1][:120]})")
    told = next((line.removeprefix(word) for line in lines if line.startswith(f"{word} [")), None)
    if told is None:
        return 0.0
    passed, asked = json.loads(told)
    return passed / asked if share else float(passed == asked)


def program_of(text: str) -> str:
    """The Python in a response: its fenced blocks of Python, else those that say no language, else all of it."""
    blocks = _FENCED.findall(text)
    for languages in (("python", "py", "python3"), ("",)):
        if found := [body for language, body in blocks if language.lower() in languages]:
            return "\n".join(found)
    return text
