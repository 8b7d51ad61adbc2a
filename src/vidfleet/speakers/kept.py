"""What is heard, as files between the steps: spans of speech, and words with their times."""

from __future__ import annotations

import json
import math
import pickle
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vidfleet.errors import RecordError
from vidfleet.speakers.data import Sentence, Span, Transcript, Word

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

UNREADABLE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError, EOFError,
    pickle.UnpicklingError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading a file may raise that is not what was written: damaged, or made to do harm."""


def check_plain(path: Path) -> None:
    """Raise :class:`RecordError` for a pipe, which would be waited for without end, and the like."""
    if path.exists() and not path.is_file():
        raise RecordError(f"{path} is no plain file; run the video again, with --only all")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Read a file of an output folder in the ``with`` block; RecordError where it is not what was written."""
    check_plain(path)
    try:
        yield
    except (OSError, *UNREADABLE) as error:
        raise RecordError(f"{path} cannot be read; run the video again, with --only all") from error


def write_spans(path: Path, spans: Sequence[Span]) -> None:
    """Write spans of speech, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([(span.start_s, span.end_s) for span in spans]), "ascii")


def read_spans(path: Path) -> tuple[Span, ...]:
    """Read what :func:`write_spans` wrote. Raises :class:`RecordError` for anything else."""
    with reading(path):
        spans = tuple(Span(start_s, end_s) for start_s, end_s in json.loads(path.read_text("ascii")))
        _check_times(*(edge for span in spans for edge in (span.start_s, span.end_s)))
        return spans


def write_words(path: Path, transcript: Transcript) -> None:
    """Write a film's words."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(transcript)), "ascii")


def read_words(path: Path) -> Transcript:
    """Read what :func:`write_words` wrote. Raises :class:`RecordError` for anything else."""
    with reading(path):
        plain = json.loads(path.read_text("ascii"))
        sentences = tuple(
            Sentence(**{**sentence, "words": tuple(Word(**word) for word in sentence["words"])})
            for sentence in plain["sentences"]
        )
        words = (word for sentence in sentences for word in sentence.words)
        items: list[Sentence | Word] = [*sentences, *words]
        _check_times(*(edge for item in items for edge in (item.start_s, item.end_s)))
        _check_texts(*(item.text for item in items))
        _check_texts(plain["source"], plain["times"], *(sentence.language for sentence in sentences))
        return Transcript(sentences, plain["source"], plain["times"])


def _check_times(*times_s: Any) -> None:  # noqa: ANN401 - as JSON has them
    if not all(isinstance(time_s, int | float) and math.isfinite(time_s) for time_s in times_s):
        raise ValueError("a time is no number")


def _check_texts(*texts: Any) -> None:  # noqa: ANN401 - as JSON has them
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text is none")
