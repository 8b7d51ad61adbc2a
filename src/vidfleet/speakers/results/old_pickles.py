"""The pickles that tools around whisperVideo read, with its spelling of their names."""

from __future__ import annotations

import pickle
from typing import IO, TYPE_CHECKING, Any

from vidfleet.speakers.kept import reading
from vidfleet.speakers.results.text import joined_words
from vidfleet.speakers.tables import PickledList

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vidfleet.speakers.data import Conversation, Sentence, Transcript

NOBODY = "None"
"""What these tools call off screen: the word, not the value."""


def write_raw_diarization(path: Path, transcript: Transcript) -> None:
    """Write ``raw_diriazation.pckl``: what was recognised, before it is known who said it."""
    with PickledList(path) as items:
        for sentence in transcript.sentences:
            items.append(_raw(sentence))


def _raw(sentence: Sentence) -> dict[str, Any]:
    return {
        "start": float(sentence.start_s),
        "end": float(sentence.end_s),
        "text": sentence.text,
        "words": [
            {
                "word": word.text,
                "start": float(word.start_s),
                "end": float(word.end_s),
                "score": float(word.score),
            }
            for word in sentence.words
        ],
    }


def write_matched_diarization(path: Path, conversation: Conversation) -> None:
    """Write ``matched_diriazation.pckl``: who said what, line by line, numbered from 1."""
    with PickledList(path) as items:
        for number, line in enumerate(conversation.lines, start=1):
            items.append(
                {
                    "start": float(line.start_s),
                    "end": float(line.end_s),
                    "identity": NOBODY if line.person is None else line.person,
                    "text": joined_words([said.word.text for said in line.words]),
                    "msg_idx": number,
                }
            )


def write_tracks_identity(path: Path, tracks: Path, *, person_of: Mapping[int, str]) -> None:
    """Write ``tracks_identity.pckl``: the ``tracks.pckl`` at ``tracks``, each track with its person's name.

    A track without a person has the value None. Raises RecordError where ``tracks`` is damaged.
    """
    with reading(tracks), tracks.open("rb") as file:
        listed: list[dict[str, Any]] = _Arrays(file).load()
    with PickledList(path) as items:
        for number, item in enumerate(listed):
            items.append({**item, "identity": person_of.get(number)})


class _Arrays(pickle.Unpickler):
    """Reads plain types and arrays, and nothing else."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as the base class has it
        import numpy as np

        if module == "numpy" and name in {"ndarray", "dtype"}:
            return getattr(np, name)
        if module in {"numpy.core.multiarray", "numpy._core.multiarray"} and name == "_reconstruct":
            # What numpy itself pickles an array with, wherever this numpy keeps it.
            return np.zeros(0).__reduce__()[0]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in tracks.pckl")
