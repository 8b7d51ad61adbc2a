"""The next videos in line, made ready while others run: looked at again, claimed, staged.

So a lane that becomes free has its next video at once. What is on deck is ours, as what runs is: it is given back when
the run ends early, and its claim is a dead runner's when we are killed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from vidfleet.data import Outcome
from vidfleet.errors import ClaimedError, OccupiedError, SetupError, UsageError
from vidfleet.runner import stage as staging
from vidfleet.runner.begin import begin, begun_with
from vidfleet.runner.finish import is_disk_full, publish_whole_stage
from vidfleet.runner.order.queue import Case
from vidfleet.runner.plan import judge_target
from vidfleet.runner.publish import complete_publishing, is_half_published, leave_links
from vidfleet.runner.record import RECORD_NAME
from vidfleet.runner.text import said
from vidfleet.workloads.base import Description

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Stage, Video
    from vidfleet.runner.claims import Claims
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Workload


@dataclass(frozen=True, slots=True)
class Staged:
    """A case that is claimed, and whose stage is as its attempt is to find it."""

    case: Case
    described: Description
    """What the workload was when it was made ready."""
    target: tuple[int, int]
    """The stamp of what stood in the place of its output then."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A case that gets no attempt: it is done already, or cannot be run."""

    outcome: Outcome
    stops: Literal["", "setup", "disk_full"] = ""
    """No other video could do better."""


class Deck:
    """Makes cases ready: at their turn, or ahead of it."""

    def __init__(self, workload: Workload, description: Description, settings: RunSettings, claims: Claims) -> None:
        self._workload = workload
        self._described = description
        self._seen_files = _stamps(description)
        self._settings = settings
        self._claims = claims
        self._ahead: dict[int, Staged | None] = {}
        """By position. Nothing: it was looked at, and is made ready at its turn."""
        self._ready = 0

    @property
    def described(self) -> Description:
        """What the workload is now, as far as we have looked."""
        return self._described

    def __len__(self) -> int:
        """How many have been looked at ahead of their turn."""
        return len(self._ahead)

    def __contains__(self, case: Case) -> bool:
        """Whether a case has been looked at ahead of its turn."""
        return case.task.video.position in self._ahead

    @property
    def ready(self) -> int:
        """How many are ready."""
        return self._ready

    # ---- ahead of their turn

    def pass_over(self, case: Case) -> None:
        """Leave a case to its turn."""
        self._ahead[case.task.video.position] = None

    def put(self, case: Case) -> None:
        """Make a case ready ahead of its turn. Where it cannot be, its turn will show why, and nothing is said now."""
        made = self.make_ready(case)
        self._ahead[case.task.video.position] = made if isinstance(made, Staged) else None
        self._ready += isinstance(made, Staged)

    def take(self, case: Case) -> Staged | Settled:
        """Have a case whose turn has come: as it was made ready, unless something has changed since."""
        made = self._ahead.pop(case.task.video.position, None)
        if made is not None:
            self._ready -= 1
            if self._is_as_it_was(made):
                return made
            self._give_back(case)
        return self.make_ready(case)

    def clear(self) -> None:
        """Give back all that is ready; their turn will not come."""
        for made in self._ahead.values():
            if made is not None:
                self._give_back(made.case)
        self._ahead.clear()
        self._ready = 0

    def _is_as_it_was(self, made: Staged) -> bool:
        """Hours may have passed: the video, the workload, the stage, and whether it is still ours."""
        task = made.case.task
        try:
            self._describe_again()
            status = os.stat(task.video.path)
            os.lstat(f"{task.stage.folder}/{task.stage.entry_name}")
        except (SetupError, UsageError, OSError):  # to be said when it is made ready again
            return False
        same = (status.st_size, status.st_mtime_ns) == (task.video.size_bytes, task.video.mtime_ns)
        same = same and made.target == _stamp(task.stage.target)  # somebody's folder would stop it at its end only
        return same and made.described is self._described and self._claims.still_ours(task.stage)

    def _give_back(self, case: Case) -> None:
        """As if nobody had touched it; what earlier attempts have left to go on from stays."""
        task = case.task
        if self._claims.still_ours(task.stage):
            with contextlib.suppress(OSError):
                if not (self._described.traits.resumable and _holds_work(task.stage)):
                    begun_with(task.stage).unlink(missing_ok=True)
                    staging.empty(task.stage.folder)
                    if os.path.lexists(task.stage.target / RECORD_NAME):
                        leave_links(task.stage, task.video)
                    else:
                        os.rmdir(task.stage.folder)
        self._claims.release(task.stage)

    # ---- at its turn

    def make_ready(self, case: Case) -> Staged | Settled:
        """Look again, claim and stage."""
        trouble = _look_again(case)
        if trouble:
            return Settled(_failed(case, "bad_input", trouble))
        try:
            self._claims.take(case.task.stage)
            outcome = self._done_already(case)
            if outcome:
                self._claims.release(case.task.stage)
                return Settled(outcome)
            begin(case.task, self._described, self._settings)
        except (ClaimedError, OccupiedError, SetupError, UsageError, OSError) as error:
            return self.give_up(case, error)
        return Staged(case, self._described, _stamp(case.task.stage.target))

    def give_up(self, case: Case, error: Exception) -> Settled:
        """What follows when a case cannot be begun for this reason; half a copy must not fill the disk for others."""
        self._give_back(case)
        if isinstance(error, ClaimedError):
            return Settled(_blocked(case, "claimed", str(error)))
        if isinstance(error, OccupiedError):
            return Settled(_blocked(case, "foreign", str(error)))
        if isinstance(error, OSError):
            reason = f"its stage cannot be made ({said(error)})"
            if is_disk_full(error):
                return Settled(_failed(case, "disk_full", reason), "disk_full")
            return Settled(_failed(case, "error", reason))
        return Settled(_failed(case, "setup", str(error)), "setup")  # the script is gone, or no longer what it was

    def _done_already(self, case: Case) -> Outcome | None:
        """Look once more, now that the video is ours: another runner, or a killed one, may have done it."""
        task = case.task
        self._describe_again()
        if is_half_published(task.stage):
            complete_publishing(task.stage)
        verdict = judge_target(task.video, task.stage, self._described, self._settings)
        if verdict.kind:
            return _blocked(case, verdict.kind, verdict.reason)
        if not verdict.must_run or publish_whole_stage(task, self._described, self._settings):
            return Outcome(task.video, "up_to_date", probe=task.probe)
        return None

    def _describe_again(self) -> None:
        """Hash the script again where one of its files has changed since."""
        stamps = _stamps(self._described)
        if stamps != self._seen_files:
            self._described = self._workload.describe(self._described.root)
            self._seen_files = _stamps(self._described)


def _look_again(case: Case) -> str:
    """Hours may have passed since the video was found: why it cannot be run any more, where it cannot."""
    video = case.task.video
    try:
        status = os.stat(video.path)
    except OSError:
        return "it was there when the run began, and is no longer"
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return "it was a video when the run began, and is empty now"
    if (status.st_size, status.st_mtime_ns) != (video.size_bytes, video.mtime_ns):
        now = replace(video, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)
        case.task = replace(case.task, video=now)
    return ""


def _holds_work(stage: Stage) -> bool:
    """Whether there is more in a stage than what is put there before an attempt: the video, and an empty folder."""
    names = set(os.listdir(stage.folder)) - {stage.entry_name}
    return bool(names - {stage.output_at.rpartition("/")[2]}) or (bool(names) and bool(os.listdir(stage.output_at)))


def _failed(case: Case, kind: str, reason: str) -> Outcome:
    return Outcome(case.task.video, "failed", kind, reason, probe=case.task.probe)


def _blocked(case: Case, kind: str, reason: str) -> Outcome:
    return Outcome(case.task.video, "blocked", kind, reason, probe=case.task.probe)


def _stamps(description: Description) -> list[tuple[int, int]]:
    return [_stamp(path) for path in description.files]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def is_worth_reading_ahead(video: Video) -> bool:
    """Small files are read in one go when they are opened."""
    return video.size_bytes >= 1 << 20
