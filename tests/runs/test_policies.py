"""What follows each kind of failure: room, another GPU, quarantine, the stop of the run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fleet import Fleet


def test_a_broken_gpu_is_out_after_three_and_no_video_is_lost(fleet: Fleet) -> None:
    """One of four fails everything in 50 ms; no retry is used up (there is none), the others do its work."""
    fleet.videos(24)
    script = fleet.script(
        f"""
        if os.environ["CUDA_VISIBLE_DEVICES"] == "2":
            time.sleep(0.05)
            sys.exit("CUDA error: all CUDA-capable devices are busy or unavailable" if {True!r} else 1)
        time.sleep(0.4)
        leave()
    """
    )
    result = fleet.run("--script", script, "--num_gpus", "4")
    assert result.returncode == 0, result.stdout
    assert set(fleet.outcomes().values()) == {("done", "")}
    on_bad = [event for event in fleet.events("attempt_ended") if event["lane"] == 2]
    assert len(on_bad) == 3
    assert "gpu:2 fails while others succeed" in result.stdout


def test_a_gpu_that_fails_without_saying_why_is_found_by_what_succeeds_elsewhere(fleet: Fleet) -> None:
    """Exit status 1 could be the video's fault, until another GPU does it."""
    fleet.videos(16)
    script = fleet.script("""
        if os.environ["CUDA_VISIBLE_DEVICES"] == "1":
            sys.exit(1)
        time.sleep(0.3)
        leave()
    """)
    result = fleet.run("--script", script, "--num_gpus", "3", "--quarantine", "3")
    assert result.returncode == 0, result.stdout
    assert len([event for event in fleet.events("attempt_ended") if event["lane"] == 1]) == 3
    assert "gpu:1 fails while others succeed" in result.stdout


def test_broken_videos_do_not_put_good_gpus_out(fleet: Fleet) -> None:
    """What fails everywhere is nobody's fault but its own; the rest is done on all lanes."""
    fleet.videos(12)
    script = fleet.script("""
        if int(stem[1:]) % 2:
            sys.exit("broken " + stem)
        leave()
    """)
    result = fleet.run("--script", script, "--num_gpus", "3", "--schedule", "name")
    assert result.returncode == 1
    states = fleet.outcomes()
    assert all(states[f"v{i:02d}.mp4"] == (("failed", "error") if i % 2 else ("done", "")) for i in range(12))
    assert "gets no more videos" not in result.stdout


def test_a_script_that_needs_its_gpu_for_itself_gets_it_once(fleet: Fleet) -> None:
    """Out of GPU memory beside another: tried again alone, and done."""
    fleet.videos(6)
    script = fleet.script("""
        base = os.path.dirname(__file__)
        mine = os.path.join(base, "on-gpu-" + os.environ["CUDA_VISIBLE_DEVICES"] + "-" + stem)
        open(mine, "w").close()
        try:
            time.sleep(0.3)
            beside = len(glob.glob(os.path.join(base, "on-gpu-" + os.environ["CUDA_VISIBLE_DEVICES"] + "-*")))
            if stem == "v02" and beside > 1:
                sys.exit("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB")
            if stem == "v02":
                leave("alone.txt", str(beside))
            time.sleep(0.2)
            leave()
        finally:
            os.remove(mine)
    """)
    result = fleet.run("--script", script, "--num_gpus", "1", "--per-gpu", "3", "--schedule", "name")
    assert result.returncode == 0, result.stdout
    assert [e["kind"] for e in fleet.events("attempt_ended") if e["video"] == "v02.mp4"] == ["gpu_memory", "done"]
    assert (fleet.root / "v02" / "alone.txt").read_text() == "1"


def test_a_missing_module_does_not_burn_all_videos(fleet: Fleet) -> None:
    """Three alike and no success: the run stops, exit 3, and says why; once it is mended all is done."""
    fleet.videos(40)
    script = fleet.script("import no_such_module_here")
    result = fleet.run("--script", script, "--devices", "cpu:2")
    assert result.returncode == 3, result.stdout
    assert len(fleet.events("attempt_started")) <= 6
    assert "no_such_module_here" in result.stdout
    assert list(fleet.outcomes().values()).count(("not_started", "")) >= 34
    fleet.script("leave()")
    assert fleet.run("--script", script).returncode == 0


def test_an_attempt_that_does_nothing_at_all_is_ended(fleet: Fleet) -> None:
    """``--stall``; one that only computes, or only prints, is not."""
    fleet.videos(3)
    script = fleet.script("""
        until = time.time() + 4
        while time.time() < until:
            if stem == "v00":
                time.sleep(60)
            elif stem == "v01":
                print("working", flush=True); time.sleep(0.2)
        leave()
    """)
    result = fleet.run("--script", script, "--stall", "2", "--devices", "cpu:3", "--grace", "0.2")
    assert result.returncode == 1
    assert fleet.outcomes() == {
        "v00.mp4": ("failed", "timeout"), "v01.mp4": ("done", ""), "v02.mp4": ("done", ""),
    }  # fmt: skip
    assert "--stall" in result.stdout


@pytest.mark.parametrize("how", ["SIGUSR1", "--on-interrupt"])
def test_draining_lets_running_attempts_finish(fleet: Fleet, how: str) -> None:
    """No new work, nothing cut off."""
    fleet.videos(4)
    script = fleet.script("""
        open(os.path.join(os.path.dirname(__file__), "started-" + stem), "w").close()
        time.sleep(1)
        leave()
    """)
    more = ["--on-interrupt", "drain"] if how == "--on-interrupt" else []
    runner = fleet.start("--script", script, "--devices", "cpu:2", "--schedule", "name", *more)
    fleet.wait_for(lambda: len(list(fleet.scripts.glob("started-*"))) == 2)
    runner.send_signal(signal.SIGUSR1 if how == "SIGUSR1" else signal.SIGINT)
    output, _ = runner.communicate(timeout=30)
    assert runner.returncode == (143 if how == "SIGUSR1" else 130), output
    states = sorted(state for state, _ in fleet.outcomes().values())
    assert states == ["done", "done", "not_started", "not_started"]


def test_a_run_can_be_stopped_and_continued(fleet: Fleet) -> None:
    """Ctrl-Z stops the attempts too; the time does not count for their limit."""
    fleet.videos(1)
    script = fleet.script("""
        for step in range(20):
            open(os.path.join(os.path.dirname(__file__), "step"), "w").write(str(step))
            time.sleep(0.1)
        leave()
    """)
    runner = fleet.start("--script", script, "--timeout", "5", "--retries", "0")
    fleet.wait_for(lambda: (fleet.scripts / "step").exists())
    runner.send_signal(signal.SIGTSTP)
    time.sleep(1.0)
    step = (fleet.scripts / "step").read_text()
    time.sleep(6.0)
    assert (fleet.scripts / "step").read_text() == step
    runner.send_signal(signal.SIGCONT)
    output, _ = runner.communicate(timeout=30)
    assert runner.returncode == 0, output


@pytest.fixture
def small_disk(fleet: Fleet) -> Iterator[Path]:
    """Mount a file system of 3 MiB as the fleet's root."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", fleet.root], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield fleet.root
    fleet.close()
    subprocess.run(["umount", "-l", fleet.root], check=True)


def test_a_full_disk_ends_the_run_in_order_and_it_goes_on_when_there_is_room(fleet: Fleet, small_disk: Path) -> None:
    """Exit 3, nothing torn; the rest is done later."""
    fleet.videos(6)
    script = fleet.script("""
        leave("big.bin", "x" * (700 << 10))
        leave()
    """)
    result = fleet.run("--script", script, "--devices", "cpu:1", "--schedule", "name")
    assert result.returncode == 3, result.stdout
    states = fleet.outcomes()
    assert ("failed", "disk_full") in states.values()
    assert not fleet.torn()
    done = [name for name, state in states.items() if state == ("done", "")]
    assert 2 <= len(done) <= 4
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    assert fleet.run("--script", script, "--devices", "cpu:1").returncode == 0
    assert {event["video"] for event in fleet.events("attempt_started")} == set(states) - set(done)


def test_a_disk_without_any_room_is_said_to_be_full_and_leaves_no_run_behind(fleet: Fleet, small_disk: Path) -> None:
    """Exit 3, as of a disk that fills up later; the last run is still the last that was one."""
    fleet.videos(1)
    words = ("--script", str(fleet.script("leave()")), "--devices", "cpu:1")
    assert fleet.run(*words).returncode == 0
    before = sorted((fleet.root / ".vidfleet/runs").iterdir())
    fleet.video("new.mp4")
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    result = fleet.run(*words)
    assert result.returncode == 3, result.stdout
    assert "no room left" in result.stdout
    assert sorted((fleet.root / ".vidfleet/runs").iterdir()) == before
    (small_disk / "filler").unlink()
    assert fleet.run(*words).returncode == 0


_WRITES_MUCH = """
import os

class Much:
    @classmethod
    def describe(cls, arguments):
        return {"fingerprint": {}, "disk": {"bytes_a_pixel_second": 2.0e5, "files_a_second": 10, "less": "Use --less."}}

    def process(self, video, out):
        with open(os.path.join(out, "x"), "w") as file:
            file.write("1")
"""


def test_a_run_that_would_fill_the_disk_is_refused_before_the_first_video(
    fleet: Fleet, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 3, with the options that need less; nothing is written."""
    fleet.videos(4)
    (fleet.scripts / "much.py").write_text(_WRITES_MUCH)
    monkeypatch.chdir(fleet.scripts)
    refused = fleet.run("--worker", "much:Much")
    assert refused.returncode == 3, refused.stdout
    assert "Use --less." in refused.stdout
    assert not (small_disk / ".vidfleet").exists()
    assert "the outputs will take about" in fleet.run("--worker", "much:Much", "--dry-run").stdout
    assert fleet.run("--worker", "much:Much", "--no-check-disk").returncode == 0


_CGROUPS = Path("/sys/fs/cgroup/memory")


@pytest.mark.skipif(not os.access(_CGROUPS / "cgroup.procs", os.W_OK), reason="no memory cgroup that we may write")
def test_what_the_kernel_kills_for_memory_is_named_and_tried_again(fleet: Fleet) -> None:
    """A real cgroup with a real limit."""
    group = _CGROUPS / f"vidfleet-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(48 << 20))
        fleet.videos(1)
        script = fleet.script(f"""
            once = __file__ + ".once"
            if not os.path.exists(once):
                open(once, "w").close()
                open({str(group / "cgroup.procs")!r}, "w").write(str(os.getpid()))
                hog = [bytes(1 << 20) + os.urandom(1) for _ in range(200)]
            leave()
        """)
        result = fleet.run("--script", script)
        assert result.returncode == 0, result.stdout
        kinds = [event["kind"] for event in fleet.events("attempt_ended")]
        assert kinds == ["host_memory", "done"]
    finally:
        group.rmdir()


_HOLD = """
    import json
    path = os.environ["VIDFLEET_SIMULATED_GPUS"]
    def use(bytes_):
        json.dump([{"name": "A", "used_bytes": bytes_}], open(path + ".new", "w"))
        os.replace(path + ".new", path)
    use(8 << 30)
    if stem == "v00":
        subprocess.Popen([sys.executable, "-c", "pass"]).wait()
        open(os.path.join(os.path.dirname(__file__), "ended"), "w").close()
    else:
        leave("used.txt", open(path).read())
    leave()
    if stem != "v00":
        use(0)
"""


def test_the_next_attempt_waits_until_the_gpu_has_its_memory_back(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A driver needs a moment to free what a killed process held."""
    gpus = tmp_path / "gpus.json"
    gpus.write_text('[{"name": "A", "used_bytes": 0}]')
    monkeypatch.setenv("VIDFLEET_SIMULATED_GPUS", str(gpus))
    fleet.videos(2)
    runner = fleet.start("--script", fleet.script(_HOLD), "--schedule", "name")
    fleet.wait_for(lambda: (fleet.scripts / "ended").exists())
    time.sleep(1.5)
    assert not fleet.whole(fleet.root / "v00.mp4")
    gpus.write_text('[{"name": "A", "used_bytes": 0}]')
    output, _ = runner.communicate(timeout=30)
    assert runner.returncode == 0, output
    record = (fleet.root / "v01" / "vidfleet.json").read_text()
    assert '"uuid": "GPU-0"' in record
