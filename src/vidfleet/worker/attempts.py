"""Attempts as processes: a process group of its own with a pipe for all output, timed, asked to end, killed.

``ended`` answers only when nothing of the attempt is left that could hold the lane. ``OneShot`` is a program
started for one video; a class that stays is in ``hosted``, a script whose modules stay in ``warm``.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from vidfleet.data import Evidence
from vidfleet.worker.family import cpu_seconds, end_descendants, end_orphans, is_stopped
from vidfleet.worker.leash import Leash
from vidfleet.worker.log import CappedLog
from vidfleet.worker.memory import oom_kills
from vidfleet.worker.patience import Patience

if TYPE_CHECKING:
    import resource
    from collections.abc import Iterator

    from vidfleet.worker.messages import Start
    from vidfleet.workloads.base import Program

_CHUNK = 1 << 16
_LAST_CHUNKS = 64
_COUNTS_FOR_S = 1.0

Environment = tuple[tuple[str, str], ...]


class Kept:
    """What a worker keeps from one attempt to the next, since it takes time to make."""

    def __init__(self) -> None:
        self.leash = Leash()
        """For programs, of which one runs at a time."""
        self.null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._counted_at, self._oom_kills = -math.inf, 0

    def oom_kills(self) -> int:
        """:func:`~vidfleet.worker.memory.oom_kills`, as it was at most a second ago: it takes 0.2 ms."""
        now = time.monotonic()
        if now - self._counted_at > _COUNTS_FOR_S:
            self._counted_at, self._oom_kills = now, oom_kills()
        return self._oom_kills


class Running:
    """One process, its output and its deadlines."""

    stays = False
    """The process outlives its attempts."""
    beside = 0
    """A child of the worker that is no part of this and outlives it, by its number."""
    cold_reason = ""
    """Why it is started cold, where the user had asked for a warm start."""

    _process: subprocess.Popen[bytes]

    def __init__(self, kept: Kept) -> None:
        self.attempt = ""
        self._kept = kept
        self._log: CappedLog | None = None
        self._patience = Patience(None, None)
        self._kill_at: float | None = None
        self._grace_s = 0.0
        self._timed_out = self._stalled = self._cancelled = False
        self._output_bytes = 0
        self._oom_kills = 0

    def spawn(
        self, argv: tuple[str, ...], folder: str, environment: Environment, cores: tuple[int, ...], leash: Leash,
        **more: object,
    ) -> None:  # fmt: skip
        """Start the process as the head of its own session and group, on its cores; it ends with this one.

        No code of ours runs in it before its program does: that would need a fork of this whole process.
        """
        output, child_output = os.pipe()
        os.set_blocking(output, False)
        try:
            with _keeping_to(cores), _having(environment):
                self._process = subprocess.Popen(
                    argv, cwd=folder or None, stdin=self._kept.null, stdout=child_output, stderr=child_output,
                    start_new_session=True, **more,  # type: ignore[call-overload]
                )  # fmt: skip
        except (OSError, ValueError) as error:
            os.close(output)
            system = isinstance(error, OSError) and error.strerror
            raise OSError(f"{error.strerror}: {error.filename}" if system else str(error)) from error  # type: ignore[union-attr]
        finally:
            os.close(child_output)
        leash.hold(self._process.pid)
        self._output: int | None = output
        self._usage: resource.struct_rusage | None = None
        self._status: int | None = None

    def begin_attempt(self, start: Start) -> None:
        """Open the log and start the clock."""
        self.attempt = start.attempt
        self._log = CappedLog(start.log)
        self._grace_s = start.grace_s
        self._timed_out = self._stalled = self._cancelled = False
        self._kill_at = None
        self._patience = Patience(start.timeout_s, start.stall_s)
        self._oom_kills = self._kept.oom_kills()

    def pipes(self) -> list[int]:
        """File descriptors to watch."""
        return [] if self._output is None else [self._output]

    def read(self, fd: int) -> bool:
        """Take what a pipe holds; False at its end."""
        return self._read_output() if fd == self._output else False

    def _read_output(self) -> bool:
        return self._output is not None and self._take(self._output)

    def _take(self, fd: int) -> bool:
        """Take output of the attempt from a pipe; False at its end."""
        with contextlib.suppress(BlockingIOError):
            data = os.read(fd, _CHUNK)
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
        pid = self._works_in()
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

    @property
    def pid(self) -> int:
        """The process that was started, by its number."""
        return self._process.pid

    @property
    def apart(self) -> int:
        """A process below the worker whose memory is not the attempt's, by its number."""
        return self.beside

    def _works_in(self) -> int:
        """The process that the attempt is, by its number."""
        return self._process.pid

    def _signal(self, number: int) -> None:
        signal_group(self._works_in(), number)

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
            signal_group(self._process.pid, signal.SIGKILL)
            _, status, self._usage = os.wait4(self._process.pid, 0)
            self._status = self._process.returncode = os.waitstatus_to_exitcode(status)
        return end_orphans(self.beside) if self.beside and sys.platform == "linux" else end_descendants()

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
            oom_killed=self._is_oom(status),
            declared_kind=declared_kind,
            message=message,
            log_tail=last_lines,
            cpu_s=usage.ru_utime + usage.ru_stime if usage else 0.0,
            peak_memory_bytes=usage.ru_maxrss * _MAXRSS_UNIT if usage else 0,
            ended_leftovers=leftovers,
            cold_reason=self.cold_reason,
        )

    def _is_oom(self, status: int | None) -> bool:
        return status == -signal.SIGKILL and self._kill_at is None and oom_kills() > self._oom_kills

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


@contextlib.contextmanager
def _keeping_to(cores: tuple[int, ...]) -> Iterator[None]:
    """Have what is started meanwhile keep to these cores; it inherits them."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):  # they were taken from us meanwhile: then anywhere
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, before)


@contextlib.contextmanager
def _having(environment: Environment) -> Iterator[None]:
    """Have what is started meanwhile find these variables beside our own: to hand over a copy takes 0.1 ms."""
    before = [(name, os.environ.get(name)) for name, _ in environment]
    try:
        os.environ.update(environment)
        yield
    finally:
        for name, value in before:
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class OneShot(Running):
    """A program, started for one video."""

    def __init__(self, start: Start, program: Program, kept: Kept, *, cold_reason: str = "", beside: int = 0) -> None:
        super().__init__(kept)
        self.cold_reason, self.beside = cold_reason, beside
        environment = (*start.variables, *program.environment)
        self.spawn(program.argv, program.folder, environment, start.cores, kept.leash)
        self.begin_attempt(start)


_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
