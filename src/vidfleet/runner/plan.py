"""What has to run, in which order, and what not, with the reason: nothing is touched for it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidfleet.data import CLAIM_ENDING, Outcome, Stage, Task, Took, Video
from vidfleet.errors import BadInputError, RecordError, SetupError
from vidfleet.runner.changes import difference, workload_difference
from vidfleet.runner.events import RunStarted
from vidfleet.runner.finish import last_failure
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.places import sharing_a_target, stages_of
from vidfleet.runner.probe import probe_all
from vidfleet.runner.publish import is_half_published
from vidfleet.runner.record import RECORD_NAME, Record, missing_promises, read_record
from vidfleet.runner.roots import others_video
from vidfleet.runner.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from vidfleet.runner.order.timing import Known
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Description


_MOST_REASONS = 6
_WAYS_OUT = (
    "--existing adopt takes it as done, seed goes on from a copy of it, replace puts it aside as <stem>.old; "
    "or use --output DIR"
)
_HOLDS_VIDEOS = (
    "its output folder holds videos of this run, so it is not taken for an output; "
    "rename it, or leave those videos out with --exclude"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What today's look at a video's output folder says."""

    must_run: bool
    kind: str = ""
    """Why it is blocked, where it is: ``foreign``."""
    reason: str = ""
    """In words: why it runs although a folder is there, why it is blocked, or why it is left as it is."""
    takes: bool = False
    """What is there is somebody else's, and is adopted, copied or put aside because the user said so."""
    took: Took | None = None
    """What the video took before, where it has to run again although it is the same."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do."""

    tasks: tuple[Task, ...]
    """What runs, in the order in which lanes take it."""
    settled: tuple[Outcome, ...]
    """What ends without an attempt: up to date, blocked, unreadable."""
    reasons: tuple[tuple[str, str], ...]
    """Relative path and reason of each video that runs although an output is there."""
    adopted: tuple[Task, ...] = ()
    """Somebody else's outputs that are to be declared ours: ``--existing adopt``."""
    notices: tuple[str, ...] = ()
    """Sentences for the user: what a setting keeps from running."""
    claimed: tuple[Stage, ...] = ()
    """Of those that are up to date, those with a claim: mostly a runner's that died before it could give it back."""


def make_plan(
    videos: Sequence[Video], description: Description, settings: RunSettings, known: tuple[Known, ...] = ()
) -> Plan:
    """Look at every video's output and say what is to be done; ``known`` is what earlier runs have shown."""
    files = [video for video in videos if not video.no_file]
    stages = stages_of(files, description.root, settings)
    notices: list[str] = []
    wanted = [video for video in files if settings.only == "all" or stages[video].error.exists()]
    if len(wanted) < len(files):
        notices.append(f"--only failed: {plural(len(files) - len(wanted), 'video')} that did not fail left alone")
    verdicts = _verdicts(wanted, stages, description, settings)
    settled, to_run, to_adopt = list[Outcome](), list[Video](), list[Video]()
    settled += [Outcome(video, "failed", "bad_input", video.no_file) for video in videos if video.no_file]
    for video, verdict in verdicts.items():
        if verdict.kind:
            settled.append(Outcome(video, "blocked", verdict.kind, verdict.reason))
        elif not verdict.must_run:
            to_adopt.append(video) if verdict.takes else settled.append(
                Outcome(video, "up_to_date", reason=verdict.reason)
            )
        elif not settings.retry_failed and stages[video].error.exists():
            settled.append(_failed_before(video, stages[video]))
        else:
            to_run.append(video)
    reasons = tuple((video.relative, verdicts[video].reason) for video in to_run if verdicts[video].reason)
    notices += _grouped(reasons, to_adopt)
    tasks, unreadable = _probed([*to_run, *to_adopt], stages, verdicts)
    adopting = set(to_adopt)
    up_to_date = [outcome for outcome in settled if outcome.state == "up_to_date"]
    if kept := sum(bool(outcome.reason) for outcome in up_to_date):
        notices.append(f"--keep-stale: {plural(kept, 'output')} kept although the workload has changed since")
    return Plan(
        in_order([task for task in tasks if task.video not in adopting], settings.schedule, known),
        (*settled, *unreadable),
        reasons,
        tuple(task for task in tasks if task.video in adopting),
        tuple(notices),
        tuple(stage for done in up_to_date if os.path.lexists((stage := stages[done.video]).beside(CLAIM_ENDING))),
    )


def _grouped(reasons: Sequence[tuple[str, str]], to_adopt: Sequence[Video]) -> Iterator[str]:
    """Why videos run although an output is there: each reason once, the most frequent first."""
    if to_adopt:
        yield f"{plural(len(to_adopt), 'folder')} that nobody here has made taken as done (--existing adopt)"
    counts = Counter(reason for _, reason in reasons)
    for reason, count in counts.most_common(_MOST_REASONS):
        yield f"{plural(count, 'video')} to run again: {reason}"
    more = sum(count for _, count in counts.most_common()[_MOST_REASONS:])
    if more:
        yield f"{plural(more, 'video')} to run again for {len(counts) - _MOST_REASONS} other reasons"


def _verdicts(
    videos: Sequence[Video], stages: dict[Video, Stage], description: Description, settings: RunSettings
) -> dict[Video, Verdict]:
    """One for each of ``videos``; what stands in each other's way is known from all that have a stage."""
    verdicts = dict(_collisions(stages))
    if settings.output:
        verdicts.update(_nested(stages))
    holding = (
        {folder for stage in stages.values() for folder in _above(stage)} if settings.existing != "block" else set()
    )
    for video in videos:
        if video in verdicts:
            continue
        verdict = judge(video, stages[video], description, settings)
        if verdict.takes and stages[video].target in holding:
            verdict = Verdict(False, "foreign", _HOLDS_VIDEOS)
        verdicts[video] = verdict
    return {video: verdicts[video] for video in videos}


def _above(stage: Stage) -> Iterable[Path]:
    """The folders that the stage's video lies in, as far as they could be somebody's output."""
    return (stage.target.parent, *stage.target.parent.parents)


def _failed_before(video: Video, stage: Stage) -> Outcome:
    """The outcome of an earlier run, kept by ``--no-retry-failed``."""
    kind, reason = last_failure(stage)
    return Outcome(video, "failed", kind, f"in an earlier run (--no-retry-failed): {reason}")


def _collisions(stages: dict[Video, Stage]) -> Iterable[tuple[Video, Verdict]]:
    """Videos that would share one output folder."""
    for videos in sharing_a_target(stages).values():
        for video in videos:
            others = ", ".join(other.path.name for other in videos if other is not video)
            reason = f"would share its output folder with {others}; rename one of them, or use --on-collision suffix"
            yield video, Verdict(False, "collision", reason)


def _nested(stages: dict[Video, Stage]) -> Iterable[tuple[Video, Verdict]]:
    """Videos whose output would hold other videos' outputs, so that replacing it would take those with it.

    That is ``Frasier.mp4`` beside ``Frasier/`` under ``--output``; without it, ``Frasier/`` itself is in the way.
    """
    folders = {stage.target.parent: video for video, stage in stages.items()}
    inside = {above: video for folder, video in folders.items() for above in (folder, *folder.parents)}
    sharing = Counter(stage.target for stage in stages.values())
    for video, stage in stages.items():
        if stage.target in inside and sharing[stage.target] == 1:
            reason = f"its output folder would hold that of {inside[stage.target].relative}: rename one of them"
            yield video, Verdict(False, "collision", reason)


def judge(video: Video, stage: Stage, description: Description, settings: RunSettings) -> Verdict:
    """Whether ``video`` is done, has to run, or must not be touched."""
    if is_half_published(stage):
        return Verdict(True, reason="a killed run left its publishing half done")
    return judge_target(video, stage, description, settings)


def judge_target(video: Video, stage: Stage, description: Description, settings: RunSettings) -> Verdict:
    """The same where it is known that nothing is half published."""
    target = stage.target
    try:
        record = read_record(target)
    except RecordError as error:
        return Verdict(False, "foreign", f"{error}; remove {RECORD_NAME}'s folder to have the video run")
    if record is None:
        if not os.path.lexists(target):
            return Verdict(True)
        if not os.path.exists(target):
            return Verdict(False, "foreign", f"{target.name} is a link that leads nowhere; remove it")
        return _judge_foreign("was not made by vidfleet", target, description, settings)
    if record.maker != description.name:
        return _judge_foreign(f"was made by {record.maker}", target, description, settings)
    return _judge_record(record, video, target, description, settings)


def _judge_foreign(whose: str, folder: Path, description: Description, settings: RunSettings) -> Verdict:
    """Somebody else's folder: left alone, or taken in the way that ``--existing`` says."""
    if settings.existing == "block" or not folder.is_dir():
        return Verdict(False, "foreign", f"its output folder is there already and {whose}; {_WAYS_OUT}")
    if settings.existing == "adopt":
        missing = missing_promises(folder, description.promise)
        if missing:
            reason = f"its output folder {whose} and cannot be adopted: there is no {', '.join(missing[:4])}"
            return Verdict(False, "foreign", reason)
        return Verdict(False, reason="adopted", takes=True)
    if settings.existing == "seed":
        return Verdict(True, reason=f"starts on a copy of a folder that {whose}", takes=True)
    return Verdict(True, reason=f"a folder that {whose} is put aside", takes=True)


def _judge_record(
    record: Record, video: Video, folder: Path, description: Description, settings: RunSettings
) -> Verdict:
    if description.fallback and not record.is_fallback:
        raise SetupError(
            f"{folder} was made with more than is here now, and no lesser result may take its place: nothing is run\n"
            + description.fallback
        )
    changed = difference(record, video, description, folder, settings)
    if changed and settings.output and (other := others_video(record, video, settings.output)):
        reason = f"its output folder was made of {other}, which is another video; give each root an --output of its own"
        return Verdict(False, "collision", reason)
    if changed:
        took = None if description.traits.resumable else _took(record, video)  # it may have found half of it done
        return Verdict(True, reason=changed, took=took)
    if not settings.keep_stale:
        return Verdict(False)
    return Verdict(False, reason=workload_difference(record, description))


def _took(record: Record, video: Video) -> Took | None:
    """What a video took before, if it is the same by name, size and time: a hash would be too dear for a guess."""
    now = (video.path.name, video.size_bytes, video.mtime_ns)
    before = tuple(record.input[name] for name in ("name", "size_bytes", "mtime_ns"))
    return record.took if before == now else None


def _probed(
    videos: Sequence[Video], stages: dict[Video, Stage], verdicts: dict[Video, Verdict]
) -> tuple[list[Task], list[Outcome]]:
    found = probe_all([video.path for video in videos])
    tasks, unreadable = [], []
    for video in videos:
        probe = found[video.path]
        if isinstance(probe, BadInputError):
            unreadable.append(Outcome(video, "failed", "bad_input", str(probe)))
        else:
            tasks.append(Task(video, stages[video], probe, verdicts[video].took))
    return tasks, unreadable


def in_order(tasks: Iterable[Task], schedule: str, known: tuple[Known, ...] = ()) -> tuple[Task, ...]:
    """The order in which lanes take tasks: by the time that they should take."""
    tasks = tuple(tasks)
    if schedule in ("longest", "shortest"):
        sign = -1.0 if schedule == "longest" else 1.0
        forecast = Forecast()
        forecast.apply(RunStarted("", "", (), tasks, (), known), 0.0)
        return tuple(sorted(tasks, key=lambda t: (sign * forecast.weight(t), sign * t.cost, t.video.position)))
    return tuple(sorted(tasks, key=lambda task: task.video.position))
