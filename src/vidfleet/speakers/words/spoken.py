"""What a recogniser gives, held against when somebody speaks, and put into sentences."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import TYPE_CHECKING

from vidfleet.speakers.data import Sentence, Span

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidfleet.speakers.data import Word
    from vidfleet.speakers.words.regions import Region

SPEECH_MARGIN_S = 0.2
"""Words may begin so much before the voice activity that they belong to, and end so much after it."""
LONGEST_PAUSE_S = 1.0
"""A longer pause ends a sentence, whatever marks it has."""
_END_MARKS = ".!?…。！？؟।"  # noqa: RUF001 - the full-width ones are those of Chinese and Japanese
_CLOSING = "\"'”’»)]」』"  # noqa: RUF001 - as they are printed
_TITLES = frozenset({"mr.", "mrs.", "ms.", "dr.", "st.", "prof."})
"""A full stop that ends no sentence."""


def only_spoken(words: Sequence[Word], speech: Sequence[Span]) -> list[Word]:
    """The words during which somebody speaks, cut to when that is.

    Recognisers make words up where there is music or noise. And they draw a word out over the pause before or
    after it: of a word that reaches over two spans of speech, the part in the span that holds more of it stays.
    """
    spans = _widened(speech)
    starts = [span.start_s for span in spans]
    found = []
    for word in words:
        near = spans[max(bisect_right(starts, word.start_s) - 1, 0) : bisect_right(starts, word.end_s)]
        best = max(near, key=lambda span: _shared_s(word, span), default=None)
        if best is not None and _shared_s(word, best) > 0:
            start_s, end_s = max(word.start_s, best.start_s), min(word.end_s, best.end_s)
            found.append(replace(word, start_s=start_s, end_s=end_s))
    return found


def _widened(speech: Sequence[Span]) -> list[Span]:
    """The spans with a margin; those that touch then are one."""
    spans: list[Span] = []
    for span in speech:
        start_s, end_s = max(span.start_s - SPEECH_MARGIN_S, 0.0), span.end_s + SPEECH_MARGIN_S
        if spans and start_s <= spans[-1].end_s:
            spans[-1] = Span(spans[-1].start_s, max(end_s, spans[-1].end_s))
        else:
            spans.append(Span(start_s, end_s))
    return spans


def _shared_s(word: Word, span: Span) -> float:
    return min(word.end_s, span.end_s) - max(word.start_s, span.start_s)


def over_regions(
    regions: Sequence[Region], words: Sequence[Sequence[Word]], *, languages: Sequence[str]
) -> Iterator[Sentence]:
    """Put each region's words, with its language, into sentences; over a cut through speech these go on."""
    begun: list[Word] = []
    for number, region in enumerate(regions):
        begun += words[number]
        if region.cut_after_s is None or languages[number + 1] != languages[number]:
            yield from in_sentences(begun, language=languages[number])
            begun = []


def in_sentences(words: Sequence[Word], *, language: str) -> Iterator[Sentence]:
    """Put words in order of time into sentences: one ends with its mark, or before a long pause."""
    begun: list[Word] = []
    for word in words:
        if begun and (_ends_sentence(begun[-1].text) or word.start_s - begun[-1].end_s > LONGEST_PAUSE_S):
            yield _sentence(begun, language)
            begun = []
        begun.append(word)
    if begun:
        yield _sentence(begun, language)


def _ends_sentence(text: str) -> bool:
    return text.rstrip(_CLOSING).endswith(tuple(_END_MARKS)) and text.lower() not in _TITLES


def _sentence(words: list[Word], language: str) -> Sentence:
    text = " ".join(word.text for word in words)
    return Sentence(text, words[0].start_s, max(word.end_s for word in words), tuple(words), language)
