"""What joins faces into tracks, by boxes or by masks: one contract, and what masks can that boxes cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.speakers.painted import SIDE, WIDTH, Actor, PaintedSegmenter, Scene
from vidfleet.speakers.masks.followed import MOST
from vidfleet.speakers.masks.tracker import LEAD, WINDOW, MaskTracker
from vidfleet.speakers.masks.use import MaskUse
from vidfleet.speakers.tables import StageClock
from vidfleet.speakers.tracks import BoxTracker, FaceTracker, TrackRules

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidfleet.speakers.tracks import GrowingTrack

RULES = TrackRules()
RED, BLUE = (0, 0, 255), (255, 0, 0)


def by_boxes() -> FaceTracker:
    return BoxTracker(RULES, clock=StageClock())


def by_masks(when: str = "hard", segmenter: PaintedSegmenter | None = None) -> MaskTracker:
    return MaskTracker(RULES, segmenter or PaintedSegmenter(), when="always" if when == "always" else "hard",
                       clock=StageClock())  # fmt: skip


TRACKERS: dict[str, Callable[[], FaceTracker]] = {
    "boxes": by_boxes,
    "masks where hard": by_masks,
    "masks always": lambda: by_masks("always"),
}


@pytest.fixture(params=TRACKERS)
def tracker(request: pytest.FixtureRequest) -> FaceTracker:
    return TRACKERS[request.param]()


def follow(scene: Scene, frames: int, tracker: FaceTracker) -> list[GrowingTrack]:
    """The tracks of a scene, in order of appearance; every frame has to come out once, in order."""
    tracks: list[GrowingTrack] = []
    out: list[int] = []
    for looked in scene.looked(frames):
        for followed in tracker.push(looked):
            out.append(followed.looked.frame.index)
            assert all(track.start == out[-1] for track in followed.begun)
            tracks += followed.begun
    for followed in tracker.finish():
        out.append(followed.looked.frame.index)
        tracks += followed.begun
    assert out == list(range(frames))
    assert all(track.closed for track in tracks)
    assert [track.number for track in tracks] == list(range(len(tracks)))
    return tracks


def still(x: float, y: float = 60.0, during: range = range(10_000)) -> Callable[[int], tuple[float, float] | None]:
    return lambda frame: (x, y) if frame in during else None


def whose(track: GrowingTrack, scene: Scene, frame: int) -> int:
    """Which actor's box a track has in a frame."""
    box = track.boxes()[frame - track.start]
    distances = [np.abs(box - actor.box(frame)).sum() if actor.box(frame) else np.inf for actor in scene.actors]
    return int(np.argmin(distances))


# ---- the contract


def test_a_face_that_stays_is_one_track_from_its_first_frame_to_its_last(tracker: FaceTracker) -> None:
    (track,) = follow(Scene([Actor(RED, still(50, during=range(7, 64)))]), 90, tracker)
    assert (track.start, track.length, track.detections) == (7, 57, 57)
    np.testing.assert_allclose(track.boxes(), [[50, 60, 90, 100]] * 57)


def test_no_track_goes_over_a_cut(tracker: FaceTracker) -> None:
    tracks = follow(Scene([Actor(RED, still(50))], cuts=(0, 30, 31, 80)), 90, tracker)
    assert [(track.start, track.length) for track in tracks] == [(0, 30), (30, 1), (31, 49), (80, 10)]


def test_a_short_gap_is_filled_and_a_long_one_ends_the_track(tracker: FaceTracker) -> None:
    here = (*range(40), *range(50, 90), *range(130, 180))
    scene = Scene([Actor(RED, lambda frame: (50.0 + frame, 60.0) if frame in here else None)])
    tracks = follow(scene, 200, tracker)
    assert [(track.start, track.length) for track in tracks] == [(0, 90), (130, 50)]
    np.testing.assert_allclose(tracks[0].boxes()[:, 0], 50.0 + np.arange(90), atol=0.01)


def test_a_face_far_from_all_others_begins_a_track_of_its_own(tracker: FaceTracker) -> None:
    tracks = follow(Scene([Actor(RED, still(50)), Actor(BLUE, still(200, during=range(20, 50)))]), 70, tracker)
    assert [(track.start, track.length) for track in tracks] == [(0, 70), (20, 30)]


def test_a_blink_of_the_detector_is_no_track_that_is_kept(tracker: FaceTracker) -> None:
    tracks = follow(Scene([Actor(RED, still(50)), Actor(BLUE, still(200, during=range(20, 24)))]), 70, tracker)
    assert [track.qualifies(RULES) for track in tracks] == [True, False]


def test_a_film_without_a_face_has_no_track(tracker: FaceTracker) -> None:
    assert follow(Scene([]), 60, tracker) == []


def test_a_film_without_a_picture_has_none_either(tracker: FaceTracker) -> None:
    assert follow(Scene([]), 0, tracker) == []


# ---- what masks are for

CROSSING = Scene([
    Actor(RED, lambda frame: (20.0 + 3.5 * frame, 60.0)),
    Actor(BLUE, lambda frame: (240.0 - 3.5 * frame, 60.0)),  # in front
])  # fmt: skip
"""They walk through each other: the one behind is hidden for a while."""


def swaps(tracks: list[GrowingTrack], scene: Scene, frames: int) -> int:
    """How many of the actors' ends are on another track than their beginnings."""
    first = {whose(track, scene, 0): track for track in tracks if track.start == 0}
    return sum(
        track.last_seen < frames - 1 or whose(track, scene, frames - 1) != actor for actor, track in first.items()
    )


def test_two_faces_that_cross_in_front_of_each_other_keep_their_tracks_where_boxes_swap_them() -> None:
    assert swaps(follow(CROSSING, 62, by_boxes()), CROSSING, 62) == 2
    for when in ("hard", "always"):
        tracks = follow(CROSSING, 62, by_masks(when))
        assert swaps(tracks, CROSSING, 62) == 0
        assert [(track.start, track.length) for track in tracks] == [(0, 62), (0, 62)]
        for track, actor in zip(tracks, CROSSING.actors, strict=True):
            wanted = np.array([actor.box(frame) for frame in range(62)])
            assert np.abs(track.boxes() - wanted).max() < 0.15 * SIDE


def test_a_face_that_turns_away_for_a_second_keeps_its_track_and_its_place() -> None:
    away = range(40, 60)
    scene = Scene([Actor(RED, lambda frame: (60.0 + 2 * frame if frame < 50 else 160.0, 60.0), turned=away)])
    assert len(follow(scene, 100, by_boxes())) == 2
    (track,) = follow(scene, 100, by_masks())
    assert track.length == 100
    wanted = np.array([scene.actors[0].box(frame) for frame in range(100)])
    np.testing.assert_allclose(track.boxes(), wanted, atol=1)  # by its mask, not on a straight line


@pytest.mark.parametrize("missed", [0, 2, 3, 30])
def test_a_face_that_turns_away_keeps_its_track_however_few_frames_boxes_may_miss(missed: int) -> None:
    scene = Scene([Actor(RED, still(60), turned=range(40, 52))])
    tracker = MaskTracker(TrackRules(missed=missed), PaintedSegmenter(), when="hard", clock=StageClock())
    assert [track.length for track in follow(scene, 100, tracker)] == [100]


def test_a_face_behind_something_for_less_than_a_second_keeps_its_track() -> None:
    pillar = Actor((0, 200, 0), still(140, 60), turned=range(10_000))  # in front, and no face
    scene = Scene([Actor(RED, lambda frame: (20.0 + 3.2 * frame, 60.0)), pillar])
    assert len(follow(scene, 85, by_boxes())) == 2
    (track,) = follow(scene, 85, by_masks())
    assert track.length == 85


def test_masks_are_asked_only_around_a_doubt() -> None:
    segmenter = PaintedSegmenter()
    tracker = by_masks(segmenter=segmenter)
    quiet = Scene([
        Actor(RED, lambda frame: (20.0 + 2 * (frame - 400), 60.0) if frame >= 400 else (20.0, 60.0)),
        Actor(BLUE, lambda frame: (240.0 - 2 * (frame - 400), 60.0) if frame >= 400 else (240.0, 60.0)),
    ], cuts=(0, 200))  # fmt: skip
    follow(quiet, 510, tracker)
    assert tracker.mask_use == MaskUse(2, 1, sum(segmenter.pictures), {"break": 1, "meet": 1})
    assert 0 < sum(segmenter.pictures) <= 4 * WINDOW + LEAD


def test_a_calm_film_never_asks_for_masks() -> None:
    segmenter = PaintedSegmenter()
    scene = Scene(
        [Actor(RED, still(50)), Actor(BLUE, lambda frame: (150.0 + abs(frame % 100 - 50), 60.0 + frame / 10))]
    )
    tracker = by_masks(segmenter=segmenter)
    follow(scene, 300, tracker)
    assert (segmenter.pictures, tracker.mask_use) == ([], MaskUse(1, 0, 0, {}))


def test_who_leaves_the_picture_is_no_doubt() -> None:
    segmenter = PaintedSegmenter()
    leaving = Scene([Actor(RED, lambda frame: (WIDTH - SIDE - 80 + 2.0 * frame, 60.0))])
    follow(leaving, 120, by_masks(segmenter=segmenter))
    assert segmenter.pictures == []


def test_of_a_crowd_the_largest_faces_are_followed_by_masks_and_all_have_tracks() -> None:
    segmenter = PaintedSegmenter()
    crowd = [Actor((10 * n, 255, 0), still(5 + 44.0 * (n % 7), 5 + 44.0 * (n // 7))) for n in range(20)]
    tracks = follow(Scene(crowd), 40, by_masks("always", segmenter))
    assert [(track.start, track.length) for track in tracks] == [(0, 40)] * 20
    assert segmenter.most == MOST


def test_with_always_every_frame_with_a_face_is_asked() -> None:
    segmenter = PaintedSegmenter()
    tracker = by_masks("always", segmenter)
    follow(Scene([Actor(RED, still(50))], cuts=(0, 50)), 100, tracker)
    assert tracker.mask_use == MaskUse(2, 2, 100, {})
    assert segmenter.pictures == [47, 47]  # a face is an object once it was seen three times
