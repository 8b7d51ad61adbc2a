"""Warm lanes where something is in the way of a fork: cold then, told once, and right all the same."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.runs.test_warm import _both

if TYPE_CHECKING:
    from tests.support.fleet import Fleet

_UNSAFE = [
    (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(300,), daemon=True).start()",
        "starts a thread",
    ),
    ("import socket\nkept = socket.socket()", "opens a socket"),
    ("import os\nkept = os.pipe()", "opens a pipe"),
    ("import select\nkept = select.epoll()", "opens anon_inode"),
    ("import os\nkept = os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY)", "opens /dev/"),
    ("kept = open('/tmp/vidfleet-test-%d' % __import__('os').getpid(), 'w')", "a file open for writing"),
    ("import multiprocessing\nkept = multiprocessing.Lock()", "importing troublesome"),
    ("import subprocess\nkept = subprocess.Popen(['sleep', '300'])", "leaves a process running"),
    ("import os\nos.kill(os.getpid(), 11)", "ended its process (signal 11)"),
    ("import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)", "handles SIGCHLD"),
    ("import signal\nsignal.alarm(300)", "sets an alarm"),
    (
        "import contextlib, os\nfor fd in range(99):\n  with contextlib.suppress(OSError): os.write(fd, b'noise\\n')",
        "writes to each file that is open",
    ),
    ("import os\nos.dup2(os.open('/dev/null', os.O_RDWR), 1)", "redirects a standard stream"),
]


@pytest.mark.parametrize(("body", "words"), _UNSAFE, ids=[words.split()[-1] for _, words in _UNSAFE])
def test_what_no_fork_could_keep_makes_the_lane_cold_and_is_told_once(
    fleet: Fleet, body: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread, a socket, a device ... on import: the outputs are right all the same."""
    fleet.videos(3)
    packages = fleet.scripts.parent / "packages"
    packages.mkdir()
    (packages / "troublesome.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    script = fleet.script("import sys\nif len(sys.argv) > 99:\n    import troublesome\nleave()")
    result = fleet.run("--script", script, "--devices", "cpu:2", "--warm")
    assert result.returncode == 0, result.stdout
    told = [event["text"] for event in fleet.events("notice") if "no warm start" in event["text"]]
    assert len(told) == 1, result.stdout
    assert words in told[0]
    attempt = json.loads((fleet.root / "v00" / "vidfleet.json").read_text())["attempts"][0]
    assert (attempt["warm"], words in attempt["cold_reason"]) == (False, True)
    assert not fleet.processes()


@pytest.mark.parametrize(
    "body", ["sys.stdout = io.TextIOWrapper(sys.stdout.detach())", "sys.stdout = None", "sys.stderr.close()"]
)
def test_a_module_may_put_something_else_into_the_place_of_stdout(
    fleet: Fleet, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.videos(1)
    packages = fleet.scripts.parent / "packages"
    packages.mkdir()
    (packages / "wrapping.py").write_text(f"import io, sys\n{body}")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    (cold, cold_log), (warm, warm_log) = _both(fleet, fleet.script("import wrapping\nprint('mine')\nleave()"))
    assert (cold["kind"], cold_log) == (warm["kind"], warm_log) == ("done", "" if "None" in body[:18] else "mine\n")


def test_a_module_beside_the_script_is_the_scripts_own(fleet: Fleet) -> None:
    """Never loaded ahead: an edit between two videos is seen, as is one of the script itself."""
    fleet.videos(3)
    (fleet.scripts / "mine.py").write_text("VALUE = 0\n")
    script = fleet.script("""
        import json, mine
        leave("value.txt", str(mine.VALUE) + " first")
        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "mine.py"), "w") as file:
            file.write("VALUE = %d\\n" % (mine.VALUE + 1))
        text = open(__file__).read()
        with open(__file__, "w") as file:
            file.write(text.replace('" first"', '" second"'))
    """)
    result = fleet.run("--script", script, "--devices", "cpu:1", "--warm", "--schedule", "name")
    assert result.returncode == 0, result.stdout
    values = [(fleet.root / f"v0{i}" / "value.txt").read_text() for i in range(3)]
    assert values == ["0 first", "1 second", "2 second"]
    assert all(event["evidence"].get("warm") for event in fleet.events("attempt_ended"))


def test_a_script_whose_neighbour_is_called_like_a_module_of_python_starts_cold(fleet: Fleet) -> None:
    fleet.videos(1)
    (fleet.scripts / "array.py").write_text("MINE = True\n")
    script = fleet.script("import array\nassert array.MINE\nleave()")
    result = fleet.run("--script", script, "--warm", "--devices", "cpu:1")
    assert result.returncode == 0, result.stdout
    assert "no warm start: array.py beside the script is called like a module of Python" in result.stdout


def test_a_python_that_cannot_be_held_runs_each_video_cold(fleet: Fleet) -> None:
    """One that reads no ``sitecustomize`` is the first video itself: nothing runs twice."""
    fleet.videos(3)
    python = fleet.scripts / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I "$@"\n')
    python.chmod(0o755)
    script = fleet.script("open(__file__ + '.ran', 'a').write(stem + ' ')\nleave()")
    result = fleet.run("--script", script, "--devices", "cpu:1", "--warm", "--python", python, "--schedule", "name")
    assert result.returncode == 0, result.stdout
    assert (fleet.scripts / "infer.py.ran").read_text() == "v00 v01 v02 "
    assert (
        result.stdout.count("no warm start: this Python cannot be stopped before its script") == 2
    )  # then, and at the end


def test_a_relative_script_finds_its_folder_where_a_module_leaves_it(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its search path is made when it begins, which is before the module changes the working directory."""
    fleet.videos(1)
    packages = fleet.scripts.parent / "packages"
    packages.mkdir()
    (packages / "wandering.py").write_text("import os\nos.chdir('/')")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    (fleet.scripts / "beside.py").write_text("")
    script = fleet.script("import wandering, beside\nleave()")
    result = fleet.run("--devices", "cpu:1", "--warm", "--", sys.executable, script.name, "--videoFolder", "{stage}")
    assert result.returncode == 0, result.stdout
    assert "no warm start: importing wandering changes the working directory" in result.stdout


def test_a_wrapper_may_ask_a_python_something_before_it_runs_the_script(fleet: Fleet) -> None:
    """Only the Python of the script is held, not each one that is started on the way to it."""
    fleet.videos(2)
    python = fleet.scripts / "python"
    python.write_text(f'#!/bin/sh\n{sys.executable} -c "import numpy" || exit 9\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    script = fleet.script("import numpy\nleave()")
    result = fleet.run("--devices", "cpu:1", "--warm", "--", python, script, "--videoFolder", "{stage}")
    assert result.returncode == 0, result.stdout
    assert all(event["evidence"]["warm"] for event in fleet.events("attempt_ended"))


def test_what_goes_wrong_before_the_script_never_runs_it_twice(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that takes ``os.fork`` away: the video that waited begins again, cold, as do all after it."""
    fleet.videos(2)
    packages = fleet.scripts.parent / "packages"
    packages.mkdir()
    (packages / "forkless.py").write_text("import os\nos.fork = None")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    script = fleet.script("import forkless\nopen(__file__ + '.ran', 'a').write(stem + ' ')\nleave()")
    result = fleet.run("--script", script, "--devices", "cpu:1", "--warm", "--schedule", "name")
    assert result.returncode == 0, result.stdout
    assert (fleet.scripts / "infer.py.ran").read_text() == "v00 v01 "
    assert "no warm start: the process that holds what is loaded ended (exit status 1)" in result.stdout
