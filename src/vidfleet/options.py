"""Command lines derived from frozen dataclasses: a field is an option, its help stands beside it.

One class then says everything once: the name, the type, the default, the help, and what may be asked for in
Python and on the command line alike. In flags ``-`` and ``_`` are alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import types
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NoReturn,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from vidfleet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

S = TypeVar("S")


def option(
    default: Any,  # noqa: ANN401 - the type is the field's own annotation
    text: str,
    *,
    also: tuple[str, ...] = (),
    metavar: str = "",
    parse: Callable[[str], Any] | None = None,
) -> Any:  # noqa: ANN401
    """Declare a field that is an option.

    ``text`` is its help; ``also`` are further flags; ``parse`` reads one word (and may raise ValueError
    with a sentence). A ``tuple[str, ...]`` may be given several times, or once with commas.
    """
    return dataclasses.field(default=default, metadata={"help": text, "also": also, "metavar": metavar, "parse": parse})


class Parser(argparse.ArgumentParser):
    """An argument parser that raises :class:`UsageError`, and takes no abbreviated flags."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing and leaving."""
        raise UsageError(f"{message}\nSee: {self.prog} --help")


def add_options(parser: argparse.ArgumentParser | argparse._ArgumentGroup, settings: type[Any]) -> None:
    """Give ``parser`` an option for each field of ``settings``."""
    hints = get_type_hints(settings)
    for item in dataclasses.fields(settings):
        if "help" in item.metadata:
            flags = ["--" + item.name.replace("_", "-"), *item.metadata["also"]]
            parser.add_argument(*flags, dest=item.name, **_how_to_read(item, hints[item.name]))


def read_options(settings: type[S], namespace: argparse.Namespace) -> S:
    """The settings that a parsed command line means; what was not given keeps its default."""
    names = {item.name for item in dataclasses.fields(settings) if "help" in item.metadata}  # type: ignore[arg-type]
    given = {name: value for name, value in vars(namespace).items() if name in names and value is not None}
    flat = {name: _flatten(value) if isinstance(value, list) else value for name, value in given.items()}
    return settings(**flat)


def parse_options(settings: type[S], arguments: Sequence[str], *, program: str) -> S:
    """Read a whole command line that has nothing but options.

    Raises :class:`UsageError` with a sentence for anything that is not an option of ``settings``.
    """
    parser = Parser(prog=program)
    add_options(parser, settings)
    return read_options(settings, parser.parse_args(alike(arguments)))


def checked(settings: S) -> S:
    """The same settings, each value as the command line would have read it.

    So a mistake in a call from Python is told as one on the command line is. Raises :class:`UsageError`.
    """
    hints = get_type_hints(type(settings))
    changed: dict[str, Any] = {}
    for item in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, item.name)
        if "help" not in item.metadata or value is None or value == item.default:
            continue
        try:
            changed[item.name] = _read_value(item, _without_none(hints[item.name]), value)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{item.name}={value!r}: {error}") from error
    return dataclasses.replace(settings, **changed)  # type: ignore[type-var]


def _read_value(item: dataclasses.Field[Any], kind: Any, value: Any) -> Any:  # noqa: ANN401
    if item.metadata["parse"]:
        return item.metadata["parse"](value if isinstance(value, str) else f"{value:g}")
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"give one of {', '.join(map(str, get_args(kind)))}")
        return value
    if get_origin(kind) is tuple:
        return _words(value) if isinstance(value, str) else tuple(map(str, value))
    if kind is Path:
        return Path(value)
    if not isinstance(value, kind):
        raise TypeError(f"this takes {kind.__name__}")
    return value


def to_arguments(settings: object) -> tuple[str, ...]:
    """The command line that means ``settings``; what has its default is left out."""
    words: list[str] = []
    for item in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, item.name)
        flag = item.name.replace("_", "-")
        if "help" not in item.metadata or value == item.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words.append(f"--{flag}={','.join(value) if isinstance(value, tuple) else value}")
    return tuple(words)


def alike(arguments: Sequence[str]) -> list[str]:
    """Write ``_`` in flags as ``-``, up to a bare ``--``, behind which nothing is ours."""
    result = list(arguments)
    for index, word in enumerate(result):
        if word == "--":
            break
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            result[index] = flag.replace("_", "-") + equals + value
    return result


def _flatten(values: list[Any]) -> tuple[Any, ...]:
    return tuple(word for value in values for word in (value if isinstance(value, tuple) else (value,)))


def _how_to_read(item: dataclasses.Field[Any], hint: Any) -> dict[str, Any]:  # noqa: ANN401
    """What argparse needs to know of one field."""
    how: dict[str, Any] = {"default": None, "help": _help(item)}
    kind = _without_none(hint)
    if item.metadata["parse"]:
        how["type"] = _speaking(item.metadata["parse"])
    elif kind is bool:
        return how | {"action": argparse.BooleanOptionalAction}
    elif get_origin(kind) is Literal:
        return how | {"choices": [str(choice) for choice in get_args(kind)]}
    elif get_origin(kind) is tuple:
        how |= {"action": "append", "type": _words}
    elif kind is Path:
        how["type"] = _speaking(_path)
    elif kind in (int, float):
        how["type"] = kind
    return how | {"metavar": item.metadata["metavar"] or item.name.upper().rpartition("_")[2]}


def _help(item: dataclasses.Field[Any]) -> str:
    text: str = item.metadata["help"]
    default = item.default
    if text == argparse.SUPPRESS:
        return text
    if default is None or default in ("", ()) or isinstance(default, bool):
        return text.replace("%", "%%")
    return f"{text} (default: {default})".replace("%", "%%")


def _path(text: str) -> Path:
    if not text:
        raise ValueError("a path is missing")
    return Path(text)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _without_none(hint: Any) -> Any:  # noqa: ANN401
    if get_origin(hint) in (Union, types.UnionType):
        return next(arg for arg in get_args(hint) if arg is not type(None))
    return hint


def _speaking(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse print the sentence of a ValueError instead of the parser's name."""

    def read(text: str) -> Any:  # noqa: ANN401
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read
