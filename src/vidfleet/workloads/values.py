"""Texts and paths that an expression of a script stands for, as far as they can be told without running it."""

from __future__ import annotations

import ast
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SAME = {"str", "pathlib.Path", "pathlib.PurePath", "os.fspath"}
_FUNCTIONS: dict[str, Callable[..., str]] = {
    "os.path.join": os.path.join,
    "os.path.dirname": os.path.dirname,
    "os.path.abspath": os.path.normpath,
    "os.path.realpath": os.path.realpath,
    "os.path.normpath": os.path.normpath,
}
_METHODS: dict[str, Callable[[str], str]] = {"resolve": os.path.realpath, "absolute": os.path.normpath, "as_posix": str}


def value_of(node: ast.expr, *, names: Mapping[str, str], meaning: Callable[[ast.expr], str]) -> str | None:
    """A string, or a path as a string; None for all else. ``meaning`` gives an expression's dotted name."""

    def value(node: ast.expr) -> str | None:
        return value_of(node, names=names, meaning=meaning)

    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and node.attr == "parent":
        base = value(node.value)
        return None if base is None else os.path.dirname(base)  # noqa: PTH120 - it need not be there
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Add):
        left, right = value(node.left), value(node.right)
        if left is None or right is None:
            return None
        return os.path.join(left, right) if isinstance(node.op, ast.Div) else left + right  # noqa: PTH118
    return _called(node, value, meaning) if isinstance(node, ast.Call) and not node.keywords else None


def _called(call: ast.Call, value: Callable[[ast.expr], str | None], meaning: Callable[[ast.expr], str]) -> str | None:
    name = meaning(call.func)
    first = call.args[0] if call.args else None
    if name == "str" and isinstance(first, ast.Constant) and isinstance(first.value, int | float):
        return str(first.value)
    words = [word for argument in call.args if (word := value(argument)) is not None]
    if len(words) != len(call.args):
        return None
    if name in _SAME and len(words) == 1:
        return words[0]
    if name in _FUNCTIONS and words:
        return _FUNCTIONS[name](*words)
    if isinstance(call.func, ast.Attribute) and call.func.attr in _METHODS and not words:
        base = value(call.func.value)
        return None if base is None else _METHODS[call.func.attr](base)
    return None
