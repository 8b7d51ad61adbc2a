"""What the one pass over the pictures leaves for the steps behind it, and how it is kept between attempts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from vidfleet.errors import RecordError
from vidfleet.speakers.data import GRID_RATE, Shot
from vidfleet.speakers.kept import reading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True, eq=False)
class SeenTrack:
    """What later steps need of a track, in few bytes."""

    index: int
    """As in the pickles."""
    start: int
    """Its first grid frame."""
    boxes: NDArray[np.float64]
    """(N, 4) x1, y1, x2, y2; as exact as they were found, so that crops made later are the same."""
    scores: NDArray[np.float32]
    """(M,) logits, M <= N; above 0 is speaking."""

    @property
    def end(self) -> int:
        """One past its last frame."""
        return self.start + len(self.boxes)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What the pass has found."""

    source_times_s: NDArray[np.float64]
    """(F,) for each grid frame the shown picture's own time."""
    shots: tuple[Shot, ...]
    tracks: tuple[SeenTrack, ...]

    @property
    def frames(self) -> int:
        """How many grid frames the film has."""
        return len(self.source_times_s)

    @property
    def duration_s(self) -> float:
        """How long the film is."""
        return self.frames / GRID_RATE

    @property
    def spoken_s(self) -> tuple[float, ...]:
        """For how long each track is seen speaking."""
        return tuple(int((track.scores > 0).sum()) / GRID_RATE for track in self.tracks)

    def save(self, path: Path) -> None:
        """Write it as an ``.npz`` of plain arrays."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # it may be a hard link into a finished folder
        np.savez(
            path,
            source_times_s=self.source_times_s,
            shots=np.array([(shot.start, shot.end) for shot in self.shots], np.int64).reshape(-1, 2),
            starts=np.array([track.start for track in self.tracks], np.int64),
            lengths=np.array([(len(track.boxes), len(track.scores)) for track in self.tracks], np.int64).reshape(-1, 2),
            boxes=np.concatenate([np.zeros((0, 4)), *(track.boxes for track in self.tracks)]),
            scores=np.concatenate([np.zeros(0, np.float32), *(track.scores for track in self.tracks)]),
        )

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read it again; None where the file is not as :meth:`save` leaves it."""
        try:
            with reading(path), np.load(path, allow_pickle=False) as file:
                return cls._of({name: np.asarray(file[name]) for name in file.files})
        except RecordError:
            return None

    @classmethod
    def _of(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Raises ValueError, TypeError or LookupError for arrays that do not fit each other."""
        boxes, scores, times_s = (np.asarray(arrays[name]) for name in ("boxes", "scores", "source_times_s"))
        shapes = boxes.ndim, scores.ndim, times_s.ndim, boxes.shape[1:]
        if shapes != (2, 1, 1, (4,)) or not all(np.isfinite(part).all() for part in (boxes, scores, times_s)):
            raise ValueError("not the shapes or not the numbers of a film")
        box_ends, score_ends = np.cumsum(arrays["lengths"], axis=0).T.tolist()
        tracks = tuple(
            SeenTrack(index, start, boxes[box_end - count : box_end], scores[end - scored : end])
            for index, (start, (count, scored), box_end, end) in enumerate(
                zip(arrays["starts"].tolist(), arrays["lengths"].tolist(), box_ends, score_ends, strict=True)
            )
        )
        lengths = [(len(track.boxes), len(track.scores)) for track in tracks]
        is_whole = lengths == [tuple(pair) for pair in arrays["lengths"].tolist()]
        if not is_whole or not all(0 <= track.start < track.end <= len(times_s) for track in tracks):
            raise ValueError("tracks that lie outside of the film")
        if any(scored > count for count, scored in lengths):
            raise ValueError("more scores than faces")
        return cls(times_s, tuple(Shot(start, end) for start, end in arrays["shots"].tolist()), tracks)
