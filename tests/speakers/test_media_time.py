"""One clock: events known to the millisecond are found in pictures and sound, at every rate and offset."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from vidfleet.speakers.data import GRID_RATE
from vidfleet.speakers.media import VideoSource, extract_sound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.speakers.conftest import Clip, FindEvents, Found, MakeClip

GRID_STEP_S = 1 / GRID_RATE
SOUND_TOLERANCE_S = 0.005
RATES = {
    "23.976": Fraction(24000, 1001),
    "24": Fraction(24),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "30": Fraction(30),
    "50": Fraction(50),
    "59.94": Fraction(60000, 1001),
    "60": Fraction(60),
}
KINDS: dict[str, dict[str, Any]] = {
    "a.mp4": {"audio": "aac"},
    "a.mov": {"audio": "pcm_s16le"},
    "a.mkv": {"audio": "libopus"},
    "a.avi": {"video": "mpeg4", "video_options": {}, "audio": "pcm_s16le"},
    "a.mpg": {"video": "mpeg2video", "video_options": {}, "audio": "mp2"},
    "a.ts": {"audio": "aac"},
    "a.flv": {"audio": "aac", "audio_rate": 44_100},
}
"""How the test videos of each container are encoded."""


def assert_found(found: Found, expected_s: Sequence[float]) -> None:
    """An event's first white picture is shown by the next grid frame; its tone begins at once."""
    assert len(found.white_s) == len(found.tone_s) == len(expected_s)
    for white, heard, expected in zip(found.white_s, found.tone_s, expected_s, strict=True):
        assert -0.0011 <= white - expected < GRID_STEP_S
        assert abs(heard - expected) < SOUND_TOLERANCE_S


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.avi"])
@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_events_are_found_at_every_rate_in_every_container(
    make_clip: MakeClip, find_events: FindEvents, name: str, rate: Fraction
) -> None:
    path, clip = make_clip(name, rate, **KINDS[name])
    found = find_events(path)
    assert_found(found, clip.expected_s)
    length_s = float((clip.times_s[-1] + 1 / rate) - clip.zero_s)
    assert abs(found.frames - length_s * GRID_RATE) <= 1


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
@pytest.mark.parametrize("rate", ["25", "23.976", "60"])
@pytest.mark.parametrize("late", ["picture", "sound"])
def test_a_late_picture_or_sound_stays_late(
    make_clip: MakeClip, find_events: FindEvents, name: str, rate: str, late: str
) -> None:
    path, clip = make_clip(name, RATES[rate], **{f"{late}_delay_s": Fraction(617, 1000)})
    assert clip.zero_s == 0
    assert_found(find_events(path), clip.expected_s)


def test_what_precedes_the_first_picture_shows_the_first(make_clip: MakeClip) -> None:
    path, _ = make_clip("a.mp4", 25, picture_delay_s=Fraction(1, 2))
    frames = list(VideoSource.open(path).frames())
    assert [frame.source_time_s for frame in frames[:14]] == [0.5] * 14
    assert [frame.is_repeat for frame in frames[:15]] == [False] + [True] * 13 + [False]
    assert frames[14].source_time_s == pytest.approx(0.54)


@pytest.mark.parametrize("name", ["a.mov", "a.mkv"])
def test_a_container_that_starts_late_starts_at_zero(make_clip: MakeClip, find_events: FindEvents, name: str) -> None:
    start = Fraction(3, 2)
    path, clip = make_clip(
        name,
        25,
        picture_delay_s=start,
        sound_s=(start, Fraction(4)),
        audio="flac" if name == "a.mkv" else "pcm_s16le",
        events_at=(Fraction(2), Fraction(3)),
    )
    assert clip.expected_s == [0.52, 1.52]
    assert_found(find_events(path), clip.expected_s)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_variable_rate_follows_presentation_times(
    write_clip: Callable[[Path, Clip], Path], clip_class: type[Clip], find_events: FindEvents, tmp_path: Path, name: str
) -> None:
    gaps_ms = [33, 67, 20, 100, 41, 16, 250, 33, 33, 17] * 5
    times = [Fraction(sum(gaps_ms[:k]), 1000) for k in range(len(gaps_ms))]
    events = (times[12], times[33])
    clip = clip_class(events, tuple(times), Fraction(1, 1000), (Fraction(0), Fraction(3)))
    path = write_clip(tmp_path / name, clip)
    assert_found(find_events(path), clip.expected_s)
    shown = [frame.source_time_s for frame in VideoSource.open(path).frames()]
    tick = Fraction(1, 1000) if name == "a.mkv" else 0  # a picture may be early by Matroska's rounding
    due = [max(t for t in times if t <= Fraction(i, GRID_RATE) + tick) for i in range(len(shown))]
    assert shown == pytest.approx([float(t) for t in due], abs=0.002)


def test_24_repeats_one_picture_a_second_and_60_shows_five_of_twelve(make_clip: MakeClip) -> None:
    path, _ = make_clip("a.mp4", 24, sound_s=None)
    repeats = [frame.index for frame in VideoSource.open(path).frames() if frame.is_repeat]
    assert len(repeats) == 3
    assert np.diff(repeats).tolist() == [25, 25]

    path, _ = make_clip("b.mp4", 60, sound_s=None)
    shown = [round(frame.source_time_s * 60) for frame in VideoSource.open(path).frames()]
    assert shown[:6] == [0, 2, 4, 7, 9, 12]
    assert not any(frame.is_repeat for frame in VideoSource.open(path).frames())


def test_avi_with_reordered_pictures_is_shown_in_order(make_clip: MakeClip, find_events: FindEvents) -> None:
    """AVI has no presentation times, and FFmpeg's substitutes for H.264 are out of order."""
    path, clip = make_clip("a.avi", 25, audio="pcm_s16le")
    assert_found(find_events(path), clip.expected_s)
    times = [frame.source_time_s for frame in VideoSource.open(path).frames()]
    assert times == pytest.approx([k / 25 for k in range(75)])


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(make_clip: MakeClip, threads: int) -> None:
    for name in ("a.mp4", "a.avi"):
        path, _ = make_clip(name, 30, **KINDS[name])
        frames = list(VideoSource.open(path, threads=threads).frames())
        assert [round(f.source_time_s * 30) for f in frames[:7]] == [0, 1, 2, 3, 4, 6, 7]
        assert len(frames) == 75


@pytest.mark.parametrize("name", ["a.ts", "a.flv", "a.mpg"])
def test_where_priming_cannot_be_known_picture_and_sound_still_agree(
    make_clip: MakeClip, find_events: FindEvents, name: str
) -> None:
    path, clip = make_clip(name, 25, **KINDS[name])
    found = find_events(path)
    for white, heard in zip(found.white_s, found.tone_s, strict=True):
        assert -0.0011 <= white - heard < GRID_STEP_S
    assert found.white_s == pytest.approx(clip.expected_s, abs=0.08)


def test_joined_files_go_on_where_the_clock_is_set_back(make_clip: MakeClip, find_events: FindEvents) -> None:
    path, _ = make_clip("a.ts", 25)
    once = find_events(path)
    path.write_bytes(path.read_bytes() * 2)
    twice = find_events(path)
    assert twice.frames == pytest.approx(2 * once.frames, abs=2)
    assert twice.white_s == pytest.approx([*once.white_s, *(s + 3 for s in once.white_s)], abs=0.041)
    assert twice.tone_s == pytest.approx([*once.tone_s, *(s + 3 for s in once.tone_s)], abs=0.041)
    for white, heard in zip(twice.white_s, twice.tone_s, strict=True):
        assert abs(white - heard) < 2 * GRID_STEP_S


class TestEditLists:
    """MP4 and MOV may play a track from its middle, late, or in pieces."""

    def test_a_track_that_plays_from_its_middle(self, make_clip: MakeClip, find_events: FindEvents) -> None:
        path, clip = make_clip("a.mp4", 25)
        skipped = Fraction(56, 100)  # not at a key picture: decoding starts before the edit
        for track in range(2):
            edit = read_edits(path, track)[-1]
            write_edits(path, track, [edit.later(skipped)])
        found = find_events(path)
        assert_found(found, [event - float(skipped) for event in clip.expected_s])
        assert found.frames == 75 - 14

    def test_sound_alone_plays_from_its_middle(self, make_clip: MakeClip, find_events: FindEvents) -> None:
        path, clip = make_clip("a.mp4", 25)
        write_edits(path, 1, [read_edits(path, 1)[-1].later(Fraction(3, 10))])
        found = find_events(path)
        assert found.white_s == pytest.approx(clip.expected_s)
        assert found.tone_s == pytest.approx([e - 0.3 for e in clip.expected_s], abs=SOUND_TOLERANCE_S)

    def test_an_empty_edit_delays_a_track(self, make_clip: MakeClip, find_events: FindEvents) -> None:
        path, clip = make_clip("a.mp4", 25)
        write_edits(path, 0, [Edit(Fraction(2, 5), None, 1), *read_edits(path, 0)])
        found = find_events(path)
        assert found.white_s == pytest.approx([e + 0.4 for e in clip.expected_s])
        assert found.tone_s == pytest.approx(clip.expected_s, abs=SOUND_TOLERANCE_S)
        assert found.frames == 85

    def test_a_piece_cut_out_of_the_middle(self, make_clip: MakeClip, find_events: FindEvents) -> None:
        path, clip = make_clip("a.mp4", 25)
        assert clip.expected_s == [0.72, 1.72]
        for track in range(2):
            edit = read_edits(path, track)[-1]
            kept = Edit(Fraction(1), edit.start_ticks, edit.scale)
            write_edits(path, track, [kept, edit.later(Fraction(36, 25))])
        found = find_events(path)
        assert found.frames == 75 - 11
        assert found.white_s == pytest.approx([0.72, 1.28])
        assert found.tone_s == pytest.approx([0.72, 1.28], abs=0.04)


class TestStreams:
    """Which of several streams is taken."""

    @pytest.mark.parametrize("name", ["two.mp4", "two.mkv"])
    def test_the_default_stream_is_taken_else_the_one_asked_for(self, tmp_path: Path, name: str) -> None:
        path = two_streams(tmp_path / name, default=1)
        assert (VideoSource.open(path).info.width, VideoSource.open(path).info.height) == (128, 96)
        assert VideoSource.open(path, video_stream=0).info.width == 64

    def test_the_first_is_taken_where_none_is_default(self, tmp_path: Path) -> None:
        assert VideoSource.open(two_streams(tmp_path / "two.mkv", default=None)).info.width == 64

    def test_the_sound_track_asked_for_is_taken(self, tmp_path: Path) -> None:
        path = tmp_path / "two.mkv"
        with av.open(path, "w") as container:
            video = container.add_stream("mpeg4", rate=25)
            tracks = [container.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
            for track, level in zip(tracks, (1000, 2000), strict=True):
                frame = av.AudioFrame.from_ndarray(np.full((1, 16_000), level, np.int16), "s16", "mono")
                frame.sample_rate, frame.pts = 16_000, 0
                container.mux(track.encode(frame))
            container.mux(video.encode(av.VideoFrame(video.width, video.height, "yuv420p")))
            container.mux(video.encode(None))
        levels = []
        for number in (None, 1, 2):
            source = VideoSource.open(path, audio_stream=number)
            sound = extract_sound(path, tmp_path / "a.wav", zero=source.zero, audio_stream=number)
            assert sound is not None
            levels.append(int(sound.read(100, 101)[0]))
        assert levels == [1000, 1000, 2000]


def two_streams(path: Path, *, default: int | None) -> Path:
    """Two video streams of different sizes."""
    with av.open(path, "w") as container:
        streams = [container.add_stream("mpeg4", rate=25) for _ in range(2)]
        for number, stream in enumerate(streams):
            stream.width, stream.height, stream.pix_fmt = 64 * (number + 1), 48 * (number + 1), "yuv420p"
            stream.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
        for k in range(10):
            for stream in streams:
                frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
                frame.pts, frame.time_base = k, Fraction(1, 25)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


class Edit:
    """One entry of an MP4 edit list."""

    def __init__(self, length_s: Fraction, start_ticks: int | None, scale: int) -> None:
        self.length_s = length_s
        self.start_ticks = start_ticks
        """Where in the track's own time it plays from; nothing for an empty edit."""
        self.scale = scale
        """Ticks of the track's own time per second."""

    def later(self, by: Fraction) -> Edit:
        """The same edit without its first ``by`` seconds."""
        assert self.start_ticks is not None
        return Edit(self.length_s - by, self.start_ticks + round(by * self.scale), self.scale)


MOVIE_SCALE = 1000
"""FFmpeg's movie time scale, in which edits' lengths are."""


def boxes(data: bytes, start: int, end: int) -> list[tuple[bytes, int, int]]:
    """The MP4 boxes between two places: name, start, end."""
    found = []
    while start < end:
        size, name = struct.unpack_from(">I4s", data, start)
        found.append((name, start, start + size))
        start += size
    return found


def walk(data: bytes, track: int, *names: bytes) -> list[tuple[int, int]]:
    """Start and end of moov, of the track in it, and of the boxes named, each inside the one before."""
    path = [next((a, b) for name, a, b in boxes(data, 0, len(data)) if name == b"moov")]
    for name in (b"trak", *names):
        inside = [(a, b) for n, a, b in boxes(data, path[-1][0] + 8, path[-1][1]) if n == name]
        path.append(inside[track] if name == b"trak" else inside[0])
    return path


def read_edits(path: Path, track: int) -> list[Edit]:
    """A track's edit list."""
    data = path.read_bytes()
    mdhd = walk(data, track, b"mdia", b"mdhd")[-1][0]
    assert data[mdhd + 8] == 0
    scale = struct.unpack_from(">I", data, mdhd + 20)[0]
    elst = walk(data, track, b"edts", b"elst")[-1][0]
    count = struct.unpack_from(">I", data, elst + 12)[0]
    entries = [struct.unpack_from(">Ii", data, elst + 16 + 12 * k) for k in range(count)]
    return [Edit(Fraction(length, MOVIE_SCALE), None if at < 0 else at, scale) for length, at in entries]


def write_edits(path: Path, track: int, edits: Sequence[Edit]) -> None:
    """Replace a track's edit list in a file whose moov comes last, so that nothing else has to move."""
    data = path.read_bytes()
    assert boxes(data, 0, len(data))[-1][0] == b"moov"
    way = walk(data, track, b"edts", b"elst")
    start, end = way[-1]
    entries = b"".join(
        struct.pack(
            ">IiI",
            round(edit.length_s * MOVIE_SCALE),
            -1 if edit.start_ticks is None else edit.start_ticks,
            0x10000,
        )
        for edit in edits
    )
    new = struct.pack(">I4sII", 16 + len(entries), b"elst", 0, len(edits)) + entries
    changed = bytearray(data[:start] + new + data[end:])
    for outer, outer_end in way[:-1]:
        struct.pack_into(">I", changed, outer, outer_end - outer + len(new) - (end - start))
    path.write_bytes(changed)
