"""``pywork/masks.jsonl``: the mask of each face in each picture of its track, on request.

A line is ``{"frame": 12, "track": 3, "size": [720, 1280], "counts": "..."}``; ``size`` and ``counts`` are what COCO's
tools call a compressed RLE.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from vidfleet.errors import RecordError
from vidfleet.speakers.masks.rle import Rle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from vidfleet.speakers.masks.segmenter import ObjectMask
    from vidfleet.speakers.seen import SeenTrack


@dataclass(frozen=True, slots=True)
class TrackMask:
    """Where a face is in one picture."""

    frame: int
    """Of the 25 Hz grid."""
    track: int
    """The line of ``tracks.pckl``, from 0."""
    mask: Rle


class MasksWriter:
    """Writes the file aside while the film goes on, and names it when all is well.

    ::

        with MasksWriter(path) as masks:
            masks.add(TrackMask(12, 3, Rle.of(pixels)))
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._aside = path.with_name(f".{path.name}.{os.getpid()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._aside.open("w", encoding="ascii")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None:
            self._aside.replace(self._path)
        else:
            self._aside.unlink(missing_ok=True)

    def add(self, found: TrackMask) -> None:
        """Add a line. Raises OSError where the disk is full."""
        line = {"frame": found.frame, "track": found.track, "size": found.mask.size, "counts": found.mask.counts}
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")


class GrowingMasks:
    """The masks of a film while it goes on: tracks have numbers, of which some are not kept and the rest get an index.

    A context manager, after which the file aside is gone; :meth:`finish` writes ``path``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._aside = path.with_name(f".growing-{path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._growing = ExitStack()

    def __enter__(self) -> Self:
        self._masks = self._growing.enter_context(MasksWriter(self._aside))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._growing.__exit__(kind, error, trace)
        self._aside.unlink(missing_ok=True)

    def add(self, frame: int, masks: Mapping[int, ObjectMask]) -> None:
        """Add what is seen of tracks in a frame, by their numbers; what is hidden is left out."""
        for number, mask in masks.items():
            if mask.score > 0 and mask.pixels.any():
                self._masks.add(TrackMask(frame, number, Rle.of(mask.pixels)))

    def finish(self, tracks: Mapping[int, SeenTrack]) -> None:
        """Write the masks of ``tracks``, which are kept, by their numbers; in the frames that these have."""
        self._growing.close()
        with MasksWriter(self._path) as masks:
            for found in read_masks(self._aside):
                track = tracks.get(found.track)
                if track is not None and track.start <= found.frame < track.end:
                    masks.add(replace(found, track=track.index))


def read_masks(path: Path) -> Iterator[TrackMask]:
    """The lines of the file, one after another. Raises RecordError for a line that is damaged."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                height, width = row["size"]
                yield TrackMask(
                    int(row["frame"]), int(row["track"]), Rle((int(height), int(width)), str(row["counts"]))
                )
            except (ValueError, KeyError, TypeError) as error:
                raise RecordError(f"{path}, line {number} is no mask: {error}") from error
