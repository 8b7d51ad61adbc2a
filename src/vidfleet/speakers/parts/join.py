"""The parts of a film, checked against each other and put together: what comes out is what one pass finds."""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vidfleet.errors import SplitError
from vidfleet.speakers.data import GRID_RATE, GridFrame
from vidfleet.speakers.findings import EndedTrack
from vidfleet.speakers.looked import Looked
from vidfleet.speakers.parts.board import Done
from vidfleet.speakers.parts.part_file import Part
from vidfleet.speakers.tracks import Followed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from vidfleet.speakers.findings import FilmFiles
    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.media.planes import Planes

_SETTLING_FRAMES = GRID_RATE
"""So long after a key frame pictures may differ from those of one pass: deinterlacing needs a neighbour, and pictures
that are refreshed in stripes come about over some frames. Up to the cut they have to be the same."""


class _Gone:
    """A picture that has been looked at, when its part was made; nobody asks for it again."""

    @property
    def bgr(self) -> NDArray[np.uint8]:
        raise ValueError("the pictures of a part are gone")

    @property
    def planes(self) -> Planes:
        raise ValueError("the pictures of a part are gone")


_LOOKED_AT = _Gone()


@dataclass(frozen=True, slots=True)
class Piece:
    """What counts of one part."""

    done: Done
    first: int
    """The cut at which the part before has ended."""


def check_seams(parts: Sequence[Done], *, key: str) -> list[Piece]:
    """Read all parts in order, and compare each with the next where both have looked at the same pictures.

    Raises :class:`SplitError` where two parts do not meet, or have seen other pictures; RecordError for one that
    cannot be read.
    """
    pieces = [Piece(parts[0], 0)]
    before = Part.read(parts[0].folder, key=key)
    if before.first != 0:
        raise SplitError("the first part begins too late")
    for done in parts[1:]:
        part = Part.read(done.folder, key=key)
        cut = before.end
        _check_seam(before, part, cut)
        pieces.append(Piece(done, cut))
        before = part
    return pieces


def _check_seam(before: Part, part: Part, cut: int) -> None:
    if cut not in part.shots or not part.first <= cut < part.end:
        raise SplitError(f"two of its parts do not meet at {cut / GRID_RATE:.2f} s")
    overlap = slice(part.first - before.first, cut - before.first)
    if part.first >= before.first and not np.array_equal(before.times_s[overlap], part.times_s[: cut - part.first]):
        raise SplitError(f"two decoders give its pictures other times before {cut / GRID_RATE:.2f} s")
    first = max(part.sums_from, min(part.sums_from + _SETTLING_FRAMES, cut - 1))
    end = min(before.sums_from + len(before.sums), part.sums_from + len(part.sums))
    seen, again = before.sums_of(first, end), part.sums_of(first, end)
    if len(seen) <= cut - first or seen != again:
        raise SplitError(f"two decoders see it differently at {cut / GRID_RATE:.2f} s")


def feed(pieces: Sequence[Piece], files: FilmFiles, layout: Layout, *, key: str, first_frames: bool) -> None:
    """Hand all that counts to the film's files, part by part.

    Raises :class:`~vidfleet.errors.RecordError` for a part that cannot be read any more.
    """
    numbers = itertools.count()
    for piece in pieces:
        part = Part.read(piece.done.folder, key=key)
        times_s = part.times_s.tolist()
        for place, faces in enumerate(part.faces()):
            index = part.first + place
            if index < piece.first:
                continue
            frame = GridFrame(index, times_s[place], _LOOKED_AT, is_repeat=False)
            starts_shot = index in part.shots
            files.frame(Followed(Looked(frame, starts_shot, faces)))
            if starts_shot and first_frames:
                put(part.first_frame(index), layout.frame(index))
        for ended in part.tracks:
            if ended.track.start >= piece.first:
                number = next(numbers)
                if files.wants_crops:
                    put(part.crop(ended.number), layout.growing_crop(number))
                files.track(EndedTrack(number, ended.track, ended.scores, ended.vector, ended.portraits))


def put(source: Path, target: Path) -> None:
    """Let a file lie in a second place, as a link where the file system has them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
