"""What people edit in people.json holds, also when a new run cuts tracks otherwise, and is never lost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vidfleet.speakers.data import FaceVector
from vidfleet.speakers.identity.held import Identified, identify
from vidfleet.speakers.identity.people_file import MOST_BYTES, read_people
from vidfleet.speakers.identity.places import Finder, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Trail:
    """A face that stays where it is."""

    start: int
    end: int
    x: float = 100.0

    @property
    def boxes(self) -> NDArray[np.float64]:
        return np.tile([self.x - 30, 60.0, self.x + 30, 140.0], (self.end - self.start, 1))


RED, GREEN, BLUE = (np.eye(3, dtype=np.float32)[i] for i in range(3))
FILM = (Trail(0, 100), Trail(100, 240), Trail(240, 300), Trail(300, 340))
LOOKS = (RED, GREEN, RED, BLUE)
SPOKEN = (4.0, 1.0, 3.0, 0.5)


def run(
    path: Path,
    trails: Sequence[Trail] = FILM,
    looks: Sequence[NDArray[np.float32]] = LOOKS,
    spoken: Sequence[float] = SPOKEN,
) -> Identified:
    vectors = [FaceVector(i, look, 5) for i, look in enumerate(looks)]
    return identify(path, trails, vectors, spoken=spoken, joins_at=0.5)


def who(found: Identified) -> dict[str, tuple[int, ...]]:
    return {person.name: person.tracks for person in found.persons}


def load(path: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return plain


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where people.json of a processed film lies."""
    run(tmp_path / "people.json")
    return tmp_path / "people.json"


def edit(path: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    plain = load(path)
    change(plain["persons"])
    path.write_text(json.dumps(plain, indent=4), "utf-8")


def test_the_file_says_who_is_seen_when_and_where(path: Path) -> None:
    first, *others = load(path)["persons"]
    assert first["name"] == "Person_1"
    assert first["spoken_s"] == 7.0
    assert first["tracks"] == [
        "0:00:00.00-0:00:04.00 at 100,100 100,100 100,100",
        "0:00:09.60-0:00:12.00 at 100,100 100,100 100,100",
    ]
    assert [(person["name"], person["tracks"]) for person in others] == [
        ("Person_2", ["0:00:04.00-0:00:09.60 at 100,100 100,100 100,100"]),
        ("Person_3", ["0:00:12.00-0:00:13.60 at 100,100"]),
    ]


def test_a_run_that_finds_the_same_leaves_the_file_alone(path: Path) -> None:
    before = path.stat()
    run(path)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino
    assert [entry.name for entry in path.parent.iterdir()] == ["people.json"]


def test_persons_that_nobody_touched_are_found_anew(path: Path) -> None:
    found = run(path, looks=(RED, RED, GREEN, GREEN))
    assert who(found) == {"Person_1": (0, 1), "Person_2": (2, 3)}
    assert len(load(path)["persons"]) == 2


def test_a_given_name_stays_with_its_face_when_another_speaks_most(path: Path) -> None:
    edit(path, lambda persons: persons[1].update(name="Daphne"))
    assert who(run(path)) == {"Person_1": (0, 2), "Daphne": (1,), "Person_3": (3,)}
    assert who(run(path, spoken=(1.0, 9.0, 1.0, 1.0))) == {"Daphne": (1,), "Person_2": (0, 2), "Person_3": (3,)}


def test_a_given_name_finds_its_face_when_tracks_are_cut_otherwise(path: Path) -> None:
    edit(path, lambda persons: persons[1].update(name="Daphne"))
    trails = (Trail(0, 20), Trail(30, 99), Trail(102, 150), Trail(160, 238), Trail(241, 290))
    found = run(path, trails, (RED, RED, GREEN, GREEN, RED), (1.0,) * 5)
    assert who(found) == {"Person_1": (0, 1, 4), "Daphne": (2, 3)}


def test_of_two_faces_at_one_time_the_place_decides(tmp_path: Path) -> None:
    film = (Trail(0, 100, x=100), Trail(0, 100, x=500))
    run(tmp_path / "people.json", film, (RED, RED), (2.0, 1.0))
    edit(tmp_path / "people.json", lambda persons: persons[1].update(name="right"))
    swapped = (film[1], film[0])
    assert who(run(tmp_path / "people.json", swapped, (RED, RED), (1.0, 2.0)))["right"] == (0,)


def test_persons_of_one_name_become_one_and_stay_one(path: Path) -> None:
    def same_name(persons: list[dict[str, Any]]) -> None:
        persons[0]["name"] = persons[2]["name"] = "Frasier"

    edit(path, same_name)
    for _ in range(3):
        assert who(run(path)) == {"Frasier": (0, 2, 3), "Person_2": (1,)}
    assert len(load(path)["persons"]) == 2


def test_a_number_that_is_given_twice_makes_one_person_too(path: Path) -> None:
    edit(path, lambda persons: persons[2].update(name="Person_1"))
    for _ in range(3):
        assert who(run(path)) == {"Person_1": (0, 2, 3), "Person_2": (1,)}


def test_a_line_that_was_moved_stays_where_it_was_put(path: Path) -> None:
    edit(path, lambda persons: persons[1]["tracks"].append(persons[0]["tracks"].pop()))
    for _ in range(3):
        assert who(run(path)) == {"Person_1": (0,), "Person_2": (1, 2), "Person_3": (3,)}


def test_a_person_that_was_split_off_stays_apart_though_the_faces_are_alike(path: Path) -> None:
    edit(path, lambda persons: persons.append({"name": "her twin", "tracks": [persons[0]["tracks"].pop()]}))
    for _ in range(2):
        assert who(run(path)) == {"Person_1": (0,), "her twin": (2,), "Person_3": (1,), "Person_4": (3,)}


def test_a_face_is_named_by_a_time_and_a_point_alone(path: Path) -> None:
    edit(path, lambda persons: persons.append({"name": "Eddie", "tracks": ["13 at 90,110"]}))
    assert who(run(path))["Eddie"] == (3,)


def test_edits_are_kept_word_for_word_beside_what_is_found(path: Path) -> None:
    def change(persons: list[dict[str, Any]]) -> None:
        persons[0] |= {"name": "Frasier", "note": "ask Kelsey", "tracks": ["  0:01 at 100 , 100"]}

    edit(path, change)
    found = run(path)
    assert who(found)["Frasier"] == (0, 2)
    frasier = load(path)["persons"][0]
    assert frasier["tracks"] == ["  0:01 at 100 , 100"]
    assert frasier["also"] == ["0:00:09.60-0:00:12.00 at 100,100 100,100 100,100"]
    assert frasier["note"] == "ask Kelsey"
    before = path.read_bytes()
    run(path)
    assert path.read_bytes() == before


def test_a_place_where_nobody_is_found_now_is_kept_and_said(path: Path) -> None:
    edit(path, lambda persons: persons[2].update(name="Bebe"))
    found = run(path, FILM[:3], LOOKS[:3], SPOKEN[:3])
    assert "Bebe" not in who(found)
    assert any("at 1 of the places" in notice for notice in found.notices)
    assert who(run(path))["Bebe"] == (3,), "and is there again when the face is"


def test_an_edited_number_that_is_not_found_takes_nobody_elses(path: Path) -> None:
    def change(persons: list[dict[str, Any]]) -> None:
        persons[0]["tracks"] = ["0:59:00 at 1,1"]

    edit(path, change)
    run(path)
    names = [person["name"] for person in load(path)["persons"]]
    assert len(set(names)) == len(names)
    assert "formerly Person_1" in names


DAMAGED: dict[str, str | bytes] = {
    "no JSON": '{"persons": [,]}',
    "a comma too many": '{"persons": [{"name": "A", "tracks": [],}]}',
    "not UTF-8": b"\xff\xfe{}",
    "half a character": '{"persons": [{"name": "A", "tracks": ["\\ud800"]}]}',
    "no object": "[]",
    "no list": '{"persons": {}}',
    "another schema": '{"schema": 2, "persons": []}',
    "a number that is none": '{"persons": [{"name": "A", "tracks": [], "spoken_s": NaN}]}',
    "too deep": "[" * 100_000,
    "a person that is none": '{"persons": ["Frasier"]}',
    "no name": '{"persons": [{"tracks": []}]}',
    "an empty name": '{"persons": [{"name": "  ", "tracks": []}]}',
    "a name for nobody": '{"persons": [{"name": "None", "tracks": []}]}',
    "a name of two lines": '{"persons": [{"name": "A\\nB", "tracks": []}]}',
    "an endless name": json.dumps({"persons": [{"name": "A" * 1000, "tracks": []}]}),
    "tracks that are none": '{"persons": [{"name": "A", "tracks": "0:01 at 1,1"}]}',
    "a line that is a number": '{"persons": [{"name": "A", "tracks": [7]}]}',
    "a line that is no place": '{"persons": [{"name": "A", "tracks": ["Tuesday at 9"]}]}',
    "an end before its begin": '{"persons": [{"name": "A", "tracks": ["0:02-0:01 at 1,1"]}]}',
    "a line of two": '{"persons": [{"name": "A", "tracks": ["1 at 1,1"]}, {"name": "B", "tracks": ["1 at 1,1"]}]}',
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_file_with_a_fault_is_named_and_never_written_over(what: str, path: Path) -> None:
    text = DAMAGED[what]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = path.read_bytes()
    found = run(path)
    assert len(found.persons) >= 3
    assert any("people.json" in notice and "kept as it is" in notice for notice in found.notices)
    assert path.read_bytes() == before


def test_what_can_be_read_beside_a_fault_holds(path: Path) -> None:
    edit(path, lambda persons: persons[1].update(name="Daphne"))
    edit(path, lambda persons: persons.append({"tracks": "?"}))
    assert who(run(path))["Daphne"] == (1,)


def test_a_huge_file_is_not_read(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    assert "MiB" in read_people(path).problems[0]


def test_a_number_beyond_all_bounds_does_no_harm(path: Path) -> None:
    edit(path, lambda persons: persons[0].update(spoken_s=10**400))
    assert not read_people(path).problems


def test_editors_that_write_a_mark_first_are_understood(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert not read_people(path).problems


def test_any_place_reads_as_it_was_written() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        start, length = (int(number) for number in random.integers(0, 500_000, 2))
        trail = Trail(start, start + 1 + length % 4000, x=float(random.uniform(-50, 4000)))
        place = Place.of(trail)
        assert Place.parse(str(place)) == place
        assert Finder([trail]).find(place) == (0,)


@pytest.mark.parametrize(
    ("text", "frames", "points"),
    [
        ("13 at 90,110", (325, 326), ((90.0, 110.0),)),
        ("1:30.4 at 1.5,-2", (2260, 2261), ((1.5, -2.0),)),
        ("1:00:00 - 1:00:01 at 1,2 3,4", (90_000, 90_025), ((1.0, 2.0), (3.0, 4.0))),
    ],
)
def test_places_are_easy_to_write_by_hand(
    text: str, frames: tuple[int, int], points: tuple[tuple[float, float], ...]
) -> None:
    assert Place.parse(text) == Place(*frames, points)


@pytest.mark.parametrize(
    "text", ["", "at 1,2", "1:2:3:4 at 1,2", "1 at 1", "1 at 1,2,3", "1 at 1,2 at 3,4", "٣ at 1,2"]
)
def test_what_is_no_place_is_none(text: str) -> None:
    assert Place.parse(text) is None
