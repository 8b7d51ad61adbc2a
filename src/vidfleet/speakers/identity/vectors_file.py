"""``pywork/face_vectors.npz``: one vector for each well-seen track. Biometric data: written on request only.

Plain arrays, nothing pickled. A track is called by its line in ``people.json``, so what people edit there holds
for the vectors, too.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidfleet.errors import RecordError
from vidfleet.speakers.data import FaceVector
from vidfleet.speakers.identity.places import Place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vidfleet.speakers.data import Method
    from vidfleet.speakers.identity.cluster import Trail

VECTORS_NAME = "pywork/face_vectors.npz"
SCHEMA = 1
MOST_BYTES = 1 << 30
"""Unpacked; a film of 20,000 tracks has 13 MB."""


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """The vectors of one film."""

    embedder: str
    """SHA-256 of the network's weights: vectors of two networks cannot be compared."""
    joins_at: float
    lines: tuple[str, ...]
    """What the tracks are called in ``people.json``."""
    sides: NDArray[np.float64]
    """(N,) how large the faces are: the mean of width and height of the box, its median over the track."""
    vectors: NDArray[np.float32]
    """(N, D) of length 1."""
    views: NDArray[np.float64]
    """(N,)"""
    spoken_s: NDArray[np.float64]
    """(N,)"""


def write_vectors(
    path: Path,
    trails: Sequence[Trail],
    vectors: Sequence[FaceVector],
    *,
    spoken: Sequence[float],
    method: Method,
    joins_at: float,
) -> None:
    """Write the vectors of these tracks; see :func:`write_stored`."""
    rows = np.stack([found.vector for found in vectors]) if vectors else np.zeros((0, 1))
    stored = StoredVectors(
        embedder=method.sha256,
        joins_at=joins_at,
        lines=tuple(str(Place.of(trails[found.track])) for found in vectors),
        sides=np.array([_side(trails[found.track]) for found in vectors], dtype=np.float64),
        vectors=rows.astype(np.float32),
        views=np.array([found.views for found in vectors], dtype=np.float64),
        spoken_s=np.array([spoken[found.track] for found in vectors], dtype=np.float64),
    )
    write_stored(path, stored)


def write_stored(path: Path, stored: StoredVectors) -> None:
    """Write the file aside and rename it; readable for its owner alone."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            np.savez(
                file,
                allow_pickle=False,
                schema=np.int64(SCHEMA),
                embedder=np.array(stored.embedder),
                joins_at=np.float64(stored.joins_at),
                lines=np.array(stored.lines, dtype=np.str_),
                sides=stored.sides,
                vectors=stored.vectors,
                views=stored.views,
                spoken_s=stored.spoken_s,
            )
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def read_vectors(path: Path) -> StoredVectors:
    """Read the file. Raises :class:`RecordError` where it is not what :func:`write_vectors` writes."""
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(member.file_size for member in packed.infolist()) > MOST_BYTES:
                raise ValueError(f"it has more than {MOST_BYTES >> 20} MiB")
        with np.load(path, allow_pickle=False) as arrays:
            return _checked(arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise RecordError(f"{path} cannot be read ({error}); delete it, and run the video again") from error


def vectors_of_tracks(path: Path, trails: Sequence[Trail]) -> tuple[FaceVector, ...]:
    """Read the file again as vectors of these tracks; none where there is no file."""
    if not path.is_file():
        return ()
    stored = read_vectors(path)
    rows = {line: row for row, line in enumerate(stored.lines)}
    found = [(track, rows.get(str(Place.of(trail)))) for track, trail in enumerate(trails)]
    return tuple(
        FaceVector(track, stored.vectors[row], int(stored.views[row])) for track, row in found if row is not None
    )


def _checked(arrays: Any) -> StoredVectors:  # noqa: ANN401 - numpy's type for it is private
    if int(arrays["schema"]) != SCHEMA:
        raise ValueError(f"its schema is {int(arrays['schema'])}, known is {SCHEMA}")
    found = StoredVectors(
        embedder=str(arrays["embedder"]),
        joins_at=float(arrays["joins_at"]),
        lines=tuple(str(line) for line in arrays["lines"]),
        sides=arrays["sides"].astype(np.float64),
        vectors=arrays["vectors"].astype(np.float32),
        views=arrays["views"].astype(np.float64),
        spoken_s=arrays["spoken_s"].astype(np.float64),
    )
    count = len(found.lines)
    columns = (found.sides, found.views, found.spoken_s)
    if found.vectors.ndim != 2 or len(found.vectors) != count or any(part.shape != (count,) for part in columns):
        raise ValueError("its arrays do not fit each other")
    if not all(np.isfinite(part).all() for part in (found.vectors, *columns)):
        raise ValueError("it holds what is no number")
    return found


def _side(trail: Trail) -> float:
    boxes = np.asarray(trail.boxes, dtype=np.float64)
    return float(np.median((boxes[:, 2:] - boxes[:, :2]).mean(axis=1)))
