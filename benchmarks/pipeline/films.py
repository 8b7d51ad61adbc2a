"""Films of talking people, 1280 x 720 at 25 pictures a second, to measure the pipeline on.

Shots of recordings of single people (or two, or four at once), cut out to 16:9 or laid on a blurred copy of themselves
as television does with upright pictures, again and again until the film is long enough. As a camera would, each picture
gets noise of its own, and H.264 gets 2 Mbit/s, what web sites give 720p. Nothing of the clips is in this repository.
"""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from vidfleet.speakers.data import GRID_RATE, SAMPLE_RATE
from vidfleet.speakers.media import VideoSource, extract_sound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

WIDTH, HEIGHT = 1280, 720
BIT_RATE = 2_000_000
NOISE = 2.0
"""Standard deviation of a pixel, of 255; 2 to 3 is what indoor footage has after a camera's own filter."""
NOISE_PICTURES = 8
SHOT_S = 8
"""The longest shot of a recording; shorter recordings are shown whole."""
SAMPLES_PER_FRAME = SAMPLE_RATE // GRID_RATE


@dataclass(frozen=True)
class Scene:
    """One face of a clip."""

    clip: str
    box: tuple[int, int, int, int] | None
    """x, y, width and height of what is shown; None: all of it, between blurred sides."""


LEFT = Scene("visualvoice_interview.mp4", (60, 62, 700, 394))
RIGHT = Scene("visualvoice_interview.mp4", (580, 0, 700, 394))
UPRIGHT = Scene("latentsync_demo1.mp4", (0, 440, 1080, 608))
CLOSE = Scene("retalking_face4.mp4", (0, 50, 700, 394))
OUTDOORS = Scene("liveportrait_d20.mp4", None)
LISTENING = Scene("liveportrait_s18.mp4", (0, 0, 1280, 720))
WIDER = Scene("retalking_face4.mp4", None)
BOTH = Scene("visualvoice_interview.mp4", (0, 0, 1280, 720))
SHOTS: dict[int, tuple[tuple[Scene, ...], ...]] = {
    1: ((LEFT,), (UPRIGHT,), (OUTDOORS,), (RIGHT,), (CLOSE,), (LISTENING,)),
    2: ((BOTH,),),
    4: ((LISTENING, OUTDOORS, UPRIGHT, WIDER),),
}
"""By how many faces are in view all the time; four scenes stand in one picture, two by two, and the last is heard."""


def make_film(folder: Path, media: Path, *, faces: int, seconds: int) -> Path:
    """The film, made if it is not in ``folder`` yet."""
    path = folder / f"talking_{faces}_faces_{seconds}_s.mp4"
    if not path.exists():
        growing = path.with_suffix(".part.mp4")
        _write(growing, _moments(media, faces), seconds * GRID_RATE)
        growing.rename(path)
    return path


def _moments(media: Path, faces: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int16]]]:
    """Pictures (720, 1280, 3) without end, and the sound of each (640,)."""
    for shot in itertools.cycle(SHOTS[faces]):
        sound = _sound(media / shot[-1].clip)
        for index, parts in enumerate(zip(*(_pictures(media, scene) for scene in shot), strict=False)):
            first = index * SAMPLES_PER_FRAME
            samples = np.zeros(SAMPLES_PER_FRAME, np.int16)
            heard = sound[first : first + SAMPLES_PER_FRAME]
            samples[: len(heard)] = heard
            yield _together(parts), samples


def _pictures(media: Path, scene: Scene) -> Iterator[NDArray[np.uint8]]:
    for frame in itertools.islice(VideoSource.open(media / scene.clip).frames(), SHOT_S * GRID_RATE):
        if scene.box is None:
            yield _between_blurred_sides(frame.bgr)
        else:
            x, y, width, height = scene.box
            yield _resized(frame.bgr[y : y + height, x : x + width], WIDTH, HEIGHT)


def _between_blurred_sides(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    width = round(bgr.shape[1] * HEIGHT / bgr.shape[0]) // 2 * 2
    picture = _resized(_resized(bgr, 16, 9), WIDTH, HEIGHT)
    left = (WIDTH - width) // 2
    picture[:, left : left + width] = _resized(bgr, width, HEIGHT)
    return picture


def _together(parts: tuple[NDArray[np.uint8], ...]) -> NDArray[np.uint8]:
    if len(parts) == 1:
        return parts[0]
    small = [_resized(part, WIDTH // 2, HEIGHT // 2) for part in parts]
    return np.vstack([np.hstack(small[:2]), np.hstack(small[2:])])


def _resized(bgr: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    shrinks = width < bgr.shape[1]
    made: NDArray[np.uint8] = cv2.resize(
        bgr, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    )
    return made


def _sound(clip: Path) -> NDArray[np.int16]:
    with tempfile.TemporaryDirectory() as folder:
        track = extract_sound(clip, Path(folder, "audio.wav"), zero=VideoSource.open(clip).zero)
        return track.read(0, track.length_samples) if track else np.zeros(0, np.int16)


def _write(path: Path, moments: Iterator[tuple[NDArray[np.uint8], NDArray[np.int16]]], frames: int) -> None:
    """H.264 with two reordered pictures, as web sites have it, and AAC."""
    numbers = np.random.default_rng(1)
    noise = [numbers.normal(0, NOISE, (HEIGHT, WIDTH, 1)).astype(np.float32) for _ in range(NOISE_PICTURES)]
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        film = container.add_stream("libx264", rate=GRID_RATE, options={"preset": "medium"})
        film.width, film.height, film.pix_fmt, film.bit_rate = WIDTH, HEIGHT, "yuv420p", BIT_RATE
        track = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for index, (picture, samples) in enumerate(itertools.islice(moments, frames)):
            noisy = np.clip(picture + noise[numbers.integers(NOISE_PICTURES)], 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(noisy, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, GRID_RATE)
            container.mux(film.encode(frame))
            heard = av.AudioFrame.from_ndarray(samples[None, :], format="s16", layout="mono")
            heard.sample_rate, heard.pts = SAMPLE_RATE, index * SAMPLES_PER_FRAME
            container.mux(track.encode(heard))
        container.mux(film.encode())
        container.mux(track.encode())
