"""What a run promises wherever its lanes are: tried through the command itself. A new executor is a new place."""

from __future__ import annotations

import json
import os
import signal
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.fleet import Fleet
    from tests.support.places import Place

_WORKS = """
def works(pid):
    try:
        return open("/proc/" + pid + "/stat").read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
"""
"""Whether a process is there, and is not merely one that nobody has taken leave of yet."""
_RAN = 'open(os.path.join(os.path.dirname(__file__), "ran"), "a").write(stem + "\\n")\n'
"""The script notes each of its starts."""


def _script(fleet: Fleet, body: str) -> Path:
    return fleet.script(_WORKS + _RAN + textwrap.dedent(body))


def _ran(fleet: Fleet) -> list[str]:
    return (fleet.scripts / "ran").read_text().split()


def _once(stem: str) -> str:
    """A condition in the script that holds for the first attempt at a video only."""
    seen = f"os.path.exists(__file__ + '-{stem}')"
    return f"stem == '{stem}' and not {seen} and not open(__file__ + '-{stem}', 'w').close()"


def test_every_video_is_done_with_its_record_and_its_log(fleet: Fleet, place: Place) -> None:
    """Exit status 0; a second run has nothing to do."""
    fleet.videos(5)
    script = _script(fleet, 'print("said by", stem)\nleave()')
    result = fleet.run("--script", script, *place.two_lanes)
    assert result.returncode == 0, result.stdout
    assert fleet.outcomes() == {f"v{i:02d}.mp4": ("done", "") for i in range(5)}
    for plain in fleet.report()["videos"]:
        folder = fleet.root / Path(plain["video"]).stem
        assert (folder / "result.txt").read_text() == "whole"
        assert json.loads((folder / "vidfleet.json").read_text())["attempts"][-1]["lane"].endswith(("gpu:0", "gpu:1"))
        log = max((fleet.root / ".vidfleet" / "runs").iterdir()) / plain["log"]
        assert log.read_text() == f"said by {folder.name}\n"
    again = fleet.run("--script", script, *place.two_lanes)
    assert (again.returncode, sorted(_ran(fleet))) == (0, [f"v{i:02d}" for i in range(5)]), again.stdout


def test_each_lane_has_its_own_gpu(fleet: Fleet, place: Place) -> None:
    """And both work at the same time: each waits for the other's sign."""
    fleet.videos(2)
    script = _script(
        fleet,
        """
        gpu = os.environ["CUDA_VISIBLE_DEVICES"]
        open(__file__ + "-gpu" + gpu, "w").close()
        other = __file__ + "-gpu" + {"0": "1", "1": "0"}[gpu]
        while not os.path.exists(other):
            time.sleep(0.02)
        leave()
    """,
    )
    result = fleet.run("--script", script, "--timeout", "60", *place.two_lanes)
    assert result.returncode == 0, result.stdout


def test_each_death_is_named_and_harms_no_other(fleet: Fleet, place: Place) -> None:
    """Exit status 1, the kinds, the script's last words."""
    fleet.videos(6)
    script = _script(
        fleet,
        f"""
        if stem == "v01": sys.exit("no such layer")
        if stem == "v02": os.kill(os.getpid(), signal.SIGKILL)
        if stem == "v03": sys.exit(0)
        if stem == "v04": time.sleep(300)
        if {_once("v05")}: os.kill(os.getpid(), signal.SIGSEGV)
        leave()
    """,
    )
    flags = ("--timeout", "4", "--grace", "0.2", "--retries", "0")
    result = fleet.run("--script", script, *flags, *place.two_lanes)
    assert result.returncode == 1, result.stdout
    assert fleet.outcomes() == {
        "v00.mp4": ("done", ""), "v01.mp4": ("failed", "error"), "v02.mp4": ("failed", "crash"),
        "v03.mp4": ("failed", "missing_output"), "v04.mp4": ("failed", "timeout"), "v05.mp4": ("done", ""),
    }  # fmt: skip
    reasons = {plain["video"]: plain.get("reason", "") for plain in fleet.report()["videos"]}
    assert "no such layer" in reasons["v01.mp4"]
    assert "killed from outside" in reasons["v02.mp4"]
    assert not fleet.torn()
    assert not fleet.processes()


def test_a_killed_workers_video_is_tried_again_elsewhere(fleet: Fleet, place: Place) -> None:
    """What the worker ran ends with it, also what had moved to a session of its own."""
    fleet.videos(3)
    script = _script(
        fleet,
        f"""
        if {_once("v01")}:
            child = subprocess.Popen(["sleep", "300"], start_new_session=True)
            open(__file__ + "-pids", "w").write(f"{{os.getpid()}} {{child.pid}}")
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(300)
        if stem == "v01":
            for pid in open(__file__ + "-pids").read().split():
                assert not works(pid), "the first attempt is still there"
        leave()
    """,
    )
    result = fleet.run("--script", script, *place.two_lanes)
    assert result.returncode == 0, result.stdout
    (video,) = (plain for plain in fleet.report()["videos"] if plain["video"] == "v01.mp4")
    first, second = video["attempts"]
    assert (first["kind"], second["kind"]) == ("crash", "done")
    assert first["lane"] != second["lane"]


def test_what_an_attempt_leaves_running_is_ended(fleet: Fleet, place: Place) -> None:
    """Before its video counts as done."""
    fleet.videos(1)
    script = _script(
        fleet,
        """
        leave()
        child = subprocess.Popen(["sleep", "300"], start_new_session=True)
        open(__file__ + "-pid", "w").write(str(child.pid))
    """,
    )
    result = fleet.run("--script", script, *place.two_lanes)
    assert result.returncode == 0, result.stdout
    assert not Path("/proc", Path(f"{script}-pid").read_text()).exists()


def test_ctrl_c_gives_attempts_their_grace_and_the_next_run_resumes(fleet: Fleet, place: Place) -> None:
    """Exit status 130; nothing runs on; what was done is not done again."""
    fleet.videos(6)
    script = _script(
        fleet,
        """
        def end(*_):
            open(__file__ + "-heard-" + stem, "w").close()
            sys.exit(1)
        signal.signal(signal.SIGTERM, end)
        if stem >= "v02" and not os.path.exists(__file__ + "-go"):
            open(__file__ + "-waits-" + stem, "w").close()
            time.sleep(300)
        leave()
    """,
    )
    runner = fleet.start("--script", script, "--schedule", "name", *place.two_lanes)
    fleet.wait_for(lambda: len(list(fleet.scripts.glob("*-waits-*"))) == 2, 60)
    runner.send_signal(signal.SIGINT)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 130, output
    assert len(list(fleet.scripts.glob("*-heard-*"))) == 2
    assert not fleet.processes()
    Path(f"{script}-go").touch()
    result = fleet.run("--script", script, *place.two_lanes)
    assert result.returncode == 0, result.stdout
    assert not fleet.torn()
    assert [_ran(fleet).count(f"v{i:02d}") for i in range(6)] == [1, 1, 2, 2, 1, 1]


def test_a_killed_runner_leaves_nothing_and_the_next_run_resumes(fleet: Fleet, place: Place) -> None:
    """Its claims hold nobody up."""
    if not place.runner_may_die:
        pytest.skip("there, what runs goes on without its runner, by intent")
    fleet.videos(5)
    script = _script(
        fleet,
        """
        if stem >= "v02" and not os.path.exists(__file__ + "-go"):
            open(__file__ + "-waits-" + stem, "w").close()
            time.sleep(300)
        leave()
    """,
    )
    runner = fleet.start("--script", script, "--schedule", "name", *place.two_lanes)
    fleet.wait_for(lambda: len(list(fleet.scripts.glob("*-waits-*"))) == 2, 60)
    runner.kill()
    runner.wait()
    fleet.wait_for(lambda: not fleet.processes(), 30)
    Path(f"{script}-go").touch()
    result = fleet.run("--script", script, *place.two_lanes)
    assert result.returncode == 0, result.stdout
    assert not fleet.torn()
    assert [_ran(fleet).count(f"v{i:02d}") for i in range(5)] == [1, 1, 2, 2, 1]


def test_a_gpu_that_fails_while_others_succeed_gets_no_more_videos(fleet: Fleet, place: Place) -> None:
    """Its videos are done by the other; that costs them no try."""
    fleet.videos(8)
    script = _script(
        fleet,
        """
        if os.environ["CUDA_VISIBLE_DEVICES"] == "1":
            sys.exit("RuntimeError: CUDA error: uncorrectable ECC error encountered")
        time.sleep(0.3)
        leave()
    """,
    )
    result = fleet.run("--script", script, "--quarantine", "2", *place.two_lanes)
    assert result.returncode == 0, result.stdout
    assert any("fails while others succeed" in event["text"] for event in fleet.events("notice"))
    assert set(fleet.outcomes().values()) == {("done", "")}


def test_nobody_ever_sees_half_an_output(fleet: Fleet, place: Place) -> None:
    """Not even while outputs of an earlier run are replaced: old or new, and always with the record that is theirs."""
    fleet.videos(6)
    script = _script(
        fleet,
        """
        leave("a.txt", sys.argv[-1])
        time.sleep(0.1)
        leave("b.txt", sys.argv[-1])
    """,
    )
    seen = set()
    for word in ("old", "new"):
        runner = fleet.start("--script", script, *place.two_lanes, "--", word)
        while runner.poll() is None:
            seen.add(_halves(fleet))
        assert runner.returncode == 0
    assert ("old", "old") in seen
    assert seen <= {(), ("old", "old"), ("new", "new")}, seen


def _halves(fleet: Fleet) -> tuple[str, ...]:
    """What stands in the files of the first video's output folder, whichever it is at this moment."""
    try:
        folder = os.open(fleet.root / "v00", os.O_DIRECTORY)
    except FileNotFoundError:
        return ()
    try:
        return tuple(_text(name, folder) for name in ("a.txt", "b.txt"))
    except FileNotFoundError:  # it has been replaced meanwhile, and is being removed
        return ()
    finally:
        os.close(folder)


def _text(name: str, folder: int) -> str:
    file = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(file, 100).decode()
    finally:
        os.close(file)
