"""The elements' ledgers, as they grow: what they tell becomes part of the run's own story, each line once."""

from __future__ import annotations

import heapq
import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfleet.data import Lane
from vidfleet.runner.events import THROUGH, LaneJoined, LaneOut
from vidfleet.runner.ledger import LEDGER_NAME, Heard
from vidfleet.runner.lines import read_lane, to_plain
from vidfleet.runner.reading import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vidfleet.data import Attempt, Outcome
    from vidfleet.runner.events import Event
    from vidfleet.runner.lines import Reader
    from vidfleet.runner.slurm.place import ElementStart, Place

_BLOCK_BYTES = 1 << 20
_OFFSET_WORTH_S = 1.0
"""Clocks that differ by less are taken for one."""


@dataclass
class _Tail:
    """How far one ledger was read."""

    path: Path
    merged: int
    """Lines that are in the run's ledger already."""
    lanes: tuple[Lane, ...] = ()
    """As the run counts them; by the element's own index."""
    offset: int = 0
    line: int = 0
    rest: bytes = b""
    shift_s: float = 0.0
    """What is added to its times, so that they are ours."""
    ended: str | None = None
    """Why it stopped, once it has ended in order; empty where it was through."""

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """Whole lines that were written since."""
        try:
            with open_regular(self.path) as file:
                file.seek(self.offset)
                while block := file.read(_BLOCK_BYTES):
                    self.offset += len(block)
                    *lines, self.rest = (self.rest + block).split(b"\n")
                    for line in lines:
                        self.line += 1
                        yield _read(line)
        except OSError:  # not there yet, or the file server does not answer
            return


def _read(line: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


class Follower:
    """Reads all elements' ledgers and yields their events, with lanes as the run counts them."""

    def __init__(self, place: Place, reader: Reader) -> None:
        self._place, self._reader = place, reader
        self._tails: dict[str, _Tail] = {}
        self._merged: dict[str, int] = {}
        self._lanes: dict[str, tuple[Lane, ...]] = {}
        self._next_lane = 0
        self._here: dict[int, Lane] = {}
        self._gone: list[Lane] = []
        self._ahead_s = place.clock_ahead_s(place.path)

    def has_merged(self, plain: dict[str, Any], event: Event) -> None:
        """Take in a line of the run's own ledger, when it is read again from its beginning."""
        name = str(plain.get("element", ""))
        if name:
            self._merged[name] = max(int(plain.get("line", 0)), self._merged.get(name, 0))
        if isinstance(event, LaneJoined):
            lane = event.lane
            self._lanes[name] = (*self._lanes.get(name, ()), lane)
            self._here[lane.index] = lane
            self._next_lane = max(self._next_lane, lane.index + 1)
        elif isinstance(event, LaneOut) and event.reason:
            self.have_left([event.lane])

    def have_left(self, lanes: Iterable[Lane]) -> None:
        """Know of lanes that have gone: if their like come again on their node, they are taken for the same."""
        for lane in lanes:
            if self._here.pop(lane.index, None):
                self._gone.append(lane)

    def poll(self) -> list[tuple[ElementStart, Event, Heard]]:
        """What has happened since, in the order in which it has; what one element tells stays in its own order."""
        heard = [list(told) for _, told in itertools.groupby(self._poll(), key=lambda told: told[0])]
        return list(heapq.merge(*heard, key=lambda told: told[2].at))

    def _poll(self) -> Iterator[tuple[ElementStart, Event, Heard]]:
        for which in self._place.starts():
            tail = self._tails.get(which.name)
            if tail is None:
                tail = self._tails[which.name] = self._begin(which)
            elif tail.ended is not None:
                continue
            for plain in tail.new_lines():
                if tail.line <= tail.merged:
                    self._pass_over(tail, plain)
                    continue
                events = self._events(tail, plain)
                for place, event in enumerate(events, 1):
                    line = tail.line - (place < len(events))  # it is merged when the last of them is
                    yield which, event, Heard(_number(plain.get("at")), which.name, line)

    def ended(self, which: ElementStart) -> str | None:
        """Why a start of an element stopped; None where it has not ended in order."""
        tail = self._tails.get(which.name)
        return tail.ended if tail else None

    def attempts(self, name: str) -> tuple[Attempt, ...]:
        """All attempts at a video that have ended so far."""
        return self._reader.attempts(name)

    def lanes(self, which: ElementStart) -> tuple[Lane, ...]:
        """The lanes of one start of an element."""
        tail = self._tails.get(which.name)
        return tail.lanes if tail else ()

    def _begin(self, which: ElementStart) -> _Tail:
        folder, name = self._place.element(which), which.name
        shift_s = self._ahead_s - self._place.clock_ahead_s(folder)
        return _Tail(
            folder / LEDGER_NAME, self._merged.get(name, 0), self._lanes.get(name, ()),
            shift_s=shift_s if abs(shift_s) > _OFFSET_WORTH_S else 0.0,
        )  # fmt: skip

    def _pass_over(self, tail: _Tail, plain: dict[str, Any]) -> None:
        if plain.get("type") == "run_ended":
            tail.ended = str(plain.get("stopped_by", ""))

    def _events(self, tail: _Tail, plain: dict[str, Any]) -> list[Event]:
        for name in ("at", "started_at", "ended_at"):
            if name in plain:
                plain[name] = _number(plain[name]) + tail.shift_s
        match plain.get("type"):
            case "run_started":
                return self._join(tail, plain)
            case "run_ended":
                tail.ended = str(plain.get("stopped_by", ""))
                self.have_left(tail.lanes)
                why = "told to leave" if tail.ended == "interrupt" else THROUGH
                return [LaneOut(lane, why) for lane in tail.lanes]
        if "lane" in plain:
            index = plain["lane"]
            if not isinstance(index, int) or not 0 <= index < len(tail.lanes):
                return []
            plain["lane"] = tail.lanes[index].index
        event = self._reader.read(plain)
        return [event] if event else []

    def _numbered(self, lane: Lane) -> Lane:
        """The lane as the run counts it."""
        like = next((gone for gone in self._gone if replace(gone, index=lane.index) == lane), None)
        if like:
            self._gone.remove(like)
        else:
            like, self._next_lane = replace(lane, index=self._next_lane), self._next_lane + 1
        self._here[like.index] = like
        return like

    def _join(self, tail: _Tail, plain: dict[str, Any]) -> list[Event]:
        try:
            own = [read_lane(item) for item in plain["lanes"]]
        except (KeyError, TypeError, ValueError):
            return []
        tail.lanes = tuple(map(self._numbered, own))
        joined = [LaneJoined(lane) for lane in tail.lanes]
        for event in joined:
            self._reader.read(to_plain(event, 0.0))
        return list(joined)


def _number(value: Any) -> float:  # noqa: ANN401 - whatever stands there
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def is_final(outcome: Outcome) -> bool:
    """Whether what one element says of a video is the run's word: not where another has it, or it is to go on."""
    return outcome.state in ("done", "failed") or (outcome.state == "blocked" and outcome.kind != "claimed")
