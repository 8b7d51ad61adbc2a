"""``speakers.rttm``: who speaks when, in the format of diarisation tools."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vidfleet.speakers.results.text import plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vidfleet.speakers.data import Conversation

OFF_SCREEN = "off_screen"
"""The speaker of turns that nobody in the picture speaks."""


def write_rttm(path: Path, conversation: Conversation, *, video_name: str) -> None:
    """Write a line for each turn. The file's id is the video's name, spaces made underscores, as in names."""
    speakers = speaker_ids([person.name for person in conversation.persons])
    file_id = _field(video_name)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for turn in conversation.turns:
            speaker = OFF_SCREEN if turn.person is None else speakers[turn.person]
            # The ends are rounded, not the lengths, so that turns which touch go on touching.
            start_ms = round(max(turn.start_s, 0.0) * 1000)
            length_ms = round(turn.end_s * 1000) - start_ms
            if length_ms > 0:
                times = f"{start_ms / 1000:.3f} {length_ms / 1000:.3f}"
                file.write(f"SPEAKER {file_id} 1 {times} <NA> <NA> {speaker} <NA> <NA>\n")


def speaker_ids(names: Sequence[str]) -> dict[str, str]:
    """A word for each name, no two alike."""
    result: dict[str, str] = {}
    taken = {OFF_SCREEN, "<NA>"}
    for name in names:
        word, number = _field(name), 2
        while word in taken:
            word, number = f"{_field(name)}_{number}", number + 1
        taken.add(word)
        result[name] = word
    return result


def _field(text: str) -> str:
    """One field of a line: no white space, nothing that would begin a comment."""
    return re.sub(r"\s", "_", plain(text)).replace(";", "_") or "_"
