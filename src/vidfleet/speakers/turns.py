"""Who speaks when, words or no words: diarisation by what is seen and heard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from vidfleet.speakers.data import GRID_RATE, Span, Turn
from vidfleet.speakers.spans import at_least, common, joined, without

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from vidfleet.speakers.data import Person

NEAR_FRAMES = 2
"""Scores are smoothed over so many frames on either side, as in TalkNet's demo: single frames flicker."""
GAP_S = 0.3
"""Shorter pauses are part of a turn."""
LEAST_S = 0.24
"""Shorter turns are dropped."""
SLIVER_S = 0.5
"""Heard speech that no visible face speaks, shorter than this and next to somebody's turn, is the edge of that turn:
voice activity and lips do not begin and end in the same moment."""


class ScoredTrack(Protocol):
    """When the face of one track is seen speaking."""

    @property
    def start(self) -> int:
        """Its first grid frame."""
        ...

    @property
    def scores(self) -> NDArray[np.floating]:
        """(M,) logits from there on, 25 a second; above 0 is speaking."""
        ...


def smoothed(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """The mean over five frames, fewer at the ends."""
    total = np.concatenate(([0.0], np.cumsum(scores, dtype=np.float64)))
    at = np.arange(len(scores))
    low, high = np.maximum(at - NEAR_FRAMES, 0), np.minimum(at + NEAR_FRAMES + 1, len(scores))
    return np.asarray((total[high] - total[low]) / (high - low))


def turns_of(persons: Sequence[Person], tracks: Sequence[ScoredTrack], speech: Sequence[Span]) -> tuple[Turn, ...]:
    """The turns of each person and of whoever is off screen, in order of time; those of several may overlap.

    ``speech`` is when anybody is heard, in order. A person speaks where one of its tracks has a smoothed score above 0
    while speech is heard.
    """
    heard = joined(speech)
    seen = {person.name: _seen_speaking(person, tracks, heard) for person in persons}
    nobody = without(heard, joined(span for spans in seen.values() for span in spans))
    slivers = [span for span in nobody if span.end_s - span.start_s < SLIVER_S]
    turns = [
        Turn(name, span.start_s, span.end_s)
        for name, spans in seen.items()
        for span in at_least(_with_edges(spans, slivers), LEAST_S)
    ]
    turns += [Turn(None, span.start_s, span.end_s) for span in at_least(nobody, SLIVER_S)]
    return tuple(sorted(turns, key=lambda turn: (turn.start_s, turn.end_s)))


def _seen_speaking(person: Person, tracks: Sequence[ScoredTrack], heard: Sequence[Span]) -> tuple[Span, ...]:
    spans = joined(span for index in person.tracks for span in _positive(tracks[index]))
    return at_least(joined(common(spans, heard), gap_s=GAP_S), LEAST_S)


def _positive(track: ScoredTrack) -> Iterable[Span]:
    """The stretches in which a track's smoothed scores are above 0."""
    above = np.concatenate(([False], smoothed(track.scores) > 0, [False]))
    edges = (track.start + np.flatnonzero(above[1:] != above[:-1])) / GRID_RATE
    return (Span(start, end) for start, end in edges.reshape(-1, 2).tolist())


def _with_edges(spans: Sequence[Span], slivers: Sequence[Span]) -> tuple[Span, ...]:
    """The spans, with the slivers that begin or end where one of them ends or begins."""
    starts, ends = {span.start_s for span in spans}, {span.end_s for span in spans}
    return joined((*spans, *(span for span in slivers if span.start_s in ends or span.end_s in starts)), gap_s=GAP_S)
