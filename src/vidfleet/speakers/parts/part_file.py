"""The results of one segment, as files: plain arrays, JPEGs and AVIs, as exact as they were found.

A part is a folder: ``part.npz``, a video for each track's crops where they are wanted, and a JPEG for each shot's first
frame. It grows under another name and is renamed when it is whole (see ``board``).
"""

from __future__ import annotations

import zipfile
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidfleet.errors import RecordError
from vidfleet.speakers.data import Face, FaceVector, Scores, Track
from vidfleet.speakers.findings import EndedTrack, open_crop
from vidfleet.speakers.kept import reading
from vidfleet.speakers.media import AviWriter, write_jpeg
from vidfleet.speakers.portraits import Portrait

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from vidfleet.speakers.hearing import Hearing
    from vidfleet.speakers.tables import StageClock
    from vidfleet.speakers.tracks import Followed

_FILE = "part.npz"
_SCHEMA = 1


class PartFindings:
    """Keeps the findings of a segment, and writes them as a part.

    ``writes`` names what is written beside the tables, as for ``FilmFiles``: ``crops``, ``first_frames``.
    """

    def __init__(self, folder: Path, *, hearing: Hearing, clock: StageClock, writes: Collection[str]) -> None:
        self._folder, self._hearing, self._clock = folder, hearing, clock
        self.wants_crops = "crops" in writes
        self._wants_first_frames = "first_frames" in writes
        self._times_s = array("d")
        self._shots = array("q")
        self._counts = array("q")
        self._faces = array("d")
        self._tracks: list[EndedTrack] = []
        self.first = 0
        """The first grid frame of its results."""

    def frame(self, followed: Followed) -> None:
        """See :class:`~vidfleet.speakers.findings.Findings`."""
        looked = followed.looked
        frame = looked.frame
        if not self._times_s:
            self.first = frame.index
        self._times_s.append(frame.source_time_s)
        self._counts.append(len(looked.faces))
        for face in looked.faces:
            self._faces.extend((*face.box, face.confidence))
        if looked.starts_shot:
            self._shots.append(frame.index)
            if self._wants_first_frames:
                with self._clock.of("frames"):
                    write_jpeg(_first_frame(self._folder, frame.index), frame.bgr)

    def crop_file(self, number: int, start: int) -> AviWriter:
        """See :class:`~vidfleet.speakers.findings.Findings`."""
        return open_crop(_crop(self._folder, number), start, self._hearing)

    def drop(self, number: int) -> None:
        """See :class:`~vidfleet.speakers.findings.Findings`."""
        _crop(self._folder, number).unlink(missing_ok=True)

    def track(self, ended: EndedTrack) -> None:
        """See :class:`~vidfleet.speakers.findings.Findings`."""
        self._tracks.append(ended)

    def write(self, *, key: str, sums: Sequence[int], sums_from: int) -> None:
        """Write what was kept. ``sums`` are checksums of the pictures from grid frame ``sums_from`` on."""
        portraits = [portrait for ended in self._tracks for portrait in ended.portraits]
        vectors = [ended.vector.vector for ended in self._tracks if ended.vector is not None]
        np.savez(
            self._folder / _FILE,
            key=np.frombuffer(key.encode("ascii"), np.uint8),
            head=np.array([_SCHEMA, self.first, sums_from], np.int64),
            sums=np.array(sums, np.uint32),
            times_s=np.array(self._times_s),
            shots=np.array(self._shots, np.int64),
            counts=np.array(self._counts, np.int64),
            faces=np.array(self._faces).reshape(-1, 5),
            heads=np.array([_head(ended) for ended in self._tracks], np.int64).reshape(-1, 6),
            boxes=np.concatenate([np.zeros((0, 4)), *(ended.track.boxes for ended in self._tracks)]),
            squares=np.concatenate([np.zeros((0, 3)), *(_squares(ended.track) for ended in self._tracks)]),
            scores=np.concatenate([np.zeros(0), *(ended.scores.values for ended in self._tracks)]),
            vectors=np.array(vectors, np.float32) if vectors else np.zeros((0, 0), np.float32),
            portraits=np.array([(one.at, len(one.jpeg)) for one in portraits], np.int64).reshape(-1, 2),
            goodness=np.array([one.goodness for one in portraits], np.float64),
            jpegs=np.frombuffer(b"".join(one.jpeg for one in portraits), np.uint8),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part that is whole, read again."""

    folder: Path
    first: int
    """The first grid frame of its results."""
    shots: frozenset[int]
    """Grid frames with which a shot starts."""
    times_s: NDArray[np.float64]
    """(F,) of each grid frame the shown picture's own time."""
    sums_from: int
    sums: NDArray[np.uint32]
    """(S,) checksums of the pictures from grid frame ``sums_from`` on, also of some beyond the part's end."""
    counts: NDArray[np.int64]
    """(F,) how many faces each frame has."""
    faces_found: NDArray[np.float64]
    """(sum of counts, 5): box and confidence."""
    tracks: tuple[EndedTrack, ...]

    @property
    def end(self) -> int:
        """One past the last grid frame."""
        return self.first + len(self.times_s)

    def faces(self) -> Iterator[tuple[Face, ...]]:
        """The faces of each frame."""
        at = 0
        for frame, count in enumerate(self.counts.tolist(), self.first):
            rows = self.faces_found[at : at + count].tolist()
            at += count
            yield tuple(Face(frame, (x1, y1, x2, y2), confidence) for x1, y1, x2, y2, confidence in rows)

    def sums_of(self, first: int, end: int) -> list[int]:
        """The checksums of grid frames [first, end), so far as they are there."""
        low = max(first - self.sums_from, 0)
        return [int(one) for one in self.sums[low : max(end - self.sums_from, low)]]

    def crop(self, number: int) -> Path:
        """The video of a track's crops. Raises :class:`RecordError` where there is none."""
        return _plain(_crop(self.folder, number))

    def first_frame(self, index: int) -> Path:
        """The picture with which a shot starts. Raises :class:`RecordError` where there is none."""
        return _plain(_first_frame(self.folder, index))

    def check_files(self, writes: Collection[str]) -> None:
        """Raise :class:`RecordError` where a video or a picture is missing."""
        for ended in self.tracks if "crops" in writes else ():
            self.crop(ended.number)
        for index in self.shots if "first_frames" in writes else ():
            self.first_frame(index)

    @classmethod
    def read(cls, folder: Path, *, key: str) -> Part:
        """Read what :meth:`PartFindings.write` wrote. Raises :class:`RecordError` for anything else."""
        path = _plain(folder / _FILE)
        with reading(path):
            with zipfile.ZipFile(path) as packed:  # ours are stored as they are: nothing unpacks to more than it takes
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in packed.infolist()):
                    raise ValueError("packed")
            with np.load(path, allow_pickle=False) as file:
                return _part({name: np.asarray(file[name]) for name in file.files}, folder, key)


def _part(arrays: Mapping[str, NDArray[Any]], folder: Path, key: str) -> Part:
    """Raises ValueError, TypeError or LookupError for arrays that do not fit each other."""
    schema, first, sums_from = arrays["head"].tolist()
    if schema != _SCHEMA or arrays["key"].tobytes() != key.encode("ascii"):
        raise ValueError("of another film or other settings")
    counts, times_s, faces = arrays["counts"], arrays["times_s"], arrays["faces"]
    if len(counts) != len(times_s) or faces.shape != (int(counts.sum()), 5) or (counts < 0).any():
        raise ValueError("not so many faces")
    tracks = tuple(_tracks(arrays))
    end = first + len(times_s)
    if not all(first <= ended.track.start < ended.track.end <= end for ended in tracks):
        raise ValueError("a track outside of its part")
    shots = frozenset(arrays["shots"].tolist())
    return Part(folder, first, shots, times_s, sums_from, arrays["sums"], counts, faces, tracks)


def _tracks(arrays: Mapping[str, NDArray[Any]]) -> Iterator[EndedTrack]:
    row = scored = vectors = portraits = bytes_at = 0
    jpegs = arrays["jpegs"].tobytes()
    for number, start, length, scores, views, portrait_count in arrays["heads"].tolist():
        boxes, squares = (arrays[name][row : row + length] for name in ("boxes", "squares"))
        values = arrays["scores"][scored : scored + scores]
        if (len(boxes), len(squares), len(values)) != (length, length, scores) or length < 1 or scores > length:
            raise ValueError("not so many boxes")
        row, scored = row + length, scored + scores
        vector = None
        if views >= 0:
            vector = FaceVector(number, arrays["vectors"][vectors].copy(), views)
            vectors += 1
        found = []
        for place in range(portraits, portraits + portrait_count):
            at, size = arrays["portraits"][place].tolist()
            found.append(Portrait(float(arrays["goodness"][place]), at, jpegs[bytes_at : bytes_at + size]))
            bytes_at += size
        portraits += portrait_count
        x, y, half = (squares[:, column].copy() for column in range(3))
        frames = np.arange(start, start + length, dtype=np.int64)
        track = Track(frames, boxes.copy(), x, y, half, crop_name="")
        yield EndedTrack(number, track, Scores(values.copy()), vector, tuple(found))


def _head(ended: EndedTrack) -> tuple[int, ...]:
    views = -1 if ended.vector is None else ended.vector.views
    length, scores = len(ended.track.boxes), len(ended.scores.values)
    return ended.number, ended.track.start, length, scores, views, len(ended.portraits)


def _squares(track: Track) -> NDArray[np.float64]:
    return np.column_stack([track.centre_x, track.centre_y, track.half_size])


def _crop(folder: Path, number: int) -> Path:
    return folder / f"crop-{number}.avi"


def _first_frame(folder: Path, index: int) -> Path:
    return folder / f"frame-{index}.jpg"


def _plain(path: Path) -> Path:
    if path.is_symlink() or not path.is_file():
        raise RecordError(f"{path} is not there, or no plain file")
    return path
