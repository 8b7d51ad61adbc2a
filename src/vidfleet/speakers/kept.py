"""What is heard, as files between the steps: spans of speech, and words with their times."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from vidfleet.speakers.data import Sentence, Span, Transcript, Word

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def write_spans(path: Path, spans: Sequence[Span]) -> None:
    """Write spans of speech, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([(span.start_s, span.end_s) for span in spans]), "ascii")


def read_spans(path: Path) -> tuple[Span, ...]:
    """Read what :func:`write_spans` wrote."""
    return tuple(Span(start_s, end_s) for start_s, end_s in json.loads(path.read_text("ascii")))


def write_words(path: Path, transcript: Transcript) -> None:
    """Write a film's words."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(transcript)), "ascii")


def read_words(path: Path) -> Transcript:
    """Read what :func:`write_words` wrote."""
    plain = json.loads(path.read_text("ascii"))
    sentences = tuple(
        Sentence(**{**sentence, "words": tuple(Word(**word) for word in sentence["words"])})
        for sentence in plain["sentences"]
    )
    return Transcript(sentences, plain["source"], plain["times"])
