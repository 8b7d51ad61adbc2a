"""What a script would load, as its text says, so that a lane can load it ahead, once for all its videos.

Nothing is run for it. In the order of the text: the imports at the top level of the script and of the modules beside
it, changes of the environment and of the search path that the text tells (``os.environ["X"] = "1"``). At the first
such change that it does not tell the reading ends, as what comes later could be loaded otherwise than the script would
load it. Modules beside the script are read, and never loaded ahead: they compute, they see arguments, people edit them.
"""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.workloads.base import Step
from vidfleet.workloads.values import value_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MOST_FILES = 200
_ENVIRONMENT = {"update", "setdefault", "pop", "popitem", "clear", "__setitem__", "__delitem__"}
_SEARCH_PATH = {"insert", "remove", "pop", "clear", "sort", "reverse", "__setitem__", "__delitem__"}
_CHANGING_CALLS = (
    {"os.putenv", "os.unsetenv", "site.addsitedir"}
    | {f"os.environ.{name}" for name in _ENVIRONMENT}
    | {f"sys.path.{name}" for name in _SEARCH_PATH}
)
_CHANGING_NAMES = {"load_dotenv", "patch_all", "monkey_patch"}
"""Of python-dotenv, gevent, eventlet: what is imported after them is loaded otherwise."""
_CHANGING_TARGETS = {"os.environ", "sys.path"}


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a script's text says."""

    steps: tuple[Step, ...]
    stopped: str = ""
    """Where the reading ended early, and why, as the end of a sentence: ``line 3 of infer.py changes ...``."""


class _StoppedError(Exception):
    """What follows depends on something that the text does not tell."""


def read_ahead(script: Path, folder: Path) -> Ahead:
    """Read ``script``, which will run in ``folder``, and the modules beside it.

    Raises ValueError where the script's own text cannot be read: it may be of a newer Python than this.
    """
    reader = _Reader(Path(os.path.realpath(script)).parent, folder)
    try:
        tree = ast.parse(script.read_bytes())
    except (SyntaxError, ValueError, RecursionError) as error:
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
        raise ValueError(where) from error
    stopped = ""
    try:
        reader.read(_Text(script, is_main=True), tree)
    except _StoppedError as stop:
        stopped = str(stop)
    except RecursionError as error:  # 330 branches of one ``if`` are enough
        raise ValueError("its statements are nested too deeply") from error
    return Ahead(tuple(dict.fromkeys(reader.steps)), stopped)


@dataclass
class _Text:
    """One file while it is read."""

    path: Path
    is_main: bool = False
    package: tuple[str, ...] = ()
    """What a relative import starts from."""
    root: Path = Path()
    aliases: dict[str, str] = field(default_factory=dict)
    """Name in this text → what it means: ``environ`` → ``os.environ``."""
    values: dict[str, str] = field(default_factory=dict)
    """Name → the text or path that it stands for."""
    changing: set[str] = field(default_factory=set)
    """Functions that change the environment or the search path."""

    def meaning(self, node: ast.expr) -> str:
        """The dotted name that an expression means; nothing where it is no name."""
        if isinstance(node, ast.Name):
            return self.aliases.get(node.id, node.id)
        if isinstance(node, ast.Attribute) and (base := self.meaning(node.value)):
            return f"{base}.{node.attr}"
        return ""

    def value(self, node: ast.expr) -> str | None:
        """The text or path that an expression stands for, where its text tells."""
        return value_of(node, names={**self.values, "__file__": os.path.abspath(self.path)}, meaning=self.meaning)  # noqa: PTH100


class _Reader:
    """Goes through the texts in the order in which they would run."""

    def __init__(self, folder: Path, working: Path) -> None:
        self.steps: list[Step] = []
        self._working = working
        self._folders = [folder]
        self._seen: set[Path] = set()

    def read(self, text: _Text, tree: ast.Module) -> None:
        self._seen.add(text.path)
        for name, meaning in _imported_names(tree):
            text.aliases[name] = meaning
        text.changing = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and any(_is_change(inner, text) for inner in ast.walk(node))
        }
        self._block(tree.body, text, sure=True)

    def _block(self, statements: Iterable[ast.stmt], text: _Text, *, sure: bool) -> None:
        for statement in statements:
            self._statement(statement, text, sure=sure)

    def _statement(self, statement: ast.stmt, text: _Text, *, sure: bool) -> None:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                self._import(alias.name, ())
        elif isinstance(statement, ast.ImportFrom):
            self._import_from(statement, text)
        elif isinstance(statement, ast.If):
            self._if(statement, text, sure=sure)
        elif isinstance(statement, ast.Try | ast.TryStar):  # its handlers are for what goes wrong
            self._block([*statement.body, *statement.orelse, *statement.finalbody], text, sure=sure)
        elif isinstance(statement, ast.With):
            self._block(statement.body, text, sure=sure)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self._change(statement, text, sure=sure)

    def _if(self, statement: ast.If, text: _Text, *, sure: bool) -> None:
        test = statement.test
        if _name_of(text.meaning(test)) == "TYPE_CHECKING":
            self._block(statement.orelse, text, sure=sure)
        elif _asks_for_main(test):
            self._block(statement.body if text.is_main else statement.orelse, text, sure=sure)
        elif _asks_for_path(test, text):
            self._block(statement.body, text, sure=sure)
        else:
            self._block([*statement.body, *statement.orelse], text, sure=False)

    def _change(self, statement: ast.stmt, text: _Text, *, sure: bool) -> None:
        """Any other statement: take the changes that its text tells, end at one that it does not."""
        told = _told_changes(statement, text) if sure else None
        if told is None and any(_is_change(node, text) for node in ast.walk(statement)):
            raise _StoppedError(f"line {statement.lineno} of {text.path.name}")
        for step in told or ():
            if step.kind in ("front", "back"):  # what lies there is the user's own, as what lies beside the script
                step = replace(step, name=os.path.normpath(self._working / step.name))
                self._folders.insert(0 if step.kind == "front" else len(self._folders), Path(step.name))
            self.steps.append(step)
        for name, node in _assignments(statement):
            value = text.value(node) if sure else None
            if value is None:
                text.values.pop(name, None)
            else:
                text.values[name] = value

    # ---- imports

    def _import_from(self, statement: ast.ImportFrom, text: _Text) -> None:
        names = tuple(alias.name for alias in statement.names)
        if not statement.level:
            self._import(statement.module or "", names)
        elif not text.is_main:
            base = text.package[: len(text.package) - statement.level + 1]
            module = ".".join([*base, *filter(None, [statement.module])])
            self._follow(_beside(text.root, module, names), text.root)

    def _import(self, module: str, names: tuple[str, ...]) -> None:
        if module in ("__future__", "__main__"):
            return
        for folder in self._folders:
            if beside := _beside(folder, module, names):
                self._follow(beside, folder)
                return
        self.steps.append(Step("import", module, ",".join(names)))

    def _follow(self, files: Sequence[Path], root: Path) -> None:
        for path in files:
            if path in self._seen or path.suffix != ".py" or len(self._seen) >= _MOST_FILES:
                continue
            try:
                tree = ast.parse(path.read_bytes())
            except (OSError, SyntaxError, ValueError, RecursionError):
                self._seen.add(path)
                continue
            inside = path.relative_to(root).parts
            self.read(_Text(path, package=inside[:-1], root=root), tree)


def _beside(folder: Path, module: str, names: Sequence[str]) -> list[Path]:
    """The user's own files that an import reads, in its order; none where the module is no own one.

    A folder without ``__init__.py`` comes after installed packages, so it counts only with the module in it.
    """
    parts, found = module.split("."), list[Path]()
    for depth in range(1, len(parts) + 1):
        found += _files_of(folder.joinpath(*parts[:depth]))
    if found or folder.joinpath(*parts).is_dir():
        for name in names:
            found += _files_of(folder.joinpath(*parts, name))
    return found


def _files_of(place: Path) -> list[Path]:
    """A module's file, for its path without an ending."""
    inside = [place / "__init__.py"] if (place / "__init__.py").is_file() else []
    beside = [place.with_name(f"{place.name}.py")] if place.with_name(f"{place.name}.py").is_file() else []
    built = [] if inside or beside else sorted(place.parent.glob(f"{place.name}.*so")) if place.name != "*" else []
    return [*inside, *beside, *built][:1]


def _imported_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


# ---- what changes the environment or the search path


def _is_change(node: ast.AST, text: _Text) -> bool:
    if isinstance(node, ast.Call):
        meaning = text.meaning(node.func)
        return (
            meaning in _CHANGING_CALLS
            or _name_of(meaning) in _CHANGING_NAMES
            or (isinstance(node.func, ast.Name) and node.func.id in text.changing)
        )
    if isinstance(node, ast.Subscript | ast.Attribute | ast.Name) and not isinstance(node.ctx, ast.Load):
        target = node.value if isinstance(node, ast.Subscript) else node
        return text.meaning(target) in _CHANGING_TARGETS
    return False


def _told_changes(statement: ast.stmt, text: _Text) -> list[Step] | None:
    """The changes that a statement makes, where its text tells all of them; None where it does not."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        return _told_item(statement.targets[0], "set", statement.value, text)
    if isinstance(statement, ast.Delete) and len(statement.targets) == 1:
        return _told_item(statement.targets[0], "unset", None, text)
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return _told_call(statement.value, text)
    return None


def _told_item(target: ast.expr, kind: str, value: ast.expr | None, text: _Text) -> list[Step] | None:
    if not isinstance(target, ast.Subscript) or text.meaning(target.value) != "os.environ":
        return None
    return _step(kind, text.value(target.slice), "" if value is None else text.value(value))


def _told_call(call: ast.Call, text: _Text) -> list[Step] | None:
    meaning, words = text.meaning(call.func), [text.value(argument) for argument in call.args]
    match meaning.rpartition("."):
        case ("os", _, "putenv") if len(words) == 2:
            return _step("set", *words)
        case ("os.environ", _, "setdefault") if len(words) == 2:
            return _step("default", *words)
        case ("os.environ", _, "pop") | ("os", _, "unsetenv") if words:
            return _step("unset", words[0], "")
        case ("os.environ", _, "update"):
            return _told_update(call, text)
        case ("sys.path", _, "insert") if isinstance(call.args[0], ast.Constant) and call.args[0].value == 0:
            return _step("front", words[-1], "")
        case ("sys.path", _, "append") if words and words[0] is not None:
            return _step("back", words[0], "")
    return None


def _told_update(call: ast.Call, text: _Text) -> list[Step] | None:
    pairs = [(keyword.arg, text.value(keyword.value)) for keyword in call.keywords]
    for argument in call.args:
        if not isinstance(argument, ast.Dict):
            return None
        names = [text.value(key) if key else None for key in argument.keys]
        pairs = [*zip(names, map(text.value, argument.values), strict=True), *pairs]
    steps = [_step("set", *pair) for pair in pairs]
    return None if None in steps else [step for made in steps for step in made or ()]


def _step(kind: str, name: str | None, value: str | None) -> list[Step] | None:
    return None if name is None or value is None else [Step(kind, name, value)]  # type: ignore[arg-type]


def _assignments(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Assign):
            yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))


def _asks_for_main(test: ast.expr) -> bool:
    return ast.unparse(test) in ("__name__ == '__main__'", "'__main__' == __name__")


def _asks_for_path(test: ast.expr, text: _Text) -> bool:
    """``if folder not in sys.path:``, before it is put there."""
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.ops[0], ast.NotIn)
        and text.meaning(test.comparators[0]) == "sys.path"
    )


def _name_of(meaning: str) -> str:
    return meaning.rpartition(".")[2]
