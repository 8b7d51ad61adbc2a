"""Portraits show faces well, cost little, and are found again by person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from vidfleet.speakers.data import Person
from vidfleet.speakers.portraits import PER_TRACK, SIDE, Portrait, PortraitFile, TrackPortraits, faces_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def crop(*, blur: int = 0, light: float = 1.0, colour: int = 200) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (56, 56, 3)).astype(np.uint8)
    picture = cv2.resize(noise, (224, 224), interpolation=cv2.INTER_NEAREST)
    picture[80:140, 80:140] = colour
    picture = cv2.GaussianBlur(picture, (0, 0), blur) if blur else picture
    return np.asarray(picture * light, np.uint8)


def decoded(jpeg: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def best_of(*crops: NDArray[np.uint8], side_px: float = 200) -> TrackPortraits:
    portraits = TrackPortraits()
    for one in crops:
        for _ in range(12):  # each is looked at once
            portraits.push(one, side_px=side_px)
    return portraits


def test_the_sharp_and_well_lit_is_kept() -> None:
    good = crop(colour=90)
    kept = best_of(crop(blur=6), good, crop(light=0.1)).best
    assert len(kept) == 1
    assert abs(int(decoded(kept[0].jpeg)[48, 48, 0]) - 90) < 12
    assert decoded(kept[0].jpeg).shape == (SIDE, SIDE, 3)


def test_a_track_of_any_length_keeps_few_and_far_apart() -> None:
    kept = best_of(*[crop(blur=blur) for blur in (1, 2, 3, 2, 1) * 10]).best
    assert len(kept) == PER_TRACK
    assert abs(kept[0].at - kept[1].at) >= 50
    assert kept[0].goodness >= kept[1].goodness


def test_a_large_face_is_better_than_a_small_one() -> None:
    large, small = (best_of(crop(), side_px=side).best[0].goodness for side in (150, 20))
    assert large > small


def portrait(goodness: float, jpeg: bytes) -> Portrait:
    return Portrait(goodness, 0, jpeg)


def test_a_person_has_the_best_of_its_tracks_first(tmp_path: Path) -> None:
    with PortraitFile(tmp_path / "portraits.zip") as file:
        file.add(0, [portrait(0.9, b"0 best"), portrait(0.85, b"0 second")])
        file.add(1, [portrait(0.5, b"other's")])
        file.add(12, [portrait(0.3, b"12 best"), portrait(0.2, b"12 second")])
    persons = (Person("A", (0, 12), 1.0), Person("B", (1,), 1.0), Person("C", (99,), 0.0))
    found = faces_of(tmp_path / "portraits.zip", persons, most=3)
    assert found == {"A": (b"0 best", b"12 best", b"0 second"), "B": (b"other's",), "C": ()}


def test_no_file_or_a_broken_one_means_no_faces(tmp_path: Path) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 nothing")
    for name in ("missing.zip", "broken.zip"):
        assert faces_of(tmp_path / name, (Person("A", (0,), 1.0),)) == {}
