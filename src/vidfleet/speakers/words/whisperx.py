"""Words of a JSON file as whisperX writes it; those of openai/whisper and of faster-whisper's programs are alike.

::

    {"segments": [{"start": 0.5, "end": 2.2, "text": "...", "words": [
        {"word": "...", "start": 0.5, "end": 0.7, "score": 0.9}]}], "language": "en"}

whisperX gives no times to words that it could not align, such as numbers: they share the time between their
neighbours.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeGuard

from vidfleet.errors import BadInputError
from vidfleet.speakers.data import Sentence, Span, Word
from vidfleet.speakers.words.cues import share

MOST_SEGMENTS = MOST_WORDS = 100_000
"""In a file, and in a segment: a film has 2,000, a sentence 20."""
SHORTEST_WORD_S = 0.02


@dataclass(frozen=True, slots=True)
class Transcribed:
    """What a file of words says."""

    sentences: tuple[Sentence, ...]
    """In order of time."""
    are_timed: bool
    """Words have times of their own."""


def parse(text: str, *, name: str) -> Transcribed:
    """Read a transcript.

    Raises :class:`BadInputError` for what is none; its text holds nothing of the file's.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{name} is no JSON") from error
    segments = content.get("segments") if isinstance(content, dict) else content
    if not _is_list(segments, MOST_SEGMENTS):
        raise BadInputError(f"{name} is no transcript: it has no list of segments")
    language = _language(content.get("language") if isinstance(content, dict) else None)
    read = [_segment(item, language) for item in segments if isinstance(item, dict)]
    sentences = sorted((sentence for sentence, _ in read if sentence), key=lambda sentence: sentence.start_s)
    if not sentences:
        raise BadInputError(f"{name} is no transcript: no segment of it has words and times")
    return Transcribed(tuple(sentences), any(are_timed for _, are_timed in read))


def _is_list(value: object, longest: int) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and len(value) <= longest


def _segment(item: dict[str, Any], language: str) -> tuple[Sentence | None, bool]:
    """A segment as a sentence, or nothing; and whether its words have times."""
    listed = item.get("words")
    raw = [word for word in listed if isinstance(word, dict)] if _is_list(listed, MOST_WORDS) else []
    own = [_word(word) for word in raw]
    words = [word for word in own if word.text]
    if not words:
        text = item.get("text")
        words = [_Raw(word, None, 1.0) for word in text.split()] if isinstance(text, str) else []
    timed = [word.span for word in words if word.span]
    span = _span(item) or (Span(timed[0].start_s, timed[-1].end_s) if timed else None)
    if not words or span is None or span.end_s <= span.start_s:
        return None, False
    filled = _fill(words, span)
    text = " ".join(word.text for word in filled)
    end_s = max(word.end_s for word in filled)
    return Sentence(text, min(word.start_s for word in filled), end_s, tuple(filled), language), bool(timed)


@dataclass(frozen=True, slots=True)
class _Raw:
    """A word as it stands in the file."""

    text: str
    span: Span | None
    score: float


def _word(item: dict[str, Any]) -> _Raw:
    text = item.get("word", item.get("text"))
    score = _number(item.get("score", item.get("probability")))
    return _Raw(
        " ".join(text.split()) if isinstance(text, str) else "",
        _span(item),
        1.0 if score is None else min(max(score, 0.0), 1.0),
    )


def _span(item: dict[str, Any]) -> Span | None:
    """Begin and end, where both are there and make sense."""
    start_s, end_s = _number(item.get("start")), _number(item.get("end"))
    if start_s is None or end_s is None or end_s < start_s or end_s <= 0:
        return None
    return Span(max(start_s, 0.0), max(end_s, start_s + SHORTEST_WORD_S))


def _number(value: object) -> float | None:
    """A finite number; nothing for all else that JSON can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e9 or not math.isfinite(value):
        return None
    return float(value)


def _fill(words: list[_Raw], span: Span) -> list[Word]:
    """Give words without times the time between their neighbours."""
    found: list[Word] = []
    groups = [(timed, list(group)) for timed, group in groupby(words, key=lambda word: word.span is not None)]
    for number, (timed, group) in enumerate(groups):
        if timed:
            found += [Word(w.text, w.span.start_s, w.span.end_s, w.score) for w in group if w.span]
            continue
        start_s = found[-1].end_s if found else span.start_s
        after = groups[number + 1][1][0].span if number + 1 < len(groups) else None
        end_s = max(after.start_s if after else span.end_s, start_s + SHORTEST_WORD_S * len(group))
        spread = share([word.text for word in group], [Span(start_s, end_s)])
        found += [Word(word.text, word.start_s, word.end_s, raw.score) for word, raw in zip(spread, group, strict=True)]
    return found


def _language(value: object) -> str:
    """ISO 639-1 as whisperX writes it; nothing for anything else."""
    return value if isinstance(value, str) and value.isascii() and value.isalpha() and len(value) in {2, 3} else ""
