"""What has to run, in which order, and what not, with the reason: nothing is touched for it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.data import Outcome, Stage, Task, Video
from vidfleet.errors import BadInputError, RecordError, SetupError
from vidfleet.runner.finish import last_failure
from vidfleet.runner.probe import probe_all
from vidfleet.runner.record import RECORD_NAME, Record, difference, read_record
from vidfleet.runner.stage import is_half_published, make_stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Description


@dataclass(frozen=True, slots=True)
class Verdict:
    """What today's look at a video's output folder says."""

    must_run: bool
    kind: str = ""
    """Why it is blocked, where it is: ``foreign``."""
    reason: str = ""
    """In words: why it runs although a folder is there, or why it is blocked."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do."""

    tasks: tuple[Task, ...]
    """What runs, in the order in which lanes take it."""
    settled: tuple[Outcome, ...]
    """What ends without an attempt: up to date, blocked, unreadable."""
    reasons: tuple[tuple[str, str], ...]
    """Relative path and reason of each video that runs although an output of ours is there."""


def make_plan(
    videos: Sequence[Video],
    description: Description,
    settings: RunSettings,
    skip: frozenset[str] = frozenset(),
) -> Plan:
    """Look at every video's output and say what is to be done.

    ``skip`` holds relative paths of videos that failed before and are to be left alone.
    """
    stages = {video: stage_of(video, description.root, settings) for video in videos}
    settled: list[Outcome] = [*_collisions(stages), *(_nested(stages) if settings.output else ())]
    blocked = {outcome.video for outcome in settled}
    to_run: list[Video] = []
    reasons: list[tuple[str, str]] = []
    for video in videos:
        if video in blocked:
            continue
        verdict = judge(video, stages[video], description, settings)
        if verdict.kind:
            settled.append(Outcome(video, "blocked", verdict.kind, verdict.reason))
        elif not verdict.must_run:
            settled.append(Outcome(video, "up_to_date"))
        elif video.relative in skip:
            settled.append(_failed_before(video, stages[video]))
        else:
            to_run.append(video)
            if verdict.reason:
                reasons.append((video.relative, verdict.reason))
    tasks, unreadable = _probed(to_run, stages)
    return Plan(in_order(tasks, settings.schedule), (*settled, *unreadable), tuple(reasons))


def _failed_before(video: Video, stage: Stage) -> Outcome:
    """The outcome of an earlier run, kept by ``--no-retry-failed``."""
    kind, reason = last_failure(stage)
    return Outcome(video, "failed", kind, f"in an earlier run (--no-retry-failed): {reason}")


def stage_of(video: Video, root: Path, settings: RunSettings) -> Stage:
    """Where a video is staged, and where its output goes: beside it, or mirrored below ``--output``."""
    parent = Path(video.relative).parent
    folder = settings.output.absolute() / parent if settings.output else root / parent
    return make_stage(video, folder, target_name=video.stem, keep_names=settings.keep_names)


def _collisions(stages: dict[Video, Stage]) -> Iterable[Outcome]:
    """Videos that would share one output folder."""
    sharing: dict[Path, list[Video]] = defaultdict(list)
    for video, stage in stages.items():
        sharing[stage.target].append(video)
    for videos in sharing.values():
        for video in videos if len(videos) > 1 else ():
            others = ", ".join(other.path.name for other in videos if other is not video)
            reason = f"would share its output folder with {others}: rename one of them"
            yield Outcome(video, "blocked", "collision", reason)


def _nested(stages: dict[Video, Stage]) -> Iterable[Outcome]:
    """Videos whose output would hold other videos' outputs, so that replacing it would take those with it.

    That is ``Frasier.mp4`` beside ``Frasier/`` under ``--output``; without it, ``Frasier/`` itself is in the way.
    """
    folders = {stage.target.parent: video for video, stage in stages.items()}
    inside = {above: video for folder, video in folders.items() for above in (folder, *folder.parents)}
    sharing = Counter(stage.target for stage in stages.values())
    for video, stage in stages.items():
        if stage.target in inside and sharing[stage.target] == 1:
            reason = f"its output folder would hold that of {inside[stage.target].relative}: rename one of them"
            yield Outcome(video, "blocked", "collision", reason)


def judge(video: Video, stage: Stage, description: Description, settings: RunSettings) -> Verdict:
    """Whether ``video`` is done, has to run, or must not be touched."""
    if is_half_published(stage):
        return Verdict(True, reason="a killed run left its publishing half done")
    target = stage.target
    if not target.exists():
        if target.is_symlink():
            return Verdict(False, "foreign", f"{target.name} is a link that leads nowhere; remove it")
        return Verdict(True)
    try:
        record = read_record(target)
    except RecordError as error:
        return Verdict(False, "foreign", f"{error}; remove {RECORD_NAME}'s folder to have the video run")
    if record is None:
        reason = "its output folder is there already and was not made by vidfleet; move it away, or use --output DIR"
        return Verdict(False, "foreign", reason)
    return _judge_record(record, video, target, description, settings)


def _judge_record(
    record: Record, video: Video, folder: Path, description: Description, settings: RunSettings
) -> Verdict:
    if record.maker != description.name:
        reason = f"its output folder was made by {record.maker}; move it away, or use --output DIR"
        return Verdict(False, "foreign", reason)
    if description.fallback and not record.is_fallback:
        raise SetupError(
            f"{folder} was made with more than is here now, and no lesser result may take its place: nothing is run\n"
            + description.fallback
        )
    changed = difference(record, video, description, folder, settings)
    return Verdict(bool(changed), reason=changed)


def _probed(videos: Sequence[Video], stages: dict[Video, Stage]) -> tuple[list[Task], list[Outcome]]:
    found = probe_all([video.path for video in videos])
    tasks, unreadable = [], []
    for video in videos:
        probe = found[video.path]
        if isinstance(probe, BadInputError):
            unreadable.append(Outcome(video, "failed", "bad_input", str(probe)))
        else:
            tasks.append(Task(video, stages[video], probe))
    return tasks, unreadable


def in_order(tasks: Iterable[Task], schedule: str) -> tuple[Task, ...]:
    """The order in which lanes take tasks."""
    if schedule in ("longest", "shortest"):
        sign = -1.0 if schedule == "longest" else 1.0
        return tuple(sorted(tasks, key=lambda task: (sign * task.cost, task.video.position)))
    return tuple(sorted(tasks, key=lambda task: task.video.position))


def cost_by_lane(tasks: Sequence[Task], lanes: int, schedule: str) -> list[float]:
    """The cost that falls to each lane when ``tasks`` are taken in order; no unit."""
    loads = [0.0] * lanes
    for task in tasks:
        lane = task.video.position % lanes if schedule == "round-robin" else min(range(lanes), key=loads.__getitem__)
        loads[lane] += task.cost
    return loads
