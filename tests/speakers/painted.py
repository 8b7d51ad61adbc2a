"""Scenes of painted faces, of which every pixel is known; and a segmenter that follows them by their paint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tests.speakers.stills import Still
from vidfleet.speakers.data import Face, GridFrame, Method
from vidfleet.speakers.looked import Looked
from vidfleet.speakers.masks.segmenter import ObjectMask
from vidfleet.speakers.nets.session import Device

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from vidfleet.speakers.boxes import Box

WIDTH, HEIGHT, SIDE = 320, 180, 40


@dataclass(frozen=True)
class Actor:
    """A square face of one colour."""

    colour: tuple[int, int, int]
    """BGR; no two actors of a scene have the same."""
    at: Callable[[int], tuple[float, float] | None]
    """Its upper left corner in a frame; None: not in the picture."""
    turned: range = range(0)
    """In these frames it is in the picture, but the detector does not find it."""

    def box(self, frame: int) -> Box | None:
        """Where it is."""
        at = self.at(frame)
        return None if at is None else (at[0], at[1], at[0] + SIDE, at[1] + SIDE)


@dataclass(frozen=True)
class Scene:
    """Actors in front of grey, the later in front of the earlier."""

    actors: Sequence[Actor]
    cuts: Collection[int] = (0,)

    def picture(self, frame: int) -> NDArray[np.uint8]:
        """(HEIGHT, WIDTH, 3), BGR."""
        painted = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        for actor in self.actors:
            if box := actor.box(frame):
                x1, y1, x2, y2 = (round(edge) for edge in box)
                painted[max(y1, 0) : y2, max(x1, 0) : x2] = actor.colour
        return painted

    def faces(self, frame: int, picture: NDArray[np.uint8]) -> tuple[Face, ...]:
        """What a detector finds: faces of which three quarters are seen."""
        found = []
        for actor in self.actors:
            box = actor.box(frame)
            seen = (picture == actor.colour).all(axis=2).sum()
            if box and frame not in actor.turned and seen >= 0.75 * SIDE * SIDE:
                found.append(Face(frame, box, 0.9))
        return tuple(found)

    def looked(self, frames: int) -> Iterator[Looked]:
        """The frames of the scene, with their faces."""
        for index in range(frames):
            picture = self.picture(index)
            frame = GridFrame(index, index / 25, Still(picture), is_repeat=False)
            yield Looked(frame, index in self.cuts, self.faces(index, picture))


@dataclass
class PaintedSegmenter:
    """Follows whatever paint there is most of in the box that it is told."""

    pictures: list[int] = field(default_factory=list)
    """How many pictures were looked at, for each time it was begun."""

    most: int = 0
    """The most objects at a time."""
    method: ClassVar[Method] = Method("paint", "")
    device: ClassVar[Device] = "cpu"

    def begin(self) -> PaintedSegmentation:
        """See ``Segmenter``."""
        self.pictures.append(0)
        return PaintedSegmentation(self)


class PaintedSegmentation:
    """See ``Segmentation``."""

    def __init__(self, segmenter: PaintedSegmenter) -> None:
        self._segmenter = segmenter
        self.paints: dict[int, NDArray[np.uint8]] = {}

    def push(self, picture: NDArray[np.uint8], prompts: Mapping[int, Box]) -> dict[int, ObjectMask]:
        """See ``Segmentation``."""
        self._segmenter.pictures[-1] += bool(prompts or self.paints)
        for number, box in prompts.items():
            x1, y1, x2, y2 = (max(0, round(edge)) for edge in box)
            paints, counts = np.unique(picture[y1:y2, x1:x2].reshape(-1, 3), axis=0, return_counts=True)
            self.paints[number] = paints[counts.argmax()]
        self._segmenter.most = max(self._segmenter.most, len(self.paints))
        found = {}
        for number, paint in self.paints.items():
            pixels = (picture == paint).all(axis=2)
            found[number] = ObjectMask(pixels, 10.0 if pixels.any() else -10.0)
        return found

    def forget(self, objects: Collection[int]) -> None:
        """See ``Segmentation``."""
        for number in objects:
            del self.paints[number]
