"""The best views of one face track, gathered while it runs, and the one vector that they make.

A track's time is cut into at most 16 pieces, and each keeps its best view. When a track outgrows them, pieces are
joined two by two. So the views are spread over the track, and a track of an hour takes no more memory than one of
six seconds: 16 pictures of 112 x 112.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidfleet.speakers.data import FaceVector
from vidfleet.speakers.identity.align import LEAST_DETAIL, SIDE, align, detail, pose_of

if TYPE_CHECKING:
    from fractions import Fraction

    from vidfleet.speakers.data import Face, GridFrame, Scores
    from vidfleet.speakers.identity.embed import FaceEmbedder

PIECES = 16
"""The most views of a track."""
PIECE_FRAMES = 10
"""How long a piece is at first."""
SPEAKING_WEIGHT = 2.0
"""How much more a view counts in which the face speaks: whose words they are is what is asked."""


@dataclass(frozen=True, slots=True)
class View:
    """One well-seen face."""

    frame: int
    quality: float
    """0 to 1: frontal, large, sharp."""
    aligned: NDArray[np.uint8]
    """(112, 112, 3), BGR."""


class TrackGallery:
    """Gathers views of one track, fed with its faces in order of time."""

    def __init__(self, track: int, start: int, *, pixel_aspect: Fraction) -> None:
        self._track, self._start, self._pixel_aspect = track, start, pixel_aspect
        self._piece_frames = PIECE_FRAMES
        self._views: dict[int, View] = {}

    @property
    def views(self) -> tuple[View, ...]:
        """What it holds, in order of time."""
        return tuple(view for _, view in sorted(self._views.items()))

    def take(self, frame: GridFrame, face: Face) -> None:
        """See the track's face in the next frame; one without landmarks, or not well seen, is passed over."""
        if face.landmarks is None or frame.is_repeat:
            return
        pose = pose_of(face.landmarks, pixel_aspect=self._pixel_aspect)
        if pose is None or not pose.is_well_seen_in(frame.bgr):
            return
        piece = self._piece(frame.index)
        best = self._views.get(piece)
        shape = pose.frontality * min(1.0, pose.side / SIDE)
        if best is not None and shape <= best.quality:
            return  # however sharp it may be
        aligned = align(frame.bgr, pose)
        sharp = detail(aligned)
        if sharp >= LEAST_DETAIL and (best is None or shape * sharp > best.quality):
            self._views[piece] = View(frame.index, shape * sharp, aligned)

    def vector(self, embedder: FaceEmbedder, scores: Scores | None = None) -> FaceVector | None:
        """The track's vector, after its end; None where the face was never well seen.

        Views that are not like the others (somebody else's face, when a track has jumped) are left out.
        """
        views = self.views
        if not views:
            return None
        vectors = embedder.embed(np.stack([view.aligned for view in views]))
        weights = np.array([view.quality * self._factor(view.frame, scores) for view in views])
        kept = _alike(vectors, weights, embedder.joins_at)
        mean = weights[kept] @ vectors[kept]
        unit = (mean / np.linalg.norm(mean)).astype(np.float32)
        return FaceVector(track=self._track, vector=unit, views=int(kept.sum()))

    def _piece(self, frame: int) -> int:
        """The piece of time of a frame, after pieces were joined as needed."""
        while (frame - self._start) // self._piece_frames >= PIECES:
            self._piece_frames *= 2
            before, self._views = self._views, {}
            for piece, view in before.items():
                other = self._views.get(piece // 2)
                if other is None or view.quality > other.quality:
                    self._views[piece // 2] = view
        return (frame - self._start) // self._piece_frames

    def _factor(self, frame: int, scores: Scores | None) -> float:
        at = frame - self._start
        speaks = scores is not None and 0 <= at < len(scores.values) and scores.values[at] > 0
        return SPEAKING_WEIGHT if speaks else 1.0


def _alike(vectors: NDArray[np.float32], weights: NDArray[np.float64], joins_at: float) -> NDArray[np.bool_]:
    """Which views are one face: those like the view that most of the others are like."""
    alike = vectors @ vectors.T >= joins_at
    np.fill_diagonal(alike, val=True)
    middle = int(np.argmax(alike @ weights))
    kept: NDArray[np.bool_] = alike[middle]
    return kept
