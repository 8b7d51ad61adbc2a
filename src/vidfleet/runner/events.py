"""What happens in a run, as values: the ledger writes them down, the display shows them."""

from __future__ import annotations

from dataclasses import dataclass

from vidfleet.data import Attempt, Lane, Outcome, Task
from vidfleet.runner.order.timing import Known


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Lanes are up; these tasks wait."""

    root: str
    workload: str
    lanes: tuple[Lane, ...]
    tasks: tuple[Task, ...]
    settled: tuple[Outcome, ...]
    """Videos that end without an attempt: up to date, blocked, unreadable."""
    known: tuple[Known, ...] = ()
    """What earlier runs have shown of how long videos take."""
    schedule: str = "longest"
    """Of ``--schedule``: the order in which ``tasks`` stand, and whether each has a lane of its own."""


@dataclass(frozen=True, slots=True)
class AttemptStarted:
    """A lane has begun a video."""

    task: Task
    lane: Lane
    number: int


@dataclass(frozen=True, slots=True)
class AttemptProgress:
    """A workload says how far it is."""

    task: Task
    lane: Lane
    stage: str
    share_done: float
    """0..1 of the whole video; negative where the workload does not know."""


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """A lane is free again."""

    task: Task
    attempt: Attempt
    will_retry: bool


@dataclass(frozen=True, slots=True)
class HelpStarted:
    """A lane that has nothing else to do helps a video that runs on another."""

    task: Task
    lane: Lane


@dataclass(frozen=True, slots=True)
class HelpEnded:
    """It is free again. The same stands in ``helpers`` of the attempt that it helped, once that has ended."""

    task: Task
    help: Attempt


@dataclass(frozen=True, slots=True)
class VideoEnded:
    """A video has its outcome."""

    task: Task
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class LaneLost:
    """A lane's worker died; it is started again."""

    lane: Lane
    reason: str


@dataclass(frozen=True, slots=True)
class LaneOut:
    """A lane gets no more videos in this run."""

    lane: Lane
    reason: str = ""
    """Why it is no more, where its machine was lost or taken away; empty where it fails while others succeed."""


THROUGH = "through"
"""The reason of a lane that is no more as its machine has nothing more to do: no news."""


@dataclass(frozen=True, slots=True)
class LaneJoined:
    """A lane is there that was not when the run began."""

    lane: Lane


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the user: a fallback, a warning."""

    text: str


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Nothing runs any more."""

    seconds: float
    stopped_by: str


Event = (
    RunStarted
    | AttemptStarted
    | AttemptProgress
    | AttemptEnded
    | HelpStarted
    | HelpEnded
    | VideoEnded
    | LaneLost
    | LaneOut
    | LaneJoined
    | Notice
    | RunEnded
)
