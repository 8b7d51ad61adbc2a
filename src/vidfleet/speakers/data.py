"""The values on the arrows of the speakers pipeline.

All of them count grid frames: the 25 Hz grid that ``media`` lays over every video. Grid frame i shows what a
player would show at i/25 s after the start of the container's presentation. Intervals are half-open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vidfleet.speakers.media.planes import Planes

GRID_RATE = 25
"""Grid frames per second; LR-ASD and TalkNet were trained at it."""
SAMPLE_RATE = 16_000
"""Sound samples per second."""


class Shown(Protocol):
    """A picture of the film, made into pixels when they are asked for."""

    @property
    def bgr(self) -> NDArray[np.uint8]:
        """(height, width, 3), upright, full size; the same array each time, never written to."""
        ...

    @property
    def planes(self) -> Planes:
        """The same picture as encoders take it; the same each time, never written to."""
        ...


@dataclass(frozen=True, slots=True)
class GridFrame:
    """One picture of the 25 Hz grid."""

    index: int
    """Grid index from 0; it stands for the time index / 25 s."""
    source_time_s: float
    """The shown source picture's own presentation time on the video's clock."""
    picture: Shown
    """Shared between repeated grid frames."""
    is_repeat: bool
    """The same source picture as the grid frame before (24 fps input repeats one picture a second)."""

    @property
    def bgr(self) -> NDArray[np.uint8]:
        """(height, width, 3), upright, full size; converted when it is asked for first."""
        return self.picture.bgr

    @property
    def planes(self) -> Planes:
        """The same picture as encoders take it; the decoder's own memory where that will do. Only a copy is drawn on.

        Raises ValueError in a pass over the film that keeps none (``VideoSource.frames``).
        """
        return self.picture.planes


@dataclass(frozen=True, slots=True)
class Shot:
    """An uncut stretch of film: grid frames [start, end)."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Face:
    """One detected face in one grid frame."""

    frame: int
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the full-size picture."""
    confidence: float
    landmarks: NDArray[np.float32] | None = None
    """(5, 2): right eye, left eye, nose, right and left mouth corner (YuNet's order), or nothing."""
    is_found: bool = True
    """False: it was not detected in this frame but lies between two in which it was (see ``looked``)."""


@dataclass(frozen=True, slots=True)
class Track:
    """One face through consecutive grid frames of one shot."""

    frames: NDArray[np.int64]
    """(N,) grid indices, consecutive."""
    boxes: NDArray[np.float64]
    """(N, 4) x1, y1, x2, y2; gaps filled linearly."""
    centre_x: NDArray[np.float64]
    """(N,) smoothed (median, width 13)."""
    centre_y: NDArray[np.float64]
    """(N,) smoothed."""
    half_size: NDArray[np.float64]
    """(N,) smoothed half side of the square box."""
    crop_name: str
    """``pycrop/00000``."""

    @property
    def start(self) -> int:
        """The first grid frame."""
        return int(self.frames[0])

    @property
    def end(self) -> int:
        """One past the last grid frame."""
        return int(self.frames[-1]) + 1


@dataclass(frozen=True, slots=True)
class Scores:
    """How much each frame of one track looks like its face is speaking."""

    values: NDArray[np.float64]
    """(M,) logits from the track's first frame on, rounded to 0.1; above 0 is speaking. M <= N."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time [start_s, end_s) on the grid's clock."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word, whoever said it."""

    text: str
    """Without surrounding space, with its punctuation."""
    start_s: float
    end_s: float
    score: float
    """0..1: how sure the recogniser is; 1 where words come from a file that does not say."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """What a recogniser or a subtitle file gives as one piece; several persons may share it."""

    text: str
    start_s: float
    end_s: float
    words: tuple[Word, ...]
    language: str = ""
    """ISO 639-1, or nothing where it is not known."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """All words of a film, in order of time."""

    sentences: tuple[Sentence, ...]
    source: str
    """Where the words come from: ``faster-whisper small``, ``film.srt``, ``subtitle stream 3``; nothing: no words."""
    times: str = "recognised"
    """``recognised``: each word has its own times; ``spread``: a subtitle's time is shared out among its words."""


@dataclass(frozen=True, slots=True)
class FaceVector:
    """What the face of one track looks like to an embedding network."""

    track: int
    """Index of the track, as in the pickles."""
    vector: NDArray[np.float32]
    """(D,) of length 1."""
    views: int
    """From how many pictures of the face it comes."""


@dataclass(frozen=True, slots=True)
class Person:
    """One person of a film: tracks whose faces are the same."""

    name: str
    """``Person_1`` speaks most; or the name that somebody gave in ``people.json``."""
    tracks: tuple[int, ...]
    """Indices of the tracks, ascending."""
    spoken_s: float
    """For how long its tracks are seen speaking."""


@dataclass(frozen=True, slots=True)
class SaidWord:
    """A word and who said it."""

    word: Word
    person: str | None
    """A :class:`Person`'s name; None: nobody in the picture (off screen)."""
    confidence: float
    """0..1, calibrated: of the words with 0.8, four in five are right."""
    overlapping: tuple[str, ...] = ()
    """Others who are seen speaking during the word."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one person says without another between: a sentence, or a part of it."""

    person: str | None
    """None: off screen."""
    words: tuple[SaidWord, ...]
    """At least one."""
    language: str = ""

    @property
    def start_s(self) -> float:
        """When its first word begins."""
        return self.words[0].word.start_s

    @property
    def end_s(self) -> float:
        """When its last word ends."""
        return max(said.word.end_s for said in self.words)

    @property
    def text(self) -> str:
        """Its words, a space between."""
        return " ".join(said.word.text for said in self.words)


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch of time in which one person speaks; turns of several may overlap."""

    person: str | None
    """None: somebody off screen."""
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Conversation:
    """Who said what in a film: all that the result files tell."""

    persons: tuple[Person, ...]
    """In order of speaking time, longest first."""
    lines: tuple[Line, ...]
    """In order of time."""
    turns: tuple[Turn, ...]
    """In order of time."""
    words_from: str = ""
    """:attr:`Transcript.source`; nothing: no words were to be had."""


@dataclass(frozen=True, slots=True)
class Method:
    """Which model did a stage's work."""

    name: str
    """Such as ``LR-ASD pretrain_AVA``; ``heuristic: ...`` for an embedded method."""
    sha256: str
    """Of its weights; empty for an embedded method."""

    @property
    def is_heuristic(self) -> bool:
        """An embedded method, without weights of a network."""
        return not self.sha256
