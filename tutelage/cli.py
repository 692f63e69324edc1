"""The command line: one word a stage, and a room is imported only when its word is said.

A command is a function `(arguments: list[str], options: Options) -> dict`, given the words after its own, without the
common options. What it returns is its result for machines: one JSON object, the last line of stdout, under `--json`;
`exit_code` in it, if any, is the code to leave with.
Exit codes: 0 done, 1 the run failed, 2 wrong usage or configuration, 130 and 143 stopped by SIGINT and SIGTERM.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import math
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage import __version__
from tutelage.console import console
from tutelage.errors import TutelageError, UsageError
from tutelage.options import Options, split_options
from tutelage.runs.signals import Interrupted, interruptible

Command = Callable[[list[str], Options], Mapping[str, Any]]

# word -> (where its function is, one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("tutelage.route:demo_command", "the whole loop on the built-in model and data"),
    "init": ("tutelage.cli:init", "make a directory a project, empty or with an example"),
    "models": ("tutelage.models.commands:models", "fetch, list and inspect models"),
    "data": ("tutelage.data.commands:data", "import, show, list, check and clean data sets"),
    "pretrain": ("tutelage.stages:pretrain", "teach a model raw text, also from scratch"),
    "sft": ("tutelage.stages:sft", "teach a model with instructions"),
    "dpo": ("tutelage.stages:dpo", "teach a policy from judgments directly: DPO, IPO, KTO, ORPO, SimPO"),
    "classify": ("tutelage.stages:classify", "teach a model to tell classes of texts apart"),
    "sample": ("tutelage.stages:sample", "draw responses from a model"),
    "studio": ("tutelage.studio.command:studio", "the pages where people give feedback"),
    "feedback": ("tutelage.feedback.commands:feedback", "import, export and count judgments"),
    "reward": ("tutelage.stages:reward", "train a reward model on feedback"),
    "rl": ("tutelage.stages:rl", "train a policy against a reward"),
    "evaluate": ("tutelage.stages:evaluate", "compare models and write a report"),
    "runs": ("tutelage.runs.commands:runs", "list, show, resume, compare and prune runs"),
    "lineage": ("tutelage.commands:lineage", "what an artifact was made from, down to files and people"),
    "verify": ("tutelage.verification:verify", "check that artifacts are what their manifests say"),
    "doctor": ("tutelage.training.commands:doctor", "what this machine can do"),
}

# Words that have a second word whose function is in a higher room than the others of the first
SECOND: dict[tuple[str, str], str] = {
    ("data", "erase"): "tutelage.erasing:erase",
    ("data", "generate"): "tutelage.stages:generate",
    ("runs", "resume"): "tutelage.resuming:resume",
}

_HELP = """usage: tutelage COMMAND [WORDS] [--project DIR] [--store URL] [--json] [--seed N] [--debug]

Teach a language model with instructions and human feedback.

commands:
{commands}

options of every command:
  --project DIR  the project to work in (default: the nearest parent with tutelage.toml, else this directory)
  --store URL    the feedback store of a team, postgresql://person@host/database (default: the project's own file)
  --json         one JSON object as the last line of stdout; everything else on stderr
  --seed N       seed of every random choice
  --debug        show the traceback of an error
options of stages:
  --seeds N      make it N times, with seeds from --seed on, and report mean, spread and interval
  --sweep KEY VALUE VALUE…
                 make it with each value of a key, such as optimizer.lr, and end with a table
  --allow-drift  go on with a run under another precision, library or code than it began with; the manifest says so
  --version      print the version
  --help         this text; after a command, that command's keys"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never raises for what a person can cause."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        options, arguments = split_options(words)
        with interruptible():
            return _run(arguments, options)
    except SystemExit as leaving:                    # the option reader has printed its help or its complaint
        return leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    except BrokenPipeError:                          # the reader went away, as `| head` does: nothing left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Interrupted as stopped:
        return _fail(str(stopped), stopped.exit_code, debug)
    except KeyboardInterrupt:
        return _fail(str(Interrupted(signal.SIGINT)), 130, debug)
    except TutelageError as error:
        return _fail(f"error: {error}", error.exit_code, debug)
    except OSError as error:                         # a full disk, a missing right: the person's to mend, not ours
        return _fail(f"error: {error}", 1, debug)
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return _fail(f"error: {said} (this is a bug of Tutelage; run again with --debug to see where)", 1, debug)
    finally:
        console.json = False


def _run(arguments: list[str], options: Options) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(help_text(), file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    if arguments[0] in ("--version", "-V"):
        print(f"tutelage {__version__}")
        return 0
    if tuple(arguments[:2]) in SECOND:
        command, words = _function(SECOND[arguments[0], arguments[1]]), arguments[2:]
    else:
        command, words = find(arguments[0]), arguments[1:]
    console.json = options.json
    # A library that prints would break the promise about stdout, so under --json it prints on stderr.
    with contextlib.redirect_stdout(sys.stderr) if options.json else contextlib.nullcontext():
        result = command(words, options)
    if options.json:
        print(json.dumps(_json_values(result), ensure_ascii=False, allow_nan=False), flush=True)
    return int(result.get("exit_code", 0))


def find(word: str) -> Command:
    """The function of a command.

    Raises:
        UsageError: if there is no such command; the message names the nearest.
    """
    if word not in COMMANDS:
        near = difflib.get_close_matches(word, COMMANDS, n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"there is no command {word!r}.{guess} See: tutelage --help")
    return _function(COMMANDS[word][0])


def _function(place: str) -> Command:
    module, _, function = place.partition(":")
    command: Command = getattr(importlib.import_module(module), function)
    return command


def help_text() -> str:
    width = max(map(len, COMMANDS))
    return _HELP.format(commands="\n".join(f"  {word:{width}}  {line}" for word, (_, line) in COMMANDS.items()))


def init(arguments: list[str], options: Options) -> dict[str, Any]:
    """`tutelage init DIR`: make a directory a project; harmless where it is one. With `--example`, one with a lesson in it."""
    from tutelage.examples import EXAMPLES, lay_down
    from tutelage.project import Project

    if "--help" in arguments or "-h" in arguments:
        lessons = "\n".join(f"  {name:10} {line}" for name, line in EXAMPLES.items())
        print("usage: tutelage init [DIR] [--example NAME]\n\nMake DIR (default: this directory) a project; with an example, a "
              f"new one with its data, settings and commands:\n\n{lessons}")
        return {}
    example, words = _valued("--example", arguments)
    if len(words) > 1 or any(word.startswith("-") for word in words):
        raise UsageError(f"init got {' '.join(words)!r}; wanted one directory: tutelage init DIR [--example NAME]")
    directory = Path(words[0]) if words else options.project or Path(example or ".")
    if example is None:
        project = Project.init(directory)
        console.print(f"{project.root} is a project. Next: tutelage demo --project {directory}")
        return {"project": str(project.root)}
    root = lay_down(example, directory)
    console.print(f"{root} is a project: {EXAMPLES[example]}. Next: cd {directory}, and what {root / 'README.md'} says")
    return {"project": str(root), "example": example}


def _valued(option: str, words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of an option among words, None where it does not stand there, and the other words."""
    value, rest, left = None, [], iter(words)
    for word in left:
        name, equals, after = word.partition("=")
        if name != option:
            rest.append(word)
            continue
        value = after if equals else next(left, "")
        if not value or value.startswith("-"):
            raise UsageError(f"{option} needs a name after it.")
    return value, rest


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(message, file=sys.stderr, flush=True)
    return code


def _json_values(value: Any) -> Any:
    """`value` as strict JSON: a number that is not finite becomes null, for JSON has no word for it."""
    if isinstance(value, Mapping):
        return {str(key): _json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_values(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)


if __name__ == "__main__":
    sys.exit(main())
