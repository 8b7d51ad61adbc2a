"""Which tracks are one person: faces joined by their vectors, never two that are seen at one time.

Average linkage: two sets of faces are as like as the mean cosine over all their pairs, and the likest two are
joined until none are like enough. The mean of all cosines is the product of the two sets' mean vectors, so no
matrix of all pairs is kept. Joining all pairs of mutual nearest neighbours at once gives the same sets as joining
one pair after the other, since a union is never nearer to a third set than the nearer of its parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vidfleet.speakers.data import GRID_RATE, Person

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vidfleet.speakers.data import FaceVector, Scores

BLOCK_NUMBERS = 4_000_000
"""Cosines that are in memory at once: 16 MB."""
NOBODY = -2.0
"""The likeness of those that must not be joined."""


class Trail(Protocol):
    """Where a track is when: a :class:`~vidfleet.speakers.data.Track`, or less."""

    @property
    def start(self) -> int:
        """The first grid frame."""
        ...

    @property
    def end(self) -> int:
        """One past the last grid frame."""
        ...

    @property
    def boxes(self) -> NDArray[Any]:
        """(N, 4) x1, y1, x2, y2 in pixels of the full-size picture."""
        ...


@dataclass(frozen=True, slots=True)
class Hold:
    """Tracks of which somebody said that they are one person."""

    name: str
    """The name that was given; nothing: none."""
    tracks: tuple[int, ...]


def spoken_s(scores: Scores) -> float:
    """For how long a track is seen speaking."""
    return int((scores.values > 0).sum()) / GRID_RATE


def persons_of(
    trails: Sequence[Trail],
    vectors: Sequence[FaceVector],
    *,
    spoken: Sequence[float],
    joins_at: float,
    holds: Sequence[Hold] = (),
) -> tuple[Person, ...]:
    """Sort the tracks of a film into persons, who speaks longest first.

    ``trails`` and ``spoken`` (seconds) have an entry for each track. ``holds`` are kept together, and apart from
    each other, whatever the faces look like. A track without a vector is a person of its own if it is seen
    speaking, so that its words have a name; else it is nobody.
    """
    known = {found.track for found in vectors} | {track for hold in holds for track in hold.tracks}
    tracks = [track for track in range(len(trails)) if track in known or spoken[track] > 0]
    place = {track: at for at, track in enumerate(tracks)}
    dimensions = len(vectors[0].vector) if vectors else 1
    sums, weights = np.zeros((len(tracks), dimensions)), np.zeros(len(tracks))
    for found in vectors:
        weights[place[found.track]] = found.views
        sums[place[found.track]] = found.views * found.vector.astype(np.float64)
    held = [[place[track] for track in hold.tracks] for hold in holds]
    labels = join(sums, weights, joins_at=joins_at, apart=_together_in_time(trails, tracks), held=held)
    first = [trail.start for trail in trails]
    return number_persons(tracks, labels, spoken=spoken, first=first, holds=holds)


def join(
    sums: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    joins_at: float,
    apart: NDArray[np.int64],
    held: Sequence[Sequence[int]] = (),
) -> NDArray[np.int64]:
    """Label N items by average linkage: equal labels are one person's.

    ``sums`` (N, D) are weighted sums of unit vectors and ``weights`` (N,) what they weigh; an item of weight 0 is
    never joined. ``apart`` (E, 2) are pairs that must not be joined; ``held`` are sets that are joined before
    all else, in spite of it, and never with each other.
    """
    labels = np.arange(len(sums))
    owner = np.full(len(sums), -1)
    for number, items in enumerate(held):
        if len(items):
            labels[list(items)] = min(items)
            owner[min(items)] = number
    sums, weights = sums.copy(), weights.copy()
    for item in np.flatnonzero(labels != np.arange(len(labels))):
        sums[labels[item]] += sums[item]
        weights[labels[item]] += weights[item]
    state = _Sets(sums, weights, owner, apart, np.unique(labels))
    while (pairs := state.nearest_pairs(labels, joins_at)).size:
        for one, other in pairs:
            state.unite(int(one), int(other))
        moved = np.arange(len(labels))
        moved[pairs[:, 1]] = pairs[:, 0]
        labels = moved[labels]
    return labels


class _Sets:
    """The sets of faces as they stand, each called by its lowest item, and each one's nearest."""

    def __init__(
        self,
        sums: NDArray[np.float64],
        weights: NDArray[np.float64],
        owner: NDArray[np.int64],
        apart: NDArray[np.int64],
        sets: NDArray[np.int64],
    ) -> None:
        self._sums, self._weights, self._owner, self._apart = sums, weights, owner, apart
        self._open = sets[weights[sets] > 0]
        self._nearest = np.full(len(sums), -1)
        self._likeness = np.full(len(sums), NOBODY)

    def nearest_pairs(self, labels: NDArray[np.int64], joins_at: float) -> NDArray[np.int64]:
        """Pairs (K, 2) of sets that are each other's nearest and like enough, the lower first; (0, 2) at the end."""
        self._apart = _pairs(labels[self._apart])
        stale = self._open[self._nearest[self._open] < 0]
        self._find_nearest(stale)
        # What is like nobody now will be like no union of them either.
        self._open = self._open[self._likeness[self._open] >= joins_at]
        if not len(self._open):
            return np.zeros((0, 2), dtype=np.int64)
        nearest = self._nearest[self._open]
        mutual = (self._nearest[nearest] == self._open) & (self._open < nearest)
        pairs = np.column_stack([self._open[mutual], nearest[mutual]])
        if not len(pairs):  # equal likenesses that differ by rounding
            best = self._open[np.argmax(self._likeness[self._open])]
            pairs = np.sort(np.array([[best, self._nearest[best]]]), axis=1)
        gone = np.isin(self._nearest, pairs)
        self._nearest[gone] = -1
        self._nearest[pairs.ravel()] = -1
        self._open = np.setdiff1d(self._open, pairs[:, 1])
        return pairs

    def unite(self, one: int, other: int) -> None:
        """Put the set ``other`` into ``one``."""
        self._sums[one] += self._sums[other]
        self._weights[one] += self._weights[other]
        self._owner[one] = max(self._owner[one], self._owner[other])

    def _find_nearest(self, stale: NDArray[np.int64]) -> None:
        """Find, for each of these sets, the open set that is most like it and may be joined with it."""
        means = (self._sums[self._open] / self._weights[self._open, np.newaxis]).astype(np.float32)
        column = np.full(len(self._sums), -1)
        column[self._open] = np.arange(len(self._open))
        is_held = self._owner[self._open] >= 0
        step = max(1, BLOCK_NUMBERS // max(1, len(self._open)))
        for first in range(0, len(stale), step):
            rows = stale[first : first + step]
            likeness = means[column[rows]] @ means.T
            likeness[np.arange(len(rows)), column[rows]] = NOBODY
            likeness[np.ix_(self._owner[rows] >= 0, is_held)] = NOBODY
            low, high = np.searchsorted(self._apart[:, 0], rows), np.searchsorted(self._apart[:, 0], rows, "right")
            for row in np.flatnonzero(high > low):
                others = column[self._apart[low[row] : high[row], 1]]
                likeness[row, others[others >= 0]] = NOBODY
            best = likeness.argmax(axis=1)
            self._nearest[rows] = self._open[best]
            self._likeness[rows] = likeness[np.arange(len(rows)), best]


def _pairs(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each pair both ways round, once, in order."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return np.unique(both[both[:, 0] != both[:, 1]], axis=0)


def _together_in_time(trails: Sequence[Trail], tracks: Sequence[int]) -> NDArray[np.int64]:
    """Pairs (E, 2) of positions in ``tracks`` that share a grid frame."""
    pairs: list[tuple[int, int]] = []
    now: list[int] = []
    for at in sorted(range(len(tracks)), key=lambda at: trails[tracks[at]].start):
        start = trails[tracks[at]].start
        now = [other for other in now if trails[tracks[other]].end > start]
        pairs += [(other, at) for other in now]
        now.append(at)
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def number_persons(
    items: Sequence[int],
    labels: NDArray[np.int64],
    *,
    spoken: Sequence[float],
    first: Sequence[int],
    holds: Sequence[Hold] = (),
) -> tuple[Person, ...]:
    """Make persons of ``items`` with equal ``labels``, by speaking time, then by first appearance.

    ``spoken`` (seconds) and ``first`` are looked up by item. A given name stands in place of a number, and changes
    nobody else's.
    """
    groups: dict[int, list[int]] = {}
    for item, label in zip(items, labels.tolist(), strict=True):
        groups.setdefault(label, []).append(item)
    given = {hold.tracks[0]: hold.name for hold in holds if hold.name and hold.tracks}
    total = {label: round(sum(spoken[item] for item in group), 2) for label, group in groups.items()}
    order = sorted(groups, key=lambda label: (-total[label], min((first[item], item) for item in groups[label])))
    return tuple(
        Person(
            name=next((given[item] for item in groups[label] if item in given), f"Person_{number}"),
            tracks=tuple(groups[label]),
            spoken_s=total[label],
        )
        for number, label in enumerate(order, start=1)
    )
