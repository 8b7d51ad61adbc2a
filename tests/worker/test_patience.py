"""Time counts while an attempt may work, and only then. The clock is a fake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vidfleet.worker.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """A clock that is set forward by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("vidfleet.worker.patience.time", made)
    return made


def _ticks(
    clock: Clock, patience: Patience, for_s: float, *, is_stopped: bool = False, activity: Callable[[], float] = float
) -> None:
    """Let time pass, with a tick whenever one is due."""
    end = clock.now + for_s
    while (due := patience.next_tick()) is not None and due <= end:
        clock.now = due
        patience.tick(is_stopped=is_stopped, activity=activity())
    clock.now = end


def test_without_limits_nothing_is_ever_due() -> None:
    patience = Patience(None, None)
    assert patience.next_tick() is None
    patience.tick(is_stopped=False, activity=0)
    assert not patience.is_over
    assert not patience.has_stalled


@pytest.mark.parametrize("limit_s", [0.5, 7.0, 100.0])
def test_a_limit_is_over_when_its_time_has_passed_and_not_before(clock: Clock, limit_s: float) -> None:
    patience = Patience(limit_s, None)
    _ticks(clock, patience, limit_s - 0.1)
    assert not patience.is_over
    _ticks(clock, patience, 0.2)
    assert patience.is_over


@pytest.mark.parametrize("stall_s", [2.0, 90.0, 1800.0])
def test_a_stall_is_known_soon_after_its_time(clock: Clock, stall_s: float) -> None:
    patience = Patience(None, stall_s)
    _ticks(clock, patience, stall_s * 0.9)
    assert not patience.has_stalled
    _ticks(clock, patience, stall_s * 0.1 + 2 * min(5.0, stall_s / 8))
    assert patience.has_stalled


def test_any_sign_of_work_begins_the_stall_anew(clock: Clock) -> None:
    patience = Patience(None, 80.0)
    _ticks(clock, patience, 70.0)
    patience.tick(is_stopped=False, activity=1.0)
    _ticks(clock, patience, 70.0, activity=lambda: 1.0)
    assert not patience.has_stalled
    _ticks(clock, patience, 500.0, activity=lambda: clock.now)
    assert not patience.has_stalled


def test_time_in_which_an_attempt_is_stopped_does_not_count(clock: Clock) -> None:
    patience = Patience(20.0, 20.0)
    _ticks(clock, patience, 10.0)
    _ticks(clock, patience, 3600.0, is_stopped=True)
    assert not patience.is_over
    assert not patience.has_stalled
    _ticks(clock, patience, 16.0)
    assert patience.is_over
    assert patience.has_stalled


@pytest.mark.parametrize(("limit_s", "stall_s"), [(20.0, None), (None, 20.0), (3600.0, 90.0)])
def test_time_in_which_this_process_stood_still_hardly_counts(
    clock: Clock, limit_s: float | None, stall_s: float | None
) -> None:
    """An hour's SIGSTOP, or a suspended machine: the next tick comes late."""
    patience = Patience(limit_s, stall_s)
    _ticks(clock, patience, 6.0)
    clock.now += 3600.0
    patience.tick(is_stopped=False, activity=0.0)
    assert not patience.is_over
    assert not patience.has_stalled
