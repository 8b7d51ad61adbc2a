"""``transcript.srt``, ``transcript.vtt`` and ``transcript.ass``: the conversation as subtitles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vidfleet.speakers.palette import OFF_SCREEN, colour_of, rgb_of
from vidfleet.speakers.results.text import shown_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vidfleet.speakers.data import Conversation
    from vidfleet.speakers.results.cues import Cue

JOINER = "\u2060"
"""Word joiner: takes no room, and what follows a bracket or a backslash is no longer an instruction."""
BRACES = str.maketrans("{}", "\u2774\u2775")
"""Ornamental brackets, which no player obeys."""
INK = 0.55
"""How much of a person's colour is in its subtitles; the rest is white, so that they are read on any picture."""
ASS_HEAD = """\
[Script Info]
ScriptType: v4.00+
WrapStyle: 2
ScaledBorderAndShadow: yes
PlayResX: {width}
PlayResY: {height}

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
"""
ASS_EVENTS = """
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def write_srt(path: Path, cues: Sequence[Cue]) -> None:
    """Write SubRip: UTF-8, the speaker's name before the text where the speaker changes.

    The format knows no escapes: a word joiner keeps what looks like a tag from being one, and braces are replaced.
    """
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for number, cue in enumerate(cues, start=1):
            times = f"{_clock(cue.start_ms, ',')} --> {_clock(cue.end_ms, ',')}"
            text = "\n".join(map(_srt_text, cue.labelled_lines))
            file.write(f"{number}\n{times}\n{text}\n\n")


def _srt_text(line: str) -> str:
    # "-->" would be taken for times, "<" for a tag, "\\N" and what is in braces for instructions of ASS, into which
    # FFmpeg, mpv and others turn SubRip.
    return re.sub(r"(<|\\|--)(?=.)", lambda found: found[0] + JOINER, line.translate(BRACES))


def write_vtt(path: Path, cues: Sequence[Cue], conversation: Conversation) -> None:
    """Write WebVTT: each cue in a voice tag with the speaker's name."""
    names = shown_names(conversation)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("WEBVTT\n\n")
        for cue in cues:
            times = f"{_clock(cue.start_ms, '.')} --> {_clock(cue.end_ms, '.')}"
            text = "\n".join(map(_vtt_text, cue.lines))
            file.write(f"{times}\n<v {_vtt_text(names[cue.person])}>{text}</v>\n\n")


def _vtt_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def write_ass(
    path: Path, cues: Sequence[Cue], conversation: Conversation, *, width: int = 1280, height: int = 720
) -> None:
    """Write Advanced SubStation Alpha: each person in a colour of its own, on a picture of that size in pixels."""
    names = shown_names(conversation)
    orders = {person.name: order for order, person in enumerate(conversation.persons)}
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(ASS_HEAD.format(width=width, height=height))
        file.write(_ass_style("Off", OFF_SCREEN, height))
        for order in orders.values():
            file.write(_ass_style(f"P{order + 1}", colour_of(order), height))
        file.write(ASS_EVENTS)
        for cue in cues:
            style = "Off" if cue.person is None else f"P{orders[cue.person] + 1}"
            text = r"\N".join(map(_ass_text, cue.labelled_lines))
            name = re.sub(r"[,{}\\]", " ", names[cue.person])
            times = f"{_ass_clock(cue.start_ms)},{_ass_clock(cue.end_ms)}"
            file.write(f"Dialogue: 0,{times},{style},{name},0,0,0,,{text}\n")


def _ass_style(name: str, colour: str, height: int) -> str:
    red, green, blue = (round(255 - (255 - part) * INK) for part in rgb_of(colour))
    size, margin, outline = round(height / 18), round(height / 24), max(1, round(height / 360))
    ink = f"&H00{blue:02X}{green:02X}{red:02X}"
    return (
        f"Style: {name},Sans,{size},{ink},{ink},&H00101010,&H80000000,0,0,0,0,100,100,0,0,1,{outline},0,2,"
        f"{margin},{margin},{margin},1\n"
    )


def _ass_text(line: str) -> str:
    # As FFmpeg does it: a joiner parts a backslash from its letter, a backslash parts a brace from its meaning.
    return line.replace("\\", "\\" + JOINER).replace("{", r"\{").replace("}", r"\}")


def _clock(time_ms: int, point: str) -> str:
    seconds, ms = divmod(time_ms, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{ms:03d}"


def _ass_clock(time_ms: int) -> str:
    seconds, hundredths = divmod(time_ms // 10, 100)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{hundredths:02d}"
