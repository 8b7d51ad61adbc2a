"""``vidfleet.toml``: settings that stand in a file, in the folder of the videos or in the working directory.

Its keys are the flags of the command line, with ``-`` or ``_``; the command line wins, then the file beside the
videos, then that of the working directory. What may start a program is never read from beside the videos: a folder
of films from somebody else must not choose what runs.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from vidfleet.errors import UsageError
from vidfleet.options import Parser, add_options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence

FILE_NAME = "vidfleet.toml"
STARTS_PROGRAMS = frozenset({"script", "worker", "python", "on_stop", "executor", "slurm"})
"""Keys that name what is run, or where; options of sbatch may set variables for it."""
_EXCLUSIVE = frozenset({"script", "worker"})

Tables = dict[str, tuple[type[Any], ...]]
"""What each table of the file may set: frozen dataclasses whose fields are options."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of a file."""

    source: Path
    table: str
    name: str
    """The field's name, with ``_``."""
    value: Any
    """As the field wants it."""

    def __str__(self) -> str:
        """For people: the key, its value and where it stands."""
        value = ",".join(map(str, self.value)) if isinstance(self.value, list | tuple) else self.value
        return f"{self.name} = {value} (from {self.source})"


def read_files(root: Path, tables: Tables, *, here: Path | None = None) -> list[Setting]:
    """Every setting of the two files, those that count more first; raises UsageError for what is no setting."""
    beside, ours = root.absolute() / FILE_NAME, (here or Path.cwd()) / FILE_NAME
    if not beside.exists() or not ours.exists() or not beside.samefile(ours):
        return [*_read(beside, tables, trusted=False), *_read(ours, tables, trusted=True)]
    return _read(ours, tables, trusted=True)


def fill_in(options: argparse.Namespace, settings: Iterable[Setting], table: str) -> list[Setting]:
    """Set what the command line left open; returns the settings that count now."""
    used: list[Setting] = []
    chosen = {name for name in _EXCLUSIVE if getattr(options, name, None)}
    for setting in settings:
        if setting.table != table or getattr(options, setting.name, "no such option") is not None:
            continue
        if setting.name in _EXCLUSIVE and chosen:
            continue
        setattr(options, setting.name, setting.value)
        used.append(setting)
        chosen |= {setting.name} & _EXCLUSIVE
    return used


def _read(path: Path, tables: Tables, *, trusted: bool) -> list[Setting]:
    try:
        plain = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:  # ValueError: no TOML, no UTF-8
        raise UsageError(f"{path}: {error}\n--no-config leaves such files out.") from error
    found: list[Setting] = []
    for table, entries in plain.items():
        if table not in tables or not isinstance(entries, dict):
            raise UsageError(f"{path}: there is no table [{table}]{_near(table, tables)}")
        found += _table(path, table, entries, tables[table], trusted=trusted)
    return found


def _table(
    path: Path, table: str, entries: Mapping[str, Any], groups: Sequence[type[Any]], *, trusted: bool
) -> list[Setting]:
    known = {item.name: group for group in groups for item in dataclasses.fields(group) if "help" in item.metadata}
    found = []
    for key, value in entries.items():
        name, where = key.replace("-", "_"), f"{path}: [{table}] {key}"
        if name not in known:
            raise UsageError(f"{where} is no setting{_near(name, known)}")
        if name in STARTS_PROGRAMS and not trusted:
            raise UsageError(
                f"{where}: what runs is not read from beside the videos; say it on the command line, "
                f"or in {FILE_NAME} of your working directory"
            )
        found.append(Setting(path, table, name, _value(known[name], name, value, where)))
    return found


def _value(group: type[Any], name: str, value: Any, where: str) -> Any:  # noqa: ANN401
    """Read a value as the command line would read it."""
    parser = Parser(prog="vidfleet")
    add_options(parser, group)
    try:
        read = getattr(parser.parse_args(_words(name, value, where)), name)
    except UsageError as error:
        raise UsageError(f"{where}: {str(error).splitlines()[0]}") from error
    hint = get_type_hints(group)[name]
    if (hint is Path or Path in get_args(hint)) and isinstance(read, Path):
        return Path(where.partition(": [")[0]).parent / read  # beside the file that names it
    return read


def _words(name: str, value: Any, where: str) -> list[str]:  # noqa: ANN401
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    if isinstance(value, list) and all(isinstance(item, str | int) and not isinstance(item, bool) for item in value):
        return [f"--{flag}={item}" for item in value]
    if isinstance(value, str | int | float):
        return [f"--{flag}={value}"]
    raise UsageError(f"{where}: a text, a number, true or false, or a list of texts is wanted")


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(known))}"
