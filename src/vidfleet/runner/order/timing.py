"""How long videos of a cost take, fitted to what some have taken: a start, and so much for each bit of cost.

Videos are kept in classes of about one cost, four to a doubling: all that a fit needs, in a few dozen numbers whatever
the count of videos. A device is a factor on all of it. Relative errors count, so that short videos have their say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_CLASSES_A_DOUBLING = 4
_START_IS_SMALL = 0.1
"""How firmly a start-up time is taken for none until videos of unlike cost show one: a tenth of a video's weight."""
_ROUNDS = 4
"""Line and factors of devices depend on each other; after this many rounds they move by less than 1 %."""
_DEVICE_VARIANCE = 0.5
"""Of the logarithm of how devices differ: a factor of two either way is nothing out of the ordinary."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Videos of about one cost that are done; earlier runs count in part, so none of it is whole."""

    count: float
    """How many."""
    cost: float
    """Of all together: see ``Probe.cost``."""
    seconds: float
    """That all together took."""


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier runs have shown of one kind of device."""

    device: str
    """What its driver calls it, else ``gpu`` or ``cpu``."""
    samples: tuple[Sample, ...]


class Tally:
    """What videos took, by classes of cost."""

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._by_class: dict[int, Sample] = {}
        for sample in samples:
            self.add(sample)

    def add(self, sample: Sample) -> None:
        """Take in some videos of about one cost; ``count`` is above 0."""
        mean = sample.cost / sample.count
        key = math.floor(_CLASSES_A_DOUBLING * math.log2(mean)) if mean > 0 else -1
        old = self._by_class.get(key)
        self._by_class[key] = sample if old is None else Sample(
            old.count + sample.count, old.cost + sample.cost, old.seconds + sample.seconds
        )  # fmt: skip

    @property
    def count(self) -> float:
        """How many videos are in it."""
        return sum(sample.count for sample in self._by_class.values())

    def samples(self, share: float = 1.0) -> tuple[Sample, ...]:
        """One for each class, by cost; ``share`` of each."""
        return tuple(
            Sample(share * sample.count, share * sample.cost, share * sample.seconds)
            for _, sample in sorted(self._by_class.items())
        )


@dataclass(frozen=True, slots=True)
class Model:
    """How long a video takes: ``(start_s + per_cost x cost) x slowness``."""

    start_s: float
    """What each video takes whatever its cost: a program that starts, models that are loaded."""
    per_cost: float
    """Seconds for each bit of cost."""
    slowness: Mapping[str, float]
    """By what a lane computes on: 2 takes twice as long as the middle of all."""

    def seconds(self, cost: float, device: str = "") -> float:
        """What a video of ``cost`` should take; on the middle of all where nothing is known of the device."""
        return (self.start_s + self.per_cost * cost) * self.slowness.get(device, 1.0)

    def excess(self, samples: Iterable[Sample], device: str = "") -> float:
        """What ``samples`` took over what they should have taken, on average over videos; 1 where there are none."""
        ratios = weight = 0.0
        for sample in samples:
            ratios += sample.seconds / max(self.seconds(sample.cost / sample.count, device), 1e-9)
            weight += sample.count
        return ratios / weight if weight else 1.0


def fit(by_device: Mapping[str, Iterable[Sample]], variance: float) -> Model | None:
    """Fit one line, and a factor for each device; nothing where no video has told anything.

    ``variance`` is that of the logarithm of how videos differ from what was expected: with few videos, a factor is
    drawn towards 1 by it.
    """
    samples = {device: tuple(found) for device, found in by_device.items()}
    if not any(sample.seconds > 0 for found in samples.values() for sample in found):
        return None
    slowness = dict.fromkeys(samples, 1.0)
    best_known = max(samples, key=lambda device: sum(sample.count for sample in samples[device]))
    line = _line_of({best_known: samples[best_known]}, slowness)
    for _ in range(_ROUNDS if len(samples) > 1 else 0):
        for device, found in samples.items():
            count = sum(sample.count for sample in found)
            slowness[device] = drawn(Model(*line, {}).excess(found), count, _DEVICE_VARIANCE, variance)
        line = _line_of(samples, slowness)
    return Model(*line, slowness)


def _line_of(by_device: Mapping[str, Iterable[Sample]], slowness: Mapping[str, float]) -> tuple[float, float]:
    points = [
        (sample.count, sample.cost / sample.count, sample.seconds / sample.count / slowness[device])
        for device, found in by_device.items()
        for sample in found
    ]
    return _line(points)


def drawn(ratio: float, count: float, ordinary: float, variance: float) -> float:
    """Draw a ratio that ``count`` videos show towards 1, the more so the less it says.

    ``ordinary`` is the variance of the logarithm of such ratios, ``variance`` that of single videos.
    """
    trust = count * ordinary / (count * ordinary + variance)
    return math.exp(trust * math.log(max(ratio, 1e-6)))


def _line(points: list[tuple[float, float, float]]) -> tuple[float, float]:
    """Start and slope of (weight, cost, seconds), neither below 0: least squares of relative errors."""
    whole = sum(weight for weight, _, _ in points)
    mean_cost = sum(weight * cost for weight, cost, _ in points) / whole
    mean_s = sum(weight * seconds for weight, _, seconds in points) / whole
    if not mean_cost or not mean_s:
        return mean_s, 0.0
    start = slope = 0.0  # of means, so that numbers stay near 1
    scaled = [(weight, cost / mean_cost, seconds / mean_s) for weight, cost, seconds in points]
    expected = [max(seconds, 1e-3) for _, _, seconds in scaled]
    for _ in range(_ROUNDS):
        start, slope = _weighted(
            [(w / e**2, cost, seconds) for (w, cost, seconds), e in zip(scaled, expected, strict=True)]
        )
        expected = [max(start + slope * cost, 1e-3) for _, cost, _ in scaled]
    return start * mean_s, slope * mean_s / mean_cost


def _weighted(points: list[tuple[float, float, float]]) -> tuple[float, float]:
    w = sum(weight for weight, _, _ in points)
    wc = sum(weight * cost for weight, cost, _ in points)
    wcc = sum(weight * cost * cost for weight, cost, _ in points)
    ws = sum(weight * seconds for weight, _, seconds in points)
    wcs = sum(weight * cost * seconds for weight, cost, seconds in points)
    w_start = w + _START_IS_SMALL
    determinant = w_start * wcc - wc * wc
    if determinant <= 0:
        return 0.0, wcs / wcc
    start, slope = (ws * wcc - wcs * wc) / determinant, (w_start * wcs - wc * ws) / determinant
    if start < 0:
        return 0.0, wcs / wcc
    return (start, slope) if slope >= 0 else (ws / w, 0.0)
