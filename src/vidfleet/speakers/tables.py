"""The files of ``pywork``: the pickles that old tools read, and the tables for today's."""

from __future__ import annotations

import csv
import json
import os
import pickle
import time
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

import numpy as np

from vidfleet.speakers.data import GRID_RATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from vidfleet.speakers.data import Face, Shot, Track
    from vidfleet.speakers.seen import Seen

P = ParamSpec("P")
T = TypeVar("T")
_NONE_LEFT = object()

TRACKS_HEADER = (
    "time_s", "frame", "source_time_s", "track", "x1", "y1", "x2", "y2",
    "score", "speaking", "face_method", "score_method", "person",
)  # fmt: skip
"""The columns of ``tracks.csv``, one row for each face of a track and grid frame.

``time_s`` is ``frame`` / 25 on the video's clock, ``source_time_s`` the shown picture's own time; ``track`` counts as
in the pickles; the box is in pixels of the full-size picture; ``score`` is above 0 and ``speaking`` 1 where the
face speaks, both empty in a track's last frame; the methods name the models; ``person`` is empty for a face that
was never seen well."""
SHOTS_HEADER = ("shot", "start_frame", "end_frame", "start_s", "end_s")


class PickledList:
    """A pickle (protocol 4) of one list, written item by item: a film's faces never lie in memory at once.

    Arrays are written under numpy's public module names, so that numpy 1 and 2 both read them. The file is
    whole once the ``with`` block ends without an error.
    """

    # An empty list stands at the start; each item is put between MARK and APPENDS.
    _START = pickle.PROTO + b"\x04" + pickle.EMPTY_LIST
    _END = pickle.STOP

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")
        self._file.write(self._START)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.write(self._END)
        self._file.close()

    def append(self, item: object) -> None:
        """Add one item: plain types, arrays, or what pickle knows."""
        self._file.write(_pickled(item) + pickle.APPEND)


def _pickled(value: object) -> bytes:
    """The opcodes that build ``value``, without the frame around them."""
    if isinstance(value, dict):
        pairs = b"".join(_pickled(key) + _pickled(item) for key, item in value.items())
        return pickle.EMPTY_DICT + pickle.MARK + pairs + pickle.SETITEMS
    if isinstance(value, list):
        return pickle.EMPTY_LIST + pickle.MARK + b"".join(map(_pickled, value)) + pickle.APPENDS
    # Protocol 3: the opcodes of 4 come in frames of a fixed length, which cannot be put together like this.
    text = pickle.dumps(value, protocol=3)[2:-1]
    if isinstance(value, np.ndarray):
        ours = pickle.GLOBAL + b"numpy._core.multiarray\n"
        if text.startswith(ours):
            return pickle.GLOBAL + b"numpy.core.multiarray\n" + text[len(ours) :]
    return text


def faces_item(faces: Sequence[Face]) -> list[dict[str, Any]]:
    """One frame's entry in ``faces.pckl``."""
    return [{"frame": face.frame, "bbox": list(face.box), "conf": face.confidence} for face in faces]


def track_item(track: Track) -> dict[str, Any]:
    """One track's entry in ``tracks.pckl``."""
    return {
        "track": {"frame": track.frames, "bbox": track.boxes},
        "proc_track": {"x": track.centre_x, "y": track.centre_y, "s": track.half_size},
        "cropFile": track.crop_name,
    }


def write_shots(shots: Sequence[Shot], *, pickled: Path, table: Path) -> None:
    """Write ``scene.pckl`` (pairs of PySceneDetect's FrameTimecode) and ``shots.csv``."""
    from vidfleet.speakers.shots import grid_time

    with PickledList(pickled) as items:
        for shot in shots:
            items.append((grid_time(shot.start), grid_time(shot.end)))
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(SHOTS_HEADER)
        for index, shot in enumerate(shots):
            times = (f"{frame / GRID_RATE:.2f}" for frame in (shot.start, shot.end))
            rows.writerow((index, shot.start, shot.end, *times))


def write_tracks(path: Path, seen: Seen, *, person_of: Mapping[int, str], face_method: str, score_method: str) -> None:
    """Write ``tracks.csv``: one row for each face and frame, track by track.

    ``person_of`` names the person of a track's index. The last frame of a track usually has no score; its row
    leaves score and speaking empty.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(TRACKS_HEADER)
        for track in seen.tracks:
            last = (face_method, score_method, person_of.get(track.index, ""))
            scores = track.scores.tolist()
            told = [(f"{score:.1f}", "1" if score > 0 else "0") for score in scores]
            told += [("", "")] * (len(track.boxes) - len(scores))
            times = seen.source_times_s[track.start : track.end].tolist()
            for row, (box, time_s) in enumerate(zip(track.boxes.tolist(), times, strict=True)):
                frame = track.start + row
                edges = (f"{edge:.2f}" for edge in box)
                rows.writerow(
                    (f"{frame / GRID_RATE:.2f}", frame, f"{time_s:.6f}", track.index, *edges, *told[row], *last)
                )


@dataclass(slots=True)
class _Spent:
    """What one stage took so far."""

    first: float
    """The clock at its first moment."""
    last: float = 0.0
    elapsed_s: float = 0.0
    cpu_s: float = 0.0


class StageClock:
    """How long each stage took, by the clock and in processor time. Any thread may do a piece of any stage.

    Stages take turns frame by frame, so their times add up in pieces; pieces do not lie inside each other. Processor
    time is that of the thread that does the piece. What other threads do for it is not seen: those of FFmpeg, ONNX
    Runtime, x264. With ``--threads 1`` there are none: the stages' sum was 96 % of the process's processor time on a
    clip of 10 s, 99 % on one of two minutes. The rest is opening the video and the marks of steps; and, in a lane's
    first video, imports: 0.6 s. With more threads, waiting for a core counts as time by the clock.
    """

    def __init__(self) -> None:
        self._stages: dict[str, _Spent] = {}
        self._lock = Lock()

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count the time in the ``with`` block for ``stage``."""
        with self._lock:
            spent = self._stages.setdefault(stage, _Spent(time.time()))
        started, started_cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            elapsed_s, cpu_s = time.perf_counter() - started, time.thread_time() - started_cpu
            with self._lock:
                spent.elapsed_s += elapsed_s
                spent.cpu_s += cpu_s
                spent.last = time.time()

    def timed(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Count for ``stage`` the time that ``items`` takes to give each item."""
        iterator = iter(items)
        while True:
            with self.of(stage):
                item = next(iterator, _NONE_LEFT)
            if item is _NONE_LEFT:
                return
            yield item  # type: ignore[misc]

    @property
    def stages(self) -> tuple[str, ...]:
        """Those that ran, in order of their first start."""
        return tuple(self._stages)

    def counted(self, stage: str, do: Callable[P, T]) -> Callable[P, T]:
        """``do``, whose time counts for ``stage``."""

        def counted(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.of(stage):
                return do(*args, **kwargs)

        return counted

    def write(self, path: Path, *, video_name: str, devices: Mapping[str, str]) -> None:
        """Write ``time_log.jsonl``: a line for each stage, in order of its first start.

        ``ts_start`` and ``ts_end`` are the clock at its first and last moment; ``elapsed_sec`` is its own time by the
        clock, added up over the threads that did it, and ``cpu_sec`` their processor time. ``device`` is what
        computed it, the processor where ``devices`` does not have it.
        """
        with path.open("w", encoding="utf-8") as file:
            for stage, spent in self._stages.items():
                line = {
                    "stage": stage,
                    "ts_start": round(spent.first, 3),
                    "ts_end": round(spent.last, 3),
                    "elapsed_sec": round(spent.elapsed_s, 6),
                    "cpu_sec": round(spent.cpu_s, 6),
                    "device": devices.get(stage, "cpu"),
                    "pid": os.getpid(),
                    "video_name": video_name,
                }
                file.write(json.dumps(line) + "\n")
