"""Which steps a video's work has, what each makes, and on what its result depends."""

from __future__ import annotations

import platform
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from vidfleet import __version__
from vidfleet.speakers.identity.people_file import read_people
from vidfleet.speakers.identity.vectors_file import VECTORS_NAME
from vidfleet.speakers.layout import (
    ANNOTATED,
    CROPS,
    FRAMES,
    GRID_VIDEO,
    GROUPS,
    MASKS,
    PANEL,
    PEOPLE,
    PICTURES,
    PORTRAITS,
    PREVIEW,
    SOUND,
    SPEECH,
    TRACKING,
    WORDS,
)
from vidfleet.speakers.settings import StageSettings
from vidfleet.speakers.steps import Step, content_key, key_of, settings_of

if TYPE_CHECKING:
    from vidfleet.speakers.data import Method
    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.settings import SpeakersSettings
    from vidfleet.speakers.stages import Stages


@dataclass(frozen=True, slots=True)
class Places:
    """Where a video and what belongs to it are."""

    video: Path
    """As the pipeline reads it."""
    original: Path
    """The video itself, with its neighbours."""
    published: Path
    """The folder that the output becomes."""


def plan_steps(places: Places, layout: Layout, settings: SpeakersSettings, stages: Stages) -> list[Step]:
    """Say which steps there are, what each makes, and on what its result depends."""
    streams = settings_of(settings, "video_stream", "audio_stream")
    film = key_of(version=__version__, video=content_key(places.video), **streams)
    speech = key_of(film=film, method=_named(stages.voice_activity.method))
    beside = {ending: content_key(places.original.with_suffix(ending)) for ending in stages.words.endings}
    words = key_of(speech=speech, method=_named(stages.words.method), beside=beside, language=settings.language)
    looks = [_named(stage.method) for stage in (stages.detector, stages.active_speaker)]
    if stages.segmenter is not None:
        looks.append([*_named(stages.segmenter.method), settings.sam2_when])
    numbers = settings_of(settings, *(item.name for item in fields(StageSettings)))
    pictures = key_of(speech=speech, methods=looks, score_weighting=settings.score_weighting, **numbers)
    # All of the grid's pictures are the film's, whatever is seen in them.
    frames = key_of(film=film) if settings.frames == "all" else key_of(shots=film, minimum_s=settings.scene_min_sec)
    faces = key_of(pictures=pictures, embedder=_named(stages.embedder.method) if stages.embedder else None)
    groups = key_of(faces=faces, same_person=settings.same_person)
    style = settings_of(settings, "panel_width_ratio", "panel_max_items", "panel_theme")
    # Names show in it. All but what people edited follows from the rest, and is not there yet in a first run.
    edited = [[entry.name, *entry.lines] for entry in read_people(layout.folder / PEOPLE).held]
    panel = key_of(groups=groups, words=words, people=edited, **style)
    return [
        Step("sound", film, (SOUND,)),
        Step("speech", speech, (SPEECH,)),
        Step("words", words, (WORDS,)),
        Step("pictures", pictures, PICTURES),
        Step("tracking", key_of(pictures=pictures), (TRACKING,)),
        Step("masks", key_of(pictures=pictures), (MASKS,)),
        Step("portraits", key_of(pictures=pictures), (PORTRAITS,)),
        Step("vectors", faces, (VECTORS_NAME,)),
        Step("groups", groups, (GROUPS,)),
        Step("frames", frames, FRAMES),
        Step("grid_video", key_of(film=film), GRID_VIDEO),
        Step("crops", key_of(pictures=pictures), CROPS),
        Step("annotated", key_of(pictures=pictures), ANNOTATED),
        Step("preview", key_of(film=film), (PREVIEW,)),
        Step("panel", panel, PANEL[:1]),
    ]


def parts_key(places: Places, layout: Layout, settings: SpeakersSettings, stages: Stages) -> str:
    """Hash all that the parts of a film depend on, so that only those share it whose results are the same."""
    keys = {step.name: step.key for step in plan_steps(places, layout, settings, stages)}
    packages = [metadata.version(name) for name in ("av", "numpy", "onnxruntime", "scenedetect-headless")]
    return key_of(
        faces=keys["vectors"], device=stages.device, machine=platform.machine(),
        packages=[*packages, cv2.__version__],
    )  # fmt: skip


def _named(method: Method) -> list[str]:
    return [method.name, method.sha256]
