"""The page shows the film itself where browsers play it, and a small copy where they do not."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from tests.speakers.stills import SD
from vidfleet.speakers.media import VideoSource, extract_sound
from vidfleet.speakers.media.mp4 import Mp4Writer
from vidfleet.speakers.page.playable import PreviewWriter, browser_plays, shown_size

if TYPE_CHECKING:
    from pathlib import Path

    from tests.speakers.conftest import FindEvents, MakeClip


@pytest.mark.parametrize(
    ("name", "codecs", "plays"),
    [
        ("a.mp4", {"video": "libx264", "audio": "aac"}, True),
        ("a.m4v", {"video": "libx264", "audio": "aac"}, True),
        ("a.mov", {"video": "libx264", "audio": "aac"}, True),
        ("a.MP4", {"video": "libx264", "audio": "aac"}, True),
        ("silent.mp4", {"video": "libx264", "sound_s": None}, True),
        ("a.webm", {"video": "libvpx-vp9", "audio": "libopus", "audio_rate": 48_000}, True),
        ("mpeg4.mp4", {"video": "mpeg4", "audio": "aac"}, False),
        ("hevc.mp4", {"video": "libx265", "audio": "aac"}, False),
        ("ac3.mp4", {"video": "libx264", "audio": "ac3", "audio_rate": 48_000}, False),
        ("a.mkv", {"video": "libx264", "audio": "aac"}, False),
        ("a.avi", {"video": "libx264", "audio": "mp3", "audio_rate": 44_100}, False),
    ],
)
def test_container_and_codecs_decide(make_clip: MakeClip, name: str, codecs: dict[str, Any], plays: bool) -> None:
    options = {"libx265": {"x265-params": "log-level=none"}, "libx264": {"preset": "ultrafast"}}
    path, _ = make_clip(name, video_options=options.get(codecs["video"], {}), **codecs)
    assert browser_plays(VideoSource.open(path)) is plays


def test_other_streams_than_a_browser_takes_need_a_copy(make_clip: MakeClip, tmp_path: Path) -> None:
    path, _ = make_clip("one.mp4", audio="aac")
    two = tmp_path / "two.mp4"
    with av.open(str(path)) as source, av.open(str(two), "w") as target:
        streams = [source.streams.video[0], source.streams.audio[0], source.streams.audio[0]]
        copies = [target.add_stream_from_template(stream) for stream in streams]
        for packet in source.demux():
            if packet.size:
                for place, copy in enumerate(copies):
                    if streams[place] == packet.stream:
                        twin = av.Packet(bytes(packet))
                        twin.pts, twin.dts, twin.time_base = packet.pts, packet.dts, packet.time_base
                        twin.duration, twin.is_keyframe, twin.stream = packet.duration or 0, packet.is_keyframe, copy
                        target.mux(twin)
    assert browser_plays(VideoSource.open(two))
    assert not browser_plays(VideoSource.open(two, audio_stream=2))


@pytest.mark.parametrize(
    ("name", "codecs", "codec"),
    [
        ("a.mkv", {"video": "libx264", "audio": "aac", "audio_rate": 48_000}, "aac"),
        ("a.avi", {"video": "mpeg4", "audio": "pcm_s16le"}, "aac"),
        ("a.avi", {"video": "mpeg4", "audio": "libmp3lame", "audio_rate": 44_100}, "mp3float"),
    ],
)
def test_a_copy_plays_and_keeps_the_films_time(
    make_clip: MakeClip, find_events: FindEvents, tmp_path: Path, name: str, codecs: dict[str, Any], codec: str
) -> None:
    options = {} if codecs["video"] == "mpeg4" else {"preset": "ultrafast"}
    path, clip = make_clip(name, video_options=options, **codecs)
    source = VideoSource.open(path)
    sound = extract_sound(path, tmp_path / "audio.wav", zero=source.zero)
    target = tmp_path / "preview.mp4"
    with PreviewWriter(source, target, sound=sound) as preview:
        for frame in source.frames(keeps_planes=True):
            preview.write(frame.planes)
    copy = VideoSource.open(target)
    assert browser_plays(copy)
    with av.open(str(target)) as container:
        assert container.streams.audio[0].codec_context.name == codec
    found, expected = find_events(target), find_events(path)
    assert found.frames == expected.frames
    assert found.white_s == expected.white_s
    assert len(expected.white_s) == len(clip.events_s)
    np.testing.assert_allclose(found.tone_s, expected.tone_s, atol=0.025)


def test_a_copy_of_a_late_film_starts_at_its_zero(make_clip: MakeClip, find_events: FindEvents, tmp_path: Path) -> None:
    """Sound before the pictures, both late in the container: the copy's first picture stands at the first sound."""
    path, _ = make_clip("late.mkv", seconds=3, picture_delay_s=2, sound_s=(Fraction(1), Fraction(5)), events_at=(3, 4))
    source = VideoSource.open(path)
    target = tmp_path / "preview.mp4"
    with PreviewWriter(source, target, sound=None) as preview:
        for frame in source.frames(keeps_planes=True):
            preview.write(frame.planes)
    found, expected = find_events(target), find_events(path)
    assert found.white_s == expected.white_s
    np.testing.assert_allclose(found.tone_s, expected.tone_s, atol=0.025)


@pytest.mark.parametrize(
    ("size", "aspect", "expected"),
    [((1920, 1080), 1, (854, 480)), ((720, 576), Fraction(16, 11), (872, 480)), ((321, 201), 1, (320, 200))],
)
def test_a_copy_is_small_even_and_of_the_right_shape(
    make_clip: MakeClip, size: tuple[int, int], aspect: Fraction, expected: tuple[int, int]
) -> None:
    from dataclasses import replace

    path, _ = make_clip("a.mp4", sound_s=None)
    info = replace(VideoSource.open(path).info, width=size[0], height=size[1], pixel_aspect=Fraction(aspect))
    assert shown_size(info, most_rows=480) == expected


def test_odd_sides_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="even"):
        Mp4Writer(tmp_path / "odd.mp4", width=321, height=200, colours=SD)
    assert not list(tmp_path.iterdir())
