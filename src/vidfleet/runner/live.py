"""How far each lane is just now: a small file in the run's folder, for those who look at the run from outside.

The ledger keeps a line every ten seconds, so as not to grow; this is written anew at most once a second, and only when
something has changed. It goes when the run ends.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vidfleet.runner.events import AttemptEnded, AttemptProgress, AttemptStarted, LaneLost, LaneOut
from vidfleet.runner.reading import read_json
from vidfleet.runner.writing import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.runner.events import Event

LIVE_NAME = "live.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class LaneNow:
    """What an attempt last said of itself."""

    lane: int
    video: str
    number: int
    """Which try it is."""
    stage: str
    share_done: float


class Live:
    """Keeps the file up to date; a disk that is full or slow to answer is no trouble of the run's."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LIVE_NAME
        self._numbers: dict[int, int] = {}
        self._lanes: dict[int, LaneNow] = {}
        self._has_changed = False

    def take(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case AttemptStarted(_, lane, number):
                self._numbers[lane.index] = number
            case AttemptProgress(task, lane, stage, share):
                number = self._numbers.get(lane.index, 1)
                self._lanes[lane.index] = LaneNow(lane.index, task.video.relative, number, stage, round(share, 4))
                self._has_changed = True
            case AttemptEnded(_, attempt):
                self._lanes.pop(attempt.lane.index, None)
            case LaneLost(lane):
                self._lanes.pop(lane.index, None)
            case LaneOut(lane, reason) if reason:
                self._lanes.pop(lane.index, None)

    def write(self) -> None:
        """Write the file, aside and then renamed, if there is something new in it."""
        if not self._has_changed:
            return
        self._has_changed = False
        lanes = [{name: getattr(now, name) for name in LaneNow.__slots__} for now in self._lanes.values()]
        with contextlib.suppress(OSError):
            write_whole(self._path, json.dumps({"schema": SCHEMA, "lanes": lanes}) + "\n")

    def close(self) -> None:
        """Take the file away."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def read_live(folder: Path) -> list[LaneNow]:
    """What the lanes of the run in ``folder`` last said; nothing where nobody has written it."""
    try:
        return [
            LaneNow(int(p["lane"]), str(p["video"]), int(p["number"]), str(p["stage"]), _share(p["share_done"]))
            for p in read_json(folder / LIVE_NAME)["lanes"]
        ]
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return []


def _share(value: Any) -> float:  # noqa: ANN401 - whatever stands there
    share = float(value)
    return min(share, 1.0) if share >= 0 else -1.0
