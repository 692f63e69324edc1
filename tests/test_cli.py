"""The contract of the command line: exit codes, one JSON line, and no room imported before its word is said."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tutelage import __version__, cli
from tutelage.console import console
from tutelage.errors import ConfigError, DataError
from tutelage.options import Options
from tutelage.runs.signals import Interrupted


def tutelage(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tutelage.cli", *words], capture_output=True, text=True, timeout=60,
                          cwd=cwd, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)})


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Puts a function behind the word `try`."""

    def put(function: Callable[..., Any]) -> None:
        module = ModuleType("tutelage_test_command")
        module.run = function                        # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(cli.COMMANDS, "try", (f"{module.__name__}:run", "for tests"))

    return put


def test_help_lists_every_command() -> None:
    done = tutelage("--help")
    assert done.returncode == 0 and done.stderr == ""
    for word, (_, line) in cli.COMMANDS.items():
        assert f"  {word:8}  {line}" in done.stdout


def test_help_takes_less_than_a_third_of_a_second() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    tutelage("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time: the wall clock on a busy machine says more about the other processes.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


def test_version() -> None:
    assert tutelage("--version").stdout == f"tutelage {__version__}\n"


def test_no_command_shows_the_help_on_stderr_and_is_wrong_usage() -> None:
    done = tutelage()
    assert done.returncode == 2 and done.stdout == "" and "commands:" in done.stderr


def test_an_unknown_command_is_wrong_usage_and_names_the_nearest() -> None:
    done = tutelage("evalute", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no command 'evalute'. Did you mean 'evaluate'? See: tutelage --help\n"


def test_a_wrong_common_option_is_wrong_usage(capsys: Any) -> None:
    assert cli.main(["init", "--seed", "x"]) == 2
    assert capsys.readouterr().err.startswith("error: --seed got 'x'")


def test_a_command_gets_its_words_and_the_options(command: Any) -> None:
    got: list[Any] = []

    def run(arguments: list[str], options: Options) -> dict[str, Any]:
        got.extend([arguments, options])
        return {}

    command(run)
    assert cli.main(["--project", "p", "try", "a", "--seed", "3", "--x", "b"]) == 0
    assert got == [["a", "--x", "b"], Options(project=Path("p"), seed=3)]


def test_json_is_one_line_on_stdout_whatever_else_is_printed(command: Any, capsys: Any) -> None:
    def run(arguments: list[str], options: Options) -> dict[str, Any]:
        print("a library prints")
        console.print("for people")
        return {"path": Path("a"), "loss": float("nan"), "rows": (1, 2), "名": None, "ok": True}

    command(run)
    assert cli.main(["try", "--json"]) == 0
    out, err = capsys.readouterr()
    assert out == '{"path": "a", "loss": null, "rows": [1, 2], "名": null, "ok": true}\n'
    assert "a library prints" in err and "for people" in err
    assert cli.main(["try"]) == 0
    assert capsys.readouterr().out == "a library prints\nfor people\n"


@pytest.mark.parametrize(("error", "code", "said"), [
    (DataError("row 3 is empty."), 1, "error: row 3 is empty.\n"),
    (ConfigError("lr is 0."), 2, "error: lr is 0.\n"),
    (KeyboardInterrupt(), 130, "stopped by SIGINT"),
    (Interrupted(signal.SIGTERM, "SFT is kept"), 143, "stopped by SIGTERM: SFT is kept."),
    (ValueError("surprise\nhere"), 1, "error: ValueError: surprise here (this is a bug of Tutelage; run again with"),
    (OSError(28, "No space left on device", "x"), 1, "error: [Errno 28] No space left on device: 'x'\n"),
    (SystemExit(2), 2, ""),
    (SystemExit(None), 0, ""),
])
def test_errors_become_one_line_and_a_code(error: BaseException, code: int, said: str, command: Any,
                                           capsys: Any) -> None:
    def run(arguments: list[str], options: Options) -> dict[str, Any]:
        raise error

    command(run)
    assert cli.main(["try", "--json"]) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(said) and err.count("\n") <= 1
    assert not console.json
    if code in (1, 2) and not isinstance(error, SystemExit):
        assert cli.main(["try", "--debug"]) == code
        assert "Traceback" in capsys.readouterr().err


def test_a_result_may_carry_its_exit_code(command: Any) -> None:
    command(lambda arguments, options: {"exit_code": 1})
    assert cli.main(["try"]) == 1


def test_a_reader_that_goes_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-m", "tutelage.cli", "--help"], stdout=writing, stderr=subprocess.PIPE,
                          cwd=Path(__file__).parent.parent, text=True, timeout=60)
    os.close(writing)
    assert "Traceback" not in done.stderr and "bug" not in done.stderr


def test_init_makes_a_project_and_is_harmless_twice(tmp_path: Path) -> None:
    for _ in range(2):
        done = tutelage("init", "work", "--json", cwd=tmp_path)
        assert done.returncode == 0
        assert json.loads(done.stdout.splitlines()[-1]) == {"project": str((tmp_path / "work").resolve())}
        assert (tmp_path / "work" / "tutelage.toml").is_file()
    assert tutelage("init", "a", "b", cwd=tmp_path).returncode == 2
    assert tutelage("init", "--help", cwd=tmp_path).stdout.startswith("usage: tutelage init")


def test_every_own_command_of_the_table_can_be_found() -> None:
    for word, (place, _) in cli.COMMANDS.items():
        if place.startswith(("tutelage.cli:", "tutelage.commands:")):
            assert callable(cli.find(word))
