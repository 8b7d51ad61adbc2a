"""Tracks become persons by their faces: one name for each, never two faces of one picture, the same every time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from vidfleet.speakers.data import FaceVector, Person, Scores
from vidfleet.speakers.identity.cluster import Hold, join, persons_of, spoken_s
from vidfleet.speakers.identity.groups import ONE_GROUP, read_groups, write_groups

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NO_BOXES = np.zeros((0, 4))


@dataclass(frozen=True)
class Trail:
    start: int
    end: int
    boxes: NDArray[np.float64]


def one_by_one(count: int) -> list[Trail]:
    """Tracks that follow each other."""
    return [Trail(100 * i, 100 * i + 50, NO_BOXES) for i in range(count)]


def faces(*angles: float | None) -> list[FaceVector]:
    """Vectors in a plane; those of 60 degrees and less apart have a cosine of a half and more."""
    return [
        FaceVector(i, np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))], np.float32), 4)
        for i, angle in enumerate(angles)
        if angle is not None
    ]


def sort(
    trails: Sequence[Trail], vectors: Sequence[FaceVector], *spoken: float, holds: Sequence[Hold] = ()
) -> tuple[Person, ...]:
    return persons_of(trails, vectors, spoken=spoken or [1.0] * len(trails), joins_at=0.5, holds=holds)


def groups(persons: Sequence[Person]) -> set[tuple[int, ...]]:
    return {person.tracks for person in persons}


def test_like_faces_are_one_person_and_others_are_not() -> None:
    assert groups(sort(one_by_one(5), faces(0, 120, 10, 130, 240))) == {(0, 2), (1, 3), (4,)}


def test_two_faces_of_one_picture_are_never_one_person() -> None:
    trails = [Trail(0, 50, NO_BOXES), Trail(49, 90, NO_BOXES), Trail(90, 120, NO_BOXES)]
    found = groups(sort(trails, faces(0, 1, 2)))
    assert found == {(0,), (1, 2)}, "the likest are joined, and they cannot be joined with the first"
    apart = [Trail(0, 49, NO_BOXES), *trails[1:]]
    assert groups(sort(apart, faces(0, 1, 2))) == {(0, 1, 2)}


def test_who_speaks_most_is_person_1_then_who_appears_first() -> None:
    persons = sort(one_by_one(4), faces(0, 90, 180, 270), 1.0, 3.0, 0.0, 0.0)
    assert [(person.name, person.tracks, person.spoken_s) for person in persons] == [
        ("Person_1", (1,), 3.0),
        ("Person_2", (0,), 1.0),
        ("Person_3", (2,), 0.0),
        ("Person_4", (3,), 0.0),
    ]


def test_a_face_never_well_seen_is_a_person_only_if_it_speaks() -> None:
    persons = sort(one_by_one(3), faces(0, None, None), 0.0, 2.0, 0.0)
    assert [person.tracks for person in persons] == [(1,), (0,)]


def test_without_any_vector_each_speaking_track_is_a_person() -> None:
    assert groups(sort(one_by_one(3), [], 1.0, 2.0, 0.0)) == {(0,), (1,)}
    assert sort([], []) == ()


def test_the_result_is_that_of_joining_the_likest_two_again_and_again() -> None:
    for seed in range(8):
        random = np.random.default_rng(seed)
        people = random.normal(size=(5, 6))
        raw = people[random.integers(0, 5, 24)] + random.normal(size=(24, 6)) * 0.7
        unit = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
        vectors = [FaceVector(i, vector, int(random.integers(1, 9))) for i, vector in enumerate(unit)]
        starts = random.integers(0, 2000, 24)
        trails = [Trail(int(start), int(start) + 60, NO_BOXES) for start in starts]
        assert groups(sort(trails, vectors)) == textbook(trails, vectors)


def textbook(trails: Sequence[Trail], vectors: Sequence[FaceVector]) -> set[tuple[int, ...]]:
    """Average linkage as it is defined, over all pairs of views."""
    sets = [[i] for i in range(len(vectors))]

    def likeness(one: list[int], other: list[int]) -> float:
        if any(trails[a].start < trails[b].end and trails[b].start < trails[a].end for a in one for b in other):
            return -2.0
        weights = [vectors[a].views * vectors[b].views for a in one for b in other]
        cosines = [float(vectors[a].vector @ vectors[b].vector) for a in one for b in other]
        return float(np.average(cosines, weights=weights))

    while len(sets) > 1:
        one, other = max(itertools.combinations(sets, 2), key=lambda pair: likeness(*pair))
        if likeness(one, other) < 0.5:
            break
        sets = [part for part in sets if part not in (one, other)] + [sorted(one + other)]
    return {tuple(part) for part in sets}


def test_equal_faces_come_to_an_end_and_always_to_the_same() -> None:
    vectors = faces(*[15.0] * 40)
    assert groups(sort(one_by_one(40), vectors)) == {tuple(range(40))}
    crowd = [Trail(100 * (i // 2), 100 * (i // 2) + 50, NO_BOXES) for i in range(40)]
    first = sort(crowd, vectors)
    assert sorted(len(person.tracks) for person in first) == [20, 20]
    assert first == sort(crowd, vectors)


def test_what_people_hold_together_is_one_person_whatever_it_looks_like() -> None:
    trails = [Trail(0, 50, NO_BOXES), Trail(0, 50, NO_BOXES), *one_by_one(4)[1:]]
    holds = [Hold("Roz", (0, 3)), Hold("", (1,))]
    persons = sort(trails, faces(0, 0, 5, 90, 270), holds=holds)
    assert {person.name: person.tracks for person in persons} == {"Roz": (0, 3), "Person_2": (1, 2), "Person_3": (4,)}


def test_holds_stay_apart_from_each_other_even_if_alike() -> None:
    holds = [Hold("Roz", (0,)), Hold("Daphne", (1,))]
    persons = sort(one_by_one(3), faces(0, 1, 30), holds=holds)
    assert {person.name: person.tracks for person in persons} == {"Roz": (0,), "Daphne": (1, 2)}


def test_hands_win_over_two_faces_of_one_picture() -> None:
    trails = [Trail(0, 50, NO_BOXES), Trail(0, 50, NO_BOXES)]
    assert groups(sort(trails, faces(0, 90), holds=[Hold("in the mirror", (0, 1))])) == {(0, 1)}


def test_a_given_name_moves_nobody_elses_number() -> None:
    plain = sort(one_by_one(3), faces(0, 120, 240), 1.0, 2.0, 3.0)
    named = sort(one_by_one(3), faces(0, 120, 240), 1.0, 2.0, 3.0, holds=[Hold("Roz", (1,))])
    assert [person.name for person in plain] == ["Person_1", "Person_2", "Person_3"]
    assert [person.name for person in named] == ["Person_1", "Roz", "Person_3"]


def test_memory_grows_with_the_number_of_tracks_and_not_its_square() -> None:
    import tracemalloc

    random = np.random.default_rng(0)
    raw = np.repeat(random.normal(size=(40, 48)), 100, axis=0) + random.normal(size=(4000, 48)) * 0.3
    sums = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    tracemalloc.start()
    labels = join(sums, np.ones(len(sums)), joins_at=0.5, apart=np.zeros((0, 2), np.int64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(set(labels.tolist())) == 40
    assert peak < 50e6, "a matrix of all pairs would take 64 MB"


def test_groups_come_back_without_what_the_faces_look_like(tmp_path: Path) -> None:
    for count in (3, 2000):
        raw = np.random.default_rng(0).normal(size=(count, 64)).astype(np.float32)
        unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        vectors = [FaceVector(i, unit[i % count], 3) for i in range(2 * count)]
        trails = one_by_one(2 * count)
        write_groups(tmp_path / "groups.json", trails, vectors, joins_at=0.8)
        kept = read_groups(tmp_path / "groups.json", tracks=len(trails))
        assert max(len(vector.vector) for vector in kept) <= 512
        spoken = [1.0] * len(trails)
        found = persons_of(trails, kept, spoken=spoken, joins_at=ONE_GROUP)
        assert groups(found) == {(i, i + count) for i in range(count)}


def test_speaking_time_is_that_above_zero() -> None:
    assert spoken_s(Scores(np.array([0.1, 0.0, -2.0] + [1.0] * 24))) == pytest.approx(1.0)
