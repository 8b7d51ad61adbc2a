"""Real clips that are traps: lengths, sizes and times from their packets and headers, not from our own reading."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import pytest

from vidfleet.speakers.data import GRID_RATE, SAMPLE_RATE
from vidfleet.speakers.media import VideoSource, extract_sound

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a clip from its README, its header and its packets."""

    size: tuple[int, int]
    """Upright width and height."""
    frames: int
    """ceil(25 x (end of the last picture - zero)), by hand from packet times."""
    sound_s: float | None
    """End of the sound after zero; nothing for no sound."""
    pixel_aspect: Fraction = Fraction(1)
    first_picture_s: float = 0.0


CLIPS = {
    # First picture at 10214/11988 s, last ends at 120214/11988; first sound at 353/44100, 431 x 1024 samples.
    "face_recognition_short_hamilton_clip.mp4": Facts((640, 360), 251, 10.0078, first_picture_s=0.844),
    "pyscenedetect_delayed_start.mp4": Facts((480, 320), 24, None),  # 13760/12800 is zero: no sound before it
    "pyscenedetect_goldeneye-vfr-drop3.mp4": Facts((1280, 544), 250, None),  # 239239/24000 = 9.968 s
    "pyscenedetect_issue-134-rotate.mp4": Facts((544, 1280), 251, 10.0078),  # 240240/24000 = 10.010 s
    "pyscenedetect_issue-195-aspect-ratio.mp4": Facts((704, 576), 628, 25.117, pixel_aspect=Fraction(16, 11)),
    "moviepy_video_with_failing_audio.mp4": Facts((640, 360), 280, 11.233),
    "moviepy_no_duration.webm": Facts((1280, 720), 124, 4.875),  # last picture at 4.872 s stays 66 ms
    "torchcodec_nasa_13013.mp4": Facts((320, 180), 325, 13.056),  # both streams are default: the first
    "retalking_hist_face4.mp4": Facts((700, 700), 166, 6.576),  # last at 101376/15360 s, 512 ticks long
    "grid_bbaf2n.mpg": Facts((360, 288), 75, 2.978),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_has_its_size_its_length_and_its_sound(media: Path, tmp_path: Path, name: str) -> None:
    facts = CLIPS[name]
    source = VideoSource.open(media / name)
    assert (source.info.width, source.info.height) == facts.size
    assert source.info.pixel_aspect == facts.pixel_aspect
    assert abs(source.info.expected_frames - facts.frames) <= 1
    count = -1
    for count, frame in enumerate(source.frames()):
        assert frame.index == count
        if count == 0:
            assert frame.bgr.shape == (*reversed(facts.size), 3)
            assert frame.source_time_s == pytest.approx(facts.first_picture_s, abs=0.001)
    assert count + 1 == facts.frames
    sound = extract_sound(source.path, tmp_path / "a.wav", zero=source.zero)
    assert source.info.has_sound == (facts.sound_s is not None)
    assert (sound.length_samples / SAMPLE_RATE if sound else None) == pytest.approx(facts.sound_s, abs=0.025)


@pytest.mark.parametrize(
    "name", ["pyscenedetect_goldeneye-vfr-drop3.mp4", "retalking_hist_face4.mp4", "moviepy_no_duration.webm"]
)
def test_variable_rates_show_what_the_packets_say(media: Path, name: str) -> None:
    with av.open(media / name) as opened:
        stream = opened.streams.video[0]
        assert stream.time_base is not None
        tick = stream.time_base
        times = sorted(
            packet.pts * tick
            for packet in opened.demux(stream)
            if packet.pts is not None and packet.size and not packet.is_discard
        )
    rounding = min(tick, Fraction(1, 1000))
    for frame in VideoSource.open(media / name).frames():
        due = max(time for time in times if time <= Fraction(frame.index, GRID_RATE) + rounding)
        assert frame.source_time_s == pytest.approx(float(due))


def test_rotation_turns_the_picture_clockwise(media: Path) -> None:
    path = media / "pyscenedetect_issue-134-rotate.mp4"
    shown = next(VideoSource.open(path).frames()).bgr
    with av.open(path) as opened:
        stored = np.asarray(next(opened.decode(video=0)).to_ndarray(format="bgr24"), np.uint8)
    assert np.array_equal(shown, cv2.rotate(stored, cv2.ROTATE_90_CLOCKWISE))


def test_the_second_video_stream_can_be_asked_for(media: Path) -> None:
    info = VideoSource.open(media / "torchcodec_nasa_13013.mp4", video_stream=3, audio_stream=4).info
    assert (info.width, info.height, info.frame_rate) == (480, 270, Fraction(30000, 1001))


def test_sound_is_what_the_track_holds(media: Path, tmp_path: Path) -> None:
    """Against the samples as stored: the clip's sound is laid from zero on, without the encoder's priming."""
    path = media / "visualvoice_interview.mp4"
    sound = extract_sound(path, tmp_path / "a.wav", zero=VideoSource.open(path).zero)
    assert sound is not None
    with av.open(path) as opened:
        stored = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in opened.decode(audio=0)])
    ours = sound.read(SAMPLE_RATE, 5 * SAMPLE_RATE) / 32768
    thirds = stored[48_000 : 5 * 48_000].reshape(-1, 3).mean(axis=1)  # a crude way down from 48 kHz
    assert np.corrcoef(ours, thirds)[0, 1] > 0.98
    assert np.corrcoef(ours[1:], thirds[:-1])[0, 1] < np.corrcoef(ours, thirds)[0, 1]
