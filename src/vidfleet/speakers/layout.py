"""What one video's folder holds, and what each file is called.

Old tools and notebooks read these names, so they stay. ``docs/outputs.md`` tells what is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STEPS = "pywork/.steps"
"""What the steps leave for each other, and the word that each is done (see ``steps``)."""
FOLDERS = ("pyavi", "pyframes", "pywork", "pycrop")
"""The folders of an output folder; each is there, if only empty."""
COUNTED = ("pyframes", "pycrop")
"""Folders that hold so many files that only their number is recorded."""
ALWAYS = (
    "pyavi/audio.wav",
    "pywork/scene.pckl",
    "pywork/shots.csv",
    "pywork/faces.pckl",
    "pywork/tracks.pckl",
    "pywork/scores.pckl",
    "pywork/tracks.csv",
    "pywork/time_log.jsonl",
)
"""Files that every video ends with, also one without a face or a sound track."""
ANNOTATED = ("pyavi/video_only.avi", "pyavi/video_out.avi")
"""Files of the annotated video."""
GRID_VIDEO = ("pyavi/video.avi",)
"""The input on the 25 Hz grid, on request."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below one output folder."""

    folder: Path

    def make(self) -> None:
        """Make the four folders."""
        for name in FOLDERS:
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def sound(self) -> Path:
        """The whole sound track: 16 kHz, mono, 16 bit."""
        return self.folder / "pyavi" / "audio.wav"

    @property
    def annotated(self) -> Path:
        """The annotated video without sound."""
        return self.folder / "pyavi" / "video_only.avi"

    @property
    def annotated_with_sound(self) -> Path:
        """The annotated video with sound."""
        return self.folder / "pyavi" / "video_out.avi"

    @property
    def grid_video(self) -> Path:
        """The input on the 25 Hz grid."""
        return self.folder / "pyavi" / "video.avi"

    def work(self, name: str) -> Path:
        """A file of ``pywork``."""
        return self.folder / "pywork" / name

    def frame(self, index: int) -> Path:
        """The picture of a grid frame; files count from 000001, grid frames from 0."""
        return self.folder / "pyframes" / f"{index + 1:06d}.jpg"

    def crop_picture(self, index: int) -> Path:
        """The crop video of the track with this index."""
        return self.folder / f"{crop_name(index)}.avi"

    def crop_sound(self, index: int) -> Path:
        """The sound of the track with this index."""
        return self.folder / f"{crop_name(index)}.wav"

    def growing_crop(self, number: int) -> Path:
        """Where a crop video grows until its track's index is known."""
        return self.folder / "pycrop" / f".growing-{number}.avi"


def crop_name(index: int) -> str:
    """What the files of a track are called, without their ending: ``pycrop/00000``."""
    return f"pycrop/{index:05d}"


def promised(*, annotated: bool, grid_video: bool) -> tuple[str, ...]:
    """The files that must be there and not empty when a video is done."""
    return ALWAYS + (ANNOTATED if annotated else ()) + (GRID_VIDEO if grid_video else ())
