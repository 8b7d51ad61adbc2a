"""The copy with subtitles is the film itself, bit by bit, and shows each text when it is said."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from tests.speakers.talks import conversation_of, said
from vidfleet.speakers.media import VideoSource
from vidfleet.speakers.results.cues import cues_of
from vidfleet.speakers.subtitled import write_subtitled

if TYPE_CHECKING:
    from pathlib import Path

    from tests.speakers.conftest import FindEvents, MakeClip
    from vidfleet.speakers.data import Conversation


def talk_of_three_seconds() -> Conversation:
    return conversation_of(
        [said("{\\an8} <b>Good morning</b>.", "Ann", 0.2), said("今日は雨。", "今日子", 2.0, language="ja")],
        persons=("Ann", "今日子"),
    )


def texts(path: Path) -> list[tuple[float, float, str]]:
    """What a player shows: begin, end, text; through FFmpeg's decoder."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        for packet in container.demux(stream):
            if packet.size > 2 and packet.pts is not None and packet.time_base:
                start_s = float(packet.pts * packet.time_base)
                end_s = start_s + float((packet.duration or 0) * packet.time_base)
                for subtitle in stream.decode(packet):
                    found.append((round(start_s, 3), round(end_s, 3), bytes(subtitle.ass).decode("utf-8")))  # type: ignore[union-attr]
    return found


def payloads(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        stream = next(one for one in container.streams if one.type == kind)
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_streams_are_copied_and_each_text_is_there_when_it_is_said(
    make_clip: MakeClip, find_events: FindEvents, tmp_path: Path, name: str
) -> None:
    path, _ = make_clip(name)
    source, target = VideoSource.open(path), tmp_path / "subtitled.mp4"
    cues = cues_of(talk_of_three_seconds())
    assert write_subtitled(source, target, cues) == ""
    for kind in ("video", "audio"):
        assert payloads(target, kind) == payloads(path, kind)
    shown = texts(target)
    assert [(start_s, end_s) for start_s, end_s, _ in shown] == [
        (cue.start_ms / 1000, cue.end_ms / 1000) for cue in cues
    ]
    assert "Ann: " in shown[0][2]
    assert "<b>Good" in shown[0][2]
    assert shown[1][2].endswith("今日子: 今日は雨。")
    found, expected = find_events(target), find_events(path)
    assert (found.white_s, found.frames) == (expected.white_s, expected.frames)
    np.testing.assert_allclose(found.tone_s, expected.tone_s, atol=0.01)


@pytest.mark.parametrize("delays", [{"picture_delay_s": 2, "sound_s": (Fraction(1), Fraction(5)), "events_at": (3, 4)}])
def test_a_film_that_starts_late_begins_at_its_zero(
    make_clip: MakeClip, find_events: FindEvents, tmp_path: Path, delays: dict[str, Any]
) -> None:
    path, _ = make_clip("late.mkv", **delays)
    target = tmp_path / "subtitled.mp4"
    assert write_subtitled(VideoSource.open(path), target, cues_of(talk_of_three_seconds())) == ""
    assert [start_s for start_s, _, _ in texts(target)] == [0.2, 2.0]
    found, expected = find_events(target), find_events(path)
    assert found.white_s == expected.white_s
    np.testing.assert_allclose(found.tone_s, expected.tone_s, atol=0.025)


def test_two_who_speak_at_once_are_both_read(make_clip: MakeClip, tmp_path: Path) -> None:
    path, _ = make_clip("a.mp4")
    lines = [said("one two three four five.", "Ann", 0.0), said("six seven.", "Bob", 0.5)]
    target = tmp_path / "subtitled.mp4"
    assert (
        write_subtitled(VideoSource.open(path), target, cues_of(conversation_of(lines, persons=("Ann", "Bob")))) == ""
    )
    both = [text for _, _, text in texts(target) if "five" in text and "six" in text]
    assert len(both) == 1
    shown = texts(target)
    assert all(end_s <= next_s for (_, end_s, _), (next_s, _, _) in pairwise(shown))


def test_what_mp4_does_not_hold_is_said_and_leaves_no_file(make_clip: MakeClip, tmp_path: Path) -> None:
    path, _ = make_clip("a.avi", video="wmv2", video_options={}, audio="pcm_s16le")
    target = tmp_path / "subtitled.mp4"
    said_why = write_subtitled(VideoSource.open(path), target, ())
    assert "do not go into MP4" in said_why
    assert not target.exists()


def test_a_film_without_words_or_sound_is_copied_all_the_same(make_clip: MakeClip, tmp_path: Path) -> None:
    path, _ = make_clip("a.mp4", sound_s=None)
    target = tmp_path / "subtitled.mp4"
    assert write_subtitled(VideoSource.open(path), target, ()) == ""
    assert payloads(target, "video") == payloads(path, "video")
