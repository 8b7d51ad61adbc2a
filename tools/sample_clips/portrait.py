"""A face whose mouth opens and closes: the NASA portrait of Eileen Collins that scikit-image carries.

The photograph is in the public domain. All points below are pixels of the 512 x 512 picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import skimage

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE = 2
"""The portrait is enlarged before it is warped, so that close-ups stay smooth."""
ROWS = 340
"""What lies further down is never in the picture."""
LEFT_CORNER, RIGHT_CORNER = (203.3, 139.6), (244.6, 140.8)
TEETH_BOTTOM = 149.8
NECK = 196.0
"""Here nothing moves any more."""
CLOSED_PX, OPEN_PX = -5.5, 8.0
"""How far the lower lip moves from where the photograph has it."""
REST = -CLOSED_PX / (OPEN_PX - CLOSED_PX)
"""The opening that leaves the photograph as it is."""
INSIDE = (28, 22, 58)
"""The colour between the lips, blue green red."""


@dataclass(frozen=True, slots=True)
class Look:
    """What makes one person of the portrait."""

    mirrored: bool = False
    hair: float = 1.0
    """Brightness of the hair."""
    hair_colour: float = 1.0
    """Saturation of the hair."""
    suit_hue: int = 0
    """Added to the suit's hue, 0..179."""
    suit_colour: float = 1.0
    """Saturation of the suit."""
    skin: float = 1.0
    """Brightness of the skin."""
    width: float = 1.0
    """Wider or narrower than the photograph."""
    glasses: bool = False


class Portrait:
    """One person: a picture for each opening of the mouth."""

    levels = 24

    def __init__(self, look: Look) -> None:
        path = Path(skimage.__file__).parent / "data" / "astronaut.png"
        photograph = cv2.imread(str(path))
        if photograph is None:
            raise FileNotFoundError(f"scikit-image has no {path}; reinstall it")
        still = _dress(photograph[:ROWS].astype(np.uint8), look)
        self._pictures = [_finish(still, look, level / self.levels) for level in range(self.levels + 1)]

    def at(self, opening: float) -> NDArray[np.uint8]:
        """The picture (680, 1024, 3) with the mouth ``opening`` 0..1 open."""
        return self._pictures[round(float(np.clip(opening, 0, 1)) * self.levels)]


def _dress(photograph: NDArray[np.uint8], look: Look) -> NDArray[np.uint8]:
    """Hair, skin and suit as ``look`` wants them."""
    hsv = cv2.cvtColor(photograph, cv2.COLOR_BGR2HSV).astype(np.float32)
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    hair = _oval((227, 80), (80, 72)) * (1 - _oval((223, 137), (46, 62))) * np.clip((saturation - 42) / 25, 0, 1)
    skin = _oval((222, 130), (50, 68)) * (1 - hair)
    suit = (np.arange(ROWS)[:, None] > 150) * (1 - skin) * np.clip((saturation - 110) / 40, 0, 1)
    hsv[..., 2] = value * (1 + hair * (look.hair - 1)) * (1 + skin * (look.skin - 1))
    hsv[..., 1] = saturation * (1 + hair * (look.hair_colour - 1)) * (1 + suit * (look.suit_colour - 1))
    hsv[..., 0] = np.where(suit > 0.5, (hue + look.suit_hue) % 180, hue)
    dressed = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2BGR)
    large: NDArray[np.uint8] = cv2.resize(dressed, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
    return _put_glasses_on(large) if look.glasses else large


def _oval(centre: tuple[float, float], radii: tuple[float, float]) -> NDArray[np.float32]:
    """1 inside, 0 outside, with a soft rim."""
    y, x = np.mgrid[:ROWS, :512].astype(np.float32)
    distance = np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1])
    soft: NDArray[np.float32] = np.clip((1.05 - distance) / 0.1, 0, 1)
    return soft


def _put_glasses_on(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Dark frames round both eyes."""
    fine = 16  # OpenCV draws at 1/16 pixel
    drawn = picture.copy()
    for x in (201.5, 245.5):
        centre = (round(x * SCALE * fine), round(103.0 * SCALE * fine))
        axes = (round(16.5 * SCALE * fine), round(13.5 * SCALE * fine))
        cv2.ellipse(drawn, centre, axes, 2, 0, 360, (38, 34, 40), 4, cv2.LINE_AA, 4)
    for start, end in (((218, 101.5), (229, 102)), ((185, 101), (176, 98)), ((262, 102), (272, 100))):
        points = [(round(x * SCALE * fine), round(y * SCALE * fine)) for x, y in (start, end)]
        cv2.line(drawn, points[0], points[1], (38, 34, 40), 4, cv2.LINE_AA, 4)
    return drawn


def _finish(still: NDArray[np.uint8], look: Look, opening: float) -> NDArray[np.uint8]:
    """The whole picture with the mouth at ``opening``, mirrored and made wider as ``look`` wants it."""
    picture = _move_mouth(still, CLOSED_PX + opening * (OPEN_PX - CLOSED_PX))
    size = (picture.shape[1], picture.shape[0])
    middle = 223.0 * SCALE
    turn = np.array([[look.width, 0, middle * (1 - look.width)], [0, 1, 0]])
    if look.mirrored:
        turn = np.array([[-look.width, 0, middle * (1 + look.width)], [0, 1, 0]])
    if look.mirrored or look.width != 1:
        return cv2.warpAffine(picture, turn, size, borderMode=cv2.BORDER_REFLECT)  # type: ignore[no-any-return]
    return picture


def _move_mouth(still: NDArray[np.uint8], drop_px: float) -> NDArray[np.uint8]:
    """Lower lip and chin ``drop_px`` lower (higher if negative); what opens between the lips is dark."""
    top, bottom, left, right = 130, 204, 172, 276
    y, x = np.mgrid[top * SCALE : bottom * SCALE, left * SCALE : right * SCALE].astype(np.float32) / SCALE
    seam, inside_lips = _seam(x)
    drop = drop_px * inside_lips
    # Below the seam: source = target - drop, and the drop fades out between the lip and the neck.
    lowered = seam + drop
    fade = np.clip((NECK - y) / (NECK - lowered), 0, 1) ** 1.3
    moved = cv2.remap(
        still,
        (x * SCALE).astype(np.float32),
        ((y - drop * fade) * SCALE).astype(np.float32),
        cv2.INTER_CUBIC,
    )
    patch = still[top * SCALE : bottom * SCALE, left * SCALE : right * SCALE].astype(np.float32)
    below = np.clip((y - lowered) * 1.2 + 0.5, 0, 1)[..., None]
    gap = (np.clip((y - seam) * 0.9, 0, 1) * (drop > 0))[..., None]
    mouth = patch * (1 - gap) + np.array(INSIDE, np.float32) * gap
    result = still.copy()
    blended = mouth * (1 - below) + moved.astype(np.float32) * below
    result[top * SCALE : bottom * SCALE, left * SCALE : right * SCALE] = np.clip(blended, 0, 255)
    return result


def _seam(x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where the lower lip begins at each x, and how far the lip takes part in the movement (0..1)."""
    middle = (LEFT_CORNER[0] + RIGHT_CORNER[0]) / 2
    half = (RIGHT_CORNER[0] - LEFT_CORNER[0]) / 2
    across = (x - middle) / half
    corners = LEFT_CORNER[1] + (across + 1) / 2 * (RIGHT_CORNER[1] - LEFT_CORNER[1])
    depth = TEETH_BOTTOM - (LEFT_CORNER[1] + RIGHT_CORNER[1]) / 2
    seam = corners + depth * np.clip(1 - across**2, 0, None)
    share = np.clip(1 - np.abs(across) ** 2.5, 0, 1)
    return seam.astype(np.float32), share.astype(np.float32)
