"""Masks are packed as COCO's tools pack them, and written a line for each face and picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from vidfleet.errors import RecordError
from vidfleet.speakers.masks.masks_file import MasksWriter, TrackMask, read_masks
from vidfleet.speakers.masks.rle import Rle

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def face(height: int = 720, width: int = 1280, side: float = 0.28) -> NDArray[np.bool_]:
    """An oval with an outline that is not smooth, as networks draw faces."""
    rows, columns = np.mgrid[:height, :width]
    across, down = (columns - width * 0.4) / (side * height * 0.38), (rows - height * 0.45) / (side * height * 0.5)
    angle = np.arctan2(down, across)
    wobble = 0.04 * np.sin(9 * angle) + 0.02 * np.sin(31 * angle)
    return np.asarray(np.hypot(across, down) < 1 + wobble)


def noise(share: float) -> NDArray[np.bool_]:
    return np.asarray(np.random.default_rng(7).random((37, 53)) < share)


MASKS = {
    "a face": face(),
    "nothing": np.zeros((37, 53), np.bool_),
    "all": np.ones((37, 53), np.bool_),
    "noise": noise(0.5),
    "mostly set": noise(0.97),
    "one pixel": np.arange(37 * 53).reshape(37, 53) == 700,
    "the first pixel": np.arange(37 * 53).reshape(37, 53) == 0,
    "the last pixel": np.arange(37 * 53).reshape(37, 53) == 37 * 53 - 1,
    "the edges": ~np.pad(np.ones((35, 51), np.bool_), 1),
    "a single column": np.arange(37).reshape(37, 1) > 9,
    "large runs": np.arange(2_000_000).reshape(1000, 2000) % 1999 > 1000,
}


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_comes_back_as_it_was(name: str) -> None:
    packed = Rle.of(MASKS[name])
    np.testing.assert_array_equal(packed.pixels, MASKS[name])
    assert packed.pixels.dtype == np.bool_


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("name", MASKS)
def test_cocos_tools_write_and_read_the_same(name: str) -> None:
    tools = pytest.importorskip("pycocotools.mask")
    pixels = MASKS[name]
    packed, theirs = Rle.of(pixels), tools.encode(np.asfortranarray(pixels, np.uint8))
    assert packed.counts == theirs["counts"].decode()
    assert list(packed.size) == theirs["size"]
    np.testing.assert_array_equal(tools.decode({"size": list(packed.size), "counts": packed.counts}), pixels)


def test_a_face_in_a_picture_of_720p_takes_under_a_kilobyte(tmp_path: Path) -> None:
    with MasksWriter(tmp_path / "masks.jsonl") as masks:
        masks.add(TrackMask(0, 0, Rle.of(face())))
    assert (tmp_path / "masks.jsonl").stat().st_size < 1000


def test_masks_are_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "pywork" / "masks.jsonl"
    written = [TrackMask(frame, track, Rle.of(noise(0.1 * track))) for frame in range(3) for track in range(4)]
    with MasksWriter(path) as masks:
        for found in written:
            masks.add(found)
        assert not path.exists(), "a file that is not whole has no name"
    assert list(read_masks(path)) == written
    assert [entry.name for entry in path.parent.iterdir()] == ["masks.jsonl"]


def test_nothing_is_left_where_the_film_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with MasksWriter(tmp_path / "masks.jsonl") as masks:
            masks.add(TrackMask(0, 0, Rle.of(noise(0.5))))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", ['{"frame": 1', '{"frame": 1, "track": 2}', "[]", '{"frame":0,"track":0,"size":3}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    with MasksWriter(tmp_path / "masks.jsonl") as masks:
        masks.add(TrackMask(0, 0, Rle.of(noise(0.5))))
    with (tmp_path / "masks.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(RecordError, match=r"masks.jsonl, line 2 is no mask"):
        list(read_masks(tmp_path / "masks.jsonl"))


@pytest.mark.parametrize("counts", ["", "1", "\x7f", "P", "01P"])
def test_text_that_is_no_mask_is_refused(counts: str) -> None:
    with pytest.raises(ValueError, match=r"mask"):
        _ = Rle((37, 53), counts).pixels
