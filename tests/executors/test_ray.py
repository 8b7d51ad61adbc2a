"""What Ray adds to the contract: nodes that are lost and that come, lanes that others hold, clusters of one's own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from vidfleet.executors.base import Ground, LaneEvent, Lost
from vidfleet.executors.ray.executor import RayExecutor
from vidfleet.settings import RunSettings
from vidfleet.worker.messages import Finished, Start
from vidfleet.workloads.base import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fleet import Fleet
    from tests.support.ray_cluster import RayCluster

pytestmark = pytest.mark.ray

_STEPS = """
def works(pid):
    try:
        return open("/proc/" + pid + "/stat").read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
mine, before = __file__ + "-at-" + stem, []
if os.path.exists(mine):
    before = open(mine).read().split()
for pid in before:
    assert not works(pid), "an earlier attempt is still there"
open(mine, "a").write(str(os.getpid()) + "\\n")
time.sleep({seconds})
leave()
"""
"""A script that notes its attempts at a video, and fails where two would be at work at a time."""


@pytest.fixture
def nodes(ray_cluster: RayCluster) -> Iterator[RayCluster]:
    """The cluster, whose further nodes go with the test."""
    before = set(ray_cluster.names())
    yield ray_cluster
    for name in set(ray_cluster.names()) - before:
        ray_cluster.kill(name, whole=True)


def _flags(cluster: RayCluster, *more: str) -> tuple[str, ...]:
    return ("--executor", "ray", "--address", cluster.address, *more)


def _is_there(fleet: Fleet) -> bool:
    return any((fleet.root / ".vidfleet" / "runs").glob("*"))


def _done(fleet: Fleet) -> int:
    return len(fleet.events("video_ended")) if _is_there(fleet) else 0


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_node_may_be_lost_and_another_may_come(fleet: Fleet, nodes: RayCluster) -> None:
    """All videos are done, none is torn, and none has two attempts at a time; only the lost lanes' run again."""
    for name in ("n1", "n2"):
        nodes.add(name, num_cpus=2)
    fleet.videos(60)
    script = fleet.script(_STEPS.format(seconds=1))
    runner = fleet.start("--script", script, *_flags(nodes, "--devices", "cpu:2"))
    fleet.wait_for(lambda: _done(fleet) >= 20, 90)
    nodes.kill("n1")  # its raylet only: what Ray has started there must see to itself
    fleet.wait_for(lambda: _done(fleet) >= 30, 60)
    nodes.add("n3", num_cpus=2)
    output, _ = runner.communicate(timeout=120)
    assert runner.returncode == 0, output
    assert set(fleet.outcomes().values()) == {("done", "")}
    assert not fleet.torn()
    attempts = fleet.events("attempt_ended")
    assert Counter(attempt["kind"] for attempt in attempts) == {"done": 60, "node_lost": 2}
    joined = {event["lane"]["label"].partition("/")[0] for event in fleet.events("lane_joined")}
    assert "n3" in joined
    assert len([event for event in fleet.events("lane_out") if event["reason"] == "node n1 was lost"]) == 2
    assert "n3" in {attempt["host"] for attempt in attempts}
    assert not fleet.processes()


def test_a_killed_actors_video_is_tried_again_elsewhere(fleet: Fleet, nodes: RayCluster) -> None:
    """The lane has another actor, and what the first one ran is gone before that."""
    fleet.videos(3)
    script = fleet.script(_STEPS.format(seconds='2 if stem == "v00" and not before else 0.2'))
    runner = fleet.start("--script", script, "--schedule", "name", *_flags(nodes, "--devices", "cpu:2"))
    fleet.wait_for((fleet.scripts / "infer.py-at-v00").exists, 60)
    first = int((fleet.scripts / "infer.py-at-v00").read_text())
    for actor in nodes.actors("n0"):
        if first in {process.pid for process in actor.children(recursive=True)}:
            actor.kill()
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 0, output
    (lost,) = fleet.events("lane_lost")
    assert lost["reason"] == "its actor was killed or crashed"
    attempts = [attempt for attempt in fleet.events("attempt_ended") if attempt["video"] == "v00.mp4"]
    assert [attempt["kind"] for attempt in attempts] == ["crash", "done"]
    assert attempts[0]["lane"] != attempts[1]["lane"]


def test_an_attempt_that_is_given_to_a_lane_whose_actor_has_just_died_begins_once(
    nodes: RayCluster, tmp_path: Path
) -> None:
    """With the next actor; nobody is told that it was lost."""
    token = tmp_path / "token"
    token.write_text("in no other")
    settings = RunSettings(executor="ray", address=nodes.address, num_gpus=1, lanes=1)
    with contextlib.closing(RayExecutor(settings.address)) as executor:
        (lane,) = executor.open(
            executor.lanes(settings).lanes, "given", Ground(tmp_path, tmp_path, token, b"in no other", ())
        )
        for actor in nodes.actors("n0"):
            actor.kill()
        while executor._pool.seats[lane.index].actor is not None:
            executor.wait(0.05)
        program = Program((sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'a').write('x')"), str(tmp_path))
        executor.start(lane, Start("a", program, str(tmp_path / "log"), timeout_s=None, grace_s=1.0))
        told, until = list[object](), time.monotonic() + 30
        while not any(isinstance(message, Finished) for message in told):
            assert time.monotonic() < until
            told += [event.message for event in executor.wait(0.2) if isinstance(event, LaneEvent)]
    assert [message.attempt for message in told if isinstance(message, Lost | Finished)] == ["", "a"]
    assert (tmp_path / "ran").read_text() == "x"


def _waits(fleet: Fleet) -> bool:
    """Whether the run has said that it waits for lanes."""
    return _is_there(fleet) and any(
        "is free on the Ray cluster yet" in event["text"] for event in fleet.events("notice")
    )


_HOLD_A_GPU = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)

@ray.remote(num_cpus=0, num_gpus=int(sys.argv[2]))
class Holder:
    def hold(self):
        return 1

holder = Holder.remote()
ray.get(holder.hold.remote())
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("held", [1, 2])
def test_a_gpu_that_others_hold_joins_when_they_let_go(fleet: Fleet, nodes: RayCluster, held: int) -> None:
    """The run begins with the others; where they hold all, it says so and waits."""
    fleet.videos(12)
    command = [sys.executable, "-W", "ignore", "-c", _HOLD_A_GPU, nodes.address, str(held)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"holds\n"
        runner = fleet.start("--script", fleet.script(_STEPS.format(seconds=1)), *_flags(nodes, "--num-gpus", "2"))
        fleet.wait_for(lambda: _done(fleet) >= 2 if held == 1 else _waits(fleet), 60)
        other.communicate(timeout=30)
    output, _ = runner.communicate(timeout=90)
    assert runner.returncode == 0, output
    assert len(fleet.events("run_started")[0]["lanes"]) == 2 - held
    what = {1: "only 1 of 2 lanes are", 2: "none of 2 lanes is"}[held]
    assert f"{what} free on the Ray cluster yet" in output
    assert [event["lane"]["device"]["host"] for event in fleet.events("lane_joined")] == ["n0"] * held
    lanes = {attempt["lane"] for attempt in fleet.events("attempt_ended")}
    assert len(lanes) == 2


def test_a_cluster_of_ones_own_needs_no_address_and_leaves_nothing(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the runner is killed; standard output has nothing but the document. It is for its owner alone."""
    monkeypatch.setenv("HOME", str(tmp_path))
    fleet.videos(3)
    script = fleet.script("leave()")
    result = fleet.start("--script", script, "--executor", "ray", "--num-gpus", "2", "--json")
    fleet.wait_for(lambda: _session(result.pid), 60)
    folder, rays = _session(result.pid), _rays(result.pid)
    assert {(ray.environ()["RAY_AUTH_MODE"], len(ray.environ()["RAY_AUTH_TOKEN"])) for ray in rays} == {("token", 64)}
    assert folder
    assert folder.is_dir()
    output, _ = result.communicate(timeout=90)
    assert result.returncode == 0, output
    plain = json.loads(output[output.index("\n{") :])
    assert [video["state"] for video in plain["videos"]] == ["done"] * 3
    assert not psutil.wait_procs(rays, 10)[1]
    assert not (tmp_path / ".ray").exists()
    assert not folder.exists()
    slow = fleet.script("time.sleep(300)", "slow.py")
    runner = fleet.start(
        "--script", slow, "--executor", "ray", "--num-gpus", "2", "--name", "slow", "--existing", "seed"
    )
    fleet.wait_for(lambda: fleet.events("attempt_started"), 60)
    rays = _rays(runner.pid)
    runner.kill()
    runner.wait()
    assert not psutil.wait_procs(rays, 20)[1]
    fleet.wait_for(lambda: not fleet.processes(), 20)


@pytest.mark.slow
def test_a_run_whose_clusters_head_is_lost_ends_in_order(fleet: Fleet) -> None:
    """With a summary that says so, a report, and nothing left; what runs is no failure."""
    fleet.videos(4)
    script = fleet.script("if stem != 'v00': time.sleep(300)\nleave()")
    runner = fleet.start("--script", script, "--schedule", "name", "--executor", "ray", "--num-gpus", "2")
    fleet.wait_for(lambda: _done(fleet), 60)
    (head,) = [ray for ray in _rays(runner.pid) if ray.name() == "gcs_server"]
    head.kill()
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 3, output
    assert "Stopped early: no machine was left for the rest." in output
    assert "the head of the Ray cluster is lost" in output
    states = {video: state for video, (state, _) in fleet.outcomes().items()}
    assert states == {"v00.mp4": "done", **{f"v0{index}.mp4": "not_started" for index in (1, 2, 3)}}
    assert not fleet.processes()


def _session(runner: int) -> Path | None:
    """Where a runner's Ray writes."""
    words = [word for ray in _rays(runner) if ray.name() == "raylet" for word in ray.cmdline()]
    found = [word.partition("=")[2] for word in words if word.startswith("--session_dir=")]
    return Path(found[0]) if found else None


def _rays(runner: int) -> list[psutil.Process]:
    """Ray's own processes below a runner."""
    with contextlib.suppress(psutil.NoSuchProcess):
        below = psutil.Process(runner).children(recursive=True)
        return [process for process in below if process.name() in ("raylet", "gcs_server")]
    return []


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root can show a node other files")
def test_a_node_that_sees_another_root_is_refused(fleet: Fleet, nodes: RayCluster) -> None:
    """By a clear sentence; the others go on."""
    hiding = f"mount -t tmpfs none {fleet.root}"
    nodes.add_hidden("n4", hiding, num_cpus=2)
    fleet.videos(2)
    result = fleet.run("--script", fleet.script("leave()"), *_flags(nodes, "--devices", "cpu:1"))
    assert result.returncode == 0, result.stdout
    (notice,) = [event["text"] for event in fleet.events("notice") if "n4" in event["text"]]
    assert notice == f"node n4 gets no videos: its {fleet.root} is another one"
    assert {attempt["host"] for attempt in fleet.events("attempt_ended")} == {"n0"}


def test_a_node_that_does_not_answer_holds_up_nobody(fleet: Fleet, nodes: RayCluster) -> None:
    """The others begin, and a note names it."""
    nodes.add("s0", num_cpus=2)
    nodes.suspend("s0")
    fleet.videos(2)
    began = time.monotonic()
    result = fleet.run("--script", fleet.script("leave()"), *_flags(nodes, "--devices", "cpu:1"))
    assert result.returncode == 0, result.stdout
    assert time.monotonic() - began < 45  # Ray takes a minute to say that the node is lost
    assert "node s0 has not answered yet: its lanes join when it does" in result.stdout
    assert {attempt["host"] for attempt in fleet.events("attempt_ended")} == {"n0"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--gpus", "0"), "--gpus names GPUs of one machine"),
        (("--per-gpu", "auto"), "--per-gpu auto is for --executor local"),
        (("--address", "127.0.0.1:1"), "no way to the Ray cluster"),
        (("--address", "somewhere"), "give HOST:PORT"),
        (("--address", ":6379"), "give HOST:PORT"),
        (("--address", "ray://somewhere:10001"), "Give the address of the cluster itself"),
        (("--num-gpus", "2", "--devices", "cpu:2"), "exclude each other"),
    ],
)
def test_what_cannot_be_had_is_said_before_anything_is_touched(
    fleet: Fleet, flags: tuple[str, ...], words: str
) -> None:
    """Exit status 2."""
    fleet.videos(1)
    result = fleet.run("--script", fleet.script("leave()"), "--executor", "ray", *flags)
    assert result.returncode == 2, result.stdout
    assert words in result.stdout
    assert not (fleet.root / ".vidfleet").exists()


def test_who_has_no_token_is_told_what_to_do(
    fleet: Fleet, nodes: RayCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In words, and without those that Ray writes meanwhile."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    fleet.videos(1)
    result = fleet.run("--script", fleet.script("leave()"), *_flags(nodes))
    assert result.returncode == 2, result.stdout
    first, second = result.stdout.splitlines()
    assert first == f"vidfleet: --address {nodes.address}: no way to the Ray cluster"
    assert "set RAY_AUTH_MODE=token here too" in second


def test_an_address_from_the_environment_is_told_as_that(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody shall look for a flag that was not given."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    fleet.videos(1)
    result = fleet.run("--script", fleet.script("leave()"), "--executor", "ray")
    assert result.returncode == 2, result.stdout
    assert result.stdout.startswith("vidfleet: RAY_ADDRESS=127.0.0.1:1: no way to the Ray cluster")


def test_a_plan_shows_the_clusters_lanes_and_starts_none(fleet: Fleet, nodes: RayCluster) -> None:
    """``--lanes`` is the most in all."""
    fleet.videos(4)
    result = fleet.run("--script", fleet.script("leave()"), *_flags(nodes, "--dry-run", "--num-gpus", "2"))
    assert "on 2 lanes" in result.stdout
    assert "n0/gpu:0" in result.stdout
    result = fleet.run("--script", fleet.script("leave()"), *_flags(nodes, "--dry-run", "--lanes", "1"))
    assert "on 1 lane" in result.stdout
    assert not (fleet.root / ".vidfleet").exists()


_HOLD = """
import sys, time
from vidfleet.data import Device, Lane
from vidfleet.executors.ray import lane_actor
from vidfleet.worker.messages import Start
from vidfleet.workloads.base import Program
lane_actor.LEASE_S = 1.0
lane_actor.HOLD_S = 0.2
actor = lane_actor.LaneActor()
actor.bind(Lane(0, Device("cpu", ""), 1), "lease", ())
code = "import os, time; print(os.getpid(), flush=True); time.sleep(99)"
actor.order(Start("a", Program((sys.executable, "-c", code), "."), sys.argv[1], timeout_s=None, grace_s=1.0))
until = time.monotonic() + 2.5
while time.monotonic() < until:
    actor.hear()
print("asked", flush=True)
time.sleep(99)
"""


@pytest.mark.parametrize("what", ["raylet", "runner"])
def test_a_lane_that_is_cut_off_ends_what_it_runs(fleet: Fleet, what: str) -> None:
    """Where its raylet is killed, at once; where nobody asks for news any more, after its lease."""
    log = fleet.scripts / "log"
    with subprocess.Popen(["sleep", "99"]) as raylet:
        environment = {**os.environ, "RAY_RAYLET_PID": str(raylet.pid), "FLEET_TEST": fleet.mark}
        command = [sys.executable, "-c", _HOLD, str(log)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as actor:
            fleet.wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
            if what == "runner":
                assert actor.stdout is not None
                assert actor.stdout.readline() == b"asked\n"
                assert fleet.processes()
            else:
                raylet.kill()
            fleet.wait_for(lambda: not fleet.processes(), 30)  # two seconds on a machine with nothing else to do
            assert actor.wait(30) == 1
        raylet.kill()
