"""Subtitle cues: who says what, cut into pieces that can be read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vidfleet.speakers.results.text import NAME_WIDTH, clipped, joined_words, pieces, plain, shown_names, width, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidfleet.speakers.data import Conversation, Line

COLUMNS, ROWS = 42, 2
"""What a cue may take, as broadcasters and streaming services have it."""
LEAST_S, LONGEST_S = 0.8, 7.0
"""A cue stays for at least so long where the next leaves it room, and no new word joins one that is older."""
PAUSE_S = 1.0
"""After a longer pause a new cue begins."""
TOGETHER_S = 0.2
"""Two persons' words that overlap for less than this follow each other; word times are no better."""
SHORTEST_S = 0.04
"""Nothing is shorter: one grid frame."""


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown for a while; times are whole milliseconds."""

    start_ms: int
    end_ms: int
    person: str | None
    """None: off screen."""
    label: str
    """The name to put before the text, where the speaker has changed; may be empty."""
    words: tuple[str, ...]
    """Plain, one line; not escaped for any format."""

    @property
    def lines(self) -> list[str]:
        """At most two lines of at most 42 columns, without the label."""
        return _balanced(self.words)

    @property
    def labelled_lines(self) -> list[str]:
        """At most two lines of at most 42 columns, with the label."""
        return _balanced((*_label_words(self.label), *self.words))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word, or a part of one that is too long for a line."""

    text: str
    start_s: float
    end_s: float


def cues_of(conversation: Conversation, *, duration_s: float | None = None) -> tuple[Cue, ...]:
    """All cues in order of time.

    Cues of one person never overlap; those of two only where they are heard at the same time. None begins before
    0, and none ends after ``duration_s`` unless its words do. A film in which nobody is seen speaking has no labels.
    """
    names = shown_names(conversation)
    needs_labels = any(line.person is not None for line in conversation.lines)
    cues: list[Cue] = []
    before: str | None = ""
    for line in conversation.lines:
        name = clipped(names[line.person], NAME_WIDTH)
        label = f"{name}:" if needs_labels and line.person != before else ""
        found = list(_cut(line, label))
        cues += found
        before = line.person if found else before
    return tuple(_apart(_stretched(sorted(cues, key=lambda cue: cue.start_ms), duration_s)))


def _cut(line: Line, label: str) -> Iterator[Cue]:
    """The cues of one line of the conversation, each with its words' own times."""
    held: list[_Piece] = []
    for piece in _pieces(line):
        if held and not _joins(held, piece, label):
            yield _cue(held, line, label)
            held, label = [], ""
        held.append(piece)
    if held:
        yield _cue(held, line, label)


def _pieces(line: Line) -> Iterator[_Piece]:
    """The words as text that can be shown; a word longer than a line in parts that share its time."""
    for said in line.words:
        parts = pieces(plain(said.word.text), COLUMNS)
        start_s = max(said.word.start_s, 0.0)
        step_s = max(said.word.end_s - start_s, 0.0) / max(len(parts), 1)
        for number, part in enumerate(parts):
            if part:
                yield _Piece(part, start_s + number * step_s, start_s + (number + 1) * step_s)


def _joins(held: Sequence[_Piece], piece: _Piece, label: str) -> bool:
    """Whether a word still belongs to the cue of those before it."""
    if piece.start_s - held[-1].end_s > PAUSE_S or piece.end_s - held[0].start_s > LONGEST_S:
        return False
    words = (*_label_words(label), *(one.text for one in held), piece.text)
    rows = wrapped(words, COLUMNS)
    # A sentence that ends in the second row ends its cue: what follows would be torn apart soon after.
    ends = held[-1].text.endswith((".", "?", "!", "…", "。", "？", "！"))  # noqa: RUF001 - Chinese and Japanese ones
    return len(rows) <= ROWS and not (ends and len(rows) == ROWS)


def _label_words(label: str) -> tuple[str, ...]:
    return (label,) if label else ()


def _cue(held: Sequence[_Piece], line: Line, label: str) -> Cue:
    start_ms = round(held[0].start_s * 1000)
    end_ms = max(round(max(piece.end_s for piece in held) * 1000), start_ms + _ms(SHORTEST_S))
    return Cue(start_ms, end_ms, line.person, label, tuple(piece.text for piece in held))


def _stretched(cues: Sequence[Cue], duration_s: float | None) -> list[Cue]:
    """Short cues stay until they can be read, but not into the next cue, nor beyond the end of the film."""
    limit = _ms(duration_s) if duration_s is not None else None
    result = []
    for number, cue in enumerate(cues):
        end = cue.start_ms + _ms(LEAST_S)
        if limit is not None:
            end = min(end, limit)
        if number + 1 < len(cues):
            end = min(end, cues[number + 1].start_ms)
        result.append(replace(cue, end_ms=max(cue.end_ms, end)))
    return result


def _apart(cues: Sequence[Cue]) -> Iterator[Cue]:
    """The cues, none over another of the same person, nor of another person by no more than word times err."""
    result: list[Cue] = []
    last_of: dict[str | None, int] = {}
    for cue in cues:
        if result:
            overlap = result[-1].end_ms - cue.start_ms
            if result[-1].person != cue.person and 0 < overlap <= _ms(TOGETHER_S):
                _end_at(result, len(result) - 1, cue.start_ms)
        if cue.person in last_of:
            _end_at(result, last_of[cue.person], cue.start_ms)
            start = max(cue.start_ms, result[last_of[cue.person]].end_ms)
            cue = replace(cue, start_ms=start, end_ms=max(cue.end_ms, start + _ms(SHORTEST_S)))
        last_of[cue.person] = len(result)
        result.append(cue)
    return iter(sorted(result, key=lambda cue: cue.start_ms))


def _end_at(cues: list[Cue], index: int, end_ms: int) -> None:
    cue = cues[index]
    cues[index] = replace(cue, end_ms=max(min(cue.end_ms, end_ms), cue.start_ms + _ms(SHORTEST_S)))


def _balanced(words: Sequence[str]) -> list[str]:
    """One row, or two of about the same length, as people read them best."""
    rows = wrapped(words, COLUMNS)
    if len(rows) != ROWS:
        return rows
    pairs = [(joined_words(words[:at]), joined_words(words[at:])) for at in range(1, len(words))]
    return list(min(pairs, key=lambda pair: max(map(width, pair))))


def _ms(time_s: float) -> int:
    return round(time_s * 1000)
