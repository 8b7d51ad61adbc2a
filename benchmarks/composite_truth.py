"""What is true of a composite clip: values, and their files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAUSE_OF_RECOGNISER_S = 0.5
"""The recogniser's pieces end where nobody speaks for so long."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """A person in the picture, in [start_s, end_s)."""

    person: str
    start_s: float
    end_s: float
    box: tuple[int, int, int, int]
    """The part of the picture that is the person's: x1, y1, x2, y2."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A person is heard in [start_s, end_s), seen or not."""

    person: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class TrueWord:
    """A word and who says it."""

    text: str
    person: str
    start_s: float
    end_s: float
    is_seen: bool
    """The person is in the picture at the word's middle."""
    is_known: bool
    """Not so where a made-up word stands for what was said then."""


@dataclass(frozen=True, slots=True)
class Composite:
    """A composite clip and all that is true of it."""

    name: str
    folder: str
    length_s: float
    cuts_s: tuple[float, ...]
    """When the pictures of further shots begin."""
    persons: tuple[str, ...]
    """Who is seen at some time."""
    voices: tuple[str, ...]
    """Who is heard and never seen."""
    appearances: tuple[Appearance, ...]
    speech: tuple[Spoken, ...]
    words: tuple[TrueWord, ...]
    """In order of time."""

    @property
    def video(self) -> Path:
        """The clip."""
        return Path(self.folder, f"{self.name}.mp4")

    def seen(self, time_s: float) -> tuple[Appearance, ...]:
        """Who is in the picture at a time."""
        return tuple(each for each in self.appearances if each.start_s <= time_s < each.end_s)

    def speaking(self, time_s: float) -> frozenset[str]:
        """Who is heard at a time, seen or not."""
        return frozenset(each.person for each in self.speech if each.start_s <= time_s < each.end_s)

    def person_at(self, time_s: float, box: Sequence[float]) -> str | None:
        """Whose face a box (x1, y1, x2, y2) is, by its middle; nobody's where none is there."""
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        for each in self.seen(time_s):
            if each.box[0] <= x < each.box[2] and each.box[1] <= y < each.box[3]:
                return each.person
        return None

    @classmethod
    def read(cls, path: Path) -> Composite:
        """Read a ``.truth.json``; the clip lies beside it."""
        values = json.loads(path.read_text("utf-8"))
        parts: dict[str, Any] = {
            "appearances": tuple(Appearance(**{**each, "box": tuple(each["box"])}) for each in values["appearances"]),
            "speech": tuple(Spoken(**each) for each in values["speech"]),
            "words": tuple(TrueWord(**each) for each in values["words"]),
            "folder": str(path.parent),
        }
        plain = {name: tuple(values[name]) for name in ("cuts_s", "persons", "voices")}
        return cls(**{**values, **plain, **parts})

    def write(self) -> None:
        """Write ``.truth.json`` and the words' ``.json`` beside the clip."""
        truth = json.dumps(asdict(replace(self, folder="")), indent=1)
        Path(self.folder, f"{self.name}.truth.json").write_text(truth + "\n", "utf-8")
        words = {"segments": list(_segments(self.words)), "language": "en"}
        Path(self.folder, f"{self.name}.json").write_text(json.dumps(words, indent=1) + "\n", "utf-8")


def _segments(words: Sequence[TrueWord]) -> Iterator[dict[str, Any]]:
    """The words as whisperX writes them: sentences, which end where the one who speaks pauses."""
    pieces: list[list[TrueWord]] = []
    last: dict[str, list[TrueWord]] = {}
    for word in words:
        piece = last.get(word.person)
        if piece is None or word.start_s - piece[-1].end_s > PAUSE_OF_RECOGNISER_S:
            pieces.append(piece := [])
            last[word.person] = piece
        piece.append(word)
    for piece in pieces:
        yield {
            "start": piece[0].start_s,
            "end": max(word.end_s for word in piece),
            "text": " ".join(word.text for word in piece),
            "words": [{"word": word.text, "start": word.start_s, "end": word.end_s, "score": 0.9} for word in piece],
        }
