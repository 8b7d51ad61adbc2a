"""Where lanes are. An executor starts attempts and tells how they ended; it decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

from vidfleet.data import Lane
from vidfleet.errors import UsageError
from vidfleet.worker.messages import Failed, Finished, Progress, Ready

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.worker.messages import Start


@dataclass(frozen=True, slots=True)
class Lost:
    """A lane's worker has died, and all that it ran; the lane has a new worker."""

    attempt: str
    """The attempt that ended with it; empty where none ran."""
    reason: str


@dataclass(frozen=True, slots=True)
class LaneEvent:
    """What a lane has to say."""

    lane: Lane
    message: Ready | Progress | Finished | Failed | Lost


class Executor(Protocol):
    """Lanes somewhere."""

    def open(self, lanes: Sequence[Lane], mark: str) -> None:
        """Start the lanes' workers; everything below them carries ``mark`` in its environment.

        A spare lane may have none before its first attempt.
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

    def wait(self, timeout_s: float | None) -> list[LaneEvent]:
        """What happened; may return early, with nothing, and does so after :meth:`wake`."""
        ...

    def wake(self) -> None:
        """Make :meth:`wait` return; may be called from a signal handler."""
        ...

    def close(self) -> None:
        """End all lanes and everything in them; returns when nothing is left."""
        ...


def make_executor(name: str) -> Executor:
    """An executor by its name: a built-in one, or one of the entry points ``vidfleet.executors``."""
    if name == "local":  # first: to look for others takes 15 ms
        from vidfleet.executors.local import LocalExecutor

        return LocalExecutor()
    known = {point.name: point for point in entry_points(group="vidfleet.executors")}
    if name not in known:
        raise UsageError(f"there is no executor {name!r}; there are: {', '.join(sorted({'local', *known}))}")
    made: Executor = known[name].load()()
    return made
