"""How many attempts have room at a time: on a GPU (``packing``), in this machine's memory (``headroom``).

What was found lies in ``.vidfleet/room.json``, by workload, for the next run. Nothing in it is believed that could not
be: without it, all is found out again.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vidfleet.runner.reading import read_json
from vidfleet.runner.room.headroom import Headroom, grace_s
from vidfleet.runner.room.packing import Found, Packing
from vidfleet.runner.writing import write_whole
from vidfleet.worker.process import thread_variables
from vidfleet.workloads.base import Call

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vidfleet.data import Attempt, Lane
    from vidfleet.runner.order.queue import Running
    from vidfleet.settings import RunSettings
    from vidfleet.workloads.base import Description, Launch

_NAME = "room.json"
_BETWEEN_LOOKS_S = 2.0
_SCHEMA = 1
_MOST_WORKLOADS = 50
_MOST_AT_ONCE = 1024
_MOST_BYTES = 1 << 50


@dataclass(frozen=True, slots=True)
class Kept:
    """What earlier runs of a workload have found."""

    peak_bytes: int
    """The most of this machine's memory that one attempt held; 0: not known."""
    gpus: Mapping[str, Found]
    """By kind of GPU."""


class Room:
    """The gate that every attempt goes through."""

    def __init__(
        self, lanes: Sequence[Lane], settings: RunSettings, base: Path, description: Description,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._base, self._description, self._grace_s = base, description, settings.grace
        kept = read_kept(base, description)
        self._packing = Packing(lanes, say, kept.gpus)
        is_here = not any(lane.device.host for lane in lanes)  # other machines' memory is not seen from here
        self._headroom = Headroom(settings.memfree if is_here else "0", kept.peak_bytes, say)
        self._kept = kept
        self._next_look_at_gpus = 0.0 if any(lane.spare for lane in lanes) else math.inf
        self._stay: set[int] = set()
        """Lanes whose workload stays loaded."""

    @property
    def next_look(self) -> float:
        """When to call :meth:`look` at the latest, by the monotonic clock."""
        return min(self._headroom.next_look, self._next_look_at_gpus)

    @property
    def grace_s(self) -> float:
        """Between SIGTERM and SIGKILL of an attempt that gives way."""
        return grace_s(self._grace_s)

    def is_open(self, lane: Lane) -> bool:
        """Whether a lane gets videos at all, as things stand."""
        return self._packing.is_open(lane)

    def packs(self, lane: Lane) -> bool:
        """Whether it has to hear of a lane's end before the lane's next beginning."""
        return self._packing.packs(lane)

    def may_begin(self, lane: Lane, running: int) -> bool:
        """Whether a lane may begin a video beside so many that run anywhere."""
        return self._packing.may_begin(lane) and self._headroom.may_begin(running)

    def bears(self, running: int) -> bool:
        """Whether the machine's memory is known to be enough for so many at a time."""
        return self._headroom.bears(running)

    def variables(self, lane: Lane) -> tuple[tuple[str, str], ...]:
        """The share of the cores as environment variables, where it is not the lane's own."""
        share = self._packing.share(lane)
        return thread_variables(max(1, lane.threads // share)) if share > 1 or lane.spare else ()

    def began(self, running: Running, launch: Launch) -> None:
        """An attempt has begun, or help for one."""
        if isinstance(launch, Call) or launch.warm:
            self._stay.add(running.lane.index)
        self._packing.began(running.lane, running.case.task)

    def look(self, running: Sequence[Running]) -> Running | None:
        """See how things stand; the attempt that has to give way, where there is one."""
        now = time.monotonic()
        if now >= self._next_look_at_gpus:
            self._next_look_at_gpus = now + _BETWEEN_LOOKS_S if self._packing.look() else math.inf
        return self._headroom.look(running) if now >= self._headroom.next_look else None

    def ended(self, name: str, attempt: Attempt, running: int) -> bool:
        """An attempt, or help, has ended beside so many others; True where it failed for the company that it had."""
        self._headroom.ended(name, attempt, running)
        return self._packing.ended(attempt, stays=attempt.lane.index in self._stay)

    def keep(self) -> None:
        """Write down for the next run what was found; where it cannot be written, it is found out again."""
        found = {**self._kept.gpus, **self._packing.found()}
        _write(self._base, self._description, Kept(self._headroom.peak_bytes, found))


def read_kept(base: Path, description: Description) -> Kept:
    """What is known of a workload; nothing where it has changed since, or the file is none of ours."""
    mine = _read(base).get(description.name)
    try:
        if mine is None or mine["fingerprint"] != description.fingerprint:
            return Kept(0, {})
        gpus = {str(name): _found(plain) for name, plain in mine["gpus"].items()}
        return Kept(_number(mine["peak_bytes"], 0, _MOST_BYTES), gpus)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return Kept(0, {})


def _found(plain: Any) -> Found:  # noqa: ANN401 - whatever stands there
    at_once = _number(plain["at_once"], 1, _MOST_AT_ONCE)
    gain = float(plain["gain"])
    if not 0 < gain <= _MOST_AT_ONCE:
        raise ValueError(f"no gain: {gain}")
    return Found(at_once, gain, _number(plain["peak_bytes"], 0, _MOST_BYTES), plain.get("settled") is not False)


def _number(value: Any, least: int, most: int) -> int:  # noqa: ANN401
    if not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"no number from {least} to {most}: {value!r}")
    return value


def _write(base: Path, description: Description, kept: Kept) -> None:
    if not kept.peak_bytes and not kept.gpus:
        return
    known = {name: plain for name, plain in _read(base).items() if name != description.name}
    gpus = {name: asdict(found) for name, found in kept.gpus.items()}
    known[description.name] = {"fingerprint": description.fingerprint, "peak_bytes": kept.peak_bytes, "gpus": gpus}
    workloads = dict([*known.items()][-_MOST_WORKLOADS:])
    with contextlib.suppress(OSError):
        write_whole(base / ".vidfleet" / _NAME, json.dumps({"schema": _SCHEMA, "workloads": workloads}) + "\n")


def _read(base: Path) -> dict[str, Any]:
    try:
        plain = read_json(base / ".vidfleet" / _NAME)["workloads"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return plain if isinstance(plain, dict) else {}
