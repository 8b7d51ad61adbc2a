"""Which stretches of a film a recogniser hears at a time.

Recognisers hear half a minute at most. Stretches end in silence where there is any; where somebody speaks on and
on, two neighbours both hear what is around the cut, and each word counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidfleet.speakers.data import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from vidfleet.speakers.data import Span, Word
    from vidfleet.speakers.speech import SoundLike

LONGEST_S = 30.0
"""What Whisper hears at a time."""
MARGIN_S = 0.2
"""So much of the silence around speech is heard with it."""
OVERLAP_S = 1.0
"""So far beyond a cut through speech both sides hear: longer than a word."""
MOST_SILENCE_S = 3.0
"""A longer silence lies between stretches, not in one; others may speak after it, in another language."""
CUT_FROM_S, CUT_UNTIL_S = 18.0, LONGEST_S - 2 * OVERLAP_S
"""Where in long speech the cut is looked for."""
_FRAME_S, _QUIET_FRAMES = 0.02, 10
"""Loudness is measured in steps of 20 ms; a cut lies in the middle of the quietest 200 ms."""


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of sound [start_s, end_s) that is heard at once."""

    start_s: float
    end_s: float
    cut_before_s: float | None = None
    """Speech was cut here from the region before: words in the middle of it are that one's up to here."""
    cut_after_s: float | None = None
    """The same towards the region after."""

    def samples(self, sound: SoundLike) -> NDArray[np.float32]:
        """(N,) what is heard in it, -1..1."""
        start, end = round(self.start_s * SAMPLE_RATE), round(self.end_s * SAMPLE_RATE)
        return np.asarray(sound.read(start, end) / 32768, np.float32)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Uncut speech."""

    start_s: float
    end_s: float
    is_continued: bool
    """It begins where speech was cut."""


def plan_regions(sound: SoundLike, speech: Sequence[Span]) -> list[Region]:
    """Regions of at most :data:`LONGEST_S` that hold all speech, in order."""
    groups: list[list[_Piece]] = []
    for piece in (piece for span in speech for piece in _pieces(sound, span)):
        if groups and _belongs(piece, groups[-1]):
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return [
        _region(group, before, after, length_s=sound.length_samples / SAMPLE_RATE)
        for before, group, after in zip([None, *groups], groups, [*groups[1:], None], strict=False)
    ]


def _region(group: list[_Piece], before: list[_Piece] | None, after: list[_Piece] | None, *, length_s: float) -> Region:
    """What is heard of a group: to a cut and beyond, or with a margin of half the way to the neighbour at most."""
    start_s, end_s = group[0].start_s, group[-1].end_s
    if before is None:
        early_s = max(start_s - MARGIN_S, 0.0)
    else:
        early_s = max(start_s - MARGIN_S, (before[-1].end_s + start_s) / 2)
    if after is None:
        late_s = max(min(end_s + MARGIN_S, length_s), end_s)
    else:
        late_s = min(end_s + MARGIN_S, (end_s + after[0].start_s) / 2)
    is_continued, goes_on = group[0].is_continued, after is not None and after[0].is_continued
    return Region(
        start_s - OVERLAP_S if is_continued else early_s,
        end_s + OVERLAP_S if goes_on else late_s,
        start_s if is_continued else None,
        end_s if goes_on else None,
    )


def _belongs(piece: _Piece, group: list[_Piece]) -> bool:
    """Whether a piece is heard with those before it."""
    gap_s = piece.start_s - group[-1].end_s
    margins_s = OVERLAP_S + OVERLAP_S  # where it goes on beyond a cut; else less
    is_short = piece.end_s - group[0].start_s + margins_s <= LONGEST_S
    return not piece.is_continued and gap_s <= MOST_SILENCE_S and is_short


def _pieces(sound: SoundLike, span: Span) -> Iterator[_Piece]:
    """A span, cut where it is quiet as often as needed."""
    start_s, is_continued = span.start_s, False
    while span.end_s - start_s > CUT_UNTIL_S:
        cut_s = _quietest_s(sound, start_s + CUT_FROM_S, start_s + CUT_UNTIL_S)
        yield _Piece(start_s, cut_s, is_continued)
        start_s, is_continued = cut_s, True
    yield _Piece(start_s, span.end_s, is_continued)


def _quietest_s(sound: SoundLike, start_s: float, end_s: float) -> float:
    """The middle of the quietest 200 ms; of several alike the last."""
    frame = round(_FRAME_S * SAMPLE_RATE)
    first = round(start_s * SAMPLE_RATE)
    frames = (round(end_s * SAMPLE_RATE) - first) // frame
    samples = sound.read(first, first + frames * frame).astype(np.float64)
    power = (samples.reshape(frames, frame) ** 2).mean(axis=1)
    smooth = np.convolve(power, np.ones(_QUIET_FRAMES) / _QUIET_FRAMES, mode="valid")
    place = len(smooth) - 1 - int(np.argmin(smooth[::-1]))
    return start_s + (place + _QUIET_FRAMES / 2) * _FRAME_S


def share_out(regions: Sequence[Region], words: Sequence[Sequence[Word]]) -> list[list[Word]]:
    """Each region's own words: of those around a cut, which two regions hear, each once."""
    own = [[word for word in heard if _lies_in(word, region)] for region, heard in zip(regions, words, strict=True)]
    for number in range(1, len(regions)):
        cut_s = regions[number].cut_before_s
        if cut_s is None:
            continue
        before, after = own[number - 1], own[number]
        after[:] = [word for word in after if not _is_among(word, before)]
        # A word on the cut itself may be thrown out by both, each of which hears its middle a little elsewhere.
        across = [w for w in words[number - 1] if w.start_s < cut_s <= _middle_s(w)]
        before += [word for word in across if not _is_among(word, after)]
        across = [w for w in words[number] if _middle_s(w) < cut_s < w.end_s]
        after[:0] = [word for word in across if not _is_among(word, before)]
    return own


def _lies_in(word: Word, region: Region) -> bool:
    middle_s = _middle_s(word)
    return (region.cut_before_s is None or middle_s >= region.cut_before_s) and (
        region.cut_after_s is None or middle_s < region.cut_after_s
    )


def _is_among(word: Word, others: Sequence[Word]) -> bool:
    """Whether one of ``others`` sounds at the same time: for more than half of the shorter of the two."""
    for other in others:
        shared_s = min(word.end_s, other.end_s) - max(word.start_s, other.start_s)
        if shared_s > min(word.end_s - word.start_s, other.end_s - other.start_s) / 2:
            return True
    return False


def _middle_s(word: Word) -> float:
    return (word.start_s + word.end_s) / 2
