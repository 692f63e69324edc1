"""Every error that a page can show, read from the sources: what is raised in the modules that the pages reach."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "tutelage"
ROOMS = ("web", "studio", "feedback/kinds")          # kinds are found by their names, so no import leads there
ALSO = ("models/load.py", "generation/config.py")      # why samples could not be drawn is shown, too
NOT_FOLLOWED = {"__init__.py", "api.py"}             # the door to everything
# What pages reach and never show, and why.
NOT_SHOWN = {
    "options.py": "the command line", "config.py": "the command line", "studio/command.py": "before there is a page",
    "studio/config.py": "before there is a page", "web/serve.py": "before there is a page",
    **dict.fromkeys(("data/containers.py", "data/hub.py", "data/columns.py", "data/columnar.py", "data/tables.py", "data/rows.py",
                     "data/formats.py", "data/sources.py", "data/writing.py", "data/writer.py"),
                    "files and hubs: a page offers artifacts and what is built in"),
    **dict.fromkeys(("data/erasure.py", "data/vault.py", "data/usage.py", "data/fingerprints.py"),
                    "commands that change data sets"),
    "runs/plan.py": "stages, before they begin",
    **dict.fromkeys(("models/builtin.py", "models/foreign.py"), "models are loaded by processes of their own"),
    **dict.fromkeys(("statistics/intervals.py", "statistics/association.py", "statistics/calibration.py",
                     "statistics/clusters.py", "statistics/significance.py", "statistics/strengths.py",
                     "feedback/agreement.py", "feedback/votes.py"), "mistakes of programmers"),
    **dict.fromkeys(("reporting/report.py", "reporting/strings.py"), "mistakes of programmers"),
}


def modules() -> list[Path]:
    """What the pages import, at once or on their way, and what that imports."""
    found: set[Path] = set()
    waiting = [path for room in ROOMS for path in (PACKAGE / room).rglob("*.py")]
    also = {PACKAGE / name for name in ALSO}
    while waiting:
        path = waiting.pop()
        if path in found or str(path.relative_to(PACKAGE)) in {*NOT_FOLLOWED, *NOT_SHOWN}:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            waiting += [file for name in names if (file := _file(name)) is not None]
    return sorted(found | also)


def _file(name: str) -> Path | None:
    parts = name.split(".")
    if parts[0] != "tutelage":
        return None
    place = PACKAGE.joinpath(*parts[1:])
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def error_types() -> set[str]:
    tree = ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def sites() -> Iterator[tuple[str, str | None]]:
    """(where, the message with {} for what is filled in) of each error that is made.

    Where the message is chosen from several, all sentences of the function that does it; None where there is none.
    """
    types = error_types()
    for path in modules():
        for function, node in _calls(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node.func, ast.Name) and node.func.id in types and node.args):
                continue
            where, said = f"{path.relative_to(PACKAGE)}:{node.lineno}", message(node.args[0])
            yield from ((where, each) for each in ([said] if said is not None else _sentences(function) or [None]))


def _calls(tree: ast.Module) -> Iterator[tuple[ast.AST, ast.Call]]:
    """Each call with the function it stands in."""
    waiting: list[tuple[ast.AST, ast.AST]] = [(tree, tree)]
    while waiting:
        function, node = waiting.pop()
        if isinstance(node, ast.Call):
            yield function, node
        inner = node if isinstance(node, ast.FunctionDef) else function
        waiting += [(inner, child) for child in ast.iter_child_nodes(node)]


def _sentences(function: ast.AST) -> list[str | None]:
    found = [message(node) for node in ast.walk(function) if isinstance(node, ast.JoinedStr)]
    return [each for each in found if each is not None and each.endswith(".")]


def message(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        first, second = message(node.left), message(node.right)
        return None if first is None else first + (second or "{}")
    return None
