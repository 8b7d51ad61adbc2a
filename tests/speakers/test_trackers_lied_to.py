"""Trackers on scenes that nobody thought of, with masks that are right and with masks that are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.speakers.painted import HEIGHT, SIDE, WIDTH, Actor, PaintedSegmentation, PaintedSegmenter, Scene
from vidfleet.speakers.boxes import Box
from vidfleet.speakers.data import Face
from vidfleet.speakers.looked import Looked
from vidfleet.speakers.masks.segmenter import ObjectMask
from vidfleet.speakers.masks.tracker import WINDOW, MaskTracker
from vidfleet.speakers.tables import StageClock
from vidfleet.speakers.tracks import BoxTracker, FaceTracker, TrackRules

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from vidfleet.speakers.tracks import GrowingTrack

FRAMES = 110
RULES = TrackRules()
COLOURS = [(0, 0, 255), (255, 0, 0), (0, 255, 0), (0, 255, 255), (255, 0, 255)]


@dataclass(frozen=True)
class Film:
    """A random scene, as a detector with faults sees it."""

    looked: Sequence[Looked]
    whose: Mapping[tuple[int, Box], int]
    """The actor of a detected face."""


def film(seed: int) -> Film:
    """Up to five faces that walk, stand, turn back, turn away and leave, in up to three shots, some frames repeated."""
    rng = np.random.default_rng(seed)
    actors = [Actor(colour, _way(rng), _away(rng)) for colour in COLOURS[: rng.integers(1, 6)]]
    scene = Scene(actors, cuts={0, *rng.integers(1, FRAMES, rng.integers(0, 3)).tolist()})
    looked: list[Looked] = []
    whose: dict[tuple[int, Box], int] = {}
    repeats = 25 if rng.random() < 0.3 else FRAMES + 1
    for now in scene.looked(FRAMES):
        frame = now.frame.index
        if frame % repeats == repeats - 1 and not now.starts_shot:
            before = looked[-1]
            again = tuple(replace(face, frame=frame) for face in before.faces)
            grid = replace(before.frame, index=frame, is_repeat=True)
            now = replace(before, frame=grid, starts_shot=False, faces=again)
            whose |= {(frame, face.box): whose[frame - 1, face.box] for face in again}
        else:
            faces = []
            for face in now.faces:
                actor = next(n for n, actor in enumerate(actors) if actor.box(frame) == face.box)
                if rng.random() < 0.97:
                    box = tuple((np.array(face.box) + rng.normal(0, 0.4, 4)).tolist())
                    faces.append(replace(face, box=box))
                    whose[frame, box] = actor
            if rng.random() < 0.05:  # what is none, with an edge or two outside of the picture, or no area
                x, y = rng.uniform(-60, WIDTH + 60), rng.uniform(-60, HEIGHT + 60)
                box = (x, y, x + rng.integers(0, 2) * 30.0, y + rng.integers(0, 2) * 30.0)
                faces.append(Face(frame, box, 0.6))
                whose[frame, box] = -1
            rng.shuffle(faces)
            now = replace(now, faces=tuple(faces))
        looked.append(now)
    return Film(looked, whose)


def _way(rng: np.random.Generator) -> Callable[[int], tuple[float, float] | None]:
    x, y, speed, rise = (
        rng.uniform(-20, WIDTH - 20),
        rng.uniform(0, HEIGHT - SIDE),
        rng.normal(0, 3),
        rng.normal(0, 0.4),
    )
    if rng.random() < 0.6:
        y = HEIGHT / 3 + rng.normal(0, 5)  # so that they meet
    back = rng.integers(20, 3 * FRAMES)
    first = rng.integers(0, 40) if rng.random() < 0.3 else 0

    def at(frame: int) -> tuple[float, float] | None:
        gone = frame if frame < back else 2 * back - frame
        place = (x + speed * gone, y + rise * gone)
        is_in = -SIDE / 5 < place[0] < WIDTH - 0.8 * SIDE and -SIDE / 5 < place[1] < HEIGHT - 0.8 * SIDE
        return (float(place[0]), float(place[1])) if is_in and frame >= first else None

    return at


def _away(rng: np.random.Generator) -> range:
    first = int(rng.integers(10, FRAMES))
    return range(first, first + int(rng.integers(2, 40))) if rng.random() < 0.4 else range(0)


Masks = dict[int, ObjectMask]


def by_masks(
    lie: Callable[[int, Masks], Masks] | None = None, when: str = "hard", rules: TrackRules = RULES
) -> MaskTracker:
    segmenter = Liar(lie) if lie else PaintedSegmenter()
    return MaskTracker(rules, segmenter, when="always" if when == "always" else "hard", clock=StageClock())


class Liar(PaintedSegmenter):
    """Says what ``lie`` makes of the truth."""

    def __init__(self, lie: Callable[[int, Masks], Masks]) -> None:
        super().__init__()
        self.lie = lie

    def begin(self) -> LyingSegmentation:
        self.pictures.append(0)
        return LyingSegmentation(self)


class LyingSegmentation(PaintedSegmentation):
    def push(self, picture: NDArray[np.uint8], prompts: Mapping[int, Box]) -> Masks:
        lie, count = self._segmenter.lie, self._segmenter.pictures[-1]  # type: ignore[attr-defined]
        said: Masks = lie(count, super().push(picture, prompts))
        return said


def follow(film: Film, tracker: FaceTracker) -> list[GrowingTrack]:
    """The tracks of a film. Whatever the masks say: every frame comes out once, in order, soon; each detected face is
    in one track; and no track goes over a cut, or has a box that is none."""
    tracks: list[GrowingTrack] = []
    out: list[int] = []
    for looked in film.looked:
        for followed in tracker.push(looked):
            out.append(followed.looked.frame.index)
            assert all(track.start == out[-1] for track in followed.begun)
            tracks += followed.begun
        assert looked.frame.index - (out[-1] if out else -1) < WINDOW
    for followed in tracker.finish():
        out.append(followed.looked.frame.index)
        tracks += followed.begun
    assert out == list(range(len(film.looked)))
    assert all(track.closed for track in tracks)
    assert [track.number for track in tracks] == list(range(len(tracks)))
    in_tracks = Counter(
        (track.start + at, tuple(box)) for track in tracks for at, box in enumerate(track.boxes().tolist())
    )
    assert {face: in_tracks[face] for face in film.whose} == dict.fromkeys(film.whose, 1)
    assert all(np.isfinite(track.boxes()).all() for track in tracks)
    cuts = [looked.frame.index for looked in film.looked if looked.starts_shot]
    assert not any(track.start < cut <= track.last_seen for track in tracks for cut in cuts)
    return tracks


def seen(track: GrowingTrack, film: Film) -> list[int]:
    """Whose faces were detected in a track, one after the other; what is no face is left out."""
    boxes = enumerate(track.boxes().tolist(), start=track.start)
    return [who for frame, box in boxes if (who := film.whose.get((frame, tuple(box)), -1)) >= 0]


def switches(tracks: Sequence[GrowingTrack], film: Film) -> int:
    """How often a track goes from one actor to another."""
    return sum(int(np.count_nonzero(np.diff(seen(track, film)))) for track in tracks)


def kept(tracks: Sequence[GrowingTrack], film: Film) -> int:
    """How many detections are in tracks that are kept."""
    return sum(len(seen(track, film)) for track in tracks if track.qualifies(RULES))


FILMS = [film(seed) for seed in range(7)]


@pytest.fixture(scope="module")
def by_boxes() -> list[list[GrowingTrack]]:
    return [follow(film, BoxTracker(RULES, clock=StageClock())) for film in FILMS]


@pytest.mark.parametrize("when", ["hard", "always"])
def test_masks_that_are_right_bring_no_more_switches_than_boxes_and_no_fewer_faces(
    by_boxes: list[list[GrowingTrack]], when: str
) -> None:
    masks = [follow(film, by_masks(when=when)) for film in FILMS]
    for film, ours, theirs in zip(FILMS, masks, by_boxes, strict=True):
        assert switches(ours, film) <= switches(theirs, film)
    assert sum(map(kept, masks, FILMS)) >= sum(map(kept, by_boxes, FILMS))


def each(lie: Callable[[ObjectMask], ObjectMask]) -> Callable[[int, Masks], Masks]:
    return lambda _, masks: {number: lie(mask) for number, mask in masks.items()}


def corner(mask: ObjectMask) -> ObjectMask:
    pixels = np.zeros_like(mask.pixels)
    pixels[-30:, :30] = True
    return ObjectMask(pixels, 10.0)


def swapped(_: int, masks: Masks) -> Masks:
    return dict(zip(masks, [*list(masks.values())[1:], *list(masks.values())[:1]], strict=True))


LIES: dict[str, Callable[[int, Masks], Masks]] = {
    "each is another's": swapped,
    "they are in the background": each(corner),
    "they are in the background after a while": lambda at, masks: each(corner)(at, masks) if at > 8 else masks,
    "they cover everything": each(lambda mask: ObjectMask(np.ones_like(mask.pixels), 10.0)),
    "they cover two fifths": each(lambda mask: ObjectMask(mask.pixels & (np.arange(WIDTH) % 5 < 2), 10.0)),
    "nothing is set": each(lambda mask: ObjectMask(np.zeros_like(mask.pixels), 10.0)),
    "all is hidden": each(lambda mask: ObjectMask(mask.pixels, -10.0)),
    "they flicker": lambda at, masks: masks if at % 2 else each(lambda mask: ObjectMask(mask.pixels, -1.0))(at, masks),
    "they are of another size": each(lambda mask: ObjectMask(mask.pixels[::2, ::2], 10.0)),
}


@pytest.mark.parametrize("lie", LIES)
def test_masks_that_are_wrong_lose_no_face_that_boxes_keep(by_boxes: list[list[GrowingTrack]], lie: str) -> None:
    for film, boxes in zip(FILMS[:2], by_boxes, strict=False):
        assert kept(follow(film, by_masks(LIES[lie], "always")), film) >= 0.97 * kept(boxes, film)


def test_masks_that_all_cover_both_of_two_faces_do_not_swap_them() -> None:
    pair = Scene([Actor(COLOURS[0], lambda _: (60.0, 60.0)), Actor(COLOURS[1], lambda _: (200.0, 60.0))])
    turns = [replace(now, faces=now.faces[:: 1 - 2 * (now.frame.index % 2)]) for now in pair.looked(60)]
    whose = {(now.frame.index, face.box): int(face.box[0] > 100) for now in turns for face in now.faces}
    film = Film(turns, whose)
    assert switches(follow(film, by_masks(LIES["they cover everything"], "always")), film) == 0
