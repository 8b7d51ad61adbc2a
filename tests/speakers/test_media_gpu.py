"""Films decoded by the GPU: their pictures are the processor's, to the last number; and how long each takes."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from vidfleet.speakers.media import VideoSource

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from numpy.typing import NDArray

    from tests.speakers.conftest import Clip, MakeClip
    from vidfleet.data import Device

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu")]

SIZE = (638, 358)
"""No multiple of what codecs cut pictures into: the rest is cut off by the decoder."""
_QUICK = {"preset": "ultrafast", "bf": "2", "g": "12"}
_FILMS: dict[str, tuple[str, dict[str, str]]] = {
    "h264.mp4": ("libx264", {**_QUICK, "preset": "veryfast"}),
    "hevc.mp4": ("libx265", {**_QUICK, "x265-params": "log-level=none"}),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "12"}),
}


@cache
def _hues() -> NDArray[np.uint8]:
    """Waves of colours, with some noise: BGR."""
    width, height = SIZE
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    waves = np.stack([128 + 100 * np.sin(x / 40), 128 + 100 * np.cos(y / 30), (x + y) % 256], axis=-1)
    return np.clip(waves + np.random.default_rng(1).normal(0, 12, waves.shape), 0, 255).astype(np.uint8)


def _coloured(number: int, is_on: bool) -> NDArray[np.uint8]:
    """They move; at an event all are turned to their opposites."""
    moved = np.roll(_hues(), (3 * number, 5 * number), axis=(0, 1))
    return 255 - moved if is_on else moved


def _decodes_on_gpu(path: Path) -> VideoSource:
    """The source; skips where the GPU's decoder cannot be opened at all."""
    source = VideoSource.open(path, decode_on="cuda")
    next(iter(source.frames()))
    if source.decoding.on == "cpu":
        pytest.skip(str(source.decoding))
    return VideoSource.open(path, decode_on="cuda")


@pytest.mark.parametrize("name", _FILMS)
def test_pictures_are_the_processors_to_the_last_number(make_film: MakeClip, gpu: Device, name: str) -> None:
    codec, options = _FILMS[name]
    more: dict[str, Any] = {"audio": "libopus"} if name.endswith("webm") else {}
    path, _ = make_film(name, video=codec, video_options=options, size=SIZE, draw=_coloured, **more)
    by_gpu, by_cpu = _decodes_on_gpu(path), VideoSource.open(path)
    count = 0
    for one, other in zip(by_gpu.frames(keeps_planes=True), by_cpu.frames(keeps_planes=True), strict=True):
        assert (one.index, one.source_time_s, one.is_repeat) == (other.index, other.source_time_s, other.is_repeat)
        for mine, theirs in zip(one.planes.arrays, other.planes.arrays, strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=f"picture {one.index}")
        np.testing.assert_array_equal(one.bgr, other.bgr, err_msg=f"picture {one.index}")
        count += 1
    assert count == 75
    assert by_gpu.decoding.on == "cuda", by_gpu.decoding


@pytest.mark.parametrize("name", ["pyscenedetect_issue-134-rotate.mp4", "torchcodec_nasa_13013.mp4"])
def test_pictures_of_a_real_film_are_the_processors(media: Path, name: str) -> None:
    if not (media / name).is_file():
        pytest.skip(f"the clip {name} is not here")
    by_gpu, by_cpu = _decodes_on_gpu(media / name), VideoSource.open(media / name)
    for one, other in zip(by_gpu.frames(), by_cpu.frames(), strict=False):
        np.testing.assert_array_equal(one.bgr, other.bgr, err_msg=f"picture {one.index}")
        if one.index == 100:
            break
    assert by_gpu.decoding.on == "cuda", by_gpu.decoding


def test_a_damaged_film_is_the_processors_up_to_the_damage_and_goes_on_behind_it(make_film: MakeClip) -> None:
    """What is patched together where slices are broken is each decoder's own; NVIDIA's says nothing of it."""
    path, _ = make_film("film.ts", video_options=_QUICK, audio="mp2", size=SIZE, draw=_coloured)
    _decodes_on_gpu(path)
    damaged = bytearray(path.read_bytes())
    middle = slice(len(damaged) // 2, len(damaged) // 2 + 40_000)
    damaged[middle] = bytes(reversed(damaged[middle]))
    path.write_bytes(damaged)
    by_gpu, by_cpu = VideoSource.open(path, decode_on="cuda"), VideoSource.open(path)
    same = [
        one.index == other.index and np.array_equal(one.bgr, other.bgr)
        for one, other in zip(by_gpu.frames(), by_cpu.frames(), strict=True)
    ]
    print(by_gpu.decoding, same.index(False))
    assert all(same[:30])


def test_how_long_each_decoder_takes(make_film: MakeClip, gpu: Device) -> None:
    """No promise but that both give all pictures; what is printed is for people."""
    options = {**_QUICK, "preset": "veryfast"}
    path, clip = make_film("film.mp4", video_options=options, size=SIZE, draw=_coloured, seconds=6)
    _decodes_on_gpu(path)
    for name, source in {
        "processor, 1 thread": VideoSource.open(path),
        "processor, 4 threads": VideoSource.open(path, threads=4),
        gpu.name: VideoSource.open(path, decode_on="cuda"),
    }.items():
        began, first_s, count = time.perf_counter(), 0.0, 0
        for _ in source.frames():
            first_s = first_s or time.perf_counter() - began
            count += 1
        took_s = time.perf_counter() - began
        print(f"{name}: first picture after {first_s:.3f} s, then {(count - 1) / (took_s - first_s):.0f} a second")
        assert count == len(clip.times_s)


@pytest.fixture
def make_film(make_clip: MakeClip) -> MakeClip:
    """As :func:`make_clip`; skips where this FFmpeg has no such encoder."""

    def make(name: str, rate: Fraction | int = 25, **more: Any) -> tuple[Path, Clip]:  # noqa: ANN401
        try:
            av.Codec(more.get("video", "libx264"), "w")
        except av.codec.codec.UnknownCodecError as error:
            pytest.skip(f"this FFmpeg has no encoder {error}")
        return make_clip(name, rate, **more)

    return make
