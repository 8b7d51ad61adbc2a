"""Scenes of photographed heads that pass in front of each other, of which each pixel is known.

The heads are those of the sample clips (``tools/sample_clips/portrait.py``), cut out, in front of a wall. A detector
is stood in for: it finds each face of which three quarters are seen, to a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.speakers.stills import Still
from tools.sample_clips.portrait import REST, Look, Portrait
from vidfleet.speakers.boxes import Box
from vidfleet.speakers.data import Face, GridFrame, Method
from vidfleet.speakers.looked import Looked
from vidfleet.speakers.masks.segmenter import ObjectMask
from vidfleet.speakers.nets.session import Device

WIDTH, HEIGHT = 640, 360
HEAD_WIDTH, HEAD_HEIGHT = 112, 133
_TOP, _BOTTOM, _LEFT, _RIGHT = 30, 410, 290, 610
"""Where the head is in a portrait, which is 1024 wide."""
_FACE = (22.0, 42.0, 87.0, 129.0)
"""Where the face is in the head."""
LOOKS = (
    Look(),
    Look(mirrored=True, hair=0.45, hair_colour=0.8, skin=0.93, width=0.94, glasses=True),
    Look(hair=1.15, hair_colour=0.25, width=1.07),
)
FOUND = 0.75
"""The detector finds a face of which this share is seen."""

Path = Callable[[int], tuple[float, float]]
"""The upper left corner of a head in a frame."""


@dataclass(frozen=True)
class Shown:
    """One frame of a scene and the truth of it."""

    picture: NDArray[np.uint8]
    """(HEIGHT, WIDTH, 3), BGR."""
    boxes: tuple[Box, ...]
    """The face of each head, seen or not."""
    seen: tuple[float, ...]
    """Which share of it is seen."""
    masks: tuple[NDArray[np.bool_], ...]
    """What is seen of each head."""


@dataclass(frozen=True)
class Scene:
    """Heads, the later in front of the earlier."""

    name: str
    paths: Sequence[Path]
    frames: int
    pillar: int = 0
    """How wide a pillar stands in the middle, in front of all; pixels."""

    @cached_property
    def shown(self) -> tuple[Shown, ...]:
        """All frames."""
        return tuple(self._show(frame) for frame in range(self.frames))

    def looked(self) -> list[Looked]:
        """The frames with what the detector finds."""
        rng, out = np.random.default_rng(0), []
        for index, shown in enumerate(self.shown):
            faces = tuple(
                Face(index, (x1 + by[0], y1 + by[1], x2 + by[2], y2 + by[3]), 0.9)
                for (x1, y1, x2, y2), seen in zip(shown.boxes, shown.seen, strict=True)
                if seen >= FOUND and (by := rng.normal(0, 0.7, 4).tolist())
            )
            out.append(Looked(GridFrame(index, index / 25, Still(shown.picture), is_repeat=False), index == 0, faces))
        return out

    def _show(self, frame: int) -> Shown:
        picture = np.repeat(np.linspace(90, 150, WIDTH)[None, :, None], HEIGHT, axis=0).repeat(3, axis=2)
        owner, boxes = np.full((HEIGHT, WIDTH), -1), []
        for actor, path in enumerate(self.paths):
            x, y = (round(at) for at in path(frame))
            colours, inside = _head(actor % len(LOOKS))
            x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + HEAD_WIDTH, WIDTH), min(y + HEAD_HEIGHT, HEIGHT)
            part = inside[y1 - y : y2 - y, x1 - x : x2 - x]
            picture[y1:y2, x1:x2][part] = colours[y1 - y : y2 - y, x1 - x : x2 - x][part]
            owner[y1:y2, x1:x2][part] = actor
            boxes.append((x + _FACE[0], y + _FACE[1], x + _FACE[2], y + _FACE[3]))
        if self.pillar:
            middle = slice((WIDTH - self.pillar) // 2, (WIDTH + self.pillar) // 2)
            picture[:, middle], owner[:, middle] = 60, -1
        noise = np.random.default_rng(frame).normal(0, 2, picture.shape)
        masks = tuple(owner == actor for actor in range(len(self.paths)))
        whole = _head(0)[1][_inner(_FACE)].sum()
        seen = tuple(
            float(mask[_inner(box)].sum() / whole) if box[0] >= 0 and box[1] >= 0 else 0.0
            for mask, box in zip(masks, boxes, strict=True)
        )
        return Shown(np.clip(picture + noise, 0, 255).astype(np.uint8), tuple(boxes), seen, masks)


@dataclass
class ExactSegmenter:
    """Knows the masks of a scene: what a perfect segmenter would bring."""

    scene: Scene
    method: ClassVar[Method] = Method("exact masks", "")
    device: ClassVar[Device] = "cpu"

    def begin(self) -> ExactSegmentation:
        """See ``Segmenter``."""
        return ExactSegmentation({id(shown.picture): shown for shown in self.scene.shown})


@dataclass
class ExactSegmentation:
    """See ``Segmentation``."""

    shown: Mapping[int, Shown]
    """By the picture."""
    objects: dict[int, int] = field(default_factory=dict)
    """The head of each."""

    def push(self, picture: NDArray[np.uint8], prompts: Mapping[int, Box]) -> dict[int, ObjectMask]:
        """See ``Segmentation``."""
        shown = self.shown[id(picture)]
        for number, box in prompts.items():
            self.objects[number] = int(np.argmax([mask[_inner(box)].sum() for mask in shown.masks]))
        masks = {number: shown.masks[actor] for number, actor in self.objects.items()}
        return {number: ObjectMask(mask, 10.0 if mask.any() else -10.0) for number, mask in masks.items()}

    def forget(self, objects: Collection[int]) -> None:
        """See ``Segmentation``."""
        for number in objects:
            self.objects.pop(number, None)


def scenes() -> tuple[Scene, ...]:
    """What boxes find hard."""
    right, left, middle = 500.0, 30.0, (WIDTH - HEAD_WIDTH) / 2
    return (
        Scene("they cross", (_walk(left, right, 100, 110), _walk(right, left, 100, 118)), 100),
        Scene("slowly", (_walk(left, right, 240, 110), _walk(right, left, 240, 118)), 240),
        Scene("they meet and go back", (_there_and_back(left, 250), _there_and_back(right, 280)), 120),
        Scene(
            "three weave",
            tuple(_weave(phase) for phase in (0.0, 2.1, 4.2)),
            200,
        ),
        Scene("behind a pillar", (_walk(left, right, 120, 110),), 120, pillar=90),
        Scene("the camera jumps", (_jumping(150.0), _jumping(middle + 100)), 100),
    )


def _walk(start: float, end: float, frames: int, y: float) -> Path:
    return lambda frame: (start + (end - start) * frame / frames, y)


def _there_and_back(start: float, end: float) -> Path:
    return lambda frame: (start + (end - start) * math.sin(math.pi * frame / 120), 110.0)


def _weave(phase: float) -> Path:
    return lambda frame: (264 + 220 * math.sin(frame / 20 + phase), 110 + 25 * math.cos(frame / 20 + phase))


def _jumping(x: float) -> Path:
    return lambda frame: (x + 60 * (frame // 25 % 2), 110.0 + 40 * (frame // 25 % 2))


@cache
def _head(look: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A head's colours and which of the pixels are its own."""
    portrait = Portrait(LOOKS[look]).at(REST)
    colours = cv2.resize(portrait[_TOP:_BOTTOM, _LEFT:_RIGHT], (HEAD_WIDTH, HEAD_HEIGHT), interpolation=cv2.INTER_AREA)
    rows, columns = np.mgrid[:HEAD_HEIGHT, :HEAD_WIDTH]
    oval = np.hypot((columns - 55.5) / 52, (rows - 68) / 65) < 1
    return np.asarray(colours, np.uint8), np.asarray(oval)


def _inner(box: Box) -> tuple[slice, slice]:
    x1, y1, x2, y2 = (max(0, round(edge)) for edge in box)
    return slice(y1, y2), slice(x1, x2)
