"""Writing: files that common readers take for what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from vidfleet.speakers.data import SAMPLE_RATE
from vidfleet.speakers.media import AviWriter, Sound, VideoSource, add_sound, extract_sound, write_jpeg, write_wav

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def picture(number: int, *, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """A smooth picture that differs from number to number."""
    ramp = np.linspace(0, 150, width)[None, :, None] + np.linspace(0, 60, height)[:, None, None]
    return np.asarray(np.broadcast_to(ramp + number, (height, width, 3)), np.uint8)


@pytest.fixture
def ramp(tmp_path: Path) -> Sound:
    """Two seconds whose samples tell their place."""
    return write_wav(tmp_path / "ramp.wav", np.arange(2 * SAMPLE_RATE, dtype=np.int16))


@pytest.mark.parametrize(("width", "height"), [(96, 64), (225, 131)])
def test_pictures_come_back_as_written(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "a.avi"
    with AviWriter(path, width=width, height=height) as writer:
        for number in range(30):
            writer.write(picture(number, width=width, height=height))
    with av.open(path) as opened:
        stream = opened.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.codec_tag) == ("mpeg4", "XVID")
        assert stream.average_rate == 25
        assert len(opened.streams) == 1
    source = VideoSource.open(path)
    assert (source.info.width, source.info.height, source.info.has_sound) == (width, height, False)
    frames = list(source.frames())
    assert [frame.source_time_s for frame in frames] == pytest.approx([k / 25 for k in range(30)])
    for frame in frames:
        wrong = np.abs(frame.bgr.astype(int) - picture(frame.index, width=width, height=height))
        assert wrong.mean() < 3


def test_sound_lies_under_the_pictures(tmp_path: Path, ramp: Sound) -> None:
    path = tmp_path / "a.avi"
    with AviWriter(path, width=96, height=64, sound=ramp, sound_start=5 * 640) as writer:
        for number in range(10):
            writer.write(picture(number))
    source = VideoSource.open(path)
    assert len(list(source.frames())) == 10
    sound = extract_sound(path, tmp_path / "b.wav", zero=source.zero)
    assert sound is not None
    assert sound.read(0, sound.length_samples).tolist() == ramp.read(5 * 640, 15 * 640).tolist()


def test_sound_beyond_its_end_is_silence(tmp_path: Path, ramp: Sound) -> None:
    path = tmp_path / "a.avi"
    with AviWriter(path, width=96, height=64, sound=ramp, sound_start=2 * SAMPLE_RATE - 640) as writer:
        writer.write(picture(0))
        writer.write(picture(1))
    sound = extract_sound(path, tmp_path / "b.wav", zero=VideoSource.open(path).zero)
    assert sound is not None
    assert sound.length_samples == 1280
    assert not sound.read(640, 1280).any()


def test_adding_sound_copies_pictures_unchanged(tmp_path: Path, ramp: Sound) -> None:
    silent, both = tmp_path / "a.avi", tmp_path / "b.avi"
    with AviWriter(silent, width=96, height=64) as writer:
        for number in range(20):
            writer.write(picture(number))
    add_sound(silent, ramp.path, both)
    assert packets_of(both) == packets_of(silent)
    with av.open(both) as opened:
        assert opened.streams.video[0].codec_context.codec_tag == "XVID"
    sound = extract_sound(both, tmp_path / "b.wav", zero=VideoSource.open(both).zero)
    assert sound is not None
    assert sound.read(0, sound.length_samples).tolist() == ramp.read(0, ramp.length_samples).tolist()

    add_sound(silent, None, both)
    assert packets_of(both) == packets_of(silent)
    with av.open(both) as opened:
        assert len(opened.streams) == 1


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    with AviWriter(tmp_path / "a.avi", width=96, height=64) as writer:
        with pytest.raises(ValueError, match="does not fit"):
            writer.write(picture(0, width=64, height=96))
        writer.write(picture(0))


def test_no_picture_at_all_is_a_file_too(tmp_path: Path) -> None:
    with AviWriter(tmp_path / "a.avi", width=96, height=64):
        pass
    with av.open(tmp_path / "a.avi") as opened:
        assert opened.streams.video[0].codec_context.name == "mpeg4"


@pytest.mark.parametrize("name", ["a b.jpg", "\udcff.jpg", "顔.jpg"])
def test_jpeg_is_written_under_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_jpeg(path, picture(20))
    read = np.asarray(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR))
    assert np.abs(read.astype(int) - picture(20)).mean() < 2


@pytest.mark.parametrize("name", ["a b.avi", "\udcff.avi", "顔.avi", "a:b%d.avi", "-x.avi", "concat:x.avi"])
def test_video_is_written_and_read_under_any_name(
    tmp_path: Path, name: str, ramp: Sound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = type(tmp_path)(name)
    with AviWriter(path, width=96, height=64, sound=ramp) as writer:
        writer.write(picture(0))
    source = VideoSource.open(path)
    assert len(list(source.frames())) == 1
    assert extract_sound(path, path.with_suffix(".wav"), zero=source.zero) is not None


def packets_of(path: Path) -> list[bytes]:
    """The pictures as they are stored."""
    with av.open(path) as opened:
        return [bytes(packet) for packet in opened.demux(video=0) if packet.size]
