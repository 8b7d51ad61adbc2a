"""Events as lines of the ledger, and back: plain JSON objects with ``schema``, ``at`` and ``type``.

Reading is forgiving: fields that are missing get a default, fields and types that a newer version has added
are passed over, so that ``vidfleet status`` can look at any run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vidfleet.data import Attempt, Device, Evidence, Lane, Outcome, Probe, Stage, Task, Took, Video
from vidfleet.runner.events import (
    AttemptEnded,
    AttemptProgress,
    AttemptStarted,
    Event,
    HelpEnded,
    HelpStarted,
    LaneJoined,
    LaneLost,
    LaneOut,
    Notice,
    RunEnded,
    RunStarted,
    VideoEnded,
)
from vidfleet.runner.order.learnt import known_to_plain, read_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SCHEMA = 1

V = TypeVar("V")

_NO_STAGE = Stage(Path(), Path(), "", Path())
_UNNAMED = Outcome(Video(Path(), "", 0, 0, -1), "up_to_date")
"""Videos that are up to date are counted in the ledger, not named: a root may hold 100,000 of them."""

_TYPES: dict[type[Event], str] = {
    RunStarted: "run_started",
    AttemptStarted: "attempt_started",
    AttemptProgress: "attempt_progress",
    AttemptEnded: "attempt_ended",
    HelpStarted: "help_started",
    HelpEnded: "help_ended",
    VideoEnded: "video_ended",
    LaneLost: "lane_lost",
    LaneOut: "lane_out",
    LaneJoined: "lane_joined",
    Notice: "notice",
    RunEnded: "run_ended",
}


def to_plain(event: Event, at: float) -> dict[str, Any]:
    """Turn an event into an object of JSON; to videos and lanes that ``run_started`` names it only refers."""
    return {"schema": SCHEMA, "at": round(at, 3), "type": _TYPES[type(event)], **_fields_of(event)}


def attempt_to_plain(attempt: Attempt) -> dict[str, Any]:
    """Write an attempt without what is at its default."""
    seen = attempt.evidence
    evidence = {name: value for name, default in _DEFAULTS.items() if (value := getattr(seen, name)) != default}
    helpers = {"helpers": [attempt_to_plain(helper) for helper in attempt.helpers]} if attempt.helpers else {}
    return {**_attempt(attempt), "lane": attempt.lane.index, "evidence": evidence, **helpers}


def attempt_for_record(attempt: Attempt) -> dict[str, Any]:
    """Write an attempt for a record, which has no list of lanes to refer to: where it ran, and what it took."""
    lane, evidence = attempt.lane, attempt.evidence
    return {
        **_attempt(attempt),
        "lane": lane.label,
        "device": {"name": lane.device.name, "uuid": lane.device.uuid, "driver": lane.device.driver},
        "exit_status": evidence.exit_status,
        "signal": evidence.signal,
        "cpu_s": round(evidence.cpu_s, 3),
        "peak_memory_bytes": evidence.peak_memory_bytes,
        "peak_gpu_memory_bytes": evidence.peak_gpu_memory_bytes or None,
        "ended_leftovers": evidence.ended_leftovers,
        "warm": evidence.warm,
        **({"cold_reason": evidence.cold_reason} if evidence.cold_reason else {}),
        **({"told": json.loads(evidence.told)} if evidence.told else {}),
        **({"helpers": [attempt_for_record(helper) for helper in attempt.helpers]} if attempt.helpers else {}),
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "host": attempt.host,
        "started_at": round(attempt.started_at, 3),
        "ended_at": round(attempt.ended_at, 3),
        "kind": attempt.kind,
        "reason": attempt.reason,
    }


def lane_to_plain(lane: Lane) -> dict[str, Any]:
    """Write a lane with its device."""
    plain = {"index": lane.index, "label": lane.label, "threads": lane.threads, "device": asdict(lane.device)}
    return {**plain, "spare": True} if lane.spare else plain


def _fields_of(event: Event) -> dict[str, Any]:
    match event:
        case RunStarted():
            return _run_started(event)
        case AttemptStarted() | AttemptProgress() | AttemptEnded() | HelpStarted() | HelpEnded():
            return {"video": event.task.video.relative, **_of_attempt(event)}
        case VideoEnded(_, outcome):
            return _outcome(outcome)
        case LaneJoined(lane):
            return {"lane": lane_to_plain(lane)}
        case LaneLost(lane, reason) | LaneOut(lane, reason):
            return {"lane": lane.index, **({"reason": reason} if reason else {})}
        case Notice(text):
            return {"text": text}
        case RunEnded(seconds, stopped_by):
            return {"seconds": round(seconds, 3), "stopped_by": stopped_by}


def _of_attempt(event: AttemptStarted | AttemptProgress | AttemptEnded | HelpStarted | HelpEnded) -> dict[str, Any]:
    match event:
        case AttemptStarted(_, lane, number):
            return {"lane": lane.index, "number": number}
        case AttemptProgress(_, lane, stage, share):
            return {"lane": lane.index, "stage": stage, "share_done": round(share, 4)}
        case AttemptEnded(_, attempt, retry):
            return {"will_retry": retry, **attempt_to_plain(attempt)}
        case HelpStarted(_, lane):
            return {"lane": lane.index}
        case HelpEnded(_, attempt):
            return attempt_to_plain(attempt)


def _run_started(event: RunStarted) -> dict[str, Any]:
    return {
        "root": event.root,
        "workload": event.workload,
        "lanes": [lane_to_plain(lane) for lane in event.lanes],
        "tasks": [task_to_plain(task) for task in event.tasks],
        "known": known_to_plain(event.known),
        "schedule": event.schedule,
        "up_to_date": sum(outcome.state == "up_to_date" for outcome in event.settled),
        "settled": [_outcome(outcome) for outcome in event.settled if outcome.state != "up_to_date"],
    }


def task_to_plain(task: Task) -> dict[str, Any]:
    """Write a task without its stage."""
    took = {"took": asdict(task.took)} if task.took else {}
    return {**_video(task.video), "probe": _probe(task.probe), **took}


def _probe(probe: Probe) -> dict[str, Any]:
    """What ``asdict`` gives; for 10,000 videos at once."""
    return {name: getattr(probe, name) for name in probe.__slots__}


def _video(video: Video) -> dict[str, Any]:
    return {
        "video": video.relative,
        "size_bytes": video.size_bytes,
        "mtime_ns": video.mtime_ns,
        "position": video.position,
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        **_video(outcome.video),
        "state": outcome.state,
        "kind": outcome.kind,
        "reason": outcome.reason,
        "log": outcome.log,
    }


def to_events(objects: Iterable[dict[str, Any]]) -> Iterator[tuple[float, Event]]:
    """Turn a ledger's objects back into events with their times; what it cannot make sense of it passes over.

    A task's stage is not in the ledger, and of what was up to date only the number.
    """
    reader = Reader()
    for plain in objects:
        try:
            at, event = float(plain.get("at", 0)), reader.read(plain)
        except (TypeError, ValueError, OverflowError):
            continue
        if event is not None:
            yield at, event


class Reader:
    """Keeps what ``run_started`` named, for the lines that refer to it."""

    def __init__(self) -> None:
        self._root = ""
        self._tasks: dict[str, Task] = {}
        self._lanes: dict[int, Lane] = {}
        self._attempts: dict[str, tuple[Attempt, ...]] = {}
        self.readers: dict[str, Callable[[dict[str, Any]], Event]] = {
            "run_started": self._run_started,
            "attempt_started": lambda p: AttemptStarted(self._task(p), self._lane(p), p.get("number", 1)),
            "attempt_progress": lambda p: AttemptProgress(
                self._task(p), self._lane(p), str(p.get("stage", "")), float(p.get("share_done", -1))
            ),
            "attempt_ended": self._attempt_ended,
            "help_started": lambda p: HelpStarted(self._task(p), self._lane(p)),
            "help_ended": lambda p: HelpEnded(self._task(p), read_attempt(p, self._lanes.__getitem__)),
            "video_ended": lambda p: VideoEnded(self._task(p), self._outcome(p)),
            "lane_out": lambda p: LaneOut(self._lane(p), str(p.get("reason", ""))),
            "lane_joined": self._lane_joined,
            "lane_lost": lambda p: LaneLost(self._lane(p), str(p.get("reason", ""))),
            "notice": lambda p: Notice(str(p["text"])),
            "run_ended": lambda p: RunEnded(float(p.get("seconds", 0)), str(p.get("stopped_by", ""))),
        }

    def read(self, plain: dict[str, Any]) -> Event | None:
        """Make an event of a line; nothing where it is of another version, or of no version at all."""
        read = self.readers.get(plain.get("type", ""))
        try:
            return read(plain) if read else None
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return None

    def begin(self, event: RunStarted) -> None:
        """Know what a run has begun with that this process itself has told of."""
        self._root = event.root
        self._lanes = {lane.index: lane for lane in event.lanes}
        self._tasks = {task.video.relative: task for task in event.tasks}

    def attempts(self, name: str) -> tuple[Attempt, ...]:
        """The attempts at a video that have ended so far."""
        return self._attempts.get(name, ())

    def _run_started(self, plain: dict[str, Any]) -> RunStarted:
        self._root = plain["root"]
        self._lanes = {item["index"]: read_lane(item) for item in plain["lanes"]}
        for item in plain["tasks"]:
            task = read_task(item, self._root)
            self._tasks[task.video.relative] = task
        settled = tuple(self._outcome(item) for item in plain.get("settled", ()))
        settled += (_UNNAMED,) * int(plain.get("up_to_date", 0))
        tasks, lanes = tuple(self._tasks.values()), tuple(self._lanes.values())
        known, schedule = read_known(plain.get("known", {})), str(plain.get("schedule", ""))
        return RunStarted(self._root, plain.get("workload", ""), lanes, tasks, settled, known, schedule)

    def _lane_joined(self, plain: dict[str, Any]) -> LaneJoined:
        lane = read_lane(plain["lane"])
        self._lanes[lane.index] = lane
        return LaneJoined(lane)

    def _attempt_ended(self, plain: dict[str, Any]) -> AttemptEnded:
        attempt = read_attempt(plain, self._lanes.__getitem__)
        name = plain["video"]
        self._attempts[name] = (*self._attempts.get(name, ()), attempt)
        return AttemptEnded(self._task(plain), attempt, will_retry=bool(plain.get("will_retry")))

    def _task(self, plain: dict[str, Any]) -> Task:
        return self._tasks[plain["video"]]

    def _lane(self, plain: dict[str, Any]) -> Lane:
        return self._lanes[plain["lane"]]

    def _outcome(self, plain: dict[str, Any]) -> Outcome:
        task = self._tasks.get(plain["video"])
        return Outcome(
            video=task.video if task else _read_video(plain, self._root),
            state=plain["state"],
            kind=plain.get("kind", ""),
            reason=plain.get("reason", ""),
            attempts=self._attempts.get(plain["video"], ()),
            probe=task.probe if task else None,
            log=read_log_name(plain),
        )


def read_task(plain: dict[str, Any], root: str) -> Task:
    """Read what :func:`task_to_plain` wrote; it has no stage yet."""
    took = Took(float(plain["took"]["seconds"]), str(plain["took"]["device"])) if "took" in plain else None
    return Task(_read_video(plain, root), _NO_STAGE, _known(Probe, plain["probe"]), took)


def _read_video(plain: dict[str, Any], root: str) -> Video:
    name = plain["video"]
    return Video(
        Path(root, name), name, plain.get("size_bytes", 0), plain.get("mtime_ns", 0), int(plain.get("position", 0))
    )


def read_log_name(plain: dict[str, Any]) -> str:
    """Where an outcome's log lies below its run's folder; nothing where that would lead out of the logs."""
    name = str(plain.get("log", ""))
    return name if name.startswith("logs/") and ".." not in name.split("/") else ""


def read_attempt(plain: dict[str, Any], lane_of: Callable[[int], Lane]) -> Attempt:
    """Read what :func:`attempt_to_plain` wrote; ``lane_of`` gives a lane by its index."""
    evidence = _known(Evidence, plain.get("evidence", {}))
    helpers = tuple(read_attempt({**item, "helpers": ()}, lane_of) for item in plain.get("helpers", ()))
    return _known(Attempt, {**plain, "lane": lane_of(plain["lane"]), "evidence": evidence, "helpers": helpers})


def read_lane(plain: dict[str, Any]) -> Lane:
    """Read what :func:`lane_to_plain` wrote."""
    threads, spare = plain.get("threads", 1), bool(plain.get("spare"))
    return Lane(plain["index"], _known(Device, plain["device"]), threads, spare=spare)


def _known(kind: type[V], plain: dict[str, Any]) -> V:
    """Build a value from those entries that it has fields for."""
    names = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in plain.items() if name in names})


_DEFAULTS: dict[str, Any] = asdict(Evidence())
