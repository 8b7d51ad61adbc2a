"""What a person may say about resuming: only the failed, keep the stale, continue in the stage."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fleet import Fleet

_NOTING = """
    with open(os.path.join(os.path.dirname(__file__), "ran"), "a") as file:
        file.write(stem + "\\n")
    if os.path.exists(os.path.join(os.path.dirname(__file__), stem + ".fails")):
        sys.exit(3)
    leave()
"""


@pytest.fixture
def script(fleet: Fleet) -> Path:
    return fleet.script(_NOTING)


def _run(fleet: Fleet, script: Path, *more: object) -> tuple[int, list[str], str]:
    ran = fleet.scripts / "ran"
    ran.unlink(missing_ok=True)
    result = fleet.run("--script", script, "--devices", "cpu:2", "--retries", "0", *more)
    return result.returncode, sorted(ran.read_text().split()) if ran.exists() else [], result.stdout


def test_only_failed_runs_them_alone_also_those_that_could_not_be_read(fleet: Fleet, script: Path) -> None:
    """A video that was added since is left for another time."""
    fleet.videos(3)
    (fleet.scripts / "v01.fails").touch()
    (fleet.root / "torn.mp4").write_text("no video")
    assert _run(fleet, script)[:2] == (1, ["v00", "v01", "v02"])
    (fleet.scripts / "v01.fails").unlink()
    fleet.video("torn.mp4")
    fleet.video("new.mp4")
    status, ran, said = _run(fleet, script, "--only", "failed")
    assert (status, ran) == (0, ["torn", "v01"])
    assert "3 videos" in said
    assert _run(fleet, script, "--only", "failed")[:2] == (0, [])
    assert _run(fleet, script, "--only", "failed", "--no-retry-failed")[0] == 2


def test_stale_outputs_are_kept_where_that_is_asked_for(fleet: Fleet, script: Path) -> None:
    """What is new, torn or of a changed video runs all the same."""
    fleet.videos(2)
    _run(fleet, script)
    script.write_text(script.read_text() + "\n# edited\n")
    fleet.video("v02.mp4")
    status, ran, said = _run(fleet, script, "--keep-stale")
    assert (status, ran) == (0, ["v02"])
    assert "2 outputs kept" in said
    said = _run(fleet, script, "--dry-run")[2]
    assert "2 videos to run again: the script's text has changed" in said
    assert _run(fleet, script)[1] == ["v00", "v01"]


def test_files_that_the_results_depend_on_are_named_by_a_pattern(fleet: Fleet, script: Path) -> None:
    """Changed, and new: also in a run that goes on."""
    fleet.videos(1)
    conf = fleet.scripts / "conf"
    conf.mkdir()
    (conf / "a.yaml").write_text("1")
    depends = ("--depends", f"{conf}/**/*.yaml")
    assert _run(fleet, script, *depends)[1] == ["v00"]
    assert _run(fleet, script, *depends)[1] == []
    (conf / "a.yaml").write_text("2")
    assert "a.yaml has changed" in _run(fleet, script, *depends, "--dry-run")[2]
    assert _run(fleet, script, *depends)[1] == ["v00"]
    (conf / "b.yaml").write_text("1")
    assert _run(fleet, script, *depends)[1] == ["v00"]
    assert _run(fleet, script, "--depends", str(conf / "none*"))[0] == 2


def test_a_list_of_files_narrows_the_run(fleet: Fleet, script: Path) -> None:
    fleet.videos(3)
    listed = fleet.scripts / "list"
    listed.write_text(f"v02.mp4\n{fleet.root}/v00.mp4\n")
    assert _run(fleet, script, "--files-from", listed)[:2] == (0, ["v00", "v02"])
    listed.write_text("gone.mp4\n")
    status, _, said = _run(fleet, script, "--files-from", listed)
    assert status == 2
    assert "gone.mp4" in said


_HALVES = """
    there = sorted(os.listdir(out)) if os.path.isdir(out) else []
    if "half" not in there:
        leave("half")
        {ends}
    leave("result.txt", "after " + ",".join(there))
"""


@pytest.mark.parametrize(("flags", "text"), [(["--resume-stage"], "after half"), ([], None)])
def test_a_failed_attempts_stage_is_continued_in_where_that_is_asked_for(
    fleet: Fleet, flags: list[str], text: str | None
) -> None:
    """By the retry at once; else each attempt starts afresh."""
    fleet.videos(1)
    result = fleet.run("--script", fleet.script(_HALVES.format(ends="sys.exit(1)")), "--retries", "1", *flags)
    assert result.returncode == (0 if text else 1)
    if text:
        assert (fleet.root / "v00" / "result.txt").read_text() == text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stage_survives_an_interrupted_and_a_killed_run(fleet: Fleet, number: signal.Signals) -> None:
    fleet.videos(1)
    script = fleet.script(_HALVES.format(ends="open(__file__ + '.there', 'w').close(); time.sleep(600)"))
    process = fleet.start("--script", script, "--resume-stage", "--grace", "1")
    fleet.wait_for(lambda: (fleet.scripts / "infer.py.there").exists())
    process.send_signal(number)
    process.wait(30)
    fleet.wait_for(lambda: not fleet.processes())
    assert not (fleet.root / "v00").exists()
    assert fleet.run("--script", script, "--resume-stage").returncode == 0
    assert (fleet.root / "v00" / "result.txt").read_text() == "after half"


def test_what_a_killed_run_left_in_a_session_of_its_own_is_ended_by_the_next(fleet: Fleet) -> None:
    """Runner and worker killed at once, so that nobody was left to end it; the next run knows it by its mark."""
    fleet.videos(1)
    script = fleet.script("""
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        open(__file__ + ".there", "w").write(str(child.pid))
        time.sleep(0.3 if os.path.exists(__file__ + ".again") else 600)
        child.kill(); leave()
    """)
    there = fleet.scripts / "infer.py.there"
    process = fleet.start("--script", script)
    fleet.wait_for(lambda: there.exists() and there.read_text())
    child = psutil.Process(int(there.read_text()))
    for found in [psutil.Process(process.pid), *fleet.processes()]:
        if found.pid != child.pid:
            found.kill()
    process.wait(30)
    fleet.wait_for(lambda: [found.pid for found in fleet.processes()] == [child.pid])
    (fleet.scripts / "infer.py.again").touch()
    second = fleet.run("--script", script)
    assert second.returncode == 0, second.stdout
    assert "1 process" in second.stdout
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert fleet.run("--script", script).returncode == 0
