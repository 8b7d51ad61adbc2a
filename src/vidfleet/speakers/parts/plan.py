"""Into which segments a film is divided; the list that all who work on it go by."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from vidfleet.errors import SplitError
from vidfleet.speakers.data import GRID_RATE
from vidfleet.speakers.kept import reading
from vidfleet.speakers.media import KeyFrame, find_key_frames

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from vidfleet.speakers.media import VideoSource

LEAST_SEGMENTS = 3
"""A film of fewer is not worth the trouble."""
_LARGEST_BYTES = 16 << 20
"""A segment takes some 50 bytes, and a second at least: so many are four days."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of film that somebody may begin with."""

    first: int
    """Its first grid frame."""
    key: KeyFrame | None
    """Where decoding begins; None: with the film."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The segments of one film, and what the results of each depend on."""

    key: str
    """Of the film, the settings, the methods and this version; who has another one must not take part."""
    segments: tuple[Segment, ...]
    frames: int
    """About how many grid frames the film has."""
    has_sound: bool
    writes: tuple[str, ...]
    """What is written beside the tables; see ``findings.FilmFiles``."""

    @property
    def starts(self) -> tuple[int, ...]:
        """The first grid frame of each segment, rising."""
        return tuple(segment.first for segment in self.segments)

    def write(self, path: Path) -> None:
        """Write it as JSON, aside and renamed."""
        said = {**asdict(self), "segments": [_plain(segment) for segment in self.segments]}
        aside = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
        with aside.open("x", encoding="ascii") as file:
            json.dump(said, file)
        aside.replace(path)

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read what :meth:`write` wrote. Raises :class:`~vidfleet.errors.RecordError` for anything else."""
        with reading(path):
            if path.stat().st_size > _LARGEST_BYTES:
                raise ValueError("too long for a plan")
            said = json.loads(path.read_text("ascii"))
            segments = tuple(_segment(item) for item in said["segments"])
            starts = [segment.first for segment in segments]
            if not segments or segments[0].key is not None or starts != sorted({*starts}) or starts[0] != 0:
                raise ValueError("no segments of a film")
            writes = tuple(str(name) for name in said["writes"])
            return cls(str(said["key"]), segments, int(said["frames"]), bool(said["has_sound"]), writes)


def make_plan(source: VideoSource, *, key: str, seconds: float, has_sound: bool, writes: Collection[str]) -> Plan:
    """Divide a film into segments of about so many seconds, each from a key frame on.

    Raises :class:`SplitError`, with half a sentence, where it cannot be divided or is too short.
    """
    frames = source.info.expected_frames
    if frames < LEAST_SEGMENTS * seconds * GRID_RATE:
        raise SplitError(f"it is shorter than {LEAST_SEGMENTS} parts of {seconds:g} s")
    least = max(1, round(seconds * GRID_RATE))
    segments = [Segment(0, None)]
    for frame in find_key_frames(source.path, source.video_index):
        first = source.first_index(frame)
        if segments[-1].first + least <= first <= frames - least // 2:
            segments.append(Segment(first, frame))
    if len(segments) < LEAST_SEGMENTS:
        raise SplitError(f"it has only {len(segments)} key frames that lie {seconds:g} s apart")
    return Plan(key, tuple(segments), frames, has_sound, tuple(sorted(writes)))


def _plain(segment: Segment) -> list[int]:
    """Whole numbers: JSON has no fractions."""
    key = segment.key
    return [segment.first, *((key.pts, key.seek_to, key.time.numerator, key.time.denominator) if key else ())]


def _segment(item: list[int]) -> Segment:
    first, *rest = (int(number) for number in item)
    if not rest:
        return Segment(first, None)
    pts, seek_to, numerator, denominator = rest
    return Segment(first, KeyFrame(pts, seek_to, Fraction(numerator, denominator)))
