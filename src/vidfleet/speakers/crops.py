"""A track's face, cut out of each frame: 224 x 224 for people, its grey middle 112 x 112 for the network.

The cut is TalkNet's: with s half of the longer box side, c the crop scale, centre and s smoothed by a median of
13 frames, it takes rows y-s to y+s(1+2c) and columns x-s(1+c) to x+s(1+c); what lies outside the picture is
grey 110. At a track's ends the median is taken of the frames that there are (a median padded with zeros would
pull the first and last six boxes to their smallest values).

Where pixels are not square the cut is square as shown: x is counted in columns, y and s in rows.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vidfleet.speakers.data import Track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from vidfleet.speakers.data import GridFrame
    from vidfleet.speakers.tracks import GrowingTrack

CROP_SIDE = 224
FACE_SIDE = 112
"""The middle of a crop, which the network sees."""
OUTSIDE = 110
"""The grey beyond the picture's edge."""
MEDIAN_WIDTH = 13
REACH = MEDIAN_WIDTH // 2
"""How many frames on either side a smoothed value depends on."""


@dataclass(frozen=True, slots=True)
class CropRules:
    """How a face is cut out."""

    pixel_aspect: Fraction
    """Width of a pixel over its height."""
    scale: float = 0.40
    """How much more than the box is taken, as a share of its size."""


@dataclass(frozen=True, slots=True)
class Square:
    """A face's smoothed place in one frame."""

    x: float
    """Centre, in columns of the full-size picture."""
    y: float
    """Centre, in rows."""
    half: float
    """Half of the side, in rows."""


def raw_squares(boxes: NDArray[np.float64], pixel_aspect: Fraction) -> NDArray[np.float64]:
    """Centre and half size (N, 3) of boxes (N, 4), before smoothing."""
    sizes = (boxes[:, 2:] - boxes[:, :2]) * (float(pixel_aspect), 1.0)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.column_stack([centres, sizes.max(axis=1) / 2])


def square_at(boxes: NDArray[np.float64], index: int, rules: CropRules) -> Square:
    """The smoothed place of box ``index`` of consecutive boxes (N, 4)."""
    near = raw_squares(boxes[max(0, index - REACH) : index + REACH + 1], rules.pixel_aspect)
    near.sort(axis=0)  # the median of few numbers: np.median takes five times as long, for the same
    middle = len(near) // 2
    return Square(*(near[middle] if len(near) % 2 else (near[middle - 1] + near[middle]) / 2).tolist())


def cut(bgr: NDArray[np.uint8], square: Square, rules: CropRules) -> NDArray[np.uint8]:
    """Cut one face out of a picture: (224, 224, 3)."""
    half, more = square.half, rules.scale
    reach = half * (1 + more) / float(rules.pixel_aspect)
    top, bottom = _edges(square.y - half, square.y + half * (1 + 2 * more))
    left, right = _edges(square.x - reach, square.x + reach)
    height, width = bgr.shape[:2]
    inside = bgr[_within(top, height) : _within(bottom, height), _within(left, width) : _within(right, width)]
    if inside.size == 0:
        return np.full((CROP_SIDE, CROP_SIDE, 3), OUTSIDE, dtype=np.uint8)
    margins = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if any(margins):
        colour = (OUTSIDE, OUTSIDE, OUTSIDE)
        inside = cv2.copyMakeBorder(inside, *margins, cv2.BORDER_CONSTANT, value=colour)
    crop: NDArray[np.uint8] = cv2.resize(inside, (CROP_SIDE, CROP_SIDE))
    return crop


def face_of(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The grey middle of a crop: (112, 112)."""
    low = (CROP_SIDE - FACE_SIDE) // 2
    middle = crop[low : low + FACE_SIDE, low : low + FACE_SIDE]
    grey: NDArray[np.uint8] = cv2.cvtColor(middle, cv2.COLOR_BGR2GRAY)
    return grey


class TrackCrops:
    """Cuts the faces of one track while it grows, as soon as their smoothed place is known.

    A place is known when the boxes of six more frames are (or the track is closed), so a frame is needed for
    up to 17 frames: six of the median, eleven until a gap is closed or the track is.
    """

    def __init__(self, track: GrowingTrack, rules: CropRules) -> None:
        self.track = track
        self._rules = rules
        self._squares = array("d")

    @property
    def next_frame(self) -> int:
        """The grid frame whose picture is needed next."""
        return self.track.start + len(self._squares) // 3

    @property
    def half_size(self) -> float:
        """Half of the side of the face cut last, in rows of the picture."""
        return self._squares[-1]

    def ready(self, picture_of: Callable[[int], GridFrame]) -> Iterator[NDArray[np.uint8]]:
        """Make all crops (224, 224, 3) that can be made now, in order of time."""
        track = self.track
        known = track.length if track.closed else track.length - REACH
        for index in range(len(self._squares) // 3, known):
            first = max(0, index - REACH)
            near = track.boxes(first, min(track.length, index + REACH + 1))
            square = square_at(near, index - first, self._rules)
            self._squares.extend((square.x, square.y, square.half))
            yield cut(picture_of(track.start + index).bgr, square, self._rules)

    def finished(self, crop_name: str = "") -> Track:
        """The whole track, after it was closed and its last crop made."""
        squares = np.array(self._squares).reshape(-1, 3)
        frames = np.arange(self.track.start, self.track.start + self.track.length, dtype=np.int64)
        assert self.track.closed
        assert len(squares) == len(frames)
        return Track(
            frames=frames,
            boxes=self.track.boxes(),
            centre_x=squares[:, 0].copy(),
            centre_y=squares[:, 1].copy(),
            half_size=squares[:, 2].copy(),
            crop_name=crop_name,
        )


def _edges(low: float, high: float) -> tuple[int, int]:
    """Whole pixels [low, high), at least one."""
    first = math.floor(low)
    return first, max(first + 1, math.floor(high))


def _within(value: int, length: int) -> int:
    return min(max(value, 0), length)
