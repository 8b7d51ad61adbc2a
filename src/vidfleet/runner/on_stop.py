"""``--on-stop``: a command that ends what is no process of an attempt's own, such as a container.

It runs in the attempt's lane, after each attempt that did not end well and before anything follows; and at the next
start for attempts that a killed runner left. So it may be called for an attempt that has left nothing, and twice.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.data import Lane, Probe, Task
from vidfleet.errors import ClaimedError, UsageError
from vidfleet.runner.claims import Claims
from vidfleet.runner.places import stage_of
from vidfleet.runner.show.story import KILLED, read_story
from vidfleet.worker.messages import Start
from vidfleet.worker.process import lane_environment
from vidfleet.workloads.base import Program
from vidfleet.workloads.command import fill_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vidfleet.data import Evidence, Video
    from vidfleet.runner.ledger import RunFolder
    from vidfleet.settings import RunSettings

LIMIT_S = 30.0
"""What takes longer is ended: ``docker stop`` takes ten seconds by itself."""
_GRACE_S = 2.0
_AT_A_TIME = 8
_BETWEEN_LOOKS_S = 0.05


def check(settings: RunSettings) -> None:
    """Raise UsageError where the command's program is not there."""
    words = shlex.split(settings.on_stop)
    if words and "{" not in words[0] and not shutil.which(words[0]):
        raise UsageError(f"--on-stop: there is no program {words[0]!r} on the PATH\nGive its whole path.")


def make_start(attempt: str, task: Task, lane: Lane, root: Path, settings: RunSettings, log: Path) -> Start:
    """What a lane's worker is told to run after an attempt; its output goes into the video's log."""
    words = _words(task, lane, root, settings)
    _note(log, words)
    return Start(
        attempt, Program(words, str(Path.cwd())), log=str(log), timeout_s=LIMIT_S, grace_s=_GRACE_S, stall_s=None
    )


def trouble(task: Task, evidence: Evidence) -> str:
    """A sentence for the user where the command did not end well; the video's own end stays what it is."""
    if evidence.exit_status == 0 and not (evidence.timed_out or evidence.cancelled or evidence.declared_kind):
        return ""
    if evidence.timed_out or evidence.cancelled:
        how = f"it took longer than {LIMIT_S:g} s and was ended" if evidence.timed_out else "it was ended"
    else:
        status = "" if evidence.exit_status is None else f"exit status {evidence.exit_status}"
        how = status or evidence.message or f"signal {evidence.signal}"
    return f"--on-stop failed for {task.video.relative}: {how}; see its log"


def stop_left(runs: Iterable[RunFolder], videos: Iterable[Video], root: Path, settings: RunSettings) -> int:
    """Run the command for each attempt that killed runs have left; returns for how many.

    Of those runs only the videos' names and the lanes are taken, and only of videos that this run has found: what
    runs is what today's command line says. A video that some living runner works on is left alone.
    """
    if not settings.on_stop:
        return 0
    known = {video.relative: video for video in videos}
    left = [(run, *found) for run in runs for found in _left(run)]
    over = threading.Event()
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        calls = [
            pool.submit(_stop_one, run, known[name], lane, root, settings, over)
            for run, name, lane in left
            if name in known
        ]
        try:
            return sum(call.result() for call in calls)
        except KeyboardInterrupt:  # the next start calls them again
            over.set()
            raise


def _left(run: RunFolder) -> Iterator[tuple[str, Lane]]:
    """Videos by their relative paths, whose attempts had not ended when the runner was killed, and their lanes."""
    with contextlib.suppress(OSError):
        for outcome in read_story(run).summary.outcomes:
            if outcome.state == "interrupted" and outcome.attempts and outcome.attempts[-1].kind == KILLED:
                yield outcome.video.relative, outcome.attempts[-1].lane


def _stop_one(
    run: RunFolder, video: Video, lane: Lane, root: Path, settings: RunSettings, over: threading.Event
) -> bool:
    if over.is_set():
        return False
    claims, stage = Claims(), stage_of(video, root, settings)
    try:
        claims.take(stage)
    except (ClaimedError, OSError):
        return False
    try:
        words = _words(Task(video, stage, Probe(0.0, 1, 0, 0, "")), lane, root, settings)
        _call(words, run.log_path(video), lane_environment(lane, f"{run.id}:{lane.index}"), over)
    # No such program any more, its log cannot be written, or a ledger that names no device: no more can be done.
    except (OSError, ValueError, TypeError):
        return False
    finally:
        claims.release(stage)
    return True


def _call(words: tuple[str, ...], log: Path, environment: dict[str, str], over: threading.Event) -> None:
    _note(log, words)
    with log.open("ab") as output:
        process = subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    until = time.monotonic() + LIMIT_S
    while process.poll() is None and time.monotonic() < until and not over.wait(_BETWEEN_LOOKS_S):
        pass
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _words(task: Task, lane: Lane, root: Path, settings: RunSettings) -> tuple[str, ...]:
    return fill_in(shlex.split(settings.on_stop), task, lane, root)


def _note(log: Path, words: tuple[str, ...]) -> None:
    """Say in the video's log what runs now."""
    with contextlib.suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            file.write(os.fsencode(f"--on-stop: {shlex.join(words)}\n"))
