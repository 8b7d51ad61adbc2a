"""What a runner and a lane's worker say to each other: one JSON object a line, nothing pickled.

::

    runner → worker    start, cancel, pause, resume, prefetch; closing the pipe ends the worker and all that it started
    worker → runner    ready, progress, heartbeat, finished, failed

Names that are not UTF-8 travel as escaped surrogates, which JSON keeps.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from vidfleet.data import Evidence
from vidfleet.workloads.base import Call, Launch, Program, Step, Warm


@dataclass(frozen=True, slots=True)
class Start:
    """Begin an attempt."""

    attempt: str
    """A name that comes back with everything about this attempt."""
    launch: Launch
    log: str
    """The file that its output is appended to."""
    timeout_s: float | None
    grace_s: float
    """Between SIGTERM and SIGKILL when the time limit is reached."""
    stall_s: float | None = None
    """The attempt is ended after so long without output and processor time."""
    memory_back_s: float | None = None
    """The attempt has its GPU for itself: wait so long until its memory is free again afterwards."""
    watches_gpu: bool = False
    """Its lane's GPU is one that its driver knows: see how much of its memory the attempt holds."""
    cores: tuple[int, ...] = ()
    """The cores that it keeps to; any where there are none."""
    variables: tuple[tuple[str, str], ...] = ()
    """Set on top of the lane's environment: a share of the cores that is not the lane's usual one."""
    heartbeat_s: float = 10.0
    """Say :class:`Heartbeat` so often until the attempt has ended."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the running attempt: SIGTERM, then SIGKILL after ``grace_s``."""

    grace_s: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop the running attempt until :class:`Resume`; the time between counts for no limit."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Let it go on."""


@dataclass(frozen=True, slots=True)
class Prefetch:
    """Have the kernel read the ends of a file, of a video that comes soon; nothing is answered."""

    path: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker is bound to its device and waits."""

    pid: int
    host: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the attempt is."""

    attempt: str
    stage: str
    share_done: float


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The worker itself is well, whatever its attempt does."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The attempt exited with status 0 and nothing of it is left."""

    attempt: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt ended in any other way and nothing of it is left."""

    attempt: str
    evidence: Evidence


Message = Start | Cancel | Pause | Resume | Prefetch | Ready | Progress | Heartbeat | Finished | Failed

_TYPES: dict[str, type[Message]] = {
    "start": Start,
    "cancel": Cancel,
    "pause": Pause,
    "resume": Resume,
    "prefetch": Prefetch,
    "ready": Ready,
    "progress": Progress,
    "heartbeat": Heartbeat,
    "finished": Finished,
    "failed": Failed,
}


def encode(message: Message) -> bytes:
    """One line of JSON, with its newline."""
    plain = {"type": type(message).__name__.lower(), **_fields(message)}
    return _to_json(plain).encode("ascii") + b"\n"


def _fields(value: Message | Launch | Evidence | Warm | Step) -> dict[str, object]:
    """What ``dataclasses.asdict`` gives, without copying each part of it."""
    return {name: getattr(value, name) for name in value.__slots__}


_to_json = json.JSONEncoder(separators=(",", ":"), default=_fields).encode


def decode(line: bytes) -> Message:
    """Read one line back; raises ValueError for anything that is no message."""
    try:
        plain = json.loads(line)
        kind = _TYPES[plain.pop("type")]
        if "launch" in plain:
            plain["launch"] = _launch(plain["launch"])
        if "evidence" in plain:
            plain["evidence"] = Evidence(**plain["evidence"])
        if "cores" in plain:
            plain["cores"] = tuple(plain["cores"])
        if "variables" in plain:
            plain["variables"] = tuple((name, value) for name, value in plain["variables"])
        return kind(**plain)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a message of the worker protocol: {line[:200]!r}") from error


def _launch(plain: dict[str, object]) -> Launch:
    listed = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
    if "argv" not in listed:
        return Call(**listed)  # type: ignore[arg-type]  # from our own encode; TypeError where it is not
    environment = listed.get("environment", ())
    listed["environment"] = tuple((name, value) for name, value in environment)  # type: ignore[attr-defined]
    if warm := listed.get("warm"):
        steps = tuple(Step(**step) for step in warm["steps"])  # type: ignore[index]
        listed["warm"] = Warm(steps, warm["is_named"])  # type: ignore[index]
    return Program(**listed)  # type: ignore[arg-type]


class LineBuffer:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Complete lines so far, without their newlines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line for line in lines if line.strip()]
