"""Tiny videos with events at known times, made while the tests run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vidfleet.speakers.data import GRID_RATE, SAMPLE_RATE
from vidfleet.speakers.media import VideoSource, extract_sound

if TYPE_CHECKING:
    from pathlib import Path

EVENT_LENGTH_S = Fraction(1, 5)
"""So long a picture is white and the tone sounds, from each event on."""


@dataclass(frozen=True, slots=True)
class Clip:
    """What a test video shows: dark pictures and silence, but for its events.

    All times are seconds on the container's own clock, on which an event in picture and sound is one moment.
    """

    events_s: tuple[Fraction, ...]
    """White pictures and a tone begin here; each is the time of a picture."""
    times_s: tuple[Fraction, ...]
    """When each picture begins."""
    tick: Fraction
    """The pictures' unit of time."""
    sound_s: tuple[Fraction, Fraction] | None
    """Begin and end of the sound; nothing for no sound track."""
    video: str = "libx264"
    video_options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "bf": "2", "g": "12"})
    audio: str = "aac"
    audio_rate: int = 48_000
    size: tuple[int, int] = (96, 64)
    """Width and height."""
    pixel_aspect: Fraction | None = None
    draw: Callable[[int, bool], NDArray[np.uint8]] | None = None
    """Makes picture (number, whether an event is on) as (height, width, 3) BGR."""

    @property
    def zero_s(self) -> Fraction:
        """Where the presentation starts."""
        return min(self.times_s[0], self.sound_s[0]) if self.sound_s else self.times_s[0]

    @property
    def expected_s(self) -> list[float]:
        """When the events are due after the start of the presentation."""
        return [float(event - self.zero_s) for event in self.events_s]


def clip_at(
    rate: Fraction | int,
    *,
    seconds: Fraction | int = 3,
    picture_delay_s: Fraction | int = 0,
    sound_delay_s: Fraction | int = 0,
    events_at: Sequence[Fraction | float] = (Fraction(7, 10), Fraction(17, 10)),
    **more: Any,  # noqa: ANN401
) -> Clip:
    """A clip at a constant rate; its events begin with the first pictures not before ``events_at``."""
    step = 1 / Fraction(rate)
    times = tuple(picture_delay_s + k * step for k in range(round(seconds / step)))
    events = tuple(next(t for t in times if t >= event) for event in events_at)
    tick = Fraction(1, math.lcm(step.denominator, Fraction(picture_delay_s).denominator))
    more.setdefault("sound_s", (Fraction(sound_delay_s), Fraction(seconds)))
    return Clip(events, times, tick, **more)


def write_clip(path: Path, clip: Clip) -> Path:
    """Encode and mux a clip; the name's extension says which container."""
    with av.open(path, "w") as container:
        packets = _encode_pictures(container, clip)
        if clip.sound_s is not None:
            packets += _encode_sound(container, clip)
        for packet in sorted(packets, key=lambda p: (p.dts or 0) * p.time_base):
            container.mux(packet)
    return path


def tone(times_s: NDArray[np.float64], events_s: Sequence[Fraction]) -> NDArray[np.float32]:
    """A loud 1 kHz tone during events, else silence."""
    on = np.zeros(len(times_s), bool)
    for event in events_s:
        on |= (times_s >= float(event) - 1e-9) & (times_s < float(event + EVENT_LENGTH_S))
    return np.asarray(np.where(on, 0.7 * np.cos(2 * np.pi * 1000 * times_s), 0), np.float32)


def _encode_pictures(container: Any, clip: Clip) -> list[Any]:  # noqa: ANN401
    width, height = clip.size
    stream = container.add_stream(clip.video, rate=round(1 / clip.tick), options=dict(clip.video_options))
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = clip.tick
    stream.codec_context.thread_count = 1
    if clip.pixel_aspect:
        stream.codec_context.sample_aspect_ratio = clip.pixel_aspect
    packets: list[Any] = []
    for number, time in enumerate(clip.times_s):
        white = any(event <= time < event + EVENT_LENGTH_S for event in clip.events_s)
        plain = np.full((height, width, 3), 235 if white else 20, np.uint8)
        bgr = clip.draw(number, white) if clip.draw else plain
        frame = av.VideoFrame.from_ndarray(bgr, format="bgr24")
        frame.pts, frame.time_base = round(time / clip.tick), clip.tick
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def _encode_sound(container: Any, clip: Clip) -> list[Any]:  # noqa: ANN401
    assert clip.sound_s is not None
    rate = clip.audio_rate
    stream = container.add_stream(clip.audio, rate=rate, layout="mono")
    first, last = (round(time * rate) for time in clip.sound_s)
    samples: NDArray[Any] = tone(np.arange(first, last) / rate, clip.events_s)
    format_name = stream.codec_context.format.name
    if format_name.startswith("s"):
        kind = np.int16 if format_name.startswith("s16") else np.int32
        samples = np.round(samples * float(np.iinfo(kind).max)).astype(kind)
    block = stream.codec_context.frame_size or 1024
    packets: list[Any] = []
    for start in range(0, len(samples), block):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + block], format=format_name, layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, first + start, Fraction(1, rate)
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


class MakeClip(Protocol):
    """Writes a clip: ``make_clip("name.mp4", rate, **as in clip_at) -> (path, clip)``."""

    def __call__(self, name: str, rate: Fraction | int = ..., **more: Any) -> tuple[Path, Clip]: ...  # noqa: ANN401


class FindEvents(Protocol):
    """Reads a video and looks for its events: ``find_events(path, **as for VideoSource.open)``."""

    def __call__(self, path: Path, **streams: Any) -> Found: ...  # noqa: ANN401


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """Write a clip: ``make_clip("name.mp4", rate, **as in clip_at) -> (path, clip)``."""

    def make(name: str, rate: Fraction | int = 25, **more: Any) -> tuple[Path, Clip]:  # noqa: ANN401
        clip = clip_at(rate, **more)
        return write_clip(tmp_path / name, clip), clip

    return make


@pytest.fixture
def clip_class() -> type[Clip]:
    """:class:`Clip`, for clips that :func:`make_clip` does not make."""
    return Clip


@pytest.fixture(name="write_clip")
def write_clip_fixture() -> Callable[[Path, Clip], Path]:
    """Encode and mux a clip of one's own: ``write_clip(path, clip)``."""
    return write_clip


@dataclass(frozen=True, slots=True)
class Found:
    """What the pipeline's eyes and ears find in a video, in seconds after its zero."""

    white_s: list[float]
    """Grid times at which pictures turn white."""
    tone_s: list[float]
    """When the tone sets in."""
    frames: int
    """Length of the grid."""


@pytest.fixture
def find_events(tmp_path: Path) -> FindEvents:
    """Read a video and look for its events: ``find_events(path, **as for VideoSource.open)``."""

    def find(path: Path, **streams: Any) -> Found:  # noqa: ANN401
        source = VideoSource.open(path, **streams)
        bright = np.array([frame.bgr[::8, ::8].mean() > 128 for frame in source.frames()])
        white = np.flatnonzero(np.diff(bright.astype(int), prepend=0) == 1) / GRID_RATE
        sound = extract_sound(path, tmp_path / "found.wav", zero=source.zero, audio_stream=source.audio_stream)
        heard = sound.read(0, sound.length_samples).astype(int) if sound else np.zeros(0, int)
        loud = np.flatnonzero(np.abs(heard) > 6000)
        # A tone is loud sixteen times a cycle; what follows 50 ms of quiet begins anew.
        begins = loud[np.diff(loud, prepend=-SAMPLE_RATE) > SAMPLE_RATE // 20] / SAMPLE_RATE
        return Found(white.tolist(), begins.tolist(), len(bright))

    return find
