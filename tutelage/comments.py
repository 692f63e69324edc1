"""The comments beside a dataclass's fields, which are the help texts of its keys."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import io
import textwrap
import tokenize


def field_comments(config_type: type) -> dict[str, str]:
    """What the source says about each field: the comment beside it (and its further lines), else the one above."""
    comments: dict[str, str] = {}
    for each in reversed(config_type.__mro__):
        if dataclasses.is_dataclass(each):
            try:
                comments.update(_comments(textwrap.dedent(inspect.getsource(each))))
            except OSError:          # typed at a prompt: no source, no help
                continue
    return comments


def _comments(source: str) -> dict[str, str]:
    lines = source.splitlines()
    beside, alone = {}, {}           # line number -> text; `alone` also keeps the column
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            text = token.string.lstrip("#").strip()
            if lines[row - 1][:column].strip():
                beside[row] = text
            else:
                alone[row] = (column, text)
    found = {}
    for node in ast.parse(source).body[0].body:                      # type: ignore[attr-defined]
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        end = node.end_lineno or node.lineno
        if end in beside:
            words, row = [beside[end]], end + 1
            while row in alone and alone[row][0] > node.col_offset:
                words.append(alone[row][1])
                row += 1
        else:
            words, row = [], node.lineno - 1
            while row in alone and alone[row][0] == node.col_offset:
                words.insert(0, alone[row][1])
                row -= 1
        found[node.target.id] = " ".join(words)
    return found
