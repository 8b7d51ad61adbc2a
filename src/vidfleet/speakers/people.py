"""The people of a whole series: who is the same person in several films, and one name for all of them.

::

    <film>/people.json + <film>/pywork/face_vectors.npz ─▶ Cast ─┐
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
from vidfleet.speakers.identity.films import films_below
from vidfleet.speakers.identity.held import Edits, HeldPerson, edits_of, entries_of
from vidfleet.speakers.identity.people_file import NUMBERED, PEOPLE_NAME, Entry, name_problem, read_people, write_people
from vidfleet.speakers.identity.places import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.speakers.data import Person
    from vidfleet.speakers.identity.films import Film, Role

Render = Callable[[Path, Mapping[str, str]], None]
"""Renews what shows names in a film's folder: ``render(folder, {old name: new name})``."""


def main(root: Path, *, say: Callable[[str], None], render: Render | None = None) -> int:
    """Find who is who in all films below ``root``, and carry names into them; return 0, or 1 where a film failed.

    ``say`` takes sentences for people. Raises UsageError where no film below ``root`` has vectors.
    """
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder")
    films = _comparable(list(films_below(root, say)), say)
    if not films:
        raise UsageError(
            f"No film below {root} has face vectors. They are biometric data, so they are kept on request only: "
            "run vidfleet speakers with --keep-embeddings."
        )
    roles = [role for film in films for role in film.roles]
    path = root / PEOPLE_NAME
    edits = edits_of(read_people(path), _finder(films, roles), file_name=str(path))
    edits = _with_names_of_films(edits, roles)
    persons = _persons(roles, edits, joins_at=films[0].joins_at)
    for notice in edits.notices:
        say(notice)
    failed = sum(not _carry(root / film.name, film.name, roles, persons, say=say, render=render) for film in films)
    entries = [_all_lines(entry) for entry in entries_of(persons, edits, lambda item: roles[item].line)]
    write_people(path, entries, before=edits.people)
    shared = sum(len(person.tracks) > 1 for person in persons)
    say(f"{len(persons)} persons in {len(films)} films, {shared} of them in several: {path}")
    return int(bool(failed))


def rename_persons(folder: Path, names: Mapping[str, str], *, render: Render | None = None) -> bool:
    """Give persons of the film in ``folder`` other names; False where nothing changes.

    ``names`` says which name becomes which; equal ones make one person of several, from the next run on.
    ``render`` renews the files that show names; it is called first, so that after a failure the next call does all
    of it again. Raises RecordError where the film's ``people.json`` has problems, and UsageError for what is no
    name.
    """
    for name in names.values():
        if wrong := name_problem(name):
            raise UsageError(f"{name!r} {wrong}")
    path = folder / PEOPLE_NAME
    people = read_people(path)
    if people.problems:
        raise RecordError(f"{folder}: {people.problems[0]}")
    wanted = {
        entry.name: names[entry.name] for entry in people.entries if names.get(entry.name, entry.name) != entry.name
    }
    if not wanted:
        return False
    if render is not None:
        render(folder, wanted)
    entries = [
        replace(entry, name=wanted[entry.name], is_held=True) if entry.name in wanted else entry
        for entry in people.entries
    ]
    return write_people(path, entries, before=people)


def _comparable(films: list[Film], say: Callable[[str], None]) -> list[Film]:
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


def _carry(
    folder: Path,
    film: str,
    roles: Sequence[Role],
    persons: Sequence[Person],
    *,
    say: Callable[[str], None],
    render: Render | None,
) -> bool:
    """Carry given names into one film; False where that failed."""
    names = {
        roles[item].name: person.name
        for person in persons
        for item in person.tracks
        if roles[item].film == film and not NUMBERED.fullmatch(person.name)
    }
    try:
        if rename_persons(folder, names, render=render):
            say(f"{film}: names renewed")
    except (VidfleetError, OSError) as error:
        say(f"{film}: the names could not be carried over: {error}")
        return False
    return True


def _all_lines(entry: Entry) -> Entry:
    """A named person's roles are all held: their films have the name by now, too."""
    return replace(entry, lines=(*entry.lines, *entry.also), also=()) if entry.given_name else entry
