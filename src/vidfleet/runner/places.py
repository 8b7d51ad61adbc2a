"""Where each video is staged and where its output goes: one folder a video, the same in every run."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from typing import TYPE_CHECKING

from vidfleet.errors import RecordError
from vidfleet.runner.record import read_record
from vidfleet.runner.stage import make_stage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vidfleet.data import Stage, Video
    from vidfleet.settings import RunSettings

_LONGEST_NAME_BYTES = 255


def stage_of(video: Video, root: Path, settings: RunSettings, *, target_name: str = "") -> Stage:
    """Where a video is staged, and where its output goes: beside it, or mirrored below ``--output``."""
    base = settings.output.absolute() if settings.output else root
    folder = os.path.join(base, os.path.dirname(video.relative))  # noqa: PTH118, PTH120 - a string: cheap for 100,000
    return make_stage(video, folder, target_name=target_name or video.stem, keep_names=settings.keep_names)


def stages_of(videos: Sequence[Video], root: Path, settings: RunSettings) -> dict[Video, Stage]:
    """The stage of each video.

    With ``--on-collision suffix``, videos that would share an output folder get folders of their own.
    """
    stages = {video: stage_of(video, root, settings) for video in videos}
    if settings.on_collision == "block":
        return stages
    taken = {stage.target for stage in stages.values()}
    sharing = {video for group in sharing_a_target(stages).values() for video in group}
    for video, stage in stages.items():
        name = _own_name(video, stage, taken, shares=video in sharing)
        if name != stage.target.name:
            stages[video] = stage_of(video, root, settings, target_name=name)
    return stages


def sharing_a_target(stages: dict[Video, Stage]) -> dict[Path, list[Video]]:
    """Videos that would have one output folder, by that folder."""
    sharing: dict[Path, list[Video]] = defaultdict(list)
    for video, stage in stages.items():
        sharing[stage.target].append(video)
    return {target: videos for target, videos in sharing.items() if len(videos) > 1}


def _own_name(video: Video, stage: Stage, taken: set[Path], *, shares: bool) -> str:
    """The name of a video's output folder, which stays when other videos come and go.

    A folder that was made of this video goes on being its folder. Else ``<stem>``, or where another video has the
    same stem ``<stem>_mp4``; and where even that is another video's stem, with eight digits of the name's hash.
    """
    suffixed = f"{video.stem}_{video.path.suffix.lstrip('.')}"
    digest = hashlib.sha256(os.fsencode(video.path.name)).hexdigest()[:8]
    hashed = os.fsdecode(os.fsencode(suffixed)[: _LONGEST_NAME_BYTES - 9]) + f"-{digest}"
    for name in (suffixed, hashed, video.stem):
        if _is_made_of(stage.target.with_name(name), video):
            return name
    if not shares:
        return video.stem
    return hashed if stage.target.with_name(suffixed) in taken else suffixed


def _is_made_of(folder: Path, video: Video) -> bool:
    try:
        record = read_record(folder)
    except RecordError:
        return False
    return record is not None and record.input["name"] == video.path.name
