"""``transcript.json``: who said what, for programs. docs/transcript.md tells what is in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vidfleet.speakers.results.text import joined_words

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.speakers.data import Conversation, Line, SaidWord

SCHEMA = 1


def write_transcript(path: Path, conversation: Conversation, *, video_name: str, duration_s: float) -> None:
    """Write the conversation of one video, one line of text for each line of it and each turn.

    ``video_name`` is the file's name with its ending.
    """
    head = {
        "schema": SCHEMA,
        "video": {"name": video_name, "duration_s": _time(duration_s)},
        "words_from": conversation.words_from or None,
    }
    lists: dict[str, list[dict[str, Any]]] = {
        "persons": [
            {"name": person.name, "tracks": list(person.tracks), "spoken_s": _time(person.spoken_s)}
            for person in conversation.persons
        ],
        "lines": [_line(line) for line in conversation.lines],
        "turns": [
            {"person": turn.person, "start_s": _time(turn.start_s), "end_s": _time(turn.end_s)}
            for turn in conversation.turns
        ],
    }
    with path.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
        file.write("{\n")
        for name, value in head.items():
            file.write(f" {_text(name)}: {_text(value)},\n")
        for number, (name, items) in enumerate(lists.items()):
            rows = ",\n".join("  " + _text(item) for item in items)
            file.write(f" {_text(name)}: [" + (f"\n{rows}\n " if rows else ""))
            file.write("],\n" if number + 1 < len(lists) else "]\n")
        file.write("}\n")


def _line(line: Line) -> dict[str, Any]:
    return {
        "person": line.person,
        "start_s": _time(line.start_s),
        "end_s": _time(line.end_s),
        "text": joined_words([said.word.text for said in line.words]),
        "language": line.language or None,
        "words": [_word(said) for said in line.words],
    }


def _word(said: SaidWord) -> dict[str, Any]:
    return {
        "text": said.word.text,
        "start_s": _time(said.word.start_s),
        "end_s": _time(said.word.end_s),
        "score": round(said.word.score, 3),
        "confidence": round(said.confidence, 3),
        "overlapping": list(said.overlapping),
    }


def _time(time_s: float) -> float:
    return round(max(time_s, 0.0), 3)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
