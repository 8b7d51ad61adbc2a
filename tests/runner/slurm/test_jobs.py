"""What is known of the arrays that were handed in; what Slurm says is made up."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vidfleet.runner.slurm import site
from vidfleet.runner.slurm.jobs import Jobs, batch_script
from vidfleet.runner.slurm.orders import Orders
from vidfleet.runner.slurm.place import NO_RUN_FOLDER, Place
from vidfleet.runner.slurm.site import JobState, SlurmError
from vidfleet.settings import RunSettings
from vidfleet.workloads import Command

from .test_shares import make_task

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDERS = Orders("word", Path("/v"), Path("/v"), Command(("true", "{video}")), RunSettings(), "x", "y")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "20261126T031400.000000Z-0123abcd" / "slurm")
    made.path.parent.mkdir()
    made.make()
    return made


def test_what_slurm_has_refused_is_no_element_and_its_number_is_not_given_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm shows it as a job that has failed, under the name that it was to have."""
    shown: list[JobState] = []
    names: list[str] = []

    def submit(script: bytes, options: Sequence[str], *, name: str, count: int) -> int:
        names.append(name)
        if len(names) == 1:
            shown.append(JobState(1, 0, "FAILED", -1, "", "BadConstraints", name))
            raise SlurmError("sbatch says: no")
        shown.append(JobState(2, 0, "RUNNING", 0, "n1", "None", name))
        return 2

    monkeypatch.setattr(site, "submit", submit)
    monkeypatch.setattr(site, "look", lambda prefix: [state for state in shown if state.name.startswith(prefix)])
    jobs = Jobs(place, ORDERS, ())
    with pytest.raises(SlurmError):
        jobs.submit([[make_task(0, 60.0)]])
    assert jobs.look() == []
    jobs.submit([[make_task(0, 60.0)]])
    assert names == [f"{place.jobs_prefix}0", f"{place.jobs_prefix}1"]
    assert jobs.look() == []
    assert jobs.alive == [1]


def test_an_element_that_is_cancelled_while_it_waits_is_known_to_be_gone_at_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """squeue shows the others of its array, and it no more."""
    monkeypatch.setattr(site, "submit", lambda *_, **__: 1)
    jobs = Jobs(place, ORDERS, ())
    jobs.submit([[make_task(0, 60.0)], [make_task(1, 60.0)]])
    shown = [JobState(1, index, "PENDING", 0, "", "Priority", f"{place.jobs_prefix}0") for index in range(2)]
    monkeypatch.setattr(site, "look", lambda prefix: shown)
    assert jobs.look() == []
    del shown[0]
    (death,) = jobs.look()
    assert (death.share, death.was_cancelled) == (0, True)
    assert jobs.alive == [1]


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="only root can mount")
def test_a_node_that_may_only_read_the_folder_says_so_by_its_exit_status(place: Place) -> None:
    """It can write no word of it."""
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("no mount name space is given here")
    read_only = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec sh -s'
    words = ["unshare", "-m", "sh", "-c", read_only, str(place.path)]
    done = subprocess.run(words, input=batch_script(place, "word", 0), check=False, env={"SLURM_ARRAY_TASK_ID": "0"})
    assert done.returncode == NO_RUN_FOLDER
