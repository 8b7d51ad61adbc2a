"""Drawn faces that talk, their sound, and how an active speaker scores them; shared by the tests beside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidfleet.speakers.active_speaker import TrackScores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.speakers.active_speaker import ActiveSpeaker, TrackScorer
    from vidfleet.speakers.data import Scores, Span


@dataclass(frozen=True)
class Samples:
    """A sound in memory."""

    values: NDArray[np.int16]

    @property
    def length_samples(self) -> int:
        return len(self.values)

    def read(self, start: int, end: int) -> NDArray[np.int16]:
        found = self.values[max(start, 0) : max(end, 0)]
        return np.pad(found, (max(-start, 0), max(end - max(start, 0) - len(found), 0)))


def pushed(scorer: TrackScorer, faces: NDArray[np.uint8]) -> Scores:
    """What the scorer says of all of these."""
    for each in faces:
        scorer.push(each)
    return scorer.finish()


def score(
    method: ActiveSpeaker,
    faces: NDArray[np.uint8],
    *,
    sound: Samples | None,
    speech: Sequence[Span] = (),
    start: int = 0,
) -> NDArray[np.float64]:
    """The final scores of a face that is alone in its shot."""
    found = pushed(method.track(start, sound, speech), faces)
    return method.settle([TrackScores(start, found)])[0].values


def face(mouth_open: float, *, shift_px: int = 0) -> NDArray[np.uint8]:
    """A drawing: two eyes, a nose, a mouth between closed (0) and open (1)."""
    rows, columns = np.mgrid[:112, :112]

    def spot(row: float, column: float, height: float, width: float) -> NDArray[np.float64]:
        return np.asarray(np.exp(-(((rows - row) / height) ** 2) - ((columns - column) / width) ** 2))

    eyes = spot(14, 36, 5, 9) + spot(14, 76, 5, 9) + spot(36, 56, 12, 4) / 2
    drawn = 190 - 110 * eyes - 120 * spot(72, 56, 2 + 9 * mouth_open, 16)
    return np.asarray(np.roll(drawn, shift_px, axis=(0, 1)), np.uint8)


def talk(seconds: float, *, speaks: Sequence[tuple[float, float]]) -> tuple[NDArray[np.uint8], Samples]:
    """A face whose mouth opens four times a second while it speaks, and the sound that goes with it."""
    time_s = np.arange(round(seconds * 25)) / 25
    on = np.any([(time_s >= start) & (time_s < end) for start, end in speaks], axis=0)
    opening = on * (0.5 - 0.5 * np.cos(2 * np.pi * 4 * time_s))
    numbers = np.random.default_rng(7)
    sound = numbers.normal(0, 1, (len(time_s), 640)) * (20 + 4000 * opening[:, None])
    return np.array([face(value) for value in opening]), Samples(sound.reshape(-1).astype(np.int16))
