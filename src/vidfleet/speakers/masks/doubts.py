"""Where boxes alone cannot tell who is who: two faces meet, a face breaks off, a face jumps.

The frames of one window are gone through by boxes, as ``tracks`` would, without changing any track.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from vidfleet.speakers.boxes import Box, overlap
from vidfleet.speakers.tracks import best_pairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vidfleet.speakers.data import Face
    from vidfleet.speakers.looked import Looked
    from vidfleet.speakers.tracks import GrowingTrack, TrackRules

Doubt = Literal["meet", "break", "jump"]

MEET = 0.1
"""Two faces meet when their boxes overlap by more than this (intersection over union)."""
SURE = 0.6
"""A face jumps when its box overlaps the one of the frame before by less; above 0.5 it is still the same track."""
LOST = 3
"""A face breaks off when it is unseen in more frames in a row: detectors blink for one or two."""
KNOWN = 5
"""A face counts when it was seen in so many frames; below that it may be none."""
EDGE = 0.02
"""Who is as near to the picture's edge (share of its size) when last seen has left: nothing breaks off."""


@dataclass(slots=True)
class _Known:
    """A face as the window goes on."""

    box: Box
    frame: int
    """When it was seen last."""
    looks: int
    """In how many frames it was seen."""


def doubts_of(window: Sequence[Looked], tracks: Iterable[GrowingTrack], rules: TrackRules) -> frozenset[Doubt]:
    """Why boxes are unsure in these consecutive frames of one shot, before which ``tracks`` are open."""
    known = [_Known(track.last_box, track.last_seen, track.detections) for track in tracks]
    found: set[Doubt] = set()
    for looked in window:
        frame = looked.frame.index
        _go_on(known, looked.faces, frame, rules, found)
        if any(_breaks_off(one, looked, after=min(LOST, rules.missed)) for one in known):
            found.add("break")
        known = [one for one in known if frame - one.frame <= rules.missed]
        if _any_meet([one.box for one in known if one.looks >= KNOWN]):
            found.add("meet")
    return frozenset(found)


def _go_on(known: list[_Known], faces: Sequence[Face], frame: int, rules: TrackRules, found: set[Doubt]) -> None:
    pairs = {}
    if known and faces:
        shared = overlap(np.array([face.box for face in faces]), np.array([one.box for one in known]))
        pairs = dict(best_pairs(shared, above=rules.overlap))
        if any(shared[row, column] < SURE and frame - known[column].frame == 1 for row, column in pairs.items()):
            found.add("jump")
    new = []
    for row, face in enumerate(faces):
        if row in pairs:
            one = known[pairs[row]]
            one.box, one.frame, one.looks = face.box, frame, one.looks + 1
        else:
            new.append(_Known(face.box, frame, 1))
    known += new


def _any_meet(boxes: Sequence[Box]) -> bool:
    if len(boxes) < 2:
        return False
    return bool((np.triu(overlap(np.array(boxes), np.array(boxes)), k=1) > MEET).any())


def _breaks_off(one: _Known, looked: Looked, *, after: int) -> bool:
    if one.looks < KNOWN or looked.frame.index - one.frame <= after:
        return False
    height, width = looked.frame.bgr.shape[:2]
    x1, y1, x2, y2 = one.box
    is_at_edge = min(x1, width - x2) < EDGE * width or min(y1, height - y2) < EDGE * height
    return not is_at_edge
