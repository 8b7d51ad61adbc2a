"""What a run came to, read back out of its folder: its report where it wrote one, else its ledger.

A runner that was killed wrote no report. Its ledger says what had ended by then; what ran counts as interrupted,
and what waited as not started.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vidfleet.data import Attempt, Device, Evidence, Lane, Outcome, Probe, Summary, Video
from vidfleet.runner.events import (
    AttemptEnded,
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
from vidfleet.runner.lines import read_attempt, read_lane, read_log_name
from vidfleet.runner.reading import open_regular

if TYPE_CHECKING:
    from vidfleet.data import Task
    from vidfleet.runner.ledger import RunFolder

REPORT_NAME = "report.json"
RUNNING = "running"
"""The kind of an attempt that has not ended, in a run that goes on."""
KILLED = "interrupted"
"""The kind of an attempt whose runner was killed."""


@dataclass(frozen=True, slots=True)
class Story:
    """A run, and how it was found."""

    summary: Summary
    root: str
    workload: str
    standing: Literal["ended", "running", "killed"] = "ended"
    """``killed``: its runner is gone, and never said that it was through."""
    unnamed: int = 0
    """Videos that were up to date and that nothing names: a ledger only counts them."""


def read_story(run: RunFolder) -> Story:
    """Read a run's report, or its ledger where there is no report that can be read.

    Raises OSError where there is neither.
    """
    try:
        return _from_report(json.loads(_whole(run.path / REPORT_NAME)), run.path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return _Telling(run).story()


def _whole(path: Path) -> bytes:
    with open_regular(path) as file:
        return file.read()


def _from_report(plain: dict[str, Any], folder: Path) -> Story:
    lanes = tuple(read_lane(item) for item in plain["lanes"])
    by_index = {lane.index: lane for lane in lanes}
    root = Path(plain["root"])
    summary = Summary(
        outcomes=tuple(_outcome(item, root, place, by_index) for place, item in enumerate(plain["videos"])),
        run_folder=folder,
        started_at=float(plain["started_at"]),
        ended_at=float(plain["ended_at"]),
        lanes=lanes,
        stopped_by=plain.get("stopped_by", ""),
        signal=int(plain.get("signal", 0)),
        notices=tuple(map(str, plain.get("notices", ()))),
        foretold_s=None if plain.get("foretold_s") is None else float(plain["foretold_s"]),
    )
    unnamed = int(plain.get("unnamed_up_to_date", 0))
    return Story(summary, plain["root"], plain["workload"], plain.get("standing", "ended"), unnamed)


def _outcome(plain: dict[str, Any], root: Path, place: int, lanes: dict[int, Lane]) -> Outcome:
    name, length_s = plain["video"], plain.get("duration_s")
    return Outcome(
        video=Video(root / name, name, 0, 0, place),
        state=plain["state"],
        kind=plain.get("kind", ""),
        reason=plain.get("reason", ""),
        attempts=tuple(read_attempt(item, partial(_lane, lanes)) for item in plain.get("attempts", ())),
        probe=None if length_s is None else Probe(float(length_s), 1, 0, 0, ""),
        log=read_log_name(plain),
    )


def _lane(lanes: dict[int, Lane], index: int) -> Lane:
    """A lane, also one that the report does not describe."""
    return lanes.get(index) or Lane(index, Device("cpu", ""), 1)


class _Telling:
    """Follows a ledger from its first line to its last."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._started: RunStarted | None = None
        self._started_at = self._last_at = 0.0
        self._ended: RunEnded | None = None
        self._joined: dict[int, Lane] = {}
        self._notices: list[str] = []
        self._outcomes: dict[str, Outcome] = {}
        self._attempts: dict[str, list[Attempt]] = defaultdict(list)
        self._under_way: dict[str, tuple[AttemptStarted, float]] = {}
        self._helping: dict[str, dict[int, tuple[HelpStarted, float]]] = defaultdict(dict)
        """For the attempt under way, by the video's name and the lane's index."""
        self._helped: dict[str, list[Attempt]] = defaultdict(list)
        from vidfleet.runner.slurm.outside import told

        for at, event in told(run):
            self._last_at = at
            self._take(event, at)

    def _take(self, event: Event, at: float) -> None:
        match event:
            case RunStarted():
                self._started, self._started_at = event, at
            case Notice(text):
                self._notices.append(text)
            case AttemptStarted() | AttemptEnded() | HelpStarted() | HelpEnded():
                self._take_attempt(event, at)
            case LaneJoined(lane):
                self._joined[lane.index] = lane
            case LaneLost(_, reason) | LaneOut(_, reason) if reason:  # else it ends what it runs
                self._lose(event.lane)
            case VideoEnded(_, outcome):
                self._outcomes[outcome.video.relative] = outcome
            case RunEnded():
                self._ended = event

    def _take_attempt(self, event: AttemptStarted | AttemptEnded | HelpStarted | HelpEnded, at: float) -> None:
        name = event.task.video.relative
        match event:
            case AttemptStarted():
                self._under_way[name] = (event, at)
            case AttemptEnded(_, attempt):
                for known in (self._under_way, self._helping, self._helped):
                    known.pop(name, None)
                self._attempts[name].append(attempt)
            case HelpStarted(_, lane):
                self._helping[name][lane.index] = event, at
            case HelpEnded(_, helper):
                self._helping[name].pop(helper.lane.index, None)
                self._helped[name].append(helper)

    def _lose(self, lane: Lane) -> None:
        for name in [name for name, (begun, _) in self._under_way.items() if begun.lane.index == lane.index]:
            del self._under_way[name]

    def story(self) -> Story:
        """All of it; raises OSError where the ledger does not even say that the run began."""
        started = self._started
        if started is None:
            raise OSError(f"{self._run.ledger} does not tell of any run")
        standing: Literal["ended", "running", "killed"] = "ended"
        if self._ended is None:
            standing = "running" if self._run.is_running() else "killed"
        settled = [outcome for outcome in started.settled if outcome.video.relative]
        outcomes = [*settled, *(self._outcome(task, standing) for task in started.tasks)]
        attempts = [attempt for outcome in outcomes for attempt in outcome.attempts]
        used = {item.lane.index for attempt in attempts for item in (attempt, *attempt.helpers)}
        lanes = tuple(lane for lane in (*started.lanes, *self._joined.values()) if not lane.spare or lane.index in used)
        summary = Summary(
            tuple(outcomes), self._run.path, self._started_at, self._last_at, lanes,
            stopped_by=self._ended.stopped_by if self._ended else "",  # type: ignore[arg-type]
            notices=tuple(self._notices),
        )  # fmt: skip
        return Story(summary, started.root, started.workload, standing, len(started.settled) - len(settled))

    def _outcome(self, task: Task, standing: str) -> Outcome:
        name = task.video.relative
        if name in self._outcomes:
            return self._outcomes[name]
        attempts = tuple(self._attempts[name])
        log = str(self._run.log_path(task.video).relative_to(self._run.path))
        if name not in self._under_way:
            why = "its turn has not come yet" if standing == "running" else "the run ended before its turn"
            return Outcome(task.video, "not_started", "", why, attempts, task.probe, log if attempts else "")
        kind, reason = (RUNNING, "it is running") if standing == "running" else (KILLED, "its runner was killed")
        begun, at = self._under_way[name]
        last = Attempt(begun.number, begun.lane, "", at, max(self._last_at, at), kind, reason, Evidence())
        helping = (
            replace(last, lane=lane_at[0].lane, started_at=lane_at[1]) for lane_at in self._helping[name].values()
        )
        last = replace(last, helpers=(*self._helped[name], *helping))
        return Outcome(task.video, "interrupted", kind if kind == RUNNING else "", reason, (*attempts, last),
                       task.probe, log)  # fmt: skip


def with_now(story: Story, now: float) -> Story:
    """The same with attempts that still run drawn up to ``now``; another story is returned as it is."""
    if story.standing != "running":
        return story
    outcomes = tuple(
        replace(outcome, attempts=(*outcome.attempts[:-1], _until(outcome.attempts[-1], now)))
        if outcome.kind == RUNNING
        else outcome
        for outcome in story.summary.outcomes
    )
    return replace(story, summary=replace(story.summary, outcomes=outcomes, ended_at=now))


def _until(attempt: Attempt, now: float) -> Attempt:
    """What still runs, with what still helps it, up to ``now``."""
    helpers = (replace(item, ended_at=now) if item.kind == RUNNING else item for item in attempt.helpers)
    return replace(attempt, ended_at=now, helpers=tuple(helpers))
