"""The process that loads ahead: any Python from 3.8 on can be held before its script, and goes on as if it had not."""

from __future__ import annotations

import ast
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vidfleet.worker.zygote as package

ZYGOTE = Path(package.__file__).parent
FILES = sorted(ZYGOTE.glob("*.py"))
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="warm lanes are Linux's")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_any_python_from_3_8_on_can_read_it(path: Path) -> None:
    """By its grammar, and by its annotations, which are not looked at."""
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name.partition(".")[0] for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in imports if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    names = {name.partition(".")[0] for name in names} - {"sitecustomize"}
    assert names <= set(sys.stdlib_module_names)


class Zygote:
    """A Python that is held before ``script``, spoken to as the worker does."""

    def __init__(self, python: str, script: Path, *steps: tuple[str, str, str], **variables: str) -> None:
        self.python, self.script = python, str(script)
        ours, theirs = socket.socketpair()
        held = f"{theirs.fileno()}:{script}"
        environment = {**os.environ, "PYTHONPATH": str(ZYGOTE), "VIDFLEET_ZYGOTE": held, **variables}
        self.process = subprocess.Popen(
            [python, self.script, "first"], env=environment, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()
        self._link, self._heard = ours, ours.makefile("rb")
        assert self.hear()["type"] == "hello"
        named = [{"kind": kind, "name": name, "value": value} for kind, name, value in steps]
        self._say({"type": "load", "steps": named, "is_named": False})
        self.state = self.hear()

    def _say(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        socket.send_fds(self._link, [json.dumps(message).encode() + b"\n"], fds)

    def hear(self) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self._heard.readline())
        return heard

    def run(self, *arguments: str) -> tuple[int, str]:
        """Status and output of one fork."""
        output, child = os.pipe()
        self._say({"type": "run", "argv": [self.python, self.script, *arguments]}, (child,))
        os.close(child)
        began = self.hear()
        with os.fdopen(output, "r") as file:
            said = file.read()
        assert self.hear() == {"type": "ended", "pid": began["pid"]}
        self._say({"type": "reap"})
        status: int = self.hear()["status"]
        return os.waitstatus_to_exitcode(status), said

    def close(self) -> None:
        self._link.close()
        self._heard.close()
        self.process.wait(timeout=10)


def _pythons() -> list[str]:
    """This one, and what else the machine has."""
    found = {sys.executable: None}
    for minor in range(8, 15):
        places = [
            shutil.which(f"python3.{minor}"),
            *map(str, Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")),
        ]
        found.update(dict.fromkeys(place for place in places if place and "shims" not in place))
    return list(found)


@pytest.mark.parametrize("python", _pythons())
def test_a_fork_goes_on_as_that_python_does_by_itself(tmp_path: Path, python: str) -> None:
    """Arguments, search path, variables, its main module, how it ends; the machine's own ``sitecustomize`` is heard."""
    (tmp_path / "customs").mkdir()
    (tmp_path / "customs" / "sitecustomize.py").write_text("import sys\nsys.customized = __file__\n")
    script = tmp_path / "s.py"
    script.write_text(
        "import sys, os, decimal\n"
        "main = {k: repr(v)[:60] for k, v in sorted(globals().items()) if k.startswith('__') and k != '__loader__'}\n"
        "print(sys.argv, sys.path, main, sys.customized, os.environ['PYTHONPATH'], os.environ.get('X'), sys.flags)\n"
        "print(sys._getframe().f_back, [name for name in sys.modules if 'zygote' in name])\n"
        "print(sys.modules['sitecustomize'].__file__)\n"
        "sys.stdout.flush()\n"
        "{'exit': lambda: sys.exit(3), 'raise': lambda: 1 / 0, 'stop': lambda: exec('raise KeyboardInterrupt')}"
        "[sys.argv[1]]()\n"
    )
    customs = str(tmp_path / "customs")
    zygote = Zygote(
        python, script, ("set", "X", "2"), ("import", "decimal", ""), ("import", "no.such", ""),
        PYTHONPATH=f"{ZYGOTE}:{customs}", VIDFLEET_ZYGOTE_HAD_PYTHONPATH="",
    )  # fmt: skip
    try:
        assert zygote.state == {"type": "ready"}
        for argument in ("exit", "raise", "stop"):
            cold = subprocess.run(
                [python, str(script), argument], env={**os.environ, "PYTHONPATH": customs}, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            assert zygote.run(argument) == (cold.returncode, cold.stdout)
    finally:
        zygote.close()
    assert zygote.process.returncode == 0


def test_a_python_that_is_too_old_runs_its_script_as_if_nothing_were(tmp_path: Path) -> None:
    """Nothing is said, and nothing of ours is left in what it sees."""
    found = [*map(str, Path.home().glob(".pyenv/versions/3.6.*/bin/python"))]
    if not found:
        pytest.skip("no Python 3.6 here")
    script = tmp_path / "s.py"
    script.write_text("import os, sys\nprint(sys.path, sorted(os.environ), sorted(sys.modules))")
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    hooked = {**plain, "PYTHONPATH": str(ZYGOTE), "VIDFLEET_ZYGOTE": f"0:{script}"}
    cold, held = (
        subprocess.run([found[0], str(script)], env=environment, stdin=subprocess.DEVNULL, capture_output=True)
        for environment in (plain, hooked)
    )
    assert (held.stdout, held.stderr) == (cold.stdout, b"")


def test_it_ends_with_the_worker(tmp_path: Path) -> None:
    """An end of the socket is the end."""
    (tmp_path / "s.py").touch()
    zygote = Zygote(sys.executable, tmp_path / "s.py")
    assert zygote.state == {"type": "ready"}
    zygote.close()


def test_a_file_that_a_module_reads_from_has_its_own_place_in_each_fork(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("abcdef")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "reader.py").write_text(f"file = open({str(tmp_path / 'data')!r}, buffering=1)\n")
    (tmp_path / "s").mkdir()
    script = tmp_path / "s" / "s.py"
    script.write_text("import os, reader\nprint(os.read(reader.file.fileno(), 3).decode())")
    path = str(tmp_path / "pack")
    zygote = Zygote(
        sys.executable, script, ("import", "reader", ""),
        PYTHONPATH=f"{ZYGOTE}:{path}", VIDFLEET_ZYGOTE_HAD_PYTHONPATH="",
    )  # fmt: skip
    try:
        assert [zygote.run() for _ in range(2)] == [(0, "abc\n")] * 2
    finally:
        zygote.close()


def test_openblas_has_the_lanes_threads_in_a_fork(tmp_path: Path) -> None:
    """One while it is loaded, its share after that; in the environment too."""
    pytest.importorskip("numpy")
    script = tmp_path / "s.py"
    script.write_text(
        "import os, numpy\n"
        "a = numpy.random.rand(600, 600)\n"
        "assert ((a @ a) > 0).all()\n"
        "print(len(os.listdir('/proc/self/task')), os.environ['OPENBLAS_NUM_THREADS'])\n"
    )
    cores = len(os.sched_getaffinity(0))
    zygote = Zygote(sys.executable, script, ("import", "numpy", ""), OPENBLAS_NUM_THREADS=str(cores))
    try:
        assert zygote.state == {"type": "ready"}
        assert len(os.listdir(f"/proc/{zygote.process.pid}/task")) == 1
        assert zygote.run() == (0, f"{cores} {cores}\n")
    finally:
        zygote.close()
