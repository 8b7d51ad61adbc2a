"""Faces for people to look at: a few good pictures of each track while it is cropped, the best of each person later.

A picture is good where it is large, sharp and well lit. The pictures lie in a zip file, so memory does not grow with
the film; what each of them is stands in its name.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import cv2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray

    from vidfleet.speakers.data import Person

SIDE = 96
"""Pixels of a portrait."""
PER_TRACK, PER_PERSON = 2, 4
_EVERY = 12
"""Each so many frames one is looked at: faces change slowly, and looking takes a tenth of a millisecond."""
_APART = 50
"""Frames between the portraits of one track."""
_ROWS, _COLUMNS = slice(0, 180), slice(22, 202)
"""What of a crop (224 x 224) is taken: the face fills it, where a crop shows the shoulders too."""
_QUALITY = 85
_MOST_BYTES = 1 << 20
_NAME = re.compile(r"(\d{5,7})/(\d{4})\.jpg")


@dataclass(frozen=True, slots=True)
class Portrait:
    """One picture of a face."""

    goodness: float
    """0..1, for comparing."""
    at: int
    """Of which frame of its track, counted from 0."""
    jpeg: bytes
    """96 x 96."""


class TrackPortraits:
    """Keeps the best pictures of one track while it grows."""

    def __init__(self) -> None:
        self._seen = 0
        self.best: tuple[Portrait, ...] = ()
        """At most two, the best first."""

    def push(self, crop: NDArray[np.uint8], *, side_px: float) -> None:
        """See the next crop (224, 224, 3); ``side_px`` is the face's size in the film's picture."""
        at, self._seen = self._seen, self._seen + 1
        if at % _EVERY:
            return
        small = cv2.resize(crop[_ROWS, _COLUMNS], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        goodness = _goodness(small, side_px)
        rivals = [one for one in self.best if abs(one.at - at) < _APART]
        others = [one for one in self.best if abs(one.at - at) >= _APART]
        worst = min((one.goodness for one in rivals or self.best), default=0.0)
        if (rivals or len(self.best) >= PER_TRACK) and goodness <= worst:
            return
        jpeg = bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1])
        kept = sorted([*others, Portrait(goodness, at, jpeg)], key=lambda one: -one.goodness)
        self.best = tuple(kept[:PER_TRACK])


def _goodness(picture: NDArray[np.uint8], side_px: float) -> float:
    """How well a face is seen: size up to the portrait's, sharpness and light of the middle."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[SIDE // 5 : -SIDE // 5, SIDE // 5 : -SIDE // 5]
    sharp = float(cv2.Laplacian(grey, cv2.CV_32F).var())
    mean = float(grey.mean())
    light = min(mean / 70, (255 - mean) / 60, 1.0)
    return min(side_px / SIDE, 1.0) * max(light, 0.05) * sharp / (sharp + 200)


class PortraitFile:
    """A zip file of portraits that grows track by track. A context manager."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)  # it may be a hard link into a finished folder
        self._file = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, index: int, portraits: Iterable[Portrait]) -> None:
        """Write a track's portraits under its index."""
        for place, portrait in enumerate(portraits):
            goodness = min(int(portrait.goodness * 1000), 999) * 10 + place
            self._file.writestr(zipfile.ZipInfo(f"{index:05d}/{goodness:04d}.jpg"), portrait.jpeg)


def faces_of(path: Path, persons: Sequence[Person], *, most: int = PER_PERSON) -> Mapping[str, tuple[bytes, ...]]:
    """The best portraits of each person, by name, the best first; of different tracks where there are enough.

    Nobody has any where the file is missing or is not one of ours.
    """
    if not path.is_file():
        return {}
    try:
        with zipfile.ZipFile(path) as file:
            entries = _entries(file)
            return {person.name: tuple(map(file.read, _chosen(person, entries, most))) for person in persons}
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return {}


def _entries(file: zipfile.ZipFile) -> Mapping[int, list[tuple[int, str]]]:
    """Goodness and name of the portraits of each track, the best first."""
    found: dict[int, list[tuple[int, str]]] = {}
    for entry in file.infolist():
        match = _NAME.fullmatch(entry.filename)
        # Ours are stored as they are: nothing unpacks to more than it takes.
        if match is not None and entry.compress_type == zipfile.ZIP_STORED and entry.file_size <= _MOST_BYTES:
            found.setdefault(int(match[1]), []).append((int(match[2]), entry.filename))
    return {track: sorted(entries, reverse=True) for track, entries in found.items()}


def _chosen(person: Person, entries: Mapping[int, list[tuple[int, str]]], most: int) -> list[str]:
    """The names of a person's best: first the best of each track, then what is second best."""
    ranked = [
        (place, -goodness, name)
        for track in person.tracks
        for place, (goodness, name) in enumerate(entries.get(track, ()))
    ]
    return [name for _, _, name in sorted(ranked)[:most]]
