"""Put people before the camera: turns of speech become moving mouths, pictures and sound become an MP4."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tools.sample_clips.portrait import REST, SCALE, Look, Portrait

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tools.sample_clips.speech import Speech

FRAME_RATE = 25
WIDTH, HEIGHT = 640, 360
PAUSE_S = 0.5
"""Silence before each turn and after the last one of a scene."""
LIPS = (0.1, 0.25, 0.3, 0.25, 0.1)
"""Lips do not jump: their opening is a mean over five frames. LR-ASD then believes them (97 % of frames, else 83)."""
FACE = (223.0, 120.0)
"""Middle of the face in the portrait, pixels."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can be seen, heard, or both."""

    voice: str
    look: Look | None
    """Nothing: somebody who is only heard."""
    wall: tuple[int, int, int] = (0, 0, 0)
    """Added to the picture's colours (blue, green, red): everybody sits in another room."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One person says one thing."""

    who: str
    text: str


@dataclass(frozen=True, slots=True)
class Scene:
    """One shot: who is in the picture, from left to right (one or two), and what is said."""

    seen: tuple[str, ...]
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Spoken:
    """When somebody speaks, in seconds of the clip."""

    who: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Take:
    """A scene with its sound."""

    scene: Scene
    sound: NDArray[np.float32]
    """A whole number of frames long."""
    spoken: tuple[Spoken, ...]
    """On the scene's own clock."""


class Studio:
    """Shoots scenes with a cast."""

    def __init__(self, cast: Mapping[str, Person], speech: Speech) -> None:
        self._cast = cast
        self._speech = speech
        self._portraits = {name: Portrait(person.look) for name, person in cast.items() if person.look}

    def shoot(self, path: Path, scenes: tuple[Scene, ...]) -> tuple[Spoken, ...]:
        """Write an H.264 and AAC film of ``scenes`` to ``path``; returns who really speaks when."""
        takes = [self._record(scene) for scene in scenes]
        aside = path.with_name(f".{path.stem}.part{path.suffix}")
        pictures = (picture for take in takes for picture in self._pictures(take))
        _write(aside, pictures, np.concatenate([take.sound for take in takes]), self._speech.rate)
        aside.replace(path)
        starts = np.cumsum([0.0] + [len(take.sound) / self._speech.rate for take in takes])
        return tuple(
            Spoken(turn.who, start + turn.start_s, start + turn.end_s)
            for take, start in zip(takes, starts.tolist(), strict=False)
            for turn in take.spoken
        )

    def _record(self, scene: Scene) -> Take:
        """Say all turns one after the other, with pauses, over the faint noise of a room."""
        rate = self._speech.rate
        parts, spoken, now = [], [], 0
        for turn in scene.turns:
            voice = self._speech.say(turn.text, voice=self._cast[turn.who].voice)
            parts += [np.zeros(round(PAUSE_S * rate), np.float32), voice]
            now += len(parts[-2])
            spoken.append(Spoken(turn.who, now / rate, (now + len(voice)) / rate))
            now += len(voice)
        frames = math.ceil((now / rate + PAUSE_S) * FRAME_RATE)
        sound = np.random.default_rng(7).normal(0, 0.0005, frames * rate // FRAME_RATE).astype(np.float32)
        sound[:now] += np.concatenate(parts)
        return Take(scene, sound, tuple(spoken))

    def _pictures(self, take: Take) -> Iterator[NDArray[np.uint8]]:
        """The frames of one scene."""
        openings = {name: self._openings(take, name) for name in take.scene.seen}
        width = WIDTH // len(take.scene.seen)
        zoom = 1.3 if len(take.scene.seen) == 2 else 1.75
        for index in range(len(openings[take.scene.seen[0]])):
            yield np.hstack(
                [
                    self._panel(name, float(openings[name][index]), _sway(index, seat), zoom, width)
                    for seat, name in enumerate(take.scene.seen)
                ]
            )

    def _openings(self, take: Take, name: str) -> NDArray[np.float32]:
        """How far the mouth of ``name`` is open in each frame: by the loudness of what it says."""
        rate = self._speech.rate
        frames = len(take.sound) * FRAME_RATE // rate
        own = np.zeros_like(take.sound)
        for turn in take.spoken:
            if turn.who == name:
                here = slice(round(turn.start_s * rate), round(turn.end_s * rate))
                own[here] = take.sound[here]
        loudness = np.sqrt(np.mean(own.reshape(frames, -1) ** 2, axis=1))
        if not loudness.any():
            return np.full(frames, REST * 0.3, np.float32)
        share = np.clip(loudness / np.percentile(loudness[loudness > 0], 92), 0, 1) ** 0.7
        wanted = np.where(own.reshape(frames, -1).any(axis=1), share, REST * 0.3)
        return np.convolve(np.pad(wanted, 2, mode="edge"), LIPS, mode="valid").astype(np.float32)

    def _panel(
        self, name: str, opening: float, sway: tuple[float, float, float], zoom: float, width: int
    ) -> NDArray[np.uint8]:
        """One person's part of the picture."""
        right_px, down_px, angle_deg = sway
        turn = cv2.getRotationMatrix2D((FACE[0] * SCALE, FACE[1] * SCALE), angle_deg, zoom / SCALE)
        turn[:, 2] += (width / 2 + right_px - FACE[0] * SCALE, HEIGHT * 0.45 + down_px - FACE[1] * SCALE)
        panel = cv2.warpAffine(self._portraits[name].at(opening), turn, (width, HEIGHT), borderMode=cv2.BORDER_REFLECT)
        lit: NDArray[np.uint8] = cv2.add(panel, np.array([*self._cast[name].wall, 0], np.float64))
        return lit


def _sway(frame: int, seat: int) -> tuple[float, float, float]:
    """Nobody sits still: pixels to the right, pixels down, degrees."""
    t = frame / FRAME_RATE + seat * 1.7
    return 4 * math.sin(1.1 * t), 2.5 * math.sin(1.7 * t + 1), 1.6 * math.sin(0.9 * t + 2)


def _write(path: Path, pictures: Iterator[NDArray[np.uint8]], sound: NDArray[np.float32], rate: int) -> None:
    """H.264 and AAC in MP4."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        film = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "20", "preset": "veryfast"})
        film.width, film.height, film.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        track = container.add_stream("aac", rate=rate, layout="mono")
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(film.encode(frame))
        container.mux(film.encode())
        samples = av.AudioFrame.from_ndarray(sound[None, :], format="fltp", layout="mono")
        samples.rate, samples.pts = rate, 0
        container.mux(track.encode(samples))
        container.mux(track.encode())
