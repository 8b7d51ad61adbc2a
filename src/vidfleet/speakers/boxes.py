"""Boxes compared: x1, y1, x2, y2 in pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2."""


def overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of each box of ``first`` (N, 4) with each of ``second`` (M, 4): (N, M)."""
    top_left = np.maximum(first[:, np.newaxis, :2], second[np.newaxis, :, :2])
    bottom_right = np.minimum(first[:, np.newaxis, 2:], second[np.newaxis, :, 2:])
    shared = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1) for boxes in (first, second)]
    union = areas[0][:, np.newaxis] + areas[1][np.newaxis] - shared
    result: NDArray[np.float64] = shared / np.maximum(union, 1e-9)
    return result
