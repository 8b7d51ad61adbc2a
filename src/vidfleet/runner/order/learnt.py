"""How long a workload's videos took in earlier runs over a root: by it a run is ordered, and its end foretold.

What is known lies in ``.vidfleet/learnt.json``: by workload and by what the lanes compute on, how many videos of about
one cost were done (see ``Probe.cost``), what they cost together and how long they took. No result depends on it.
"""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from vidfleet.runner.failures import DONE
from vidfleet.runner.order.timing import Known, Sample, Tally
from vidfleet.runner.reading import read_json
from vidfleet.runner.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from vidfleet.data import Outcome

_NAME = "learnt.json"
_SCHEMA = 2
"""1: of each device only one cost and one number of seconds, which is read as one video."""
_MOST_WORKLOADS = 50
_MOST_DEVICES = 50
_MOST_SAMPLES = 500
_KEPT_SHARE = 0.5
"""What earlier runs have taken counts half as much after each new one."""
_FORGOTTEN = 0.01
"""A class of cost that counts for less than this share of a video is left out."""
_MOST = 1e21
"""More than any fleet costs, and still a number that can be squared, added and divided."""


def read_learnt(base: Path, workload: str) -> tuple[Known, ...]:
    """What earlier runs over ``base`` have shown of ``workload``; nothing where none has, or the file is not ours."""
    return _read(base).get(workload, ())


def remember(base: Path, workload: str, outcomes: Iterable[Outcome]) -> None:
    """Add what the done videos of a run have taken; where it cannot be written, it is not known next time."""
    took: dict[str, Tally] = {}
    for outcome in outcomes:
        last = outcome.attempts[-1] if outcome.attempts else None
        if last is not None and last.kind == DONE and outcome.probe and last.seconds > 0:  # clocks are set back
            tally = took.setdefault(last.lane.device.model, Tally())
            tally.add(Sample(1, outcome.probe.cost, last.lane_seconds))
    if not took:
        return
    learnt = _read(base)
    for known in learnt.pop(workload, ()):
        share = _KEPT_SHARE if known.device in took else 1.0  # of what had no lane this time, nothing newer is known
        tally = took.setdefault(known.device, Tally())
        for sample in known.samples:
            tally.add(Sample(share * sample.count, share * sample.cost, share * sample.seconds))
    mine = tuple(Known(device, _worth_keeping(tally)) for device, tally in took.items())
    learnt = dict([*learnt.items(), (workload, mine)][-_MOST_WORKLOADS:])
    plain = {name: {known.device: _to_plain(known) for known in devices} for name, devices in learnt.items()}
    with contextlib.suppress(OSError):
        write_whole(base / ".vidfleet" / _NAME, json.dumps({"schema": _SCHEMA, "workloads": plain}) + "\n")


def known_to_plain(known: Iterable[Known]) -> dict[str, list[list[float]]]:
    """Write it for the file and the ledger: device → lists of count, cost and seconds."""
    return {item.device: _to_plain(item) for item in known}


def read_known(plain: Any) -> tuple[Known, ...]:  # noqa: ANN401 - whatever stands there
    """Read it back; raises ValueError, TypeError, KeyError, AttributeError or OverflowError."""
    devices = list(plain.items())[-_MOST_DEVICES:]
    return tuple(Known(str(device), tuple(_samples(found))) for device, found in devices)


def _worth_keeping(tally: Tally) -> tuple[Sample, ...]:
    return tuple(sample for sample in tally.samples() if sample.count >= _FORGOTTEN)


def _to_plain(known: Known) -> list[list[float]]:
    return [[round(s.count, 3), round(s.cost), round(s.seconds, 3)] for s in known.samples]


def _samples(plain: Any) -> Iterable[Sample]:  # noqa: ANN401 - whatever stands there
    if isinstance(plain, dict):
        plain = [[1, plain["cost"], plain["seconds"]]]
    for count, cost, seconds in plain[:_MOST_SAMPLES]:
        sample = Sample(_amount(count), _amount(cost), _amount(seconds))
        if sample.count >= _FORGOTTEN and sample.seconds > 0:
            yield sample


def _read(base: Path) -> dict[str, tuple[Known, ...]]:
    """Workload → what is known; nothing where the file is none of ours."""
    try:
        workloads = read_json(base / ".vidfleet" / _NAME)["workloads"]
        return {str(name): read_known(plain) for name, plain in workloads.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return {}


def _amount(value: Any) -> float:  # noqa: ANN401 - whatever stands there
    amount = float(value)
    if not 0 <= amount < _MOST:
        raise ValueError(f"no amount: {value}")
    return amount
