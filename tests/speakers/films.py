"""Small films of a real face, and what the pipeline makes of a film; shared by the tests beside."""

from __future__ import annotations

import csv
import json
import pickle
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest

from vidfleet.speakers.pipeline import Speakers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SIZE = (320, 256)
"""Width and height of the clips."""


@cache
def face() -> NDArray[np.uint8]:
    """A real face: 130 x 130 pixels of the portrait that scikit-image carries, from hair to chin."""
    data = pytest.importorskip("skimage.data")
    portrait: NDArray[np.uint8] = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)[30:230, 120:320]
    smaller: NDArray[np.uint8] = cv2.resize(portrait, (150, 150), interpolation=cv2.INTER_AREA)
    return smaller


BLUE, GREEN = (160, 60, 60), (60, 100, 60)


def scene(x: int | None, background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """A picture with the face at column ``x``, or none."""
    picture = np.full((SIZE[1], SIZE[0], 3), background, np.uint8)
    if x is not None:
        picture[60:210, x : x + 150] = face()
    return picture


def write_video(
    path: Path,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    rate: int = 25,
    sound: NDArray[np.int16] | None = None,
) -> Path:
    """Encode a clip; ``sound`` is 16 kHz mono."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "12"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        stream.codec_context.thread_count = 1
        audio: Any = None if sound is None else container.add_stream("aac", rate=16_000, layout="mono")
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            for start in range(0, len(sound), 1024):
                samples = (sound[None, start : start + 1024] / 32768).astype(np.float32)
                block = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                block.sample_rate, block.pts, block.time_base = 16_000, start, Fraction(1, 16_000)
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def noise(seconds: float) -> NDArray[np.int16]:
    return np.random.default_rng(0).normal(0, 3000, int(seconds * 16_000)).astype(np.int16)


def two_shots(*, rate: int = 25, seconds: float = 2.4) -> list[NDArray[np.uint8]]:
    """The face wanders to the right; half way there is a cut, and it wanders to the left."""
    count = int(rate * seconds)
    places = (np.linspace(0, 1, count // 2) * 40).astype(int)
    return [scene(10 + x, BLUE) for x in places] + [scene(160 - x, GREEN) for x in places]


@dataclass(frozen=True)
class Run:
    """A processed video."""

    out: Path
    reports: list[tuple[str, float]]

    def load(self, name: str) -> Any:  # noqa: ANN401
        with (self.out / "pywork" / name).open("rb") as file:
            return pickle.load(file)

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.out / "pywork" / name).open(newline="") as file:
            return list(csv.DictReader(file))

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / "pywork/time_log.jsonl").read_text().splitlines()]

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.out / folder).iterdir())


FAST = ("--models", "embedded", "--threads", "1", "--facedetScale", "0.6")


def process(video: Path, out: Path, *arguments: str) -> Run:
    speakers = Speakers.from_arguments([*FAST, *arguments])
    speakers.setup("cpu")
    reports: list[tuple[str, float]] = []
    speakers.process(str(video), str(out), lambda stage, share: reports.append((stage, share)))
    return Run(out, reports)
