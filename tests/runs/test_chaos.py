"""Twenty of the random kills of ``benchmarks/chaos.py``, over fewer videos."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.chaos import run_case

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="who is left is read from /proc"),
]


@pytest.mark.timeout(600)
def test_whoever_is_killed_at_whatever_moment_nothing_is_torn_lost_or_left() -> None:
    """Torn folders, finished videos that ran again, lost videos, orphans, wrong exit statuses: none."""
    with ThreadPoolExecutor(2) as pool:
        trials = list(pool.map(lambda seed: run_case(seed, videos=6), range(20)))
    assert not [violation for trial in trials for violation in trial.violations]
    assert sum(not trial.missed for trial in trials) >= 10, "the signals must hit somebody"
