"""Words that lie beside a video or in it: ``film.json``, ``film.srt``, ``film.vtt``, a subtitle stream."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from vidfleet.errors import BadInputError
from vidfleet.speakers.data import SAMPLE_RATE, Transcript
from vidfleet.speakers.words import whisperx
from vidfleet.speakers.words.base import SIDECAR_ENDINGS, SIDECAR_METHOD
from vidfleet.speakers.words.cues import sentences_of
from vidfleet.speakers.words.subtitles import decode_text, read_bytes, read_file, read_streams

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from fractions import Fraction
    from pathlib import Path

    from vidfleet.speakers.data import Sentence, Span
    from vidfleet.speakers.speech import SoundLike

LONGEST_WORD_S = 60.0
"""A subtitle without a space in it is one word, and may stay for a while; but not for longer."""


class SidecarWords:
    """Words of a file beside the video, else of a subtitle stream in it.

    ``video`` is the real one, beside which its files lie, not a link to it. What cannot be read is told to
    ``notice``, as a sentence without a spoken word, and the next source asked; no words are no error.
    """

    method = SIDECAR_METHOD

    def __init__(self, video: Path, *, zero: Fraction, notice: Callable[[str], None] | None = None) -> None:
        self._video = video
        self._zero = zero
        self._notice = notice or (lambda _text: None)

    def transcribe(self, sound: SoundLike | None, speech: Sequence[Span]) -> Transcript:
        """See :class:`~vidfleet.speakers.words.base.Transcriber`."""
        end_s = sound.length_samples / SAMPLE_RATE if sound is not None else None
        for found in self._sources(speech):
            kept = _until(found, end_s)
            if kept.sentences:
                return kept
            if found.sentences:
                self._notice(f"{found.source}: all its words come after the film's end")
        return Transcript((), "")

    def _sources(self, speech: Sequence[Span]) -> Iterator[Transcript]:
        """What there is, the best first; what is broken is told and passed over."""
        for ending in SIDECAR_ENDINGS:
            path = self._video.with_suffix(ending)
            if not os.path.lexists(path):
                continue
            try:
                yield self._of_json(path) if ending == ".json" else _of_file(path, speech)
            except BadInputError as error:
                self._notice(f"{error}; it is passed over")
        try:
            for index, language, cues in read_streams(self._video, zero=self._zero):
                sentences = sentences_of(cues, speech, language=language)
                yield Transcript(tuple(sentences), f"subtitle stream {index}", "spread")
        except BadInputError as error:
            self._notice(f"its subtitle streams: {error}")

    def _of_json(self, path: Path) -> Transcript:
        found = whisperx.parse(decode_text(read_bytes(path)), name=path.name)
        return Transcript(found.sentences, path.name, "recognised" if found.are_timed else "spread")


def _of_file(path: Path, speech: Sequence[Span]) -> Transcript:
    sentences = sentences_of(read_file(path), speech)
    if not sentences:
        raise BadInputError(f"{path.name} holds no words")
    return Transcript(tuple(sentences), path.name, "spread")


def _until(found: Transcript, end_s: float | None) -> Transcript:
    """Only what can be said while the sound lasts: what comes later belongs to another cut of the film.

    What follows is looked for over the whole time of each word, so one that claims years would fill the memory.
    """
    end_s = math.inf if end_s is None else end_s
    cut = (_cut(item, end_s) for item in found.sentences if item.start_s < end_s)
    return Transcript(tuple(item for item in cut if item.words), found.source, found.times)


def _cut(sentence: Sentence, end_s: float) -> Sentence:
    words = tuple(
        replace(word, end_s=min(word.end_s, word.start_s + LONGEST_WORD_S, end_s))
        for word in sentence.words
        if word.start_s < end_s
    )
    if words == sentence.words:
        return sentence
    text = " ".join(word.text for word in words)
    return replace(sentence, text=text, end_s=max((word.end_s for word in words), default=0.0), words=words)
