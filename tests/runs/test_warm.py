"""A warm start is a start: what a script can see, say and leave is what it is when started cold."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.runs.test_deaths import _DEATHS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fleet import Fleet

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="warm lanes are Linux's")

_ENDS = [
    "sys.exit(3)",
    "sys.exit('a text')",
    "sys.exit()",
    "raise SystemExit(None)",
    "raise KeyboardInterrupt",
    "raise ValueError('torn')",
    "def f():\n    1 / 0\ntry:\n    f()\nexcept ZeroDivisionError as error:\n    raise OSError(2, 'no') from error",
    "os._exit(4)",
    "os.kill(os.getpid(), signal.SIGSEGV)",
    "import atexit; atexit.register(print, 'last'); atexit.register(print, 'first'); sys.exit(5)",
    "import threading; threading.Timer(0.3, print, ['from a thread']).start()",
    "file = open(os.path.join(out, 'unclosed.txt'), 'w'); file.write('whole')",
    "sys.stdout.write('no newline'); sys.stderr.write('nor here')",
    "class Last:\n    def __del__(self):\n        print('deleted', flush=True)\nlast = Last()",
    "subprocess.run([sys.executable, '-c', 'import sys; print(sys.path, sys.argv, sorted(sys.modules))'])",
    "import faulthandler; faulthandler.enable(); import traceback; traceback.print_stack()",
    "import warnings; warnings.warn('outermost', stacklevel=2)",
    "import json; json.kept = open(os.path.join(out, 'hung.txt'), 'w'); json.kept.write('whole')",
    "import json; json.JSONEncoder.kept = open(os.path.join(out, 'hung.txt'), 'w'); json.JSONEncoder.kept.write('x')",
    "import ctypes; ctypes.CDLL(None).printf(b'from C, not flushed\\n')",
]


def _both(fleet: Fleet, script: Path, *flags: str) -> list[tuple[dict[str, Any], str]]:
    """Run a script over all videos cold, then warm; for each way the first video's attempt, and its log."""
    seen = []
    for way in ((), ("--warm",)):
        fleet.run("--script", script, "--devices", "cpu:1", "--retries", "0", *way, *flags)
        attempt = fleet.events("attempt_ended")[0]
        log = max((fleet.root / ".vidfleet" / "runs").iterdir()) / "logs" / "v00.mp4.log"
        seen.append((attempt, log.read_text() if log.exists() else ""))
        assert seen[-1][0]["evidence"].get("warm", False) == bool(way), seen
        assert not fleet.processes()
        for output in fleet.root.glob("v00"):
            output.rename(fleet.scripts / ("warm" if way else "cold"))
    return seen


@pytest.mark.parametrize("end", _ENDS)
def test_it_ends_as_it_does_cold(fleet: Fleet, end: str) -> None:
    """Status, signal and every word of its output, tracebacks without a line of ours."""
    fleet.videos(1)
    script = fleet.script("leave()\n")
    with script.open("a") as file:
        file.write(end + "\n")
    (cold, cold_log), (warm, warm_log) = _both(fleet, script)
    assert warm_log == cold_log
    assert warm["kind"] == cold["kind"]
    for name in ("exit_status", "signal"):
        assert warm["evidence"].get(name) == cold["evidence"].get(name)
    outputs = [{p.name: p.read_text() for p in (fleet.scripts / way).glob("*.txt")} for way in ("cold", "warm")]
    assert outputs[0] == outputs[1]


_DUMP = r"""
import json, pickle, resource, threading
class Mine:
    pass
def handler(number):
    found = signal.getsignal(number)
    return found if found is None or isinstance(found, int) else getattr(found, "__qualname__", str(found))
numbers = [n for n in range(1, 65) if n not in (32, 33)]
seen = {
    "argv": sys.argv, "orig_argv": sys.orig_argv, "cwd": os.getcwd(), "name": __name__, "file": __file__,
    "globals": sorted(k for k in globals() if k.startswith("__")), "spec": str(__spec__), "doc": __doc__,
    "loader": type(__loader__).__name__, "cached": str(globals().get("__cached__")), "package": __package__,
    "builtins": type(__builtins__).__name__, "annotations": str(globals().get("__annotations__")),
    "path": sys.path, "environ": dict(os.environ), "flags": str(sys.flags),
    "fds": sorted((fd, os.readlink(f"/proc/self/fd/{fd}").split(":")[0]) for fd in range(64)
                  if os.path.exists(f"/proc/self/fd/{fd}")),
    "handlers": {n: handler(n) for n in numbers}, "wakeup": signal.set_wakeup_fd(-1),
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "session": os.getsid(0) == os.getpid(),
    "group": os.getpgid(0) == os.getpid(), "umask": os.umask(0), "stdin": sys.stdin.read(),
    "streams": [(s.name, s.encoding, s.errors, s.line_buffering, s.isatty()) for s in (sys.stdout, sys.stderr)],
    "threads": len(os.listdir("/proc/self/task")), "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
    "nice": os.nice(0), "cores": sorted(os.sched_getaffinity(0)), "main": threading.main_thread().name,
    "pickled": pickle.dumps(Mine()).hex(), "same": type(pickle.loads(pickle.dumps(Mine()))) is Mine,
    "is_main": sys.modules["__main__"].Mine is Mine, "frames": sys._getframe().f_back is None,
    "customize": sorted(n for n in sys.modules if "customize" in n or "zygote" in n),
    "parent": os.getppid() > 1, "nonblocking": os.get_blocking(1),
}
leave("seen.json", json.dumps(seen, default=str))
"""


def test_all_that_it_can_see_is_as_it_is_cold(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments, search path, environment, files, signals, session, its own module, and the thread pools' variables."""
    monkeypatch.setenv("PYTHONPATH", os.path.join(fleet.scripts, "elsewhere"))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    fleet.videos(1)
    script = fleet.script("import numpy\n")
    with script.open("a") as file:
        file.write(_DUMP)
    _both(fleet, script, "--", "--more", "an argument")
    cold, warm = (json.loads((fleet.scripts / way / "seen.json").read_text()) for way in ("cold", "warm"))
    for seen in (cold, warm):
        seen["environ"].pop("VIDFLEET_MARK")  # it names the run
    assert warm == cold
    assert cold["environ"]["OPENBLAS_NUM_THREADS"] == "3"
    assert cold["threads"] == min(3, len(os.sched_getaffinity(0))), "numpy's OpenBLAS has started its threads"


@pytest.mark.parametrize(("death", "kind", "words"), _DEATHS, ids=[f"{i}-{d[1]}" for i, d in enumerate(_DEATHS)])
@pytest.mark.parametrize("contract", ["script", "template"])
def test_a_death_is_named_and_harms_no_other(fleet: Fleet, contract: str, death: str, kind: str, words: str) -> None:
    """The same table as cold; and the lane goes on warm."""
    fleet.videos(4)
    script = fleet.script(f"""
        if stem == "v01":
            {death}
        else:
            leave()
    """)
    flags = ["--timeout", "1.5", "--grace", "0.2", "--retries", "0", "--devices", "cpu:1", "--warm"]
    result = fleet.run(*flags, "--schedule", "name", *fleet.way(contract, script))
    assert result.returncode == 1, result.stdout
    done = ("done", "")
    assert fleet.outcomes() == {"v00.mp4": done, "v01.mp4": ("failed", kind), "v02.mp4": done, "v03.mp4": done}
    reason = next(v["reason"] for v in fleet.report()["videos"] if v["video"] == "v01.mp4")
    assert words in reason, reason
    assert all(event["evidence"].get("warm") for event in fleet.events("attempt_ended"))
    assert not fleet.processes()
    assert not fleet.torn()


def test_what_a_video_leaves_running_is_ended_and_the_zygote_stays(fleet: Fleet) -> None:
    """A daemon with a session of its own that holds the log open, and one that is stopped."""
    fleet.videos(3)
    script = fleet.script("""
        leave("parent.txt", str(os.getppid()))
        subprocess.Popen(["sleep", "300"], start_new_session=True)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(0)
    """)
    result = fleet.run("--script", script, "--devices", "cpu:1", "--warm")
    assert result.returncode == 0, result.stdout
    assert all(event["evidence"]["ended_leftovers"] >= 2 for event in fleet.events("attempt_ended"))
    assert len({path.read_text() for path in fleet.root.glob("*/parent.txt")}) == 1, "one zygote"
    assert not fleet.processes()


def test_modules_are_loaded_once_in_a_lane_and_what_they_print_is_in_the_first_log(fleet: Fleet) -> None:
    fleet.videos(3)
    (fleet.scripts / "packages").mkdir()
    (fleet.scripts / "packages" / "heavy.py").write_text(
        "import sys, ctypes\nprint('loading')\nctypes.CDLL(None).printf(b'from C\\n')\n"
        f"with open({str(fleet.scripts / 'loads')!r}, 'a') as file:\n    file.write('x')\n"
    )
    script = fleet.script("import heavy\nleave()\nprint('mine')", "infer.py")
    os.environ["PYTHONPATH"] = str(fleet.scripts / "packages")
    try:
        away = fleet.scripts.parent / "away"
        away.mkdir()
        moved = script.rename(away / "infer.py")
        result = fleet.run("--script", moved, "--devices", "cpu:1", "--warm", "--schedule", "name")
    finally:
        del os.environ["PYTHONPATH"]
    assert result.returncode == 0, result.stdout
    assert "warm: heavy is loaded once in each lane" in result.stdout
    assert (fleet.scripts / "loads").read_text() == "x"
    logs = sorted((fleet.root / ".vidfleet").rglob("*.log"))
    assert [sorted(log.read_text().split("\n")) for log in logs] == [
        ["", "from C", "loading", "mine"], ["", "mine"], ["", "mine"],
    ]  # fmt: skip


def test_numpys_random_numbers_differ_between_videos(fleet: Fleet) -> None:
    fleet.videos(3)
    script = fleet.script("import numpy.random, random\nleave('r.txt', f'{numpy.random.rand()} {random.random()}')")
    assert fleet.run("--script", script, "--devices", "cpu:1", "--warm").returncode == 0
    drawn = [path.read_text().split() for path in fleet.root.glob("*/r.txt")]
    assert len({numbers[0] for numbers in drawn}) == len({numbers[1] for numbers in drawn}) == 3


def test_multiprocessing_works_in_a_warm_script(fleet: Fleet) -> None:
    """Fork, spawn and forkserver find the script's own functions."""
    fleet.videos(2)
    script = fleet.script("""
        import multiprocessing
        def double(number):
            return 2 * number
        if __name__ == "__main__":
            found = []
            for way in ("fork", "spawn", "forkserver"):
                with multiprocessing.get_context(way).Pool(2) as pool:
                    found += pool.map(double, [1, 2])
            leave("found.txt", str(found))
    """)
    script.write_text(script.read_text().replace("video = glob", "video = len(sys.argv) > 2 and glob"))
    result = fleet.run("--script", script, "--devices", "cpu:1", "--warm")
    assert result.returncode == 0, result.stdout
    assert (fleet.root / "v01" / "found.txt").read_text() == "[2, 4, 2, 4, 2, 4]"
    assert all(event["evidence"].get("warm") for event in fleet.events("attempt_ended"))


def _sleeping(fleet: Fleet) -> tuple[int, psutil.Process]:
    """A warm run whose one video hangs with children of its own; the runner's number, and the fork."""
    fleet.videos(2)
    script = fleet.script("""
        import json
        subprocess.Popen(["sleep", "300"], start_new_session=True)
        open(os.path.join(os.path.dirname(__file__), "pid"), "w").write(str(os.getpid()))
        if not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
            time.sleep(300)
        leave()
    """)
    runner = fleet.start("--script", script, "--devices", "cpu:1", "--warm")
    fleet.wait_for(lambda: (fleet.scripts / "pid").exists() and (fleet.scripts / "pid").read_text())
    return runner.pid, psutil.Process(int((fleet.scripts / "pid").read_text()))


@pytest.mark.parametrize("killed", ["runner", "worker", "guard", "zygote"])
def test_whoever_is_killed_nothing_is_left(fleet: Fleet, killed: str) -> None:
    """SIGKILL to the runner, the worker, its guard, or the process that holds what is loaded."""
    runner, fork = _sleeping(fleet)
    zygote, worker, guard = fork.parents()[:3]
    below = [fork, *fork.children(recursive=True)]
    (fleet.scripts / "go").touch()
    {"runner": psutil.Process(runner), "worker": worker, "guard": guard, "zygote": zygote}[killed].kill()
    _, alive = psutil.wait_procs(below, timeout=5)
    assert not alive
    if killed == "runner":
        fleet.wait_for(lambda: not fleet.processes(), within_s=5)
        return
    fleet.wait_for(lambda: not psutil.pid_exists(runner) or psutil.Process(runner).status() == "zombie", 30)
    assert set(fleet.outcomes().values()) == {("done", "")}
    kinds = [event["kind"] for event in fleet.events("attempt_ended")]
    assert sorted(kinds) == ["crash", "done", "done"]
    assert not fleet.processes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_warm_run_in_order(fleet: Fleet, number: signal.Signals) -> None:
    runner, _ = _sleeping(fleet)
    os.kill(runner, number)
    output, _ = fleet._started[0].communicate(timeout=20)
    assert fleet._started[0].returncode == 128 + number, output
    assert {state for state, _ in fleet.outcomes().values()} == {"interrupted", "not_started"}
    assert not fleet.processes()


def test_a_run_that_is_stopped_while_it_loads_ends_at_once(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.videos(1)
    packages = fleet.scripts.parent / "packages"
    packages.mkdir()
    (packages / "slow.py").write_text(f"import time\nopen({str(packages / 'begun')!r}, 'w').close()\ntime.sleep(300)")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    runner = fleet.start("--script", fleet.script("import slow\nleave()"), "--devices", "cpu:1", "--warm")
    fleet.wait_for(lambda: (packages / "begun").exists())
    runner.send_signal(signal.SIGTERM)
    runner.communicate(timeout=10)
    assert runner.returncode == 143
    assert fleet.outcomes() == {"v00.mp4": ("interrupted", "")}
    assert not fleet.processes()


def test_loading_is_not_the_videos_time(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that is shorter than loading ends nothing."""
    fleet.videos(2)
    packages = fleet.scripts.parent / "packages"
    packages.mkdir()
    (packages / "slow.py").write_text("import time\ntime.sleep(2)")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    result = fleet.run(
        "--script", fleet.script("import slow\nleave()"), "--devices", "cpu:1", "--warm", "--timeout", "1"
    )
    assert result.returncode == 0, result.stdout


def test_a_video_that_stops_its_parent_has_its_time_limit(fleet: Fleet) -> None:
    """Its end is told, and the lane goes on."""
    fleet.videos(2)
    script = fleet.script("leave()\nif stem == 'v00':\n    os.kill(os.getppid(), signal.SIGSTOP)")
    flags = ("--timeout", "1.5", "--grace", "0.2", "--retries", "0", "--schedule", "name")
    fleet.run("--script", script, "--devices", "cpu:1", "--warm", *flags)
    assert fleet.outcomes() == {"v00.mp4": ("failed", "timeout"), "v01.mp4": ("done", "")}


def test_where_loading_hangs_the_video_begins_without(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own limits count from there; the lane does not try again."""
    fleet.videos(2)
    packages = fleet.scripts.parent / "packages"
    packages.mkdir()
    (packages / "hanging.py").write_text(
        "import os, time\nif not os.path.exists(__file__ + '.tried'):\n"
        "    open(__file__ + '.tried', 'w').close()\n    time.sleep(300)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(packages))
    script = fleet.script("import hanging\nleave()")
    result = fleet.run("--script", script, "--devices", "cpu:1", "--warm", "--stall", "1.5", "--retries", "0")
    assert result.returncode == 0, result.stdout
    assert "no warm start: loading what it imports comes to a stop" in result.stdout
    assert not fleet.processes()


def test_toggling_warm_runs_nothing_again_and_a_dry_run_says_what_is_loaded(fleet: Fleet) -> None:
    fleet.videos(1)
    script = fleet.script("import numpy, json\nleave()")
    dry = fleet.run("--script", script, "--warm", "--dry-run")
    assert "warm: numpy is loaded once in each lane" in dry.stdout
    assert fleet.run("--script", script).returncode == 0
    again = fleet.run("--script", script, "--warm")
    assert "all up to date, nothing to do" in again.stdout
    assert fleet.run("--script", script, "--preload", "numpy", "--warm").returncode == 0


def test_on_stop_leaves_what_is_loaded_in_the_lane(fleet: Fleet) -> None:
    """The user's own command runs beside the zygote, and ends what it leaves itself."""
    fleet.videos(3)
    script = fleet.script("""
        leave("parent.txt", str(os.getppid()))
        open(os.path.join(os.path.dirname(__file__), "p-" + stem), "w").write(str(os.getppid()))
        sys.exit(stem == "v01")
    """)
    result = fleet.run(
        "--script", script, "--devices", "cpu:1", "--warm", "--on-stop", "true", "--retries", "0", "--schedule", "name"
    )
    assert result.returncode == 1, result.stdout
    assert len({path.read_text() for path in fleet.scripts.glob("p-*")}) == 1


def test_named_modules_are_loaded_and_may_lie_beside_the_script(fleet: Fleet) -> None:
    fleet.videos(3)
    (fleet.scripts / "models.py").write_text("open(__file__ + '.loads', 'a').write('x')\n")
    script = fleet.script("import models\nleave()")
    result = fleet.run("--script", script, "--devices", "cpu:1", "--preload", "models")
    assert result.returncode == 0, result.stdout
    assert (fleet.scripts / "models.py.loads").read_text() == "x"
    assert all(event["evidence"].get("warm") for event in fleet.events("attempt_ended"))


def test_a_named_module_that_is_not_there_is_told(fleet: Fleet) -> None:
    fleet.videos(1)
    result = fleet.run("--script", fleet.script("leave()"), "--devices", "cpu:1", "--preload", "tortch")
    assert result.returncode == 0, result.stdout
    assert "no warm start: --preload tortch: ModuleNotFoundError: No module named 'tortch'" in result.stdout


def test_a_warm_video_stands_still_while_the_run_does(fleet: Fleet) -> None:
    """SIGTSTP stops the fork, and SIGCONT lets it go on."""
    fleet.videos(1)
    script = fleet.script("""
        open(os.path.join(os.path.dirname(__file__), "pid"), "w").write(str(os.getpid()))
        time.sleep(1)
        leave()
    """)
    runner = fleet.start("--script", script, "--devices", "cpu:1", "--warm")
    fleet.wait_for(lambda: (fleet.scripts / "pid").exists() and (fleet.scripts / "pid").read_text())
    fork = psutil.Process(int((fleet.scripts / "pid").read_text()))
    runner.send_signal(signal.SIGTSTP)
    fleet.wait_for(lambda: fork.status() == psutil.STATUS_STOPPED)
    fleet.wait_for(lambda: psutil.Process(runner.pid).status() == psutil.STATUS_STOPPED)
    runner.send_signal(signal.SIGCONT)
    runner.communicate(timeout=30)
    assert runner.returncode == 0


def test_a_flood_and_a_hang_of_a_warm_video_are_bounded(fleet: Fleet) -> None:
    """The log keeps head and tail; --stall ends what does nothing."""
    fleet.videos(2)
    script = fleet.script("""
        if stem == "v00":
            print("the beginning", flush=True)
            for _ in range(64):
                os.write(1, b"x" * (1 << 20))
            leave()
        else:
            time.sleep(300)
    """)
    result = fleet.run(
        "--script", script, "--devices", "cpu:1", "--warm", "--stall", "2", "--retries", "0", "--grace", "1"
    )
    assert result.returncode == 1, result.stdout
    assert fleet.outcomes() == {"v00.mp4": ("done", ""), "v01.mp4": ("failed", "timeout")}
    log = next((fleet.root / ".vidfleet").rglob("v00.mp4.log"))
    assert log.stat().st_size < 6 << 20
    assert log.read_bytes().startswith(b"the beginning")


def test_a_module_that_is_only_called_torch_does_not_crash_a_fork_at_its_end(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.videos(1)
    (fleet.scripts / "packages").mkdir()
    (fleet.scripts / "packages" / "torch.py").write_text("ones = 1\n")
    monkeypatch.setenv("PYTHONPATH", str(fleet.scripts / "packages"))
    result = fleet.run("--script", fleet.script("import torch\nleave()"), "--devices", "cpu:1", "--warm")
    assert result.returncode == 0, result.stdout
    assert fleet.events("attempt_ended")[0]["evidence"].get("warm")


@pytest.mark.slow
def test_a_script_with_pytorch_starts_warm_and_computes(fleet: Fleet) -> None:
    """Its threads are the lane's share, its random numbers are drawn anew, and what it wrote is whole."""
    pytest.importorskip("torch")
    fleet.videos(3)
    script = fleet.script("""
        import torch
        made = torch.rand(800, 800) @ torch.rand(800, 800)
        leave("threads.txt", f"{torch.get_num_threads()} {bool((made > 0).all())}")
        leave("seed.txt", str(torch.initial_seed()))
        torch.kept = open(os.path.join(out, "kept.txt"), "w")
        torch.kept.write("whole")
    """)
    result = fleet.run("--script", script, "--devices", "cpu:1", "--warm")
    assert result.returncode == 0, result.stdout
    assert all(event["evidence"].get("warm") for event in fleet.events("attempt_ended"))
    threads = len(os.sched_getaffinity(0))
    assert {path.read_text() for path in fleet.root.glob("*/threads.txt")} == {f"{threads} True"}
    assert len({path.read_text() for path in fleet.root.glob("*/seed.txt")}) == 3
    assert [path.read_text() for path in fleet.root.glob("*/kept.txt")] == ["whole"] * 3


def test_no_warm_is_the_last_word(fleet: Fleet) -> None:
    """Whatever vidfleet.toml says."""
    fleet.videos(1)
    (fleet.root / "vidfleet.toml").write_text('[run]\nwarm = true\npreload = ["numpy"]\n')
    script = fleet.script("leave()")
    assert "numpy is loaded once in each lane" in fleet.run("--script", script, "--dry-run").stdout
    assert "loaded once" not in fleet.run("--script", script, "--no-warm", "--dry-run").stdout
