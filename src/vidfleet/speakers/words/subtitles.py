"""Subtitles of a file beside a video, or of a stream in it, read by FFmpeg's libraries.

Its readers have seen what people call subtitles: numbers missing, blank lines missing or too many, commas for
points, times that run backwards.
"""

from __future__ import annotations

import io
import math
import stat
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import av
from av.stream import Disposition

from vidfleet.errors import BadInputError
from vidfleet.speakers.media.container import opened, packets, read_only
from vidfleet.speakers.words.cues import Cue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from fractions import Fraction
    from pathlib import Path

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.subtitles.stream import SubtitleStream

MOST_BYTES = 32 << 20
"""Of a file of words. A film's subtitles take 100 kB, its words with times as JSON 5 MB."""
MOST_CUES = 100_000
"""A film has 2,000."""
READING_CHARACTERS_A_SECOND = 15.0
"""How long a cue stays whose end is not told; as fast as people read, says the usual rule."""
_FORMATS = {".srt": "srt", ".vtt": "webvtt"}
_LANGUAGES = {
    "ara": "ar", "bul": "bg", "cat": "ca", "ces": "cs", "cze": "cs", "chi": "zh", "zho": "zh", "dan": "da",
    "deu": "de", "ger": "de", "dut": "nl", "nld": "nl", "ell": "el", "gre": "el", "eng": "en", "est": "et",
    "fas": "fa", "per": "fa", "fin": "fi", "fra": "fr", "fre": "fr", "heb": "he", "hin": "hi", "hrv": "hr",
    "hun": "hu", "ind": "id", "ita": "it", "jpn": "ja", "kor": "ko", "lav": "lv", "lit": "lt", "nor": "no",
    "pol": "pl", "por": "pt", "ron": "ro", "rum": "ro", "rus": "ru", "slk": "sk", "slo": "sk", "slv": "sl",
    "spa": "es", "srp": "sr", "swe": "sv", "tha": "th", "tur": "tr", "ukr": "uk", "vie": "vi",
}  # fmt: skip
"""ISO 639-2, as containers have it, to ISO 639-1."""


def read_bytes(path: Path) -> bytes:
    """A file of words. Raises :class:`BadInputError` for what is no plain file, or too large to be one."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BadInputError(f"{path.name} is no plain file")
        if status.st_size > MOST_BYTES:
            raise BadInputError(f"{path.name} has {status.st_size >> 20} MB; nothing above {MOST_BYTES >> 20} is read")
        with path.open("rb") as file:
            return file.read(MOST_BYTES)
    except OSError as error:
        raise BadInputError(f"{path.name} cannot be read: {error.strerror}") from error


def decode_text(data: bytes) -> str:
    """Text of UTF-8, of UTF-16 with its mark, else of Windows' western code page; without NULs."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        text = data.decode("utf-16", "replace")
    else:
        text = data.removeprefix(BOM_UTF8).decode("utf-8", "replace")
        damaged = text.count("\ufffd")
        if damaged > len(text) - len(text.encode("ascii", "ignore")) - damaged:
            text = data.decode("cp1252", "replace")  # more damage than letters beyond ASCII: it was never UTF-8
    return text.replace("\0", "")


def read_file(path: Path) -> list[Cue]:
    """The cues of an ``.srt`` or ``.vtt`` file.

    Raises :class:`BadInputError` where there are none; its text holds nothing of the file's.
    """
    data = decode_text(read_bytes(path)).encode()
    try:
        with av.open(io.BytesIO(data), mode="r", format=_FORMATS[path.suffix], metadata_errors="replace") as container:
            cues = _cues(container, container.streams.subtitles[0], zero_s=0.0, name=path.name)
    except av.FFmpegError as error:
        raise BadInputError(f"{path.name} cannot be read as subtitles: {error.strerror}") from error
    if not cues:
        raise BadInputError(f"{path.name} holds no subtitle")
    return cues


def read_streams(video: Path, *, zero: Fraction) -> Iterator[tuple[int, str, list[Cue]]]:
    """Text subtitles in a video: (stream, language, cues), the stream that players show first.

    ``zero`` is where the grid starts, in the container's seconds. Pictures of text, as on discs, are passed over.
    Raises :class:`BadInputError` where the video cannot be opened.
    """
    with opened(video) as container:
        order = [stream.index for stream in _text_streams(container)]
    for index in order:
        with opened(video) as container:
            stream = cast("SubtitleStream", container.streams[index])
            read_only(container, stream)
            language = (stream.language or "").lower()
            cues = _cues(container, stream, zero_s=float(zero), name=video.name)
        yield index, _LANGUAGES.get(language, language if len(language) == 2 else ""), cues


def _text_streams(container: InputContainer) -> list[SubtitleStream]:
    """The text streams: the default one first, those last that translate a few signs only."""
    streams = [s for s in container.streams.subtitles if s.codec_context is not None and s.codec_context.codec.text_sub]
    return sorted(
        streams,
        key=lambda s: (bool(s.disposition & Disposition.forced), not s.disposition & Disposition.default, s.index),
    )


def _cues(container: InputContainer, stream: SubtitleStream, *, zero_s: float, name: str) -> list[Cue]:
    cues = []
    for packet in packets(container, stream):
        start_s = _seconds(packet.pts, packet) - zero_s
        text = _text(stream, packet)
        if math.isfinite(start_s) and text.strip():
            cues.append(Cue(text, start_s, start_s + _seconds(packet.duration or 0, packet)))
        if len(cues) > MOST_CUES:
            raise BadInputError(f"{name} has more than {MOST_CUES} subtitles: no film has")
    return _with_ends(cues)


def _seconds(ticks: int | None, packet: Packet[Stream]) -> float:
    return float(ticks * packet.time_base) if ticks is not None and packet.time_base else math.nan


def _text(stream: SubtitleStream, packet: Packet[Stream]) -> str:
    """A packet's text; nothing where it is damaged."""
    try:
        pieces = stream.decode(cast("Packet[SubtitleStream]", packet))
    except av.FFmpegError:
        return ""
    return "\n".join(piece.dialogue.decode("utf-8", "replace") for piece in pieces if hasattr(piece, "dialogue"))


def _with_ends(cues: list[Cue]) -> list[Cue]:
    """Cues whose end is not told, or lies before their start, stay until they are read, or the next one comes."""
    cues.sort(key=lambda cue: cue.start_s)
    found = []
    for cue, following in pairwise([*cues, Cue("", math.inf, math.inf)]):
        end_s = cue.end_s
        if end_s <= cue.start_s:
            end_s = min(cue.start_s + 1 + len(cue.text) / READING_CHARACTERS_A_SECOND, following.start_s)
        if end_s > max(cue.start_s, 0.0):
            found.append(Cue(cue.text, max(cue.start_s, 0.0), end_s))
    return found
