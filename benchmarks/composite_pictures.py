"""The pictures of a composite: whose moment is shown in which part of them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.composite_plan import CompositeSpec, Plan, PlannedShot, PlannedTurn
    from benchmarks.composite_sources import Footage, Library

    Box = tuple[int, int, int, int]


class Stage:
    """Draws the pictures."""

    def __init__(self, spec: CompositeSpec, planned: Plan, library: Library) -> None:
        self._spec, self._plan, self._library = spec, planned, library

    def boxes(self, shot: PlannedShot) -> list[Box]:
        """The cells of a shot, from left to right."""
        width, height = self._spec.size
        edges = [round(width * place / len(shot.seen)) for place in range(len(shot.seen) + 1)]
        return [(left, 0, right, height) for left, right in pairwise(edges)]

    def picture(self, time_s: float, shot: PlannedShot) -> NDArray[np.uint8]:
        """(height, width, 3) BGR."""
        return np.hstack(
            [
                self._cell(person, time_s, shot, box, place)
                for place, (person, box) in enumerate(zip(shot.seen, self.boxes(shot), strict=True))
            ]
        )

    def _cell(self, person: str, time_s: float, shot: PlannedShot, box: Box, place: int) -> NDArray[np.uint8]:
        footage, at_s = self._moment(person, time_s, shot)
        width, height = box[2] - box[0], box[3] - box[1]
        x, y, face_height = footage.face
        # A face is two thirds as wide as high; neither cell nor face may be too narrow.
        scale = min(shot.zoom * height, 0.62 * width * 1.5) / face_height
        right_px, down_px, angle_deg = _sway(time_s, place, height) if self._spec.is_handheld else (0.0, 0.0, 0.0)
        matrix = cv2.getRotationMatrix2D((x, y), angle_deg, scale)
        if self._spec.are_lively:
            matrix = matrix @ _lean(time_s, place, self._spec.seed, footage.face)
        matrix[:, 2] += (width / 2 + right_px - x, height * 0.47 + down_px - y)
        cell: NDArray[np.uint8] = cv2.warpAffine(
            footage.picture(at_s), matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
        )
        return cell

    def _moment(self, person: str, time_s: float, shot: PlannedShot) -> tuple[Footage, float]:
        """Which moment of which recording of a person is shown.

        A turn is shown as it was; before and after it the person rests, and nothing jumps but half way
        between two turns.
        """
        turns = [
            turn for turn in self._plan.turns_of(person) if turn.start_s < shot.end_s and turn.end_s > shot.start_s
        ]
        if not turns:
            footage = self._library.footage(self._plan.resting[person][shot.number % len(self._plan.resting[person])])
            span = footage.rest()
            length_s = 0.0 if self._spec.rest == "frozen" else span.end_s - span.start_s
            return footage, span.start_s + _to_and_fro(time_s - shot.start_s, length_s)
        nearest = min(turns, key=lambda turn: _distance(turn, time_s))
        footage = self._library.footage(nearest.recording)
        if time_s < nearest.start_s:
            length_s = 0.0 if self._spec.rest == "frozen" else nearest.from_s
            return footage, nearest.from_s - _to_and_fro(nearest.start_s - time_s, length_s)
        if time_s >= nearest.end_s:
            length_s = 0.0 if self._spec.rest == "frozen" else footage.length_s - nearest.to_s
            return footage, nearest.to_s + _to_and_fro(time_s - nearest.end_s, length_s)
        return footage, nearest.from_s + time_s - nearest.start_s


def _distance(turn: PlannedTurn, time_s: float) -> float:
    return max(turn.start_s - time_s, time_s - turn.end_s, 0.0)


def _to_and_fro(time_s: float, length_s: float) -> float:
    """A place in [0, length_s] that goes to the end and back again; 0 where that would be a mere twitch."""
    if length_s < 0.2:
        return 0.0
    phase = time_s % (2 * length_s)
    return min(phase, 2 * length_s - phase)


def _lean(time_s: float, place: int, seed: int, face: tuple[float, float, float]) -> NDArray[np.float64]:
    """A head that is never still, as a (3, 3) map of the picture around its face: nods, leans, comes nearer."""
    phase = np.random.default_rng([seed, place]).uniform(0, 6.28, 5)
    waves = np.sin(np.array([2.1, 3.3, 2.7, 1.3, 4.4]) * time_s + phase)
    x, y, height = face
    angle = np.deg2rad(3.0) * waves[0]
    larger, narrower = 1 + 0.03 * waves[3], 1 + 0.04 * waves[2]  # as a head that turns away does
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = larger * turn @ np.diag([narrower, 1 + 0.02 * waves[4]])
    move = np.array([0.04 * height * waves[1], 0.04 * height * waves[4]])
    lean = np.eye(3)
    lean[:2, :2], lean[:2, 2] = linear, np.array([x, y]) - linear @ (x, y) + move
    return lean


def _sway(time_s: float, place: int, height: int) -> tuple[float, float, float]:
    """A hand that holds the camera: pixels to the right, pixels down, degrees."""
    t = time_s + 1.7 * place
    return 0.01 * height * np.sin(1.1 * t), 0.007 * height * np.sin(1.7 * t + 1), 1.5 * np.sin(0.9 * t + 2)
