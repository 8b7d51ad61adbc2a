"""Where lanes are. An executor starts attempts and tells how they ended; it decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from vidfleet.data import Lane
from vidfleet.errors import UsageError
from vidfleet.worker.messages import Failed, Finished, Progress, Ready

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.settings import RunSettings
    from vidfleet.worker.lanes import Lanes
    from vidfleet.worker.messages import Start

_BUILT_IN = ("local", "ray", "slurm")


@dataclass(frozen=True, slots=True)
class Lost:
    """A lane's worker has died, and all that it ran; the lane has a new worker."""

    attempt: str
    """The attempt that ended with it; empty where none ran."""
    reason: str


@dataclass(frozen=True, slots=True)
class Joined:
    """A lane is there that was not before: a machine has come, or was taken by others."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A lane is no more, with all that it ran: its machine was lost or taken away."""

    attempt: str
    """The attempt that ended with it; empty where none ran."""
    reason: str


@dataclass(frozen=True, slots=True)
class LaneEvent:
    """What a lane has to say."""

    lane: Lane
    message: Ready | Progress | Finished | Failed | Lost | Joined | Gone


@dataclass(frozen=True, slots=True)
class Told:
    """Something about the machines that a person should know."""

    text: str
    is_last: bool = False
    """No lane is left, and none will come: the run is over."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What lanes on other machines have to see as this one does, under the same paths."""

    root: Path
    """Where the videos are."""
    base: Path
    """Where the run's folder and the outputs lie."""
    token: Path
    """A file of this run, just written."""
    text: bytes
    """What stands in it, and in no other."""
    videos: tuple[tuple[Path, int], ...]
    """Some videos, with their sizes in bytes."""
    files: tuple[Path, ...] = ()
    """What is run on them: a script, and the files that its arguments name."""


class Executor(Protocol):
    """Lanes somewhere."""

    def lanes(self, settings: RunSettings) -> Lanes:
        """The lanes that there can be; nothing is started for it. Raises UsageError where it can't be as asked for."""
        ...

    def open(self, lanes: Sequence[Lane], mark: str, ground: Ground) -> tuple[Lane, ...]:
        """Start the workers of all or some of the lanes; those that may have attempts now.

        Everything below them carries ``mark`` in its environment. A spare lane may have no worker before its first
        attempt. Others may be told of as :class:`Joined` later. Raises SetupError where none can see ``ground``.
        """
        ...

    def start(self, lane: Lane, start: Start) -> None:
        """Begin an attempt on an idle lane."""
        ...

    def read_ahead(self, lane: Lane, path: str) -> None:
        """Have the ends of a video that comes soon read where ``lane`` is; a hint, of which nothing may fail."""
        ...

    def cancel(self, lane: Lane, grace_s: float) -> None:
        """Ask the lane's attempt to end: SIGTERM, then SIGKILL after ``grace_s``."""
        ...

    def pause(self, lane: Lane) -> None:
        """Stop the lane's attempt (SIGSTOP)."""
        ...

    def resume(self, lane: Lane) -> None:
        """Let the lane's attempt go on (SIGCONT)."""
        ...

    def wait(self, timeout_s: float | None) -> Sequence[LaneEvent | Told]:
        """What happened; may return early, with nothing, and does so after :meth:`wake`."""
        ...

    def wake(self) -> None:
        """Make :meth:`wait` return; may be called from a signal handler."""
        ...

    def close(self) -> None:
        """End all lanes and everything in them; returns when nothing is left."""
        ...


def check_machines(settings: RunSettings) -> None:
    """Raise UsageError where an option is given that another executor than the chosen one would heed."""
    for option, executor in (("address", "ray"), ("slurm", "slurm"), ("detach", "slurm")):
        if getattr(settings, option) and settings.executor in _BUILT_IN and settings.executor != executor:
            raise UsageError(f"--{option} is for --executor {executor}, and this is --executor {settings.executor}")


def make_executor(settings: RunSettings) -> Executor:
    """An executor by its name: a built-in one, or one of the entry points ``vidfleet.executors``."""
    name = settings.executor
    if name == "local":  # first: to look for others takes 15 ms
        from vidfleet.executors.local import LocalExecutor

        return LocalExecutor()
    if name == "ray":
        from vidfleet.executors.ray.executor import RayExecutor

        return RayExecutor(settings.address)
    known = {point.name: point for point in entry_points(group="vidfleet.executors")}
    if name not in known:
        raise UsageError(f"there is no executor {name!r}; there are: {', '.join(sorted({*_BUILT_IN, *known}))}")
    made: Executor = known[name].load()()
    return made
