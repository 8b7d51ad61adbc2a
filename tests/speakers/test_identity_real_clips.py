"""On real clips: the same person after a cut is one person, and two who sit side by side are two."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from vidfleet.speakers.faces import YuNet
from vidfleet.speakers.identity.cluster import persons_of
from vidfleet.speakers.identity.embed import MobileFaceNet
from vidfleet.speakers.identity.gallery import TrackGallery
from vidfleet.speakers.media import VideoSource
from vidfleet.speakers.tracks import GrowingTrack, Tracker, TrackRules
from vidfleet.speakers.weights import find_weight

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Trail:
    start: int
    end: int
    boxes: NDArray[np.float64]


def persons_in(clip: Path, weights: Path, *, pieces: tuple[tuple[int, int], ...]) -> list[tuple[tuple[int, int], ...]]:
    """For each person its tracks as (first frame, whether in the left half), in some pieces of a clip."""
    paths = [find_weight(name, folder=weights) for name in ("yunet", "mobilefacenet")]
    if paths[0] is None or paths[1] is None:
        pytest.skip("the weights are not here")
    yunet, embedder = YuNet(paths[0]), MobileFaceNet(paths[1])
    source = VideoSource.open(clip)
    tracker = Tracker(TrackRules())
    seen: list[tuple[GrowingTrack, TrackGallery]] = []
    for frame in source.frames():
        if not any(start <= frame.index < end for start, end in pieces):
            continue
        faces = yunet.find(frame, pixel_aspect=source.info.pixel_aspect)
        starts_shot = frame.index in [start for start, _ in pieces]
        for track in tracker.push(frame.index, faces, starts_shot=starts_shot):
            seen.append((track, TrackGallery(track.number, track.start, pixel_aspect=source.info.pixel_aspect)))
        for track, gallery in seen:
            for face in faces:
                if track.last_seen == frame.index and face.box == pytest.approx(track.last_box, abs=1e-3):
                    gallery.take(frame, face)
    kept = [(track, gallery) for track, gallery in seen if track.qualifies(TrackRules())]
    trails = [Trail(track.start, track.start + track.length, track.boxes()) for track, _ in kept]
    found = [gallery.vector(embedder) for _, gallery in kept]
    vectors = [replace(vector, track=index) for index, vector in enumerate(found) if vector is not None]
    persons = persons_of(trails, vectors, spoken=[1.0] * len(trails), joins_at=embedder.joins_at)
    width = source.info.width
    return [
        tuple((trails[track].start, int(trails[track].boxes[0, 0] < width / 2)) for track in person.tracks)
        for person in persons
    ]


def test_who_speaks_before_a_cut_and_after_it_is_one_person(media: Path, weights: Path) -> None:
    persons = persons_in(media / "grid_2people_turns_cut.mp4", weights, pieces=((0, 25), (150, 175)))
    tracks_of = sorted(len(person) for person in persons)
    assert tracks_of == [1, 2]
    (twice,) = (person for person in persons if len(person) == 2)
    assert (0, 1) in twice, "the man on the left is the one who is seen after the cut"


def test_two_who_sit_side_by_side_are_each_themselves_seconds_later(media: Path, weights: Path) -> None:
    persons = persons_in(media / "visualvoice_interview.mp4", weights, pieces=((0, 30), (300, 330)))
    assert sorted(persons) == [((0, 0), (300, 0)), ((0, 1), (300, 1))]
