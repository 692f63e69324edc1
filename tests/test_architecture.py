"""The house keeps its shape: DESIGN section 4, read from the source with `ast`.

`violations` takes (path, source) pairs, so that each rule can be seen to fail on a made-up tree.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "tutelage"

LEVELS = {
    unit: level
    for level, units in {
        8: "cli resuming",
        7: "route commands erasing verification stages",
        6: "api repeats studio serving scaling governance",
        5: "tuning rewards rl evaluation feedback synthesis web",
        4: "generation training",
        3: "store data models",
        2: "algorithms batch class_metrics examples project remote runs statistics reporting sandbox sandbox_launch privacy "
           "text_metrics",
        1: "records messages config toml comments ledger lineage protocols console options scoring seeds disk",
        0: "errors",
    }.items()
    for unit in units.split()
}
FRIENDS_LEVELS = {1, 2}          # where units may import each other, without a cycle

# library -> the paths that may import it
HEAVY = {
    "sqlalchemy": ("store/",),
    "alembic": ("store/",),
    "fastapi": ("web/", "studio/", "serving/"),
    "ray": ("scaling/",),
    "vllm": ("scaling/",),
    "torch.distributed": ("scaling/",),
    "gymnasium": ("rl/gym/", "rl/gym.py"),
    "pyarrow": ("data/columnar.py",),
    "datasets": ("data/hub.py",),
}

# Nothing that trains is ordered by the clock; these units only write down when a person did something.
CLOCK_UNITS = {"store", "runs", "web", "studio", "serving", "scaling", "governance"}
CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "uuid.uuid1"}

CONFIG_FORBIDDEN = ("torch", "transformers", "numpy", "pydantic", "sqlalchemy")


@cache
def imports(path: str, source: str) -> tuple[tuple[int, str], ...]:
    """(line, dotted name) of everything imported; for `from a import b` both `a` and `a.b`."""
    return tuple(_imports(path, source))


def _imports(path: str, source: str) -> Iterator[tuple[int, str]]:
    package = PurePosixPath(path).parent.parts
    tree = ast.parse(source)
    # The package's own __init__ may fetch rooms inside functions, when somebody asks for them.
    nodes = tree.body if path == f"{PACKAGE}/__init__.py" else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*parents, *([node.module] if node.module else [])))
            for name in [base, *(f"{base}.{alias.name}" for alias in node.names)]:
                yield node.lineno, name
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield node.lineno, str(node.args[0].value)
        elif isinstance(node, ast.Attribute):
            yield node.lineno, ast.unparse(node)          # `torch.distributed.all_reduce` needs no import of its own


def unit_of(path: str) -> str:
    """The file or folder right below the package; "" for the package's own __init__."""
    first = PurePosixPath(path).parts[1]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def unit_named(name: str) -> str | None:
    """The unit that an imported dotted name belongs to; None for other packages and for the package's own names."""
    parts = name.split(".")
    if parts[0] != PACKAGE or len(parts) == 1:
        return None
    return parts[1] if parts[1] in LEVELS or len(parts) > 2 else None


def inside(name: str, library: str) -> bool:
    return name == library or name.startswith(library + ".")


def violations(files: Iterable[tuple[str, str]]) -> list[str]:
    """What breaks the rules in `files`, paths beginning with `tutelage/`; empty when all is well."""
    files = list(files)
    return sorted({*_levels(files), *_cycles(files), *_heavy(files), *_configs(files), *_algorithms(files),
                   *_clocks(files)})


def _levels(files: list[tuple[str, str]]) -> Iterator[str]:
    for path, source in files:
        unit = unit_of(path)
        if unit and unit not in LEVELS:
            yield f"{path}: {unit} has no level: give it one in tests/test_architecture.py and in the design"
            continue
        level = LEVELS.get(unit, 0)
        for line, name in imports(path, source):
            other = unit_named(name)
            if other is None or other == unit:
                continue
            if LEVELS.get(other, 99) > level:
                yield f"{path}:{line}: {unit or PACKAGE} (level {level}) imports {other}, which is above it"
            elif LEVELS[other] == level and level not in FRIENDS_LEVELS:
                yield f"{path}:{line}: {unit or PACKAGE} imports {other}, which is on its own level ({level})"


def _cycles(files: list[tuple[str, str]]) -> Iterator[str]:
    edges: dict[str, set[str]] = {}
    for path, source in files:
        unit = unit_of(path)
        wanted = {other for _, name in imports(path, source) if (other := unit_named(name)) in LEVELS}
        edges.setdefault(unit, set()).update(wanted - {unit})

    def reaches(start: str, goal: str, seen: set[str]) -> bool:
        nexts = edges.get(start, set()) - seen
        seen |= nexts
        return goal in nexts or any(reaches(each, goal, seen) for each in nexts)

    for unit in edges:
        if LEVELS.get(unit) in FRIENDS_LEVELS and reaches(unit, unit, set()):
            yield f"{PACKAGE}/{unit}: imports itself in a circle"


def _heavy(files: list[tuple[str, str]]) -> Iterator[str]:
    for path, source in files:
        within = path.removeprefix(f"{PACKAGE}/")
        for line, name in imports(path, source):
            for library, places in HEAVY.items():
                if inside(name, library) and not within.startswith(places):
                    yield f"{path}:{line}: {library} belongs in {' or '.join(places)}"


def _configs(files: list[tuple[str, str]]) -> Iterator[str]:
    """`<room>/config.py` imports levels 0 and 1, and the config.py of rooms below: help must not wait for torch."""
    for path, source in files:
        parts = PurePosixPath(path).parts
        if len(parts) != 3 or parts[2] != "config.py":
            continue
        for line, name in imports(path, source):
            other = unit_named(name)
            is_config = other is not None and inside(name, f"{PACKAGE}.{other}.config")
            if other is not None and LEVELS.get(other, 99) > 1 and not is_config and name != f"{PACKAGE}.{other}":
                yield f"{path}:{line}: a config module imports {name}; wanted levels 0 and 1 or another config"
            if any(inside(name, library) for library in CONFIG_FORBIDDEN):
                yield f"{path}:{line}: a config module imports {name.split('.')[0]}"


def _algorithms(files: list[tuple[str, str]]) -> Iterator[str]:
    """Tensors in, tensors out."""
    for path, source in files:
        if unit_of(path) == "algorithms":
            for line, name in imports(path, source):
                other = unit_named(name)
                if other not in (None, "algorithms", "errors"):
                    yield f"{path}:{line}: algorithms imports {other}; wanted only errors and itself"


def _clocks(files: list[tuple[str, str]]) -> Iterator[str]:
    for path, source in files:
        if unit_of(path) not in CLOCK_UNITS:
            for line, name in imports(path, source):
                if any(name == clock or name.endswith(f".{clock}") for clock in CLOCKS):
                    yield f"{path}:{line}: {name} tells the time of day; nothing here may depend on it"


def test_the_package_keeps_the_rules() -> None:
    files = [(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
             for path in sorted((ROOT / PACKAGE).rglob("*.py"))]
    assert len(files) > 10
    assert violations(files) == []


@pytest.mark.parametrize(("path", "source", "complaint"), [
    ("tutelage/models/load.py", "from tutelage.training.loop import run", "models (level 3) imports training"),
    ("tutelage/models/load.py", "from tutelage import rl", "imports rl, which is above it"),
    ("tutelage/models/load.py", "from .. import rl", "imports rl, which is above it"),
    ("tutelage/models/load.py", "from ..training.loop import run", "imports training, which is above it"),
    ("tutelage/models/load.py", "def f():\n    import tutelage.route", "imports route, which is above it"),
    ("tutelage/models/load.py", "import importlib\nimportlib.import_module('tutelage.rl.trainer')", "imports rl"),
    ("tutelage/rewards/model.py", "from tutelage.rl.trainer import X", "rewards imports rl, which is on its own level"),
    ("tutelage/route.py", "from tutelage.commands import verify", "route imports commands, which is on its own level"),
    ("tutelage/errors.py", "from tutelage.records import Text", "errors (level 0) imports records"),
    ("tutelage/__init__.py", "from tutelage.route import loop", "imports route, which is above it"),
    ("tutelage/helpers.py", "", "helpers has no level"),
    ("tutelage/data/x.py", "import sqlalchemy as sa", "sqlalchemy belongs in store/"),
    ("tutelage/data/x.py", "from alembic.config import Config", "alembic belongs in store/"),
    ("tutelage/store/x.py", "from fastapi import FastAPI", "fastapi belongs in web/ or studio/ or serving/"),
    ("tutelage/rl/x.py", "import ray.train", "ray belongs in scaling/"),
    ("tutelage/rl/x.py", "import torch\ntorch.distributed.barrier()", "torch.distributed belongs in scaling/"),
    ("tutelage/rl/x.py", "from torch import distributed", "torch.distributed belongs in scaling/"),
    ("tutelage/generation/x.py", "from vllm import LLM", "vllm belongs in scaling/"),
    ("tutelage/rl/x.py", "import gymnasium", "gymnasium belongs in rl/gym/"),
    ("tutelage/tuning/config.py", "from tutelage.project import Project", "a config module imports tutelage.project"),
    ("tutelage/tuning/config.py", "from tutelage.models.load import load", "imports tutelage.models.load"),
    ("tutelage/tuning/config.py", "import torch", "a config module imports torch"),
    ("tutelage/algorithms/kl.py", "from tutelage.batch import Rollout", "algorithms imports batch"),
    ("tutelage/rl/x.py", "import time\nnow = time.time()", "time.time tells the time of day"),
    ("tutelage/rl/x.py", "from time import time", "time.time tells the time of day"),
    ("tutelage/data/x.py", "import datetime\ndatetime.datetime.now()", "datetime.datetime.now tells the time of day"),
])
def test_each_rule_catches_what_breaks_it(path: str, source: str, complaint: str) -> None:
    found = violations([(path, source)])
    assert any(complaint in each for each in found), found


def test_a_circle_on_a_friendly_level_is_caught() -> None:
    circle = [("tutelage/batch.py", "from tutelage.project import Project"),
              ("tutelage/project.py", "from tutelage.statistics import mean"),
              ("tutelage/statistics.py", "from tutelage.batch import TokenBatch")]
    assert len(violations(circle)) == 3
    assert violations(circle[:2]) == []


@pytest.mark.parametrize(("path", "source"), [
    ("tutelage/__init__.py", "def __getattr__(name):\n    from tutelage.route import loop\n    return loop"),
    ("tutelage/lineage.py", "from tutelage import __version__"),
    ("tutelage/rl/gym.py", "import gymnasium"),
    ("tutelage/rl/x.py", "import time\nstarted = time.monotonic()"),
    ("tutelage/store/x.py", "import time\nnow = time.time()"),
    ("tutelage/store/x.py", "import raytracing"),
    ("tutelage/tuning/config.py", "from tutelage.training.config import Optimizer\nimport tutelage.errors"),
    ("tutelage/algorithms/kl.py", "import torch\nfrom tutelage.algorithms.masked import mean"),
])
def test_what_is_allowed_is_not_complained_about(path: str, source: str) -> None:
    assert violations([(path, source)]) == []


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def test_help_loads_nothing_heavy() -> None:
    code = ("import sys\nfrom tutelage.cli import main\ncode = main(['--help'])\n"
            "heavy = ('torch', 'transformers', 'pydantic', 'rich', 'tyro', 'numpy')\n"
            "print(code, [name for name in heavy if name in sys.modules])")
    assert python(code) == "0 []"


def test_configurations_load_without_torch() -> None:
    modules = [f"{PACKAGE}.{path.parent.name}.config" for path in sorted((ROOT / PACKAGE).glob("*/config.py"))]
    code = (f"import sys, importlib\nfor name in {modules!r}:\n    importlib.import_module(name)\n"
            "print([name for name in ('torch', 'transformers', 'numpy', 'sqlalchemy') if name in sys.modules])")
    assert python(code) == "[]"
