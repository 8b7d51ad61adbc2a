"""What a person may set about the speakers pipeline. Nothing heavy is imported here."""

from __future__ import annotations

from argparse import SUPPRESS
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidfleet.errors import UsageError
from vidfleet.options import option, parse_options

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = "vidfleet speakers"
BY_MASKS = ("--sam2", "auto")
"""What ``inference_folder_sam2.py`` asks for."""


def parse_share(text: str) -> float:
    """Read a number from 0 to 1."""
    return _number(text, low=0.0, high=1.0)


def parse_positive(text: str) -> float:
    """Read a number of at least 0."""
    return _number(text, low=0.0, high=1e9)


def parse_whole(text: str) -> int:
    """Read a whole number of at least 0."""
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def parse_every(text: str) -> int:
    """Read a whole number from 1 to 10: a track of ten frames and less is none, and might be missed beyond."""
    if not text.isdecimal() or not 1 <= int(text) <= 10:
        raise ValueError(f"{text!r} is not a whole number from 1 to 10")
    return int(text)


def parse_part(text: str) -> float:
    """Read a number of at least 1."""
    number = _number(text, low=0.0, high=1e9)
    if number < 1:
        raise ValueError(f"{text!r} is not a number of at least 1")
    return number


def parse_threads(text: str) -> int:
    """Read a whole number; below 1 it means all that there are, as for whisperVideo."""
    if not text.removeprefix("-").isdecimal():
        raise ValueError(f"{text!r} is not a whole number")
    return max(0, int(text))


def _number(text: str, *, low: float, high: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise ValueError(
            f"{text!r} is not a number " + (f"from {low:g} to {high:g}" if high < 1e9 else "of at least 0")
        )
    return number


@dataclass(frozen=True)
class ModelSettings:
    """Which models."""

    models: Literal["auto", "full", "embedded"] = option(
        "auto",
        "full: networks; embedded: methods without weights; auto: full where the weights can be had",
    )
    weights: Path | None = option(None, "look for the networks' weights here first", metavar="DIR")
    asd_weights: Literal["ava", "talkset"] = option("ava", "which of LR-ASD's two weights")
    score_weighting: Literal["mean", "whispervideo"] = option(
        "mean", "how the six window lengths count for a score; whispervideo: 3,3,2,1,1,1"
    )
    threads: int = option(
        0,
        "threads for each video, no more than the lane's share of the cores; 0: all of it",
        also=("--nDataLoaderThread",),
        metavar="N",
        parse=parse_threads,
    )
    decoder: Literal["cpu", "cuda"] = option(
        "cpu", "what decodes pictures; cuda: an NVIDIA GPU's decoder, where it can: for lanes that are short of cores"
    )


@dataclass(frozen=True)
class InputSettings:
    """What is read of a video."""

    video_stream: int | None = option(
        None, "the picture stream's number in the file (default: by disposition)", metavar="N", parse=parse_whole
    )
    audio_stream: int | None = option(
        None, "the sound stream's number in the file (default: by disposition)", metavar="N", parse=parse_whole
    )


@dataclass(frozen=True)
class SplitSettings:
    """One long film over several lanes."""

    split: bool = option(
        False,
        "let lanes that have nothing else to do help with a long film that runs on another; the results are the same",
    )
    split_seconds: float = option(
        20.0,
        "about how long the parts are that --split hands out; at least 1",
        metavar="S",
        parse=parse_part,
    )


@dataclass(frozen=True)
class StageSettings:
    """The stages' numbers; the defaults are TalkNet's and LR-ASD's."""

    facedet_scale: float = option(
        0.0,
        "make pictures smaller by this for the face detector; 0: to 640 pixels on the longer side",
        also=("--facedetScale",),
        metavar="S",
        parse=parse_share,
    )
    detect_every: int = option(
        1,
        "look for faces in every K-th picture of a shot, and in all where faces come, go, meet or move far; "
        "between, they are on the line from one look to the next. 1: look in each",
        metavar="K",
        parse=parse_every,
    )
    face_confidence: float | None = option(
        None, "faces below this are dropped (default: the detector's own, 0.6)", metavar="C", parse=parse_share
    )
    scene_min_sec: float = option(
        1.0, "the shortest shot, in seconds", also=("--sceneMinSec",), metavar="S", parse=parse_positive
    )
    min_track: int = option(
        10, "tracks seen in more frames than this are kept", also=("--minTrack",), metavar="N", parse=parse_whole
    )
    num_failed_det: int = option(
        10,
        "a track may be unseen for so many frames in a row",
        also=("--numFailedDet",),
        metavar="N",
        parse=parse_whole,
    )
    min_face_size: float = option(
        1.0,
        "tracks whose mean box side is above this are kept; pixels",
        also=("--minFaceSize",),
        metavar="PX",
        parse=parse_positive,
    )
    crop_scale: float = option(
        0.40,
        "how much more than the face a crop takes",
        also=("--cropScale",),
        metavar="C",
        parse=parse_positive,
    )


@dataclass(frozen=True)
class MaskSettings:
    """Faces followed by their pixels."""

    sam2: str | None = option(
        None,
        "follow faces by the masks of a SAM 2 model where boxes leave a doubt: tiny, small, base-plus, large, "
        "OWNER/REPOSITORY of the Hugging Face hub, or a folder; auto: large on a GPU, else tiny",
        metavar="NAME|DIR",
    )
    sam2_when: Literal["hard", "always", "never"] = option(
        "hard",
        "hard: in the seconds of a shot in which faces meet, break off or jump; always: in all, which takes many "
        "times what the rest takes; never: by boxes alone",
    )
    masks: bool = option(
        False, "write the masks that SAM 2 makes (pywork/masks.jsonl): COCO's run lengths, a line for a face and frame"
    )

    @property
    def follows_masks(self) -> bool:
        """Whether a SAM 2 model is needed."""
        return self.sam2 is not None and self.sam2_when != "never"


@dataclass(frozen=True)
class WordSettings:
    """Where words come from."""

    words: Literal["auto", "whisper", "sphinx", "sidecar", "none"] = option(
        "auto",
        "where words come from: a Whisper model, PocketSphinx, files beside the video and subtitles in it, nowhere; "
        "auto: whisper where its model can be had, else sidecar",
    )
    whisper: str | None = option(
        None, "a Whisper model's name or folder (default: large-v3-turbo on a GPU, else small)", metavar="NAME|DIR"
    )
    language: str | None = option(
        None, "the language that is spoken, such as en (default: found for each stretch of speech)", metavar="CODE"
    )
    grammar: Path | None = option(None, "what may be said, for --words sphinx (JSGF)", metavar="FILE")


@dataclass(frozen=True)
class PersonSettings:
    """Who is who."""

    face_embedder: Literal["auto", "sface", "mobilefacenet", "none"] = option(
        "auto", "the network that tells faces apart; none: each track is a person of its own"
    )
    same_person: float | None = option(
        None,
        "faces whose cosine is above this are one person's (default: the network's own)",
        metavar="C",
        parse=parse_share,
    )
    keep_embeddings: bool = option(
        False, "keep what each face looks like to the network (pywork/face_vectors.npz): biometric data, for a series"
    )


@dataclass(frozen=True)
class OutputSettings:
    """What is written."""

    lean: bool = option(
        False,
        "write no frames, no crops and no drawn film, for speed and disk: "
        "--frames none --no-crops --no-annotated --no-preview",
    )
    frames: Literal["all", "shot", "none"] = option(
        "all", "pictures in pyframes: all of the 25 Hz grid, the first of each shot, none"
    )
    crops: bool = option(True, "write a video and its sound for each face track (pycrop)")
    annotated: bool = option(True, "write the annotated video (pyavi/video_only.avi and video_out.avi)")
    preview: bool = option(
        True, "write a small copy for the page where browsers do not play the film itself (pyavi/preview.mp4)"
    )
    grid_video: bool = option(False, "write the input on the 25 Hz grid (pyavi/video.avi)")
    page: bool = option(True, "write index.html: the film, who speaks when, what was said")
    panel: bool = option(
        False,
        "write the film with the conversation beside it (pyavi/video_with_panel.mp4)",
        also=("--renderPanel",),
    )
    panel_width_ratio: float = option(
        0.28,
        "the panel's width, as a share of the picture's",
        also=("--panelWidthRatio",),
        metavar="R",
        parse=parse_share,
    )
    panel_max_items: int = option(
        6, "the most lines in the panel at once", also=("--panelMaxItems",), metavar="N", parse=parse_whole
    )
    panel_theme: Literal["glass", "dark", "light"] = option("glass", "the panel's colours", also=("--panelTheme",))
    soft_subtitles: bool = option(
        False, "write the film, its streams copied, with the lines as subtitles (pyavi/video_out_with_audio_subs.mp4)"
    )


@dataclass(frozen=True)
class OldSettings:
    """Flags of whisperVideo's ``inference_folder.py`` that are understood, and have no effect here.

    Old command lines go on working; help does not show them. Of ``--start`` and ``--duration`` only 0 is taken.
    """

    pretrain_model: str = option("", SUPPRESS, also=("--pretrainModel",))
    facedet_batch: str = option("", SUPPRESS, also=("--facedetBatch",))
    id_batch: str = option("", SUPPRESS, also=("--idBatch",))
    asd_batch: str = option("", SUPPRESS, also=("--asdBatch",))
    crop_workers: str = option("", SUPPRESS, also=("--cropWorkers",))
    scene_workers: str = option("", SUPPRESS, also=("--sceneWorkers",))
    panel_compose: str = option("", SUPPRESS, also=("--panelCompose",))
    start: int = option(0, SUPPRESS, parse=parse_whole)
    duration: int = option(0, SUPPRESS, parse=parse_whole)


@dataclass(frozen=True)
class SpeakersSettings(
    ModelSettings,
    InputSettings,
    StageSettings,
    MaskSettings,
    WordSettings,
    PersonSettings,
    OutputSettings,
    SplitSettings,
    OldSettings,
):
    """Everything about the speakers pipeline."""


SPEAKERS_GROUPS: tuple[tuple[str, type], ...] = (
    ("models", ModelSettings),
    ("what is read", InputSettings),
    ("stages", StageSettings),
    ("faces by their pixels", MaskSettings),
    ("words", WordSettings),
    ("who is who", PersonSettings),
    ("what is written", OutputSettings),
    ("one film over several lanes", SplitSettings),
)
"""Headings and fields for help."""


def read_settings(arguments: Sequence[str]) -> SpeakersSettings:
    """Read a command line. Raises UsageError for what is no option, or asks for what cannot be had."""
    return check(parse_options(SpeakersSettings, arguments, program=PROGRAM))


def check(settings: SpeakersSettings) -> SpeakersSettings:
    """Raise UsageError for settings that cannot be met; else return them, with what ``--lean`` means spelt out."""
    if settings.start or settings.duration:
        raise UsageError("--start and --duration: only 0, whole videos are processed. Cut the video before.")
    if settings.masks and not settings.follows_masks:
        raise UsageError("--masks writes what a SAM 2 model makes, and none is asked for. Name one: --sam2 auto")
    if settings.sam2 is None and settings.sam2_when == "always":
        raise UsageError("--sam2-when always asks a SAM 2 model, and none is named. Name one: --sam2 auto")
    return _spelt_out(settings) if settings.lean else settings


def _spelt_out(settings: SpeakersSettings) -> SpeakersSettings:
    for name in ("panel", "grid_video"):
        if getattr(settings, name):
            flag = name.replace("_", "-")
            raise UsageError(
                f"--lean writes no film, --{flag} asks for one. Leave one of them out, or say --no-{flag}."
            )
    return replace(settings, frames="none", crops=False, annotated=False, preview=False)
