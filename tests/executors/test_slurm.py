"""Runs on a real Slurm cluster: three nodes on this machine."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from vidfleet.runner.run import run
from vidfleet.runner.slurm import run as running
from vidfleet.runner.slurm.place import Place
from vidfleet.settings import RunSettings
from vidfleet.workloads import Script

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.support.fleet import Fleet
    from tests.support.slurm_cluster import SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(300)]

ON_SLURM = ("--executor", "slurm", "--slurm", "exclusive", "--max-jobs", "3", "--chunk-minutes", "0", "--devices",
            "cpu:1", "--plain")  # fmt: skip
NOTED = """
with open(os.path.join(os.environ["NOTES"], stem), "a") as file:
    file.write("x")
"""


@pytest.fixture
def cluster(slurm: SlurmCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SlurmCluster:
    """Three nodes, and a folder in which scripts note what they have done."""
    (tmp_path / "notes").mkdir()
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    return slurm


def attempts_at(tmp_path: Path) -> dict[str, int]:
    """How often each video's script has come to its end."""
    return {path.name: path.stat().st_size for path in (tmp_path / "notes").iterdir()}


def napping(fleet: Fleet, seconds: float) -> list[str]:
    """The words that run a script which takes so long for a video."""
    return fleet.way("script", fleet.script(f"time.sleep({seconds}); leave()\n{NOTED}"))


def finish(fleet: Fleet, process: subprocess.Popen[str], cluster: SlurmCluster, within_s: float = 120) -> str:
    """Wait for a driver, while what was put back need not wait in the queue; its output."""
    until = time.monotonic() + within_s
    while process.poll() is None:
        assert time.monotonic() < until, "the driver does not end"
        cluster.hasten()
        time.sleep(0.5)
    assert process.stdout
    return process.stdout.read()


def wait_for_elements(cluster: SlurmCluster, count: int) -> dict[str, str]:
    cluster.wait_until(lambda: len(cluster.elements("RUNNING")) == count)
    return cluster.elements("RUNNING")


def wait_for_videos(tmp_path: Path, count: int, cluster: SlurmCluster) -> None:
    cluster.wait_until(lambda: len(attempts_at(tmp_path)) >= count)


def all_done(fleet: Fleet, count: int) -> dict[str, Any]:
    """The report, once it was seen that every video is done, and its output whole."""
    report = fleet.report()
    assert [video["state"] for video in report["videos"]] == ["done"] * count
    for video in report["videos"]:
        assert (fleet.root / Path(video["video"]).stem / "result.txt").read_text() == "whole"
    return report


def run_folder(fleet: Fleet) -> Path:
    return sorted((fleet.root / ".vidfleet" / "runs").iterdir())[-1]


def test_a_run_ends_as_a_local_one_does(fleet: Fleet, cluster: SlurmCluster, tmp_path: Path) -> None:
    """Display, records, logs, report and exit status; and nobody else can look into what the elements are told."""
    fleet.videos(9)
    script = fleet.script(f"print('said by', stem); time.sleep(0.3); leave()\n{NOTED}")
    done = fleet.run(*ON_SLURM, *fleet.way("script", script))
    assert done.returncode == 0, done.stdout
    assert "3 elements for 9 videos" in done.stdout
    report = all_done(fleet, 9)
    assert {lane["label"].partition("/")[0] for lane in report["lanes"]} == {"n1", "n2", "n3"}
    assert attempts_at(tmp_path) == {f"v{index:02d}": 1 for index in range(9)}
    place = run_folder(fleet) / "slurm"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    record = json.loads((fleet.root / "v03" / "vidfleet.json").read_text())
    assert record["vidfleet"]["run"] == run_folder(fleet).name
    assert "said by v03" in fleet.run("v03", command="logs").stdout
    assert not cluster.elements()
    again = fleet.run(*ON_SLURM, *fleet.way("script", script))
    assert again.returncode == 0
    assert "all up to date" in again.stdout


def test_each_element_keeps_to_the_gpus_that_slurm_gives_it(fleet: Fleet, cluster: SlurmCluster) -> None:
    """As CUDA_VISIBLE_DEVICES says."""
    fleet.videos(6)
    script = fleet.script("time.sleep(0.5); leave(text=os.environ['SLURM_JOB_GPUS'] + os.environ['SLURMD_NODENAME'])")
    words = ["--executor", "slurm", "--slurm", "gpus=1,mem=100", "--max-jobs", "6", "--chunk-minutes", "0"]
    done = fleet.run(*words, "--devices", "cpu:1", *fleet.way("script", script))
    assert done.returncode == 0, done.stdout
    given = {(fleet.root / f"v{index:02d}" / "result.txt").read_text() for index in range(6)}
    assert len(given) > 3


def test_a_video_that_fails_fails_the_run(fleet: Fleet, cluster: SlurmCluster, tmp_path: Path) -> None:
    """Once: other elements do not try it again."""
    fleet.videos(6)
    script = fleet.script(f"{NOTED}\ntime.sleep(0.3)\nif stem == 'v02': sys.exit('no good')\nleave()")
    done = fleet.run(*ON_SLURM, *fleet.way("script", script))
    assert done.returncode == 1, done.stdout
    assert "no good" in done.stdout
    states = {video["video"]: video["state"] for video in fleet.report()["videos"]}
    assert states == {f"v{index:02d}.mp4": "failed" if index == 2 else "done" for index in range(6)}
    assert attempts_at(tmp_path)["v02"] == 2  # --retries 1


def test_what_a_cancelled_element_leaves_is_done(fleet: Fleet, cluster: SlurmCluster, tmp_path: Path) -> None:
    """By the others, and by one that is handed in for it."""
    fleet.videos(18)
    process = fleet.start(*ON_SLURM, *napping(fleet, 1))
    name = next(iter(wait_for_elements(cluster, 3)))
    wait_for_videos(tmp_path, 3, cluster)
    cluster.ask("scancel", name)
    output = finish(fleet, process, cluster)
    assert process.returncode == 0, output
    assert "it was cancelled" in output
    all_done(fleet, 18)
    assert sum(attempts_at(tmp_path).values()) <= 19


def test_what_a_killed_element_leaves_is_done(fleet: Fleet, cluster: SlurmCluster, tmp_path: Path) -> None:
    """One whose processes all get SIGKILL at once, as for want of memory."""
    fleet.videos(18)
    process = fleet.start(*ON_SLURM, *napping(fleet, 1))
    name = next(iter(wait_for_elements(cluster, 3)))
    wait_for_videos(tmp_path, 3, cluster)
    cluster.ask("scancel", "--full", "--signal=KILL", name)
    output = finish(fleet, process, cluster)
    assert process.returncode == 0, output
    all_done(fleet, 18)
    assert sum(attempts_at(tmp_path).values()) <= 19


def test_a_lost_node_and_a_preemption_lose_nothing(fleet: Fleet, cluster: SlurmCluster, tmp_path: Path) -> None:
    """Elements end in order, are put back by Slurm, and go on with what is left."""
    fleet.videos(36)
    process = fleet.start(*ON_SLURM, *napping(fleet, 2))
    wait_for_elements(cluster, 3)
    wait_for_videos(tmp_path, 3, cluster)
    cluster.set_down("n2")
    wait_for_videos(tmp_path, 8, cluster)
    cluster.bring_back("n2")
    cluster.ask("sbatch", "--exclusive", "-w", "n3", "-p", "high", "--output=/dev/null", "--wrap", "sleep 3")
    output = finish(fleet, process, cluster)
    assert process.returncode == 0, output
    assert "told to leave n3" in output, output
    all_done(fleet, 36)
    assert not any(path.name.endswith(".claim") for path in (fleet.root / ".vidfleet").iterdir())


def test_a_time_limit_ends_an_element_in_order_and_it_goes_on_later(
    fleet: Fleet, cluster: SlurmCluster, tmp_path: Path
) -> None:
    """It is told ahead of it."""
    fleet.videos(8)
    process = fleet.start(*ON_SLURM, "--max-jobs", "1", *napping(fleet, 6))
    name = next(iter(wait_for_elements(cluster, 1)))
    cluster.ask("scontrol", "update", f"jobid={name}", "TimeLimit=1")
    wait_for_videos(tmp_path, 1, cluster)
    cluster.wait_until(lambda: name in cluster.elements("PENDING"), within_s=45)
    cluster.ask("scontrol", "update", f"jobid={name}", "TimeLimit=UNLIMITED")
    output = finish(fleet, process, cluster)
    assert process.returncode == 0, output
    assert "told to leave" in output
    all_done(fleet, 8)


def test_a_killed_driver_is_followed_by_the_same_command(fleet: Fleet, cluster: SlurmCluster, tmp_path: Path) -> None:
    """Its elements go on meanwhile, and nothing is run twice."""
    fleet.videos(15)
    words = [*ON_SLURM, *napping(fleet, 1)]
    process = fleet.start(*words)
    wait_for_elements(cluster, 3)
    wait_for_videos(tmp_path, 3, cluster)
    process.kill()
    process.wait()
    before = len(attempts_at(tmp_path))
    wait_for_videos(tmp_path, before + 2, cluster)
    status = fleet.run(command="status")
    assert "nobody follows" in status.stdout
    assert "3 elements running" in status.stdout
    again = fleet.run(*words)
    assert again.returncode == 0, again.stdout
    assert "followed again" in again.stdout
    all_done(fleet, 15)
    assert set(attempts_at(tmp_path).values()) == {1}
    assert len(list((fleet.root / ".vidfleet" / "runs").iterdir())) == 1


def test_detached_it_goes_on_alone_and_ends_with_the_report(
    fleet: Fleet, cluster: SlurmCluster, tmp_path: Path
) -> None:
    """Whenever somebody asks for it by the same command."""
    fleet.videos(6)
    words = [*ON_SLURM, *napping(fleet, 0.5)]
    done = fleet.run(*words, "--detach")
    assert done.returncode == 0, done.stdout
    assert "vidfleet status" in done.stdout
    wait_for_videos(tmp_path, 6, cluster)
    cluster.wait_until(lambda: not cluster.elements())
    status = fleet.run(command="status").stdout
    assert "6 done" in status
    assert "Ended after" in status
    assert "killed" not in fleet.run(command="report").stdout
    again = fleet.run(*words)
    assert again.returncode == 0, again.stdout
    all_done(fleet, 6)
    assert set(attempts_at(tmp_path).values()) == {1}


def test_stop_ends_elements_that_nobody_follows(fleet: Fleet, cluster: SlurmCluster, tmp_path: Path) -> None:
    """From wherever Slurm's commands are; what is left runs when the command is given again."""
    fleet.videos(12)
    words = [*ON_SLURM, *napping(fleet, 1)]
    fleet.run(*words, "--detach")
    wait_for_elements(cluster, 3)
    wait_for_videos(tmp_path, 3, cluster)
    stopped = fleet.run(command="stop")
    assert stopped.returncode == 0, stopped.stdout
    assert "ended 3 Slurm array elements" in stopped.stdout
    assert not cluster.elements()
    assert "stopped by interrupt" in fleet.run(command="status").stdout
    assert len(attempts_at(tmp_path)) < 12
    again = fleet.run(*words)
    assert again.returncode == 0, again.stdout
    assert len(attempts_at(tmp_path)) == 12


def test_stop_ends_a_run_that_is_followed(fleet: Fleet, cluster: SlurmCluster, tmp_path: Path) -> None:
    """Its driver does not take elements that were told to end for lost ones."""
    fleet.videos(12)
    process = fleet.start(*ON_SLURM, *napping(fleet, 2))
    wait_for_elements(cluster, 3)
    wait_for_videos(tmp_path, 1, cluster)
    assert fleet.run(command="stop").returncode == 0
    output = finish(fleet, process, cluster)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert output.count("note    Slurm job") == 1, output
    assert len(attempts_at(tmp_path)) < 12
    assert not cluster.elements()


def test_who_cancels_all_elements_does_not_see_them_come_again(
    fleet: Fleet, cluster: SlurmCluster, tmp_path: Path
) -> None:
    """By scancel, as people do on a cluster."""
    fleet.videos(9)
    process = fleet.start(*ON_SLURM, *napping(fleet, 1))
    name = next(iter(wait_for_elements(cluster, 3)))
    wait_for_videos(tmp_path, 1, cluster)
    cluster.ask("scancel", name.partition("_")[0])
    output = finish(fleet, process, cluster)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "nothing is handed in again" in output
    assert not cluster.elements()
    assert len(attempts_at(tmp_path)) < 9


def put_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, does: str) -> None:
    """Have something else be found in the place of one of Slurm's commands."""
    instead = tmp_path / "bin" / name
    instead.parent.mkdir()
    instead.write_text(f"#!/bin/sh\n{does}\n")
    instead.chmod(0o755)
    monkeypatch.setenv("PATH", f"{instead.parent}:{os.environ['PATH']}")


def test_what_slurm_has_taken_is_followed_although_sbatch_has_failed(
    fleet: Fleet, cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy controller answers too late. Nor does a filter that somebody has set for squeue hide it."""
    put_before(tmp_path, monkeypatch, "sbatch", f'{shutil.which("sbatch")} "$@" >/dev/null; echo timed out >&2; exit 1')
    monkeypatch.setenv("SQUEUE_PARTITION", "high")
    fleet.videos(3)
    done = fleet.run(*ON_SLURM, *napping(fleet, 1))
    assert done.returncode == 0, done.stdout
    all_done(fleet, 3)
    assert set(attempts_at(tmp_path).values()) == {1}


def test_an_element_that_does_not_end_is_ended_with_the_run(
    fleet: Fleet, cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold its node for nothing."""
    monkeypatch.setattr(running, "_LAST_WAIT_S", 1.0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    fleet.videos(1)
    seen: list[str] = []

    def join(event: str) -> None:
        """Be one of the run's elements, once it has any, and hang."""
        if "Slurm job" in event and not seen:
            seen.append(event)
            name = f"{Place.of(run_folder(fleet)).jobs_prefix}9"
            cluster.ask("sbatch", "--array=0", f"--job-name={name}", "--output=/dev/null", "--wrap", "sleep 99")

    settings = RunSettings(executor="slurm", slurm=("mem=100",), max_jobs=1, devices="cpu:1")
    summary = run(fleet.root, Script(fleet.script("leave()")), settings=settings, show=Listening(join))
    assert [outcome.state for outcome in summary.outcomes] == ["done"]
    assert seen
    cluster.wait_until(lambda: not cluster.elements(), within_s=10)


class Listening(io.StringIO):
    """A stream that passes on what is written to it."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        super().__init__()
        self._heard = heard

    def write(self, text: str) -> int:
        self._heard(text)
        return len(text)


def test_a_controller_that_does_not_answer_is_told_before_anything_is_touched(
    fleet: Fleet, cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_before(tmp_path, monkeypatch, "scontrol", "echo 'Unable to contact slurm controller' >&2; exit 1")
    fleet.videos(1)
    done = fleet.run(*ON_SLURM, *napping(fleet, 0))
    assert done.returncode == 3, done.stdout
    assert "scontrol says" in done.stdout
    assert not (fleet.root / ".vidfleet").exists()


def test_ctrl_c_ends_the_elements(fleet: Fleet, cluster: SlurmCluster, tmp_path: Path) -> None:
    """With the exit status of a local run, and nothing left running."""
    fleet.videos(12)
    process = fleet.start(*ON_SLURM, *napping(fleet, 4))
    wait_for_elements(cluster, 3)
    cluster.wait_until(lambda: len(fleet.events("attempt_started")) > 3)
    process.send_signal(signal.SIGINT)
    output = finish(fleet, process, cluster)
    assert process.returncode == 130, output
    assert not cluster.elements()
    states = {video["state"] for video in fleet.report()["videos"]}
    assert states == {"done", "interrupted", "not_started"}, output
    mark = str(tmp_path)
    assert not [p for p in psutil.process_iter() if "infer.py" in " ".join(_words(p)) and mark in " ".join(_words(p))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_a_driver_whose_terminal_is_gone_leaves_its_elements_at_work(
    fleet: Fleet, cluster: SlurmCluster, tmp_path: Path
) -> None:
    """The hang-up of a login node ends nobody's work; nor does Ctrl-Z, before it, halt it."""
    fleet.videos(12)
    words = [*ON_SLURM, *napping(fleet, 1)]
    process = fleet.start(*words)
    wait_for_elements(cluster, 3)
    wait_for_videos(tmp_path, 3, cluster)
    process.send_signal(signal.SIGTSTP)
    fleet.wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    wait_for_videos(tmp_path, len(attempts_at(tmp_path)) + 2, cluster)
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGHUP)
    assert process.wait(30) == 128 + signal.SIGHUP
    assert len(cluster.elements()) == 3
    assert fleet.run(*words).returncode == 0
    assert set(attempts_at(tmp_path).values()) == {1}


def test_another_command_waits_its_turn(fleet: Fleet, cluster: SlurmCluster, tmp_path: Path) -> None:
    """While elements of one are at work; and a second driver of the same one is not needed."""
    fleet.videos(9)
    words = [*ON_SLURM, *napping(fleet, 4)]
    process = fleet.start(*words)
    wait_for_videos(tmp_path, 1, cluster)
    other = fleet.run(*words, "--retries", "3")
    assert other.returncode == 2, other.stdout
    assert "another command" in other.stdout
    second = fleet.run(*words)
    assert second.returncode == 2, second.stdout
    assert "has its driver" in second.stdout
    assert process.wait(60) == 0


def test_a_node_that_does_not_see_the_folder_is_named_and_left_out(
    fleet: Fleet, cluster: SlurmCluster, tmp_path: Path
) -> None:
    """In a sentence; the others do its share."""
    fleet.videos(9)
    cluster.stop_node("n2")
    try:
        cluster.start_node("n2", blind_to=fleet.root)
        cluster.wait_until(lambda: cluster.ask("sinfo", "-h", "-n", "n2", "-o", "%T").split()[0] == "idle")
        done = fleet.run(*ON_SLURM, *napping(fleet, 1.5))
    finally:
        cluster.stop_node("n2")
        cluster.start_node("n2")
    assert done.returncode == 0, done.stdout
    assert "n2 does not see" in done.stdout
    all_done(fleet, 9)


def test_a_node_with_a_broken_gpu_is_left_out(fleet: Fleet, cluster: SlurmCluster, tmp_path: Path) -> None:
    """What has failed there is done elsewhere."""
    fleet.videos(15)
    script = fleet.script(
        "if os.environ['SLURMD_NODENAME'] == 'n2': sys.exit('CUDA error: uncorrectable ECC error encountered')\n"
        "time.sleep(1); leave()"
    )
    done = fleet.run(*ON_SLURM, *fleet.way("script", script))
    assert done.returncode == 0, done.stdout
    assert "n2 fails while others succeed" in done.stdout
    all_done(fleet, 15)


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ("partition=nowhere", "sbatch says: .*[Ii]nvalid partition"),
        ("nodes=2", "one runner on one node"),
        ("array=0-3", "is not yours to set"),
        ("--partition=low", "without their dashes"),
        ("output=x", "is not yours to set"),
    ],
)
def test_a_wish_that_slurm_cannot_be_given_is_told(fleet: Fleet, cluster: SlurmCluster, wish: str, says: str) -> None:
    """In a sentence, before anything is at work."""
    import re

    fleet.videos(1)
    done = fleet.run("--executor", "slurm", f"--slurm={wish}", *napping(fleet, 0))
    assert done.returncode == 2, done.stdout
    assert re.search(says, done.stdout), done.stdout
    assert not cluster.elements()


def test_no_word_of_a_path_is_read_by_a_shell(fleet: Fleet, cluster: SlurmCluster, tmp_path: Path) -> None:
    """Folders may be called anything."""
    odd = fleet.root / "it's $(touch here) %A"
    odd.mkdir()
    fleet.videos(2)
    for path in list(fleet.root.glob("*.mp4")):
        path.rename(odd / path.name)
    fleet.root = odd
    done = fleet.run(*ON_SLURM, *napping(fleet, 0))
    assert done.returncode == 0, done.stdout
    assert not (fleet.scripts / "here").exists()
    assert not (Path(os.getcwd()) / "here").exists()
    all_done(fleet, 2)
