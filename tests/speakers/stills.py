"""Pictures that are there already, for what takes pictures of a film."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidfleet.speakers.media.planes import Colours, Planes, blank

HD, SD = Colours(is_709=True, is_told=True), Colours(is_709=False, is_told=True)


@dataclass(frozen=True, slots=True)
class Still:
    """A picture that is there already."""

    bgr: NDArray[np.uint8]
    """(height, width, 3)"""

    @property
    def planes(self) -> Planes:
        """Its planes, as BT.601."""
        return planes_of(self.bgr)


def planes_of(bgr: NDArray[np.uint8], colours: Colours = SD) -> Planes:
    """Planes of a picture (height, width, 3) with even sides."""
    planes = blank(bgr.shape[1], bgr.shape[0], colours)
    for to, part in zip(planes.arrays, colours.planes_of(bgr), strict=True):
        to[:] = part
    return Planes(planes.frame, colours)


def bgr_of(planes: Planes) -> NDArray[np.uint8]:
    """What a player shows of planes: (height, width, 3)."""
    matrix = planes.colours.matrix
    shown = planes.frame.reformat(format="bgr24", src_colorspace=matrix, dst_colorspace=matrix)
    return np.asarray(shown.to_ndarray(), np.uint8)
