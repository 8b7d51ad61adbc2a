"""What the folders of a series' films tell of their persons."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidfleet.errors import RecordError
from vidfleet.speakers.identity.held import one_per_person
from vidfleet.speakers.identity.people_file import PEOPLE_NAME, Entry, read_people
from vidfleet.speakers.identity.places import Finder, Place
from vidfleet.speakers.identity.vectors_file import VECTORS_NAME, StoredVectors, read_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

RECORD_NAME = "vidfleet.json"
MOST_PER_FILM = 64
"""Of a film's persons so many are compared with other films': named ones, then those who speak longest."""


@dataclass(frozen=True, slots=True)
class Role:
    """One person of one film."""

    film: str
    """The film's :attr:`Film.name`."""
    name: str
    """As the film's ``people.json`` has it."""
    given_name: str
    """The same, if somebody gave it; else nothing."""
    line: str
    """What it is called in the series' file: ``Frasier_02x01: 0:00:12.00-0:00:20.48 at 640,212 652,215 660,230``."""
    tracks: tuple[int, ...]
    """Rows of the film's vectors."""
    total: NDArray[np.float64]
    """(D,) sum of these vectors, each as often as it has views."""
    views: float
    spoken_s: float


@dataclass(frozen=True, slots=True)
class Film:
    """What a film's folder tells of its persons."""

    folder: Path
    name: str
    """The folder relative to the root, with ``/``; bytes that are no UTF-8 are spelt out."""
    embedder: str
    """SHA-256 of the network that made its vectors."""
    joins_at: float
    finder: LineFinder
    roles: tuple[Role, ...]


class LineFinder:
    """Finds the stored tracks that a line of ``people.json`` means, also where a new run has cut tracks otherwise."""

    def __init__(self, stored: StoredVectors) -> None:
        self._rows = {line: row for row, line in enumerate(stored.lines)}
        places = [Place.parse(line) or Place(0, 1, ((-1.0, -1.0),)) for line in stored.lines]
        self._finder = Finder([_Stored(place, side) for place, side in zip(places, stored.sides, strict=True)])

    def find(self, line: str) -> tuple[int, ...] | None:
        """Rows of the stored vectors; None for what is no line."""
        if line in self._rows:
            return (self._rows[line],)
        place = Place.parse(line)
        return None if place is None else self._finder.find(place)


@dataclass(frozen=True, slots=True)
class _Stored:
    """A track as its line tells it."""

    place: Place
    side: float

    @property
    def start(self) -> int:
        return self.place.start

    @property
    def end(self) -> int:
        return self.place.end

    @property
    def boxes(self) -> NDArray[np.float64]:
        frames, xs, ys = zip(*self.place.moments, strict=True)
        at = np.arange(self.start, self.end)
        x, y, half = np.interp(at, frames, xs), np.interp(at, frames, ys), self.side / 2
        return np.column_stack([x - half, y - half, x + half, y + half])


def folders_below(root: Path) -> Iterator[Path]:
    """Films' output folders below ``root`` that have a ``people.json``, by name; none is looked for inside of one."""
    for folder, names, files in os.walk(root):
        is_output = RECORD_NAME in files or {"pywork", "pyavi"} <= set(names)
        names[:] = [] if is_output else sorted(name for name in names if not name.startswith("."))
        if is_output and PEOPLE_NAME in files:
            yield Path(folder)


def films_in(root: Path, folders: Sequence[Path], say: Callable[[str], None]) -> list[Film]:
    """The films whose vectors were kept; ``say`` hears which are left out, and why."""
    films, without = [], 0
    for folder in folders:
        if not (folder / VECTORS_NAME).is_file():
            without += 1
            continue
        people = read_people(folder / PEOPLE_NAME)
        try:
            stored = read_vectors(folder / VECTORS_NAME)
        except RecordError as error:
            say(f"left out: {error}")
            continue
        if people.problems:
            say(f"left out: {folder}: {people.problems[0]}")
            continue
        name = os.fsencode(folder.relative_to(root)).decode("utf-8", "backslashreplace")
        finder = LineFinder(stored)
        roles = _roles(name, one_per_person(people.entries), stored, finder)
        films.append(Film(folder, name, stored.embedder, stored.joins_at, finder, roles))
    if without:
        say(f"left out: {without} films without face vectors, made without --keep-embeddings or without a network")
    return films


def _roles(film: str, entries: Sequence[Entry], stored: StoredVectors, finder: LineFinder) -> tuple[Role, ...]:
    """The persons of a film whose faces were well seen, as far as they can matter elsewhere."""
    roles, taken = [], set[int]()
    for entry in entries:
        found = {row for line in (*entry.lines, *entry.also) for row in finder.find(line) or ()}
        rows = sorted(found - taken)
        taken |= found
        if not rows:
            continue
        weights = stored.views[rows]
        most = max(rows, key=lambda row: (stored.spoken_s[row], stored.views[row], -row))
        role = Role(
            film=film,
            name=entry.name,
            given_name=entry.given_name,
            line=f"{film}: {stored.lines[most]}",
            tracks=tuple(rows),
            total=weights @ stored.vectors[rows].astype(np.float64),
            views=float(weights.sum()),
            spoken_s=round(float(stored.spoken_s[rows].sum()), 2),
        )
        if role.given_name or role.spoken_s > 0:
            roles.append(role)
    roles.sort(key=lambda role: (not role.given_name, -role.spoken_s, role.line))
    return tuple(roles[:MOST_PER_FILM])
