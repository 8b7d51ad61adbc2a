"""Faces become tracks: joined by overlap, across short gaps, never across a cut."""

from __future__ import annotations

import numpy as np
import pytest

from vidfleet.speakers.boxes import overlap
from vidfleet.speakers.data import Face
from vidfleet.speakers.tracks import GrowingTrack, Tracker, TrackRules


def face(frame: int, x: float, y: float = 100.0, side: float = 50.0) -> Face:
    return Face(frame=frame, box=(x, y, x + side, y + side), confidence=0.9)


def follow(
    seen: dict[int, list[Face]], *, frames: int, rules: TrackRules | None = None, cuts: tuple[int, ...] = ()
) -> list[GrowingTrack]:
    """All tracks of a film of so many frames, kept or not, in order of appearance."""
    tracker = Tracker(rules or TrackRules())
    tracks: list[GrowingTrack] = []
    for frame in range(frames):
        tracks += tracker.push(frame, seen.get(frame, []), starts_shot=frame in cuts)
    tracker.close()
    return tracks


def standing(frames: range, x: float = 0.0) -> dict[int, list[Face]]:
    return {frame: [face(frame, x)] for frame in frames}


def test_one_face_is_one_track() -> None:
    (track,) = follow(standing(range(3, 20)), frames=30)
    assert (track.start, track.length, track.detections, track.closed) == (3, 17, 17, True)
    assert track.qualifies(TrackRules())


def test_a_moving_face_stays_one_track() -> None:
    seen = {frame: [face(frame, 5.0 * frame)] for frame in range(40)}
    (track,) = follow(seen, frames=40)
    np.testing.assert_allclose(track.boxes()[:, 0], 5.0 * np.arange(40))


def test_two_faces_that_cross_keep_their_tracks() -> None:
    # They pass each other in different rows; a greedy match by order of detection would swap them.
    seen = {frame: [face(frame, 4.0 * frame, y=100), face(frame, 160 - 4.0 * frame, y=120)] for frame in range(41)}
    for frame in range(15, 25):
        seen[frame].reverse()
    first, second = follow(seen, frames=41)
    assert (first.length, second.length) == (41, 41)
    np.testing.assert_allclose(first.boxes()[:, 1], 100)
    np.testing.assert_allclose(second.boxes()[:, 1], 120)


def test_the_match_is_best_for_all_faces_together() -> None:
    # The first face overlaps the left track best, but only it can continue the right one's neighbour.
    tracker = Tracker(TrackRules(overlap=0.1))
    left, right = tracker.push(0, [face(0, 0), face(0, 30)])
    tracker.push(1, [face(1, 12), face(1, -14)])
    assert right.last_box[0] == 12
    assert left.last_box[0] == -14


@pytest.mark.parametrize(("missed", "tracks"), [(1, 1), (10, 1), (11, 2)])
def test_ten_missed_frames_are_bridged_and_eleven_are_not(missed: int, tracks: int) -> None:
    seen = standing(range(20)) | standing(range(20 + missed, 40 + missed))
    found = follow(seen, frames=60)
    assert len(found) == tracks
    assert found[0].length == (40 + missed if tracks == 1 else 20)


def test_gaps_are_filled_linearly() -> None:
    seen = {0: [face(0, 0.0)], 4: [face(4, 8.0)]}
    (track,) = follow(seen, frames=5)
    np.testing.assert_allclose(track.boxes()[:, 0], [0, 2, 4, 6, 8])
    assert track.detections == 2


def test_a_track_ends_where_it_was_last_seen() -> None:
    (track,) = follow(standing(range(15)), frames=40)
    assert track.last_seen == 14
    assert track.closed


@pytest.mark.parametrize(("detections", "kept"), [(10, False), (11, True)])
def test_a_track_needs_more_than_ten_detections(detections: int, kept: bool) -> None:
    (track,) = follow(standing(range(detections)), frames=30)
    assert track.qualifies(TrackRules()) is kept


def test_filled_frames_are_no_detections() -> None:
    seen = {frame: [face(frame, 0)] for frame in range(0, 20, 2)}
    (track,) = follow(seen, frames=30)
    assert (track.length, track.detections) == (19, 10)
    assert not track.qualifies(TrackRules())


def test_tracks_end_with_their_shot() -> None:
    first, second = follow(standing(range(50)), frames=50, cuts=(25,))
    assert (first.start, first.length) == (0, 25)
    assert (second.start, second.length) == (25, 25)


def test_a_gap_is_not_bridged_across_a_cut() -> None:
    first, second = follow(standing(range(20)) | standing(range(24, 40)), frames=40, cuts=(22,))
    assert (first.last_seen, second.start) == (19, 24)


def test_small_faces_can_be_left_out() -> None:
    (track,) = follow(standing(range(20)), frames=20)
    assert track.qualifies(TrackRules(side=49.9))
    assert not track.qualifies(TrackRules(side=50.0))


def test_half_an_overlap_is_not_enough() -> None:
    # 50 wide, moved by x: the overlap is (50-x)/(50+x), one half at 50/3.
    assert len(follow({0: [face(0, 0)], 1: [face(1, 17)]}, frames=2)) == 2
    assert len(follow({0: [face(0, 0)], 1: [face(1, 16)]}, frames=2)) == 1


def test_overlap_of_boxes() -> None:
    first = np.array([[0.0, 0, 10, 10]])
    second = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]])
    np.testing.assert_allclose(overlap(first, second), [[1, 1 / 3, 0, 0]])
