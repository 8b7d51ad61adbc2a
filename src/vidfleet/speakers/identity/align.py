"""One face, turned upright and brought to the size that embedding networks were trained on, and how well it is seen.

The five landmarks are laid onto the points that ArcFace and SFace use, by the similarity (turn, one scale, shift)
with the least squared error. A head that is turned away does not fit them: what is left over tells how far.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fractions import Fraction

SIDE = 112
"""Pixels on each side of an aligned face."""
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Where a frontal face has right eye, left eye, nose, right and left mouth corner; ArcFace's points."""
CENTRE = TEMPLATE.mean(axis=0)
TARGET = TEMPLATE - CENTRE
"""The middle of those, and where they lie from it."""
INNER = np.array([[20.0, 28.0], [92.0, 28.0], [20.0, 100.0], [92.0, 100.0]])
"""Corners of the part of an aligned face that must lie in the picture: brows to mouth."""
MOST_MISFIT = 6.0
"""Pixels of the aligned face. Seen: faces towards the camera 1 to 4.5, in profile 8 to 15."""
MOST_ROLL = np.cos(np.radians(50))
"""Heads that lie further on the side than this have landmarks that mean little."""
LEAST_SIDE = 24.0
"""Rows of the picture; smaller faces look alike whoever they are."""
LEAST_DETAIL = 0.12
"""Blurred and dark faces are more like each other than like the person: seen 0.04 to 0.10, sharp ones 0.2 and more."""
DETAIL_SCALE = 60.0
"""Variance of the Laplacian at which a face counts as half sharp."""


@dataclass(frozen=True, slots=True)
class Pose:
    """How a face lies in its picture."""

    to_aligned: NDArray[np.float64]
    """(2, 3): from pixels of the picture to pixels of the aligned face."""
    side: float
    """How many rows of the picture the aligned face's side is made of."""
    misfit: float
    """How far the landmarks are from their places: root mean square, in pixels of the aligned face."""
    upright: float
    """Cosine of the angle by which the head is rolled."""

    @property
    def frontality(self) -> float:
        """1 for a face that looks into the camera, towards 0 from the side."""
        return float(np.exp(-((self.misfit / MOST_MISFIT) ** 2)))

    def is_well_seen_in(self, bgr: NDArray[np.uint8]) -> bool:
        """Large enough, not from the side, not lying, and inside the picture."""
        if self.side < LEAST_SIDE or self.misfit > MOST_MISFIT or self.upright < MOST_ROLL:
            return False
        corners = cv2.transform(INNER[np.newaxis], cv2.invertAffineTransform(self.to_aligned))[0]
        return bool((corners >= 0).all() and (corners <= (bgr.shape[1], bgr.shape[0])).all())


def pose_of(landmarks: NDArray[np.float32], *, pixel_aspect: Fraction) -> Pose | None:
    """Fit the landmarks (5, 2) of a face; None where they fall on one point or are no numbers."""
    wide = np.array([float(pixel_aspect), 1.0])
    points = landmarks.astype(np.float64) * wide
    if not np.isfinite(points).all():
        return None
    centre = points.mean(axis=0)
    source = points - centre
    spread = float((source**2).sum())
    if spread < 1e-6:
        return None
    along = float((source * TARGET).sum()) / spread
    across = float((source[:, 0] * TARGET[:, 1] - source[:, 1] * TARGET[:, 0]).sum()) / spread
    scale = float(np.hypot(along, across))
    if scale < 1e-6:
        return None
    turn = np.array([[along, -across], [across, along]])
    shift = CENTRE - turn @ centre
    misfit = float(np.sqrt(((source @ turn.T - TARGET) ** 2).sum(axis=1).mean()))
    return Pose(np.column_stack([turn * wide, shift]), side=SIDE / scale, misfit=misfit, upright=along / scale)


def align(bgr: NDArray[np.uint8], pose: Pose) -> NDArray[np.uint8]:
    """Cut a face out of its picture: (112, 112, 3), BGR; black beyond the picture's edge."""
    # Averaging large faces before, against aliasing, changes their vectors by 0.01 at most.
    aligned: NDArray[np.uint8] = cv2.warpAffine(bgr, pose.to_aligned, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    return aligned


def detail(aligned: NDArray[np.uint8]) -> float:
    """How sharp an aligned face is: 0 (blurred) to 1."""
    middle = slice(SIDE // 4, -SIDE // 8)
    grey = cv2.cvtColor(aligned[middle, middle], cv2.COLOR_BGR2GRAY)
    variance = float(cv2.Laplacian(grey, cv2.CV_32F).var())
    return variance / (variance + DETAIL_SCALE)
