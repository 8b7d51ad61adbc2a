"""What people edited, put into effect: lines become sets of tracks, and persons become entries again.

For a film the items are its tracks and a line is a place; for a series they are the films' persons.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from vidfleet.speakers.data import Person
from vidfleet.speakers.identity.cluster import Hold, persons_of
from vidfleet.speakers.identity.people_file import Entry, PeopleFile, read_people, write_people
from vidfleet.speakers.identity.places import Finder, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vidfleet.speakers.data import FaceVector
    from vidfleet.speakers.identity.cluster import Trail


@dataclass(frozen=True, slots=True)
class Identified:
    """Who is in a film."""

    persons: tuple[Person, ...]
    """Who speaks longest first."""
    notices: tuple[str, ...]
    """What of ``people.json`` could not be put into effect, as sentences for people; they name nobody's words."""


@dataclass(frozen=True, slots=True)
class HeldPerson:
    """One person that somebody edited, found again."""

    entry: Entry
    """All entries of the name, as one."""
    hold: Hold


@dataclass(frozen=True, slots=True)
class Edits:
    """All that somebody edited."""

    people: PeopleFile
    """As it was read, with problems that only showed when its lines were looked up."""
    held: tuple[HeldPerson, ...]
    notices: tuple[str, ...]

    @property
    def holds(self) -> tuple[Hold, ...]:
        """What must be kept together."""
        return tuple(person.hold for person in self.held)


def identify(
    path: Path,
    trails: Sequence[Trail],
    vectors: Sequence[FaceVector],
    *,
    spoken: Sequence[float],
    joins_at: float,
) -> Identified:
    """Sort a film's tracks into persons, as its ``people.json`` at ``path`` has it, and bring that file up to date.

    See :func:`~vidfleet.speakers.identity.cluster.persons_of`. The file is written if there is none; one with
    problems is left alone, and what of it can be read counts.
    """
    finder = Finder(trails)

    def find(line: str) -> tuple[int, ...] | None:
        place = Place.parse(line)
        return None if place is None else finder.find(place)

    edits = edits_of(read_people(path), find, file_name=path.name)
    persons = persons_of(trails, vectors, spoken=spoken, joins_at=joins_at, holds=edits.holds)
    entries = entries_of(persons, edits, lambda track: str(Place.of(trails[track])))
    write_people(path, entries, before=edits.people)
    return Identified(persons, edits.notices)


def edits_of(people: PeopleFile, find: Callable[[str], tuple[int, ...] | None], *, file_name: str) -> Edits:
    """Look up what is held; ``find`` gives the items of a line, or None for what is no line."""
    taken: set[int] = set()
    held, problems, unmet = [], list(people.problems), 0
    for entry in one_per_person(people.held):
        items: list[int] = []
        for line in entry.lines:
            found = find(line)
            if found is None:
                problems.append(
                    f"{file_name}: a line of {entry.name} is no place: {line[:60]!r}. The file is kept as it is; "
                    "correct the line, and run again."
                )
                continue
            unmet += not found
            items += [item for item in found if item not in taken]
            taken.update(found)
        held.append(HeldPerson(entry, Hold(entry.given_name, tuple(sorted(set(items))))))
    notices = list(problems)
    if unmet:
        notices.append(
            f"{file_name}: at {unmet} of the places that somebody edited no face is found now; they are kept."
        )
    return Edits(replace(people, problems=tuple(problems)), tuple(held), tuple(notices))


def entries_of(persons: Sequence[Person], edits: Edits, line_of: Callable[[int], str]) -> list[Entry]:
    """Make the file's entries of persons: edited ones with their lines word for word, the others anew."""
    owner = {item: person for person in edits.held for item in person.hold.tracks}
    entries = []
    for person in persons:
        edited = next((owner[item] for item in person.tracks if item in owner), None)
        if edited is None:
            lines = tuple(line_of(item) for item in person.tracks)
            entries.append(Entry(person.name, lines, is_held=False, spoken_s=person.spoken_s))
            continue
        also = tuple(line_of(item) for item in person.tracks if item not in edited.hold.tracks)
        entries.append(replace(edited.entry, name=person.name, also=also, spoken_s=person.spoken_s))
    for absent in (person for person in edits.held if not person.hold.tracks):
        # A number would now be somebody else's.
        name = absent.entry.given_name or f"formerly {absent.entry.name}"
        entries.append(replace(absent.entry, name=name, also=()))
    return entries


def one_per_person(entries: Sequence[Entry]) -> list[Entry]:
    """Entries of one name become one, with the lines of all."""
    by_name: dict[str, Entry] = {}
    for entry in entries:
        first = by_name.get(entry.name)
        if first is None:
            by_name[entry.name] = replace(entry, is_held=True)
        else:
            more = MappingProxyType({**entry.more, **first.more})
            by_name[entry.name] = replace(
                first, lines=(*first.lines, *entry.lines), also=(*first.also, *entry.also), more=more
            )
    return list(by_name.values())
