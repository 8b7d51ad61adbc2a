"""What one video's folder holds, and what each file is called.

Old tools and notebooks read these names, so they stay. ``docs/outputs.md`` tells what is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vidfleet.speakers.settings import SpeakersSettings

STEPS = "pywork/.steps"
"""What the steps leave for each other, and the word that each is done (see ``steps``)."""
PARTS = "pywork/.parts"
"""Where the parts of a film grow that several lanes see at once (see ``parts``); it never is part of the output."""
SHARES = f"{PARTS}/open"
"""There exactly while other lanes may take a share."""
SOUND = "pyavi/audio.wav"
SPEECH = f"{STEPS}/speech.json"
WORDS = f"{STEPS}/words.json"
SEEN = f"{STEPS}/seen.npz"
PORTRAITS = f"{STEPS}/portraits.zip"
GROUPS = f"{STEPS}/groups.json"
"""The results of the steps that later ones read."""
PICTURES = (
    *(f"pywork/{name}.pckl" for name in ("scene", "faces", "tracks", "scores")),
    "pywork/shots.csv",
    SEEN,
)
"""What the one pass over the pictures makes."""
TRACKING = "pywork/tracking.json"
"""How many shots were followed by masks, and why; where a SAM 2 model is asked for."""
MASKS = "pywork/masks.jsonl"
"""The masks themselves, on request."""
FRAMES, CROPS = ("pyframes",), ("pycrop",)
"""The grid's pictures, and a video of each face."""
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
    "transcript.json",
    "transcript.vtt",
    "transcript.ass",
    "people.json",
    "pywork/raw_diriazation.pckl",
    "pywork/matched_diriazation.pckl",
    "pywork/tracks_identity.pckl",
)
"""Files that every video ends with, also one without a face or a sound track."""
ANNOTATED = ("pyavi/video_only.avi", "pyavi/video_out.avi")
"""Files of the annotated video."""
GRID_VIDEO = ("pyavi/video.avi",)
"""The input on the 25 Hz grid, on request."""
PAGE = ("index.html",)
"""The page for people."""
PANEL = ("pyavi/video_with_panel.mp4", "pywork/panel_subtitles.ass")
"""The film with the conversation beside it, on request."""
SOFT_SUBTITLES = "pyavi/video_out_with_audio_subs.mp4"
"""The film with subtitles that can be switched off, on request, where its streams go into MP4."""
PREVIEW = "pyavi/preview.mp4"
"""A small copy for the page, where browsers do not play the film itself."""
PEOPLE = "people.json"
"""Who is who, for people to edit."""


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

    @property
    def portraits(self) -> Path:
        """The best pictures of each track."""
        return self.folder / PORTRAITS

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


def promised(settings: SpeakersSettings) -> tuple[str, ...]:
    """The files that must be there and not empty when a video is done."""
    wanted = (
        (settings.follows_masks, (TRACKING,)),
        (settings.annotated, ANNOTATED),
        (settings.grid_video, GRID_VIDEO),
        (settings.page, PAGE),
        (settings.panel, PANEL),
    )
    return ALWAYS + tuple(name for is_wanted, names in wanted if is_wanted for name in names)
