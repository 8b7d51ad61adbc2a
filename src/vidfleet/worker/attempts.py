"""Attempts as processes: one that is started for each video, or one that stays and is called for each.

Both are a process group of their own with a pipe for all output; both are timed, asked to end, and killed in
the same way. ``ended`` answers only when nothing of the attempt is left that could hold the lane.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.data import Evidence
from vidfleet.worker.family import cpu_seconds, die_with_parent, end_descendants, is_stopped
from vidfleet.worker.log import CappedLog
from vidfleet.worker.memory import oom_kills
from vidfleet.worker.messages import LineBuffer
from vidfleet.worker.patience import Patience

if TYPE_CHECKING:
    import resource

    from vidfleet.worker.messages import Start
    from vidfleet.workloads.base import Call, Program

_CHUNK = 1 << 16
_LAST_CHUNKS = 64
_SETUP_LIMIT_S = 600.0
_HOST = Path(__file__).with_name("host.py")


class Running:
    """One process, its output and its deadlines."""

    stays = False
    """The process outlives its attempts."""

    def __init__(self) -> None:
        self.attempt = ""
        self._log: CappedLog | None = None
        self._patience = Patience(None, None)
        self._kill_at: float | None = None
        self._grace_s = 0.0
        self._timed_out = self._stalled = self._cancelled = False
        self._output_bytes = 0
        self._oom_kills = 0

    def spawn(self, argv: tuple[str, ...], folder: str, environment: dict[str, str], **more: object) -> None:
        """Start the process as the head of its own session and group; it ends with this one."""
        output, child_output = os.pipe()
        os.set_blocking(output, False)
        try:
            self._process = subprocess.Popen(
                argv, cwd=folder or None, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
                stdout=child_output, stderr=child_output, start_new_session=True,
                preexec_fn=die_with_parent, **more,  # type: ignore[call-overload]
            )  # fmt: skip
        except (OSError, ValueError) as error:
            os.close(output)
            raise OSError(str(error)) from error
        finally:
            os.close(child_output)
        self._output: int | None = output
        self._usage: resource.struct_rusage | None = None
        self._status: int | None = None

    def begin_attempt(self, start: Start) -> None:
        """Open the log and start the clock."""
        self.attempt = start.attempt
        self._log = CappedLog(Path(start.log))
        self._grace_s = start.grace_s
        self._timed_out = self._stalled = self._cancelled = False
        self._kill_at = None
        self._patience = Patience(start.timeout_s, start.stall_s)
        self._oom_kills = oom_kills()

    def pipes(self) -> list[int]:
        """File descriptors to watch."""
        return [] if self._output is None else [self._output]

    def read(self, fd: int) -> bool:
        """Take what a pipe holds; False at its end."""
        return self._read_output() if fd == self._output else False

    def _read_output(self) -> bool:
        if self._output is None:
            return False
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._output, _CHUNK)
            self._output_bytes += len(data)
            if self._log:
                self._log.write(data)
            return bool(data)
        return True

    def next_deadline(self) -> float | None:
        """When :meth:`keep_time` has to be called at the latest, by the monotonic clock."""
        return self._kill_at if self._kill_at is not None else self._patience.next_tick()

    def keep_time(self) -> None:
        """End the attempt when its time, its patience or its grace is over."""
        now = time.monotonic()
        if self._kill_at is not None:
            if now >= self._kill_at:
                self._signal(signal.SIGKILL)
                self._kill_at = now + 1.0
            return
        due = self._patience.next_tick()
        if due is None or now < due:
            return
        pid = self._process.pid
        activity = self._output_bytes + cpu_seconds(pid) if self._patience.wants_activity else 0.0
        self._patience.tick(is_stopped=is_stopped(pid), activity=activity)
        self._timed_out, self._stalled = self._patience.is_over, self._patience.has_stalled
        if self._timed_out or self._stalled:
            self._ask_to_end(self._grace_s)

    def pause(self) -> None:
        """Stop all of the attempt's process group."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def cancel(self, grace_s: float) -> None:
        """Ask for the end; a second time shortens the grace."""
        self._cancelled = True
        self._ask_to_end(grace_s)

    def _ask_to_end(self, grace_s: float) -> None:
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped process would not see it
        self._kill_at = time.monotonic() + grace_s

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def has_exited(self) -> bool:
        """Whether the process is gone; takes leave of it the first time."""
        if self._status is None:
            pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
            if pid:
                self._status, self._usage = os.waitstatus_to_exitcode(status), usage
                self._process.returncode = self._status
        return self._status is not None

    def kill(self) -> int:
        """End the process and everything below; returns how many others were ended."""
        if not self.has_exited():
            self._signal(signal.SIGKILL)
            _, status, self._usage = os.wait4(self._process.pid, 0)
            self._status = self._process.returncode = os.waitstatus_to_exitcode(status)
        return end_descendants()

    def take_progress(self) -> list[tuple[str, float]]:
        """Stage and share done, as far as the attempt told since the last call."""
        return []

    def ended(self) -> Evidence | None:
        """How the attempt ended, or nothing while it runs."""
        if not self.has_exited():
            return None
        return self._conclude(self.kill())

    def _conclude(self, leftovers: int, *, declared_kind: str = "", message: str = "") -> Evidence:
        for _ in range(_LAST_CHUNKS):  # a class that stays may go on printing from a thread
            if not self._read_output_now():
                break
        status, usage, log = self._status, self._usage, self._log
        last_lines = log.last_lines() if log else ""
        if log:
            log.close()
        self._log = None
        return Evidence(
            exit_status=status if status is not None and status >= 0 else None,
            signal=-status if status is not None and status < 0 else None,
            timed_out=self._timed_out,
            stalled=self._stalled,
            cancelled=self._cancelled,
            oom_killed=status == -signal.SIGKILL and self._kill_at is None and oom_kills() > self._oom_kills,
            declared_kind=declared_kind,
            message=message,
            log_tail=last_lines,
            cpu_s=usage.ru_utime + usage.ru_stime if usage else 0.0,
            peak_memory_bytes=usage.ru_maxrss * _MAXRSS_UNIT if usage else 0,
            ended_leftovers=leftovers,
        )

    def _read_output_now(self) -> bool:
        """Take what is in the pipe at this moment; False when it is empty or closed."""
        if self._output is None:
            return False
        try:
            data = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return False
        if data and self._log:
            self._log.write(data)
        return bool(data)

    def close(self) -> None:
        """Close the pipes."""
        if self._output is not None:
            os.close(self._output)
            self._output = None


class OneShot(Running):
    """A program, started for one video."""

    def __init__(self, start: Start, program: Program) -> None:
        super().__init__()
        self.spawn(program.argv, program.folder, dict(program.environment))
        self.begin_attempt(start)


class Hosted(Running):
    """A class, loaded once (``host.py``) and called for one video after the other."""

    stays = True

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call_key = (call.python, call.target, call.arguments, call.folder)
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        os.set_blocking(self._answers, False)
        self._lines = LineBuffer()
        self._progress: list[tuple[str, float]] = []
        self._answer: dict[str, object] | None = None
        self._ready = False
        request = json.dumps({"target": call.target, "arguments": call.arguments, "folder": call.folder})
        argv = (call.python, str(_HOST), str(orders), str(answers), request)
        try:
            self.spawn(argv, "", {}, pass_fds=(orders, answers))
        except OSError:
            os.close(self._orders)
            os.close(self._answers)
            raise
        finally:
            os.close(orders)
            os.close(answers)

    def fits(self, call: Call) -> bool:
        """Whether this process can take ``call``: alive, and the same class with the same arguments."""
        key = (call.python, call.target, call.arguments, call.folder)
        return key == self._call_key and not self.has_exited()

    def begin(self, start: Start, call: Call) -> None:
        """Call ``process`` for the next video."""
        self.begin_attempt(start)
        self._limits = (start.timeout_s, start.stall_s)
        if not self._ready and start.timeout_s is not None:  # loading the models is not the video's time
            self._patience = Patience(max(start.timeout_s, _SETUP_LIMIT_S), start.stall_s)
        self._answer = None
        order = json.dumps({"video": call.video, "out": call.out}) + "\n"
        with contextlib.suppress(BrokenPipeError):  # its death is seen a moment later
            os.write(self._orders, order.encode("ascii"))

    def pipes(self) -> list[int]:
        """Output and answers."""
        return [*super().pipes(), self._answers]

    def read(self, fd: int) -> bool:
        """Take output or answers."""
        if fd != self._answers:
            return super().read(fd)
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        for line in self._lines.feed(data):
            self._hear(line)
        return bool(data)

    def _hear(self, line: bytes) -> None:
        said = json.loads(line)
        if said["type"] == "ready":
            self._ready = True
            if self._kill_at is None:
                self._patience = Patience(*self._limits)
        elif said["type"] == "progress":
            self._progress.append((said["stage"], said["share"]))
        else:
            self._answer = said

    def take_progress(self) -> list[tuple[str, float]]:
        """See :class:`Running`."""
        told, self._progress = self._progress, []
        return told

    def ended(self) -> Evidence | None:
        """See :class:`Running`; the process stays where the call came back in time."""
        if self.has_exited():
            self.read(self._answers)
            self.stays = False
            kind, message = self._told()
            return self._conclude(self.kill(), declared_kind=kind, message=message)
        if self._answer is None:
            return None
        kind, message = self._told()
        status = 1 if kind or message else 0
        used = self._answer
        evidence = self._conclude(0, declared_kind=kind, message=message)
        self._patience, self._kill_at = Patience(None, None), None
        return Evidence(
            exit_status=status,
            declared_kind=kind,
            message=message,
            timed_out=evidence.timed_out,
            stalled=evidence.stalled,
            cancelled=evidence.cancelled,
            log_tail=evidence.log_tail,
            cpu_s=float(used["cpu_s"]),  # type: ignore[arg-type]
            peak_memory_bytes=int(used["peak_memory_bytes"]),  # type: ignore[call-overload]
        )

    def _told(self) -> tuple[str, str]:
        if self._answer is None or self._answer["type"] == "returned":
            return "", ""
        return str(self._answer["kind"]), str(self._answer["message"])

    def close(self) -> None:
        """Close all pipes."""
        super().close()
        os.close(self._orders)
        os.close(self._answers)


_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
