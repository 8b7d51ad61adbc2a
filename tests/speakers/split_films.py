"""Small films with many cuts, in several containers and codecs, for what is done in parts."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from tests.speakers.films import SIZE, noise, scene

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

X264 = {"preset": "veryfast", "crf": "18", "g": "12", "bf": "2", "sc_threshold": "0"}
"""Key frames at fixed places, not at the cuts."""
ONE_SECOND = ("--split", "--split-seconds", "1", "--scene-min-sec", "0.4")


def shots(*lengths: int) -> list[NDArray[np.uint8]]:
    """Shots of so many frames: a face that wanders over a colour of its own."""
    random = np.random.default_rng(7)
    pictures = []
    for number, length in enumerate(lengths):
        colour = tuple(int(part) for part in random.integers(30, 220, 3))
        for at in range(length):
            pictures.append(scene(10 + at if number % 2 else 150 - at, (colour[0], colour[1], colour[2])))
    return pictures


def even_shots(count: int = 6, frames: int = 27) -> list[NDArray[np.uint8]]:
    return shots(*[frames] * count)


def write_film(
    path: Path,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    codec: str = "libx264",
    options: Mapping[str, str] = X264,
    ticks: Sequence[int] | None = None,
    rate: int = 25,
    false_key_every: int = 0,
) -> Path:
    """Encode a film with a sound track; ``ticks`` are the pictures' times in units of 1 / ``rate`` s.

    With ``false_key_every`` so many packets the container calls one a key frame that is none.
    """
    times = ticks or range(len(pictures))
    with av.open(path, "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = SIZE[0], SIZE[1], "yuv420p"
        stream.codec_context.time_base = Fraction(1, rate)
        stream.codec_context.thread_count = 1
        sound_codec = {".avi": "pcm_s16le", ".webm": "libopus"}.get(path.suffix, "aac")
        audio: Any = container.add_stream(sound_codec, rate=16_000, layout="mono")
        packets: list[Any] = []
        for time, picture in zip(times, pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = time, Fraction(1, rate)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        for number, packet in enumerate(packets):
            if false_key_every and number % false_key_every == 0:
                packet.is_keyframe = True
        seconds = (times[-1] + 1) / rate
        sound = noise(seconds)[None]
        for start in range(0, sound.shape[1], 1024):
            samples = sound[:, start : start + 1024]
            if path.suffix == ".avi":
                block = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            else:
                block = av.AudioFrame.from_ndarray((samples / 32768).astype(np.float32), format="fltp", layout="mono")
            block.sample_rate, block.pts, block.time_base = 16_000, start, Fraction(1, 16_000)
            packets += audio.encode(block)
        packets += audio.encode(None)
        for packet in sorted(packets, key=lambda one: (one.dts or 0) * one.time_base):
            container.mux(packet)
    return path


def contents(out: Path) -> dict[str, bytes]:
    """All files of an output folder but those that tell times."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.suffix != ".done" and path.name != "time_log.jsonl"
    }
