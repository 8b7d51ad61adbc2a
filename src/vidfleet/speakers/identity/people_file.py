"""``people.json``: who is in a film, or in a series, as a file that people may edit.

::

    {"schema": 1,
     "persons": [{"name": "Frasier", "spoken_s": 312.4,
                  "tracks": ["0:00:12.00-0:00:20.48 at 640,212", ...], "found": "8b1f..."}, ...]}

A given name is an edit; so is a line that was moved to another person: ``found`` is a sum over name and lines as
they were written, and no longer fits. An edited person is **held**: its lines stay as they are, word for word, and
what is found to be the same person stands beside them under ``also``. Persons that nobody touched are found anew
each time. A file that cannot be read in all its parts is never written over.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PEOPLE_NAME = "people.json"
SCHEMA = 1
MOST_BYTES = 64 << 20
LONGEST_NAME = 200
HELP = (
    "Change a name; give two persons one name to make them one; move a line to another person, or to a new one "
    '{"name": "...", "tracks": [...]}. Then call: vidfleet people FOLDER. What you edit stays.'
)
NUMBERED = re.compile(r"Person_[0-9]+", re.ASCII)
"""Names that vidfleet gives; any other was given by somebody."""
_OURS = frozenset(("name", "spoken_s", "tracks", "also", "found"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One person of the file."""

    name: str
    lines: tuple[str, ...]
    """``tracks``, word for word."""
    is_held: bool
    """Somebody gave the name, or changed the lines."""
    also: tuple[str, ...] = ()
    """What was found to be the same person, beside the lines of a held one."""
    spoken_s: float = 0.0
    """For people to see."""
    more: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Keys that are not ours: somebody's notes, kept."""

    @property
    def given_name(self) -> str:
        """The name, if somebody gave it; else nothing."""
        return "" if NUMBERED.fullmatch(self.name) else self.name


@dataclass(frozen=True, slots=True)
class PeopleFile:
    """What a file says, as far as it can be read."""

    entries: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()
    """What could not be read, as sentences for people; such a file is not written over."""
    more: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Keys beside ``persons`` that are not ours."""

    @property
    def held(self) -> tuple[Entry, ...]:
        """The persons that somebody edited."""
        times = Counter(entry.name for entry in self.entries)
        return tuple(entry for entry in self.entries if entry.is_held or times[entry.name] > 1)


def read_people(path: Path) -> PeopleFile:
    """Read a file; an empty one where there is none. Never raises for what stands in it."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no plain file")  # a pipe would be waited for without end
        with path.open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB")
        plain = json.loads(text.decode("utf-8-sig"), parse_constant=_no_number)
        json.dumps(plain, ensure_ascii=False).encode()  # half characters could not be written again
    except FileNotFoundError:
        return PeopleFile()
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        return PeopleFile(problems=(_kept(path, f"it is no JSON ({error.msg}: {where})"),))
    except (OSError, ValueError, RecursionError) as error:
        return PeopleFile(problems=(_kept(path, f"it cannot be read ({error})"),))
    if not isinstance(plain, dict) or not isinstance(plain.get("persons"), list):
        return PeopleFile(problems=(_kept(path, 'it has no list "persons"'),))
    if plain.get("schema", SCHEMA) != SCHEMA:
        return PeopleFile(problems=(_kept(path, f"its schema is {plain['schema']!r}, known is {SCHEMA}"),))
    problems: list[str] = []
    read = [_entry(item, at, problems) for at, item in enumerate(plain["persons"], start=1)]
    entries = tuple(entry for entry in read if entry is not None)
    problems += _twice(entries)
    more = {key: value for key, value in plain.items() if key not in ("schema", "help", "persons")}
    return PeopleFile(entries, tuple(_kept(path, problem) for problem in problems), MappingProxyType(more))


def write_people(path: Path, entries: Sequence[Entry], *, before: PeopleFile) -> bool:
    """Write a file aside and rename it; False where it stays as it is: nothing changed, or it has problems.

    ``before`` is the file as it was read: what it holds beside persons is kept.
    """
    if before.problems:
        return False
    plain = {"schema": SCHEMA, "help": HELP, "persons": [_plain(entry) for entry in entries], **before.more}
    text = (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode()
    if path.is_file() and path.stat().st_size == len(text) and path.read_bytes() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with aside.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return True


def name_problem(name: object) -> str:
    """Why this cannot be a person's name, as the end of a sentence; nothing if it can."""
    if not isinstance(name, str) or not name.strip():
        return "is no name"
    if name.strip() in ("None", "null"):
        return "means nobody in the tables"
    if len(name) > LONGEST_NAME:
        return f"has more than {LONGEST_NAME} characters"
    if not name.isprintable():
        return "has characters that cannot be shown"
    return ""


def _entry(item: object, at: int, problems: list[str]) -> Entry | None:
    """Read one person; what is wrong goes to ``problems``."""
    if not isinstance(item, dict):
        problems.append(f"person {at} is not of the form {{...}}")
        return None
    wrong = name_problem(item.get("name"))
    if wrong:
        problems.append(f"person {at}: {_shown(item.get('name'))} {wrong}")
        return None
    name = item["name"].strip()
    lists = {key: item.get(key, []) for key in ("tracks", "also")}
    for key, lines in lists.items():
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            problems.append(f'{name}: "{key}" is not a list of lines')
            return None
    lines = tuple(lists["tracks"])
    spoken = item.get("spoken_s")
    return Entry(
        name=name,
        lines=lines,
        is_held=bool(not NUMBERED.fullmatch(name) or item.get("found") != _sum(name, lines)),
        also=tuple(lists["also"]),
        spoken_s=float(spoken) if isinstance(spoken, (int, float)) and 0 <= spoken < 1e9 else 0.0,
        more=MappingProxyType({key: value for key, value in item.items() if key not in _OURS}),
    )


def _twice(entries: Sequence[Entry]) -> list[str]:
    """Lines that two persons claim."""
    owner: dict[str, str] = {}
    problems = []
    for entry in entries:
        for line in entry.lines:
            if owner.setdefault(line.strip(), entry.name) != entry.name:
                problems.append(f"{_shown(line)} belongs to {owner[line.strip()]} and to {entry.name}")
    return problems


def _plain(entry: Entry) -> dict[str, Any]:
    """An entry as it is written."""
    lists: dict[str, Any] = {"tracks": list(entry.lines)}
    if entry.is_held:
        lists |= {"also": list(entry.also)} if entry.also else {}
    else:
        lists["found"] = _sum(entry.name, entry.lines)
    return {"name": entry.name, "spoken_s": entry.spoken_s, **lists, **entry.more}


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _sum(name: str, lines: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps([name, *lines]).encode()).hexdigest()[:16]


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + '..."'


def _kept(path: Path, problem: str) -> str:
    return f"{path.name}: {problem}. The file is kept as it is; correct it, or delete it, and run again."
