"""A worker that hangs costs its video one attempt, and the run nothing else."""

from __future__ import annotations

import sys
import time
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import vidfleet
from vidfleet.executors import base
from vidfleet.executors.local import LocalExecutor

if TYPE_CHECKING:
    from tests.support.fleet import Fleet


def test_what_a_hanging_worker_ran_is_tried_again_on_another_lane(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script stops its own worker, the first time; the lane gets a new one."""
    impatient = SimpleNamespace(name="impatient", load=lambda: partial(LocalExecutor, silence_s=2.0))
    monkeypatch.setattr(base, "entry_points", lambda group: [impatient])
    fleet.videos(2)
    script = fleet.script("""
        seen = os.path.join(os.path.dirname(__file__), "tried-" + stem)
        if stem == "v00" and not os.path.exists(seen):
            open(seen, "w").close()
            os.kill(os.getppid(), signal.SIGSTOP)
            time.sleep(300)
        leave()
    """)
    settings = vidfleet.RunSettings(devices="cpu:2", executor="impatient")
    summary = vidfleet.run(fleet.root, vidfleet.Script(script), settings=settings)
    assert [outcome.state for outcome in summary.outcomes] == ["done", "done"]
    first, second = summary.outcomes[0].attempts
    assert (first.kind, first.reason) == ("crash", "its worker said nothing for 2 s")
    assert first.lane != second.lane
    assert [event["reason"] for event in fleet.events("lane_lost")] == [first.reason]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word of a parent's death is Linux's")
def test_a_stopped_worker_does_not_outlive_its_runner(fleet: Fleet) -> None:
    """It does not see that its pipe is closed; its guard hears of the runner's death from the kernel."""
    fleet.videos(1)
    script = fleet.script("""
        open(os.path.join(os.path.dirname(__file__), "stopped"), "w").close()
        os.kill(os.getppid(), signal.SIGSTOP)
        time.sleep(300)
    """)
    runner = fleet.start("--script", script, "--devices", "cpu:1")
    fleet.wait_for((fleet.scripts / "stopped").exists)
    time.sleep(0.5)
    runner.kill()
    runner.wait()
    fleet.wait_for(lambda: not fleet.processes(), 10)
