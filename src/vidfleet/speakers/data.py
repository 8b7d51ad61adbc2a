"""The values on the arrows of the speakers pipeline.

All of them count grid frames: the 25 Hz grid that ``media`` lays over every video. Grid frame i shows what a
player would show at i/25 s after the start of the container's presentation. Intervals are half-open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID_RATE = 25
"""Grid frames per second; LR-ASD and TalkNet were trained at it."""
SAMPLE_RATE = 16_000
"""Sound samples per second."""


@dataclass(frozen=True, slots=True)
class GridFrame:
    """One picture of the 25 Hz grid."""

    index: int
    """Grid index from 0; it stands for the time index / 25 s."""
    source_time_s: float
    """The shown source picture's own presentation time on the video's clock."""
    bgr: NDArray[np.uint8]
    """(height, width, 3), upright, full size. Shared between repeated grid frames: never written to."""
    is_repeat: bool
    """The same source picture as the grid frame before (24 fps input repeats one picture a second)."""


@dataclass(frozen=True, slots=True)
class Shot:
    """An uncut stretch of film: grid frames [start, end)."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Face:
    """One detected face in one grid frame."""

    frame: int
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the full-size picture."""
    confidence: float
    landmarks: NDArray[np.float32] | None = None
    """(5, 2): right eye, left eye, nose, right and left mouth corner (YuNet's order), or nothing."""


@dataclass(frozen=True, slots=True)
class Track:
    """One face through consecutive grid frames of one shot."""

    frames: NDArray[np.int64]
    """(N,) grid indices, consecutive."""
    boxes: NDArray[np.float64]
    """(N, 4) x1, y1, x2, y2; gaps filled linearly."""
    centre_x: NDArray[np.float64]
    """(N,) smoothed (median, width 13)."""
    centre_y: NDArray[np.float64]
    """(N,) smoothed."""
    half_size: NDArray[np.float64]
    """(N,) smoothed half side of the square box."""
    crop_name: str
    """``pycrop/00000``."""

    @property
    def start(self) -> int:
        """The first grid frame."""
        return int(self.frames[0])

    @property
    def end(self) -> int:
        """One past the last grid frame."""
        return int(self.frames[-1]) + 1


@dataclass(frozen=True, slots=True)
class Scores:
    """How much each frame of one track looks like its face is speaking."""

    values: NDArray[np.float64]
    """(M,) logits from the track's first frame on, rounded to 0.1; above 0 is speaking. M <= N."""


@dataclass(frozen=True, slots=True)
class Method:
    """Which model did a stage's work."""

    name: str
    """Such as ``LR-ASD pretrain_AVA``; ``heuristic: ...`` for an embedded method."""
    sha256: str
    """Of its weights; empty for an embedded method."""

    @property
    def is_heuristic(self) -> bool:
        """An embedded method, without weights of a network."""
        return not self.sha256
