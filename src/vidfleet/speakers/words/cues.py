"""Subtitles as words with times: the text cleaned, a cue's time shared out among its words."""

from __future__ import annotations

import html
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidfleet.speakers.data import Sentence, Span, Word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_CHARACTERS = 2000
"""A longer text is no subtitle; nothing of it is taken, so that no pattern works on a megabyte."""
MOST_CHARACTERS_A_SECOND = 40.0
"""Nobody speaks faster. A cue's speech that would have to is not its speech: its whole time counts then."""

_DRAWING = re.compile(r"\{[^{}]*\\p[1-9][^{}]*\}[^{}]*")
_OVERRIDE = re.compile(r"\{[^{}]*\}")
_TAG = re.compile(r"<[^<>]*>")
_SOUND = re.compile(r"\[[^\[\]]*\]|\([^()]*\)")
_DASH = re.compile(r"^\s*(?:[-‐‑‒–—]+|>>+)\s*")  # noqa: RUF001 - dashes as subtitles have them
_LABEL = re.compile(r"^[A-Z][A-Z0-9 .'’-]{0,30}:\s+")  # noqa: RUF001
_NOTES = str.maketrans("", "", "♩♪♫♬#\u200b\u200e\u200f\ufeff")


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle, seconds on the grid's zero."""

    text: str
    """As it stands in the file, with tags."""
    start_s: float
    end_s: float


def sentences_of(cues: Sequence[Cue], speech: Sequence[Span], *, language: str = "") -> list[Sentence]:
    """What is said in each cue; one that shows two speakers, each behind a dash, is two sentences.

    A cue's time is shared out among its words by their lengths, where there is speech in it: in the speech alone.
    """
    starts = [span.start_s for span in speech]
    found = []
    for cue in sorted(cues, key=lambda cue: (cue.start_s, cue.end_s)):
        parts = [text.split() for text in plain_texts(cue.text)]
        words = [word for part in parts for word in part]
        spans = _spoken(cue, words, speech, starts)
        timed = iter(share(words, spans))
        for part in parts:
            own = tuple(next(timed) for _ in part)
            if own:
                found.append(Sentence(" ".join(part), own[0].start_s, own[-1].end_s, own, language))
    return sorted(found, key=lambda sentence: sentence.start_s)


def plain_texts(text: str) -> list[str]:
    """What is said in a subtitle, by speaker: without tags, sounds in brackets, names in capitals, notes."""
    if len(text) > MOST_CHARACTERS:
        return []
    for pattern in (_DRAWING, _OVERRIDE, _TAG):
        text = pattern.sub("", text)
    text = html.unescape(text.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " "))
    text = _SOUND.sub(" ", text)
    speakers: list[list[str]] = []
    for line in text.splitlines():
        plain, dashes = _DASH.subn("", line)
        if dashes or not speakers:
            speakers.append([])
        speakers[-1] += _LABEL.sub("", plain.strip()).translate(_NOTES).split()
    return [" ".join(words) for words in speakers if any(map(str.isalnum, "".join(words)))]


def _spoken(cue: Cue, words: Sequence[str], speech: Sequence[Span], starts: Sequence[float]) -> list[Span]:
    """Where in a cue's time there is speech; all of it where there is none, or too little for its words."""
    near = speech[max(bisect_right(starts, cue.start_s) - 1, 0) : bisect_right(starts, cue.end_s)]
    cut = [Span(max(span.start_s, cue.start_s), min(span.end_s, cue.end_s)) for span in near]
    spans = [span for span in cut if span.end_s > span.start_s]
    spoken_s = sum(span.end_s - span.start_s for span in spans)
    is_enough = spoken_s * MOST_CHARACTERS_A_SECOND >= sum(map(len, words))
    return spans if spans and is_enough else [Span(cue.start_s, cue.end_s)]


def share(words: Sequence[str], spans: Sequence[Span]) -> Iterator[Word]:
    """Share the time of ``spans`` out among ``words`` by their lengths; a word lies within one span."""
    weights = [len(word) + 1 for word in words]
    second = sum(span.end_s - span.start_s for span in spans) / max(sum(weights), 1)
    number, past_s, at_s = 0, 0.0, 0.0  # seconds of speech: before span `number`, and before the word
    for word, weight in zip(words, weights, strict=True):
        from_s, until_s, at_s = at_s, at_s + weight * second, at_s + weight * second
        while number + 1 < len(spans) and (from_s + until_s) / 2 >= past_s + _length_s(spans[number]):
            past_s += _length_s(spans[number])
            number += 1
        offset_s = spans[number].start_s - past_s
        start_s = max(from_s + offset_s, spans[number].start_s)
        yield Word(word, start_s, min(until_s + offset_s, spans[number].end_s), 1.0)


def _length_s(span: Span) -> float:
    return span.end_s - span.start_s
