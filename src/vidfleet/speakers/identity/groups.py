"""Which tracks were found to have one face, kept without what the faces look like.

Vectors are biometric data and go when a video is done. What follows from them stays: so persons can be found again
after somebody has edited ``people.json``, and no picture needs to be looked at.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from vidfleet.speakers.data import FaceVector
from vidfleet.speakers.identity.cluster import persons_of
from vidfleet.speakers.kept import reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vidfleet.speakers.identity.cluster import Trail

ONE_GROUP = 0.5
"""The mean cosine of two sets of tracks is 1 within one group, and near 0 between two."""
_DIMENSIONS = 512
"""Random signs at so many places have a cosine of 0.04 times a normal number: 0.5 is out of reach for any film."""


def write_groups(path: Path, trails: Sequence[Trail], vectors: Sequence[FaceVector], *, joins_at: float) -> None:
    """Write the sets of tracks whose faces are one person's, whatever people have edited."""
    persons = persons_of(trails, vectors, spoken=[0.0] * len(trails), joins_at=joins_at)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([list(person.tracks) for person in persons]), "ascii")


def read_groups(path: Path, *, tracks: int) -> tuple[FaceVector, ...]:
    """Read them as vectors that are equal within a set and at right angles, or nearly, to all others.

    ``tracks`` is how many the film has. Raises :class:`~vidfleet.errors.RecordError` for a damaged file.
    """
    with reading(path):
        groups: list[list[int]] = [list(group) for group in json.loads(path.read_text("ascii"))]
        members = [track for group in groups for track in group]
        if not all(type(track) is int and 0 <= track < tracks for track in members):
            raise ValueError("groups of tracks that the film has not")
        if len(set(members)) < len(members):
            raise ValueError("a track in two groups")
    if len(groups) <= _DIMENSIONS:
        axes = np.eye(len(groups), dtype=np.float32)
    else:
        signs = np.random.default_rng(0).integers(0, 2, (len(groups), _DIMENSIONS)) * 2 - 1
        axes = (signs / np.sqrt(_DIMENSIONS)).astype(np.float32)
    found = [FaceVector(track, axes[number], 1) for number, group in enumerate(groups) for track in group]
    return tuple(sorted(found, key=lambda vector: vector.track))
