"""How fast a workload goes: learnt in earlier runs over a root, so that a plan can say how long the next will take.

What is known lies in ``.vidfleet/learnt.json``: by workload and by what the lanes compute on, the cost of the videos
that were done (see ``Probe.cost``) and the seconds that they took. Nothing depends on it but what people are told.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from vidfleet.runner.failures import DONE
from vidfleet.runner.reading import read_json
from vidfleet.runner.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from vidfleet.data import Lane, Outcome

_NAME = "learnt.json"
_SCHEMA = 1
_MOST_WORKLOADS = 50
_KEPT_SHARE = 0.5
_MOST = 1e18
"""More than any fleet costs, and still a number that can be rounded, added and divided."""
"""What earlier runs have taken counts half as much after each new one."""


def expected_rate(base: Path, workload: str, lanes: Sequence[Lane]) -> float:
    """Cost per second of one lane, on average over ``lanes``; 0 where nothing is known."""
    known = _read(base).get(workload, {})
    rates = []
    for lane in lanes:
        with contextlib.suppress(KeyError, ZeroDivisionError):
            there = known[_device(lane)]
            rates.append(there["cost"] / there["seconds"])
    return sum(rates) / len(rates) if rates else 0.0


def remember_rates(base: Path, workload: str, outcomes: Iterable[Outcome]) -> None:
    """Add what the done videos of a run have taken; where it cannot be written, it is not known next time."""
    cost, seconds = defaultdict[str, float](float), defaultdict[str, float](float)
    for outcome in outcomes:
        last = outcome.attempts[-1] if outcome.attempts else None
        if last is not None and last.kind == DONE and outcome.probe and last.seconds > 0:  # clocks are set back
            cost[_device(last.lane)] += outcome.probe.cost
            seconds[_device(last.lane)] += last.seconds
    if not cost:
        return
    known = _read(base)
    mine = known.pop(workload, {})
    for device in cost:
        old = mine.get(device, {})
        mine[device] = {
            "cost": round(cost[device] + _KEPT_SHARE * old.get("cost", 0.0)),
            "seconds": round(seconds[device] + _KEPT_SHARE * old.get("seconds", 0.0), 3),
        }
    known = dict([*known.items(), (workload, mine)][-_MOST_WORKLOADS:])
    with contextlib.suppress(OSError):
        write_whole(base / ".vidfleet" / _NAME, json.dumps({"schema": _SCHEMA, "workloads": known}) + "\n")


def _device(lane: Lane) -> str:
    return lane.device.name or lane.device.kind


def _read(base: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Workload → device → cost and seconds; nothing where the file is none of ours."""
    try:
        plain = read_json(base / ".vidfleet" / _NAME)["workloads"]
        return {
            str(name): {
                str(device): {"cost": _amount(took["cost"]), "seconds": _amount(took["seconds"])}
                for device, took in devices.items()
            }
            for name, devices in plain.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return {}


def _amount(value: Any) -> float:  # noqa: ANN401 - whatever stands there
    amount = float(value)
    if not 0 <= amount < _MOST:
        raise ValueError(f"no amount: {value}")
    return amount
