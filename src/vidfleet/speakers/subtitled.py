"""The film itself with the conversation as subtitles that can be switched on: copied, nothing is encoded."""

from __future__ import annotations

import struct
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import av
from av.packet import Packet
from av.subtitles.stream import SubtitleStream

from vidfleet.speakers.media.container import opened, packets, pick_audio, pick_video, read_only

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

    from vidfleet.speakers.media import VideoSource
    from vidfleet.speakers.results.cues import Cue

_TICK = Fraction(1, 1000)
_STYLE = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""From it FFmpeg makes the track's default style: white, at the bottom."""
_LONGEST_TEXT = 65_535
_MOST_LEADING = 64
"""Packets that a decoder may hold back."""


def write_subtitled(source: VideoSource, target: Path, cues: Sequence[Cue]) -> str:
    """Write an MP4 file with the film's picture and sound as they are, and a subtitle track of the cues.

    Returns nothing where it was written; else why it was not, and then there is no file: MP4 does not hold every
    codec, and some films' packets have no times. Raises OSError, also where the disk is full.
    """
    try:
        with opened(source.path) as origin, av.open(target.absolute(), mode="w", format="mp4") as container:
            _copy(source, origin, container, cues)
    except (av.FFmpegError, ValueError) as error:
        target.unlink(missing_ok=True)
        if isinstance(error, OSError):  # the disk is full, or gone: no matter of this film's streams
            raise
        why = error.strerror if isinstance(error, av.FFmpegError) else error
        return f"No copy with subtitles was made: the streams of {source.path.name!r} do not go into MP4 ({why})."
    return ""


def _copy(source: VideoSource, origin: InputContainer, container: OutputContainer, cues: Sequence[Cue]) -> None:
    video = pick_video(origin, source.video_index, name=source.path.name)
    audio = pick_audio(origin, source.audio_stream, name=source.path.name)
    taken: list[Stream] = [video, *([audio] if audio is not None else [])]
    read_only(origin, *taken)
    copies = {stream.index: container.add_stream_from_template(stream) for stream in taken}
    subtitles = container.add_stream("mov_text")
    assert isinstance(subtitles, SubtitleStream)
    subtitles.codec_context.subtitle_header = _STYLE
    subtitles.codec_context.time_base = subtitles.time_base = _TICK
    container.start_encoding()
    waiting = _texts(cues)
    text = next(waiting, None)
    for packet in _timed(packets(origin, *taken)):
        assert packet.pts is not None
        assert packet.dts is not None
        while text is not None and text[0] * _TICK <= packet.dts * packet.time_base - source.zero:
            container.mux(_packet(subtitles, *text))
            text = next(waiting, None)
        offset = round(source.zero / packet.time_base)
        packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
        packet.stream = copies[packet.stream_index]
        container.mux(packet)
    while text is not None:
        container.mux(_packet(subtitles, *text))
        text = next(waiting, None)


def _timed(found: Iterable[Packet[Stream]]) -> Iterator[Packet[Stream]]:
    """The packets, each with a decoding time: Matroska does not tell those of the first, which come before it does.

    Raises ValueError where a packet has no presentation time, or the first ones never get one for decoding.
    """
    leading: dict[int, list[Packet[Stream]]] = {}
    last: dict[int, int] = {}
    for packet in found:
        if packet.pts is None:
            raise ValueError("packets without times")
        index = packet.stream_index
        if packet.dts is None and index not in last:
            leading.setdefault(index, []).append(packet)
            if len(leading[index]) > _MOST_LEADING:
                raise ValueError("packets without times of decoding")
            continue
        packet.dts = packet.dts if packet.dts is not None else last[index] + 1
        held = leading.pop(index, [])
        for place, early in enumerate(held):
            early.dts = packet.dts - (len(held) - place) * max(packet.duration or 1, 1)
        yield from (*held, packet)
        last[index] = packet.dts
    if leading:
        raise ValueError("packets without times of decoding")


def _texts(cues: Sequence[Cue]) -> Iterator[tuple[int, int, str]]:
    """Begin and end in ms, and what is to be read then: a track of MP4 holds one text at a time."""
    edges = sorted({edge for cue in cues for edge in (cue.start_ms, cue.end_ms)})
    waiting = sorted(cues, key=lambda cue: cue.start_ms)
    now: list[Cue] = []
    at = 0
    for start_ms, end_ms in pairwise(edges):
        while at < len(waiting) and waiting[at].start_ms <= start_ms:
            now.append(waiting[at])
            at += 1
        now = [cue for cue in now if cue.end_ms > start_ms]
        if now:
            yield start_ms, end_ms, "\n".join(line for cue in now for line in cue.labelled_lines)


def _packet(stream: SubtitleStream, start_ms: int, end_ms: int, text: str) -> Packet[Stream]:
    """A sample of 3GPP timed text: its length, then plain UTF-8, in which nothing is an instruction."""
    data = text.encode("utf-8")
    if len(data) > _LONGEST_TEXT:
        data = data[:_LONGEST_TEXT].decode("utf-8", "ignore").encode("utf-8")
    packet: Packet[Stream] = Packet(struct.pack(">H", len(data)) + data)
    packet.stream, packet.time_base = stream, _TICK
    packet.pts = packet.dts = start_ms
    packet.duration = end_ms - start_ms
    packet.is_keyframe = True
    return packet
