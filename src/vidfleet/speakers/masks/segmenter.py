"""What follows objects through pictures by their pixels: SAM 2, or in tests one of known behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from vidfleet.speakers.boxes import Box
    from vidfleet.speakers.data import Method
    from vidfleet.speakers.nets.session import Device


@dataclass(frozen=True, slots=True, eq=False)
class ObjectMask:
    """Where one object is seen in one picture."""

    pixels: NDArray[np.bool_]
    """(height, width) of the full-size picture; none is set where the object is hidden."""
    score: float
    """Logit of being in the picture; above 0: it is seen."""


class Segmentation(Protocol):
    """Objects that are followed through consecutive pictures."""

    def push(self, picture: NDArray[np.uint8], prompts: Mapping[int, Box]) -> dict[int, ObjectMask]:
        """Take the next picture, BGR (height, width, 3); ``prompts`` are boxes in it, by the object's number.

        A number that is new begins an object; one that is known is told where its object is. Returns the masks of
        all objects that are followed, hidden ones included; nothing, at no cost, as long as there is none.
        """
        ...

    def forget(self, objects: Collection[int]) -> None:
        """Follow these objects no longer."""
        ...


class Segmenter(Protocol):
    """Begins to follow objects; loaded once in a lane."""

    @property
    def method(self) -> Method:
        """What does it, and its weights' SHA-256."""
        ...

    @property
    def device(self) -> Device:
        """Where it computes."""
        ...

    def begin(self) -> Segmentation:
        """Begin anew, in a shot; its state is bounded, whatever the number of pictures, and goes with it."""
        ...
