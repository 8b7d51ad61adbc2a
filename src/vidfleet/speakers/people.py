"""The people of a whole series: who is the same person in several films, and one name for all of them.

::

    <film>/people.json + <film>/pywork/face_vectors.npz ────────┐
    <root>/people.json (what people edited) ─────────────────────┴─▶ persons ─▶ <root>/people.json
                                                                        └─▶ names into each film

Two persons of one film are never one person of the series. A name that somebody gave, in the series' file or in a
film's, holds: equal names are one person, different names are two; where they differ the series' file is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vidfleet.errors import RecordError, UsageError, VidfleetError
from vidfleet.speakers.identity.cluster import Hold, join, number_persons
from vidfleet.speakers.identity.films import films_in, folders_below
from vidfleet.speakers.identity.held import Edits, HeldPerson, edits_of, entries_of
from vidfleet.speakers.identity.people_file import NUMBERED, PEOPLE_NAME, Entry, name_problem, read_people, write_people
from vidfleet.speakers.identity.places import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.speakers.data import Person
    from vidfleet.speakers.identity.films import Film, Role

Render = Callable[[Path], bool]
"""Brings what shows names in a film's folder up to its ``people.json``; False where nothing was to be done.

Called for each film, so it should see quickly, from the file's content, whether there is anything to do.
"""


def main(root: Path, *, say: Callable[[str], None], render: Render | None = None) -> int:
    """Find who is who in all films below ``root``, carry names into them, and show them.

    Returns 0, or 1 where a film failed. ``say`` takes sentences for people. ``root`` may be one film's output
    folder, which is compared with no other. What was edited in a film's own ``people.json`` is put into effect,
    too, also where no vectors are. Raises UsageError where there is no film with a ``people.json`` below ``root``.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder")
    folders = tuple(folders_below(root))
    if not folders:
        raise UsageError(f"No film below {root} has a {PEOPLE_NAME}: run vidfleet speakers on it first.")
    failed = () if folders == (root,) else compare(root, folders, say=say)
    shown = [render is None or _is_shown(folder, render, say) for folder in folders]
    return int(bool(failed) or not all(shown))


def compare(root: Path, folders: Sequence[Path], *, say: Callable[[str], None]) -> tuple[Path, ...]:
    """Find who is the same person in several films; write the series' file, and names into the films' own.

    ``folders`` are the films' output folders below ``root``. Returns those into which names could not be carried.
    """
    films = _comparable(films_in(root, folders, say), say)
    if not films:
        say(
            "No film has face vectors, so faces were not compared between films. Vectors are biometric data and kept "
            "on request only: run vidfleet speakers with --keep-embeddings."
        )
        return ()
    roles = [role for film in films for role in film.roles]
    path = root / PEOPLE_NAME
    edits = edits_of(read_people(path), _finder(films, roles), file_name=str(path))
    edits = _with_names_of_films(edits, roles)
    persons = _persons(roles, edits, joins_at=films[0].joins_at)
    for notice in edits.notices:
        say(notice)
    failed = [film.folder for film in films if not _carry(film, roles, persons, say=say)]
    entries = [_all_lines(entry) for entry in entries_of(persons, edits, lambda item: roles[item].line)]
    write_people(path, entries, before=edits.people)
    shared = sum(len(person.tracks) > 1 for person in persons)
    counts = f"{len(persons)} person{'s' * (len(persons) != 1)} in {len(films)} film{'s' * (len(films) != 1)}"
    say(f"{counts}, {shared} of them in several: {path}")
    return tuple(failed)


def rename_persons(folder: Path, names: Mapping[str, str]) -> bool:
    """Give persons of the film in ``folder`` other names, in its ``people.json``; False where nothing changes.

    ``names`` says which name becomes which; equal ones make one person of several. What shows names is renewed by
    the film's next run, or by a :data:`Render`. Raises RecordError where the file has problems, and UsageError for
    what is no name.
    """
    for name in names.values():
        if wrong := name_problem(name):
            raise UsageError(f"{name!r} {wrong}")
    path = folder / PEOPLE_NAME
    people = read_people(path)
    if people.problems:
        raise RecordError(f"{folder}: {people.problems[0]}")
    entries = [
        replace(entry, name=names[entry.name], is_held=True)
        if names.get(entry.name, entry.name) != entry.name
        else entry
        for entry in people.entries
    ]
    return entries != list(people.entries) and write_people(path, entries, before=people)


def _comparable(films: Sequence[Film], say: Callable[[str], None]) -> list[Film]:
    """The films whose vectors are of the network that most were made with."""
    if not films:
        return []
    chosen = Counter(film.embedder for film in films).most_common(1)[0][0]
    if others := [film.name for film in films if film.embedder != chosen]:
        say(f"left out, for their vectors are of another network: {', '.join(others)}")
    return [film for film in films if film.embedder == chosen]


def _finder(films: Sequence[Film], roles: Sequence[Role]) -> Callable[[str], tuple[int, ...] | None]:
    """Find the roles that a line of the series' file means."""
    owners = {(role.film, row): at for at, role in enumerate(roles) for row in role.tracks}
    by_name = {film.name: film.finder for film in films}

    def find(line: str) -> tuple[int, ...] | None:
        film, _, place = line.strip().rpartition(": ")
        if not film or Place.parse(place) is None:
            return None
        rows = by_name[film].find(place) if film in by_name else ()
        return tuple(sorted({owners[film, row] for row in rows or () if (film, row) in owners}))

    return find


def _with_names_of_films(edits: Edits, roles: Sequence[Role]) -> Edits:
    """Add what was named in a film and stands in no line of the series' file."""
    taken = {item for person in edits.held for item in person.hold.tracks}
    named: dict[str, list[int]] = {}
    for item, role in enumerate(roles):
        if role.given_name and item not in taken:
            named.setdefault(role.given_name, []).append(item)
    held = []
    for person in edits.held:
        new = named.pop(person.hold.name, [])
        held.append(_grown(person, new, roles))
    for name, items in named.items():
        empty = HeldPerson(Entry(name, (), is_held=True), Hold(name, ()))
        held.append(_grown(empty, items, roles))
    return replace(edits, held=tuple(held))


def _grown(person: HeldPerson, items: Sequence[int], roles: Sequence[Role]) -> HeldPerson:
    """A held person with further roles, which are held from now on."""
    lines = (*person.entry.lines, *(roles[item].line for item in items))
    hold = replace(person.hold, tracks=tuple(sorted((*person.hold.tracks, *items))))
    return HeldPerson(replace(person.entry, lines=lines), hold)


def _persons(roles: Sequence[Role], edits: Edits, *, joins_at: float) -> tuple[Person, ...]:
    """Sort the roles of all films into persons; their ``tracks`` are positions in ``roles``."""
    pairs: list[tuple[int, int]] = []
    first: dict[str, list[int]] = {}
    for item, role in enumerate(roles):
        mates = first.setdefault(role.film, [])
        pairs += [(mate, item) for mate in mates]
        mates.append(item)
    labels = join(
        np.stack([role.total for role in roles]) if roles else np.zeros((0, 1)),
        np.array([role.views for role in roles]),
        joins_at=joins_at,
        apart=np.array(pairs, dtype=np.int64).reshape(-1, 2),
        held=[hold.tracks for hold in edits.holds],
    )
    spoken = [role.spoken_s for role in roles]
    return number_persons(range(len(roles)), labels, spoken=spoken, first=range(len(roles)), holds=edits.holds)


def _carry(film: Film, roles: Sequence[Role], persons: Sequence[Person], *, say: Callable[[str], None]) -> bool:
    """Carry given names into one film; False where that failed."""
    names = {
        roles[item].name: person.name
        for person in persons
        for item in person.tracks
        if roles[item].film == film.name and not NUMBERED.fullmatch(person.name)
    }
    for old, new in names.items():
        if old != new and not NUMBERED.fullmatch(old):
            say(f"{film.name}: {old} is {new} now, as in the series' {PEOPLE_NAME}; to change that, change it there.")
    try:
        rename_persons(film.folder, names)
    except (VidfleetError, OSError) as error:
        say(f"{film.name}: the names could not be carried over: {error}")
        return False
    return True


def _is_shown(folder: Path, render: Render, say: Callable[[str], None]) -> bool:
    """Bring one film up to date; False where that failed, which keeps no other film from it."""
    try:
        if render(folder):
            say(f"{folder}: brought up to date")
    except (VidfleetError, OSError) as error:
        say(f"{folder}: could not be brought up to date: {error}")
        return False
    return True


def _all_lines(entry: Entry) -> Entry:
    """A named person's roles are all held: their films have the name by now, too."""
    return replace(entry, lines=(*entry.lines, *entry.also), also=()) if entry.given_name else entry
