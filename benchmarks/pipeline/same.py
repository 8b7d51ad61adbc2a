"""Which of the exact run's tracks and scores another way through a film has as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vidfleet.speakers.boxes import overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.pipeline.turn import TrackOut

SAME_BOX = 0.8
"""Intersection over union from which a box is as good as the exact run's."""


@dataclass(frozen=True)
class Same:
    """What of the exact run's tracks and scores another way has as well."""

    faces: int
    film_s: int
    case: str
    tracks: int
    exact_tracks: int
    face_frames: int
    """Of the exact run."""
    within: int
    """Of these, how many have a box that overlaps by 0.8."""
    largest_box_px: float
    """Difference of an edge, of those."""
    scored_frames: int
    """Of the exact run, of those."""
    same_score: int
    same_sign: int
    largest_score: float
    """Difference."""


def same_as(faces: int, film_s: int, case: str, exact: Sequence[TrackOut], other: Sequence[TrackOut]) -> Same:
    """Compare frame by frame; a face is the one whose box overlaps most."""
    theirs = _by_frame(other)
    boxes_apart, scores_apart, signs, face_frames = [0.0], [0.0], [], 0
    for frame, own in _by_frame(exact).items():
        face_frames += len(own)
        for box, score in own:
            best = _nearest(box, theirs.get(frame, []))
            if best is not None:
                boxes_apart.append(float(np.abs(box - best[0]).max()))
                if score is not None:
                    apart = abs(score - best[1]) if best[1] is not None else float("inf")
                    scores_apart.append(apart)
                    signs.append(best[1] is not None and (score > 0) == (best[1] > 0))
    return Same(
        faces, film_s, case, len(other), len(exact), face_frames,
        within=len(boxes_apart) - 1, largest_box_px=round(max(boxes_apart), 2), scored_frames=len(signs),
        same_score=sum(apart < 0.05 for apart in scores_apart) - 1, same_sign=sum(signs),
        largest_score=round(max(scores_apart), 2),
    )  # fmt: skip


Seen = list[tuple[Any, float | None]]


def _by_frame(tracks: Sequence[TrackOut]) -> dict[int, Seen]:
    found: dict[int, Seen] = {}
    for track in tracks:
        for index, box in enumerate(track.boxes):
            score = track.scores[index] if index < len(track.scores) else None
            found.setdefault(track.start + index, []).append((np.array(box), score))
    return found


def _nearest(box: Any, faces: Seen) -> tuple[Any, float | None] | None:  # noqa: ANN401
    if not faces:
        return None
    shared = overlap(box[None], np.array([face for face, _ in faces]))[0]
    return faces[int(shared.argmax())] if shared.max() >= SAME_BOX else None
