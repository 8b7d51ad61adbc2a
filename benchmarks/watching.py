"""What the benchmarks of the runner's behaviour look with: at output folders, and at processes."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HEARING = ("env", "--default-signal=INT,HUP,TERM")
"""In front of a command: a shell that starts us in the background has SIGINT ignored by all below."""

PARTS = 5
SCRIPT = """\
import glob, os, random, signal, subprocess, sys, time
folder, version = sys.argv[sys.argv.index("--videoFolder") + 1], sys.argv[-1]
video = glob.glob(os.path.join(folder, "*.*"))[0]
stem = os.path.splitext(os.path.basename(video))[0]
with open(os.environ["CHAOS_LOG"], "a") as log:
    log.write(f"{os.environ['CHAOS'].rpartition(':')[2]} {version} {stem} {time.time()}\\n")
chance = random.Random(os.environ["CHAOS_SEED"] + stem)
if chance.random() < 0.05:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if chance.random() < 0.15:
    subprocess.Popen(["sleep", "300"], start_new_session=chance.random() < 0.7)
out = os.path.join(folder, stem)
os.makedirs(out, exist_ok=True)
slow_s = 0.1 if chance.random() < 0.1 else 0.002
for part in range(5):
    with open(os.path.join(out, f"part{part}"), "w") as file:
        file.write(version)
        file.flush()
        time.sleep(slow_s)
if stem.endswith("5"):
    with open(os.path.join(folder, stem + "_out.mp4"), "w") as file:
        file.write(version)
"""


def look(folder: Path) -> str:
    """``absent``, the version of a whole output, or ``torn`` and why.

    By descriptor, as the folder may be exchanged meanwhile.
    """
    try:
        here = os.open(folder, os.O_DIRECTORY)
    except FileNotFoundError:
        return "absent"
    try:
        record = json.loads(read_at(here, "vidfleet.json"))
        versions = {record["workload"]["parts"]["arguments"][0], *(read_at(here, f"part{n}") for n in range(PARTS))}
    except (OSError, ValueError, LookupError) as error:
        return f"torn: {error!r}"
    finally:
        os.close(here)
    return versions.pop() if len(versions) == 1 else f"torn: {sorted(versions)}"


def read_at(folder: int, name: str) -> str:
    with os.fdopen(os.open(name, os.O_RDONLY, dir_fd=folder)) as file:
        return file.read()


def until_same(look: Callable[[], str]) -> str:
    """Look again where something was torn: what is being replaced is deleted under our eyes, and then it is new."""
    seen = look()
    for _ in range(3):
        if not seen.startswith("torn"):
            break
        time.sleep(0.01)
        seen = look()
    return seen


def wait_until(condition: Callable[[], bool], limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def environment_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()  # empty for a zombie
    except OSError:
        return b""


def having(word: str, processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those of some processes whose command has ``word`` in it."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):  # gone since
            if word in " ".join(process.cmdline()):
                found.append(process)
    return found


def in_words(pid: int) -> str:
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return f"{pid} {' '.join(process.cmdline())[:80]} (parent {process.ppid()})"
    return f"{pid} gone"
