"""A script whose modules stay loaded in the lane: each video is a fork of a process that stopped before the script.

The process is the *zygote*: the user's own Python, called as for the first of its videos, which finds our
``sitecustomize`` while it starts (``worker/zygote``). Where that cannot be, what was started is that first video,
cold, and nothing is lost. Linux only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vidfleet.worker.attempts import Environment, Kept, Running, signal_group
from vidfleet.worker.family import end_orphans
from vidfleet.worker.leash import Leash
from vidfleet.worker.messages import LineBuffer
from vidfleet.worker.patience import Patience
from vidfleet.workloads.base import Program

if TYPE_CHECKING:
    from vidfleet.data import Evidence
    from vidfleet.worker.messages import Start
    from vidfleet.workloads.base import Launch

_CHUNK = 1 << 16
_LOADING_LIMIT_S = 600.0
"""Loading is not the video's time, but it is not endless."""
_HOOK = Path(__file__).with_name("zygote")
_FD, _HAD_PATH = "VIDFLEET_ZYGOTE", "VIDFLEET_ZYGOTE_HAD_PYTHONPATH"

State = Literal["starting", "loading", "ready", "forked", "ended"]


def warm_key(program: Program) -> tuple[object, ...]:
    """What two programs must have in common to be forks of one process: all but their arguments."""
    return (*program.argv[:2], program.folder, program.environment, program.warm)


class Warmed(Running):
    """A zygote, and the fork of it that is the running attempt."""

    stays = True

    def __init__(
        self, program: Program, kept: Kept, cores: tuple[int, ...] = (), variables: Environment = ()
    ) -> None:  # fmt: skip
        super().__init__(kept)
        self.gives_up = False
        """No video can start warm here, as ``cold_reason`` says; the one that waits has not begun."""
        self.key = warm_key(program)
        """See :func:`warm_key`."""
        self._warm = program.warm
        self._state: State = "starting"
        self._video_pid = 0
        self._video_output: int | None = None
        self._is_paused = False
        self._status_told: dict[str, Any] | None = None
        self._leftovers = 0
        self._lines = LineBuffer()
        self._leash = Leash()
        self._link, theirs = socket.socketpair()
        with theirs:
            try:
                hooked = _hooked(dict(program.environment), f"{theirs.fileno()}:{program.argv[1]}")
                environment = (*variables, *program.environment, *hooked.items())
                self.spawn(program.argv, program.folder, environment, cores, self._leash, pass_fds=(theirs.fileno(),))
            except OSError:
                self._link.close()
                self._leash.close()
                raise
        self._own_output, self._output = self._output, None

    def fits(self, launch: Launch) -> bool:
        """Whether ``launch`` can be a fork of this process."""
        return isinstance(launch, Program) and warm_key(launch) == self.key and not self.has_exited()

    def begin(self, start: Start) -> None:
        """Begin the next video; it waits where its modules are still being loaded."""
        assert isinstance(start.launch, Program)
        self.begin_attempt(start)
        self.start, self._argv = start, start.launch.argv
        self._status_told, self._video_pid, self._leftovers, self._is_paused = None, 0, 0, False
        self._output, self._video_output = os.pipe()
        os.set_blocking(self._output, False)
        if self._state == "ready":
            self._fork()
        elif start.timeout_s is not None:
            self._patience = Patience(max(start.timeout_s, _LOADING_LIMIT_S), start.stall_s)

    def _fork(self) -> None:
        self._state = "forked"
        self._tell("run", argv=self._argv, fd=self._video_output)
        self._close_video_output()

    def _close_video_output(self) -> None:
        if self._video_output is not None:
            os.close(self._video_output)
        self._video_output = None

    def _tell(self, kind: str, *, fd: int | None = None, **more: object) -> None:
        """Say something while it listens; its death is seen a moment later."""
        line = json.dumps({"type": kind, **more}).encode("ascii") + b"\n"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sent = socket.send_fds(self._link, [line], [] if fd is None else [fd])
            self._link.sendall(line[sent:])

    # ---- what it says

    def pipes(self) -> list[int]:
        """The zygote's output and answers, and the video's output."""
        return [*super().pipes(), *([] if self._own_output is None else [self._own_output]), self._link.fileno()]

    def read(self, fd: int) -> bool:
        """Take output or answers."""
        if fd == self._own_output:
            return self._take(fd)
        return self._listen() if fd == self._link.fileno() else super().read(fd)

    def _listen(self) -> bool:
        try:
            data = self._link.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        for line in self._lines.feed(data):
            try:
                said = dict(json.loads(line))
            except (ValueError, TypeError):  # not its words
                self._give_up("what it imports writes to each file that is open")
                return False
            self._hear(str(said.get("type")), said)
        return bool(data)

    def _hear(self, kind: str, said: dict[str, Any]) -> None:
        if kind == "hello":
            self._state = "loading"
            self._tell("load", **asdict(self._warm))  # type: ignore[arg-type]  # a program that is warm has one
        elif kind == "unsafe":
            self._give_up(str(said["reason"]))
        elif kind == "ready":
            self._state = "ready"
            if self._kill_at is None:
                self._fork()
        elif kind == "began":
            self._video_began(int(said["pid"]))
        elif kind == "ended":
            self._video_pid = int(said["pid"])
            self._leftovers = end_orphans(self._process.pid)
            self._state = "ended"
            self._tell("reap")
        elif kind == "status":
            self._status_told, self._state, self._video_pid = said, "ready", 0

    def _video_began(self, pid: int) -> None:
        self._video_pid = pid
        if self._kill_at is None:
            self._patience = Patience(self.start.timeout_s, self.start.stall_s)
        if self._is_paused:
            self.pause()

    def _give_up(self, reason: str) -> None:
        self.cold_reason, self.gives_up = reason, self._kill_at is None

    # ---- what is done with it

    def _ask_to_end(self, grace_s: float) -> None:
        """See :class:`Running`; where loading takes too long, the video has not begun, and begins without."""
        if self._state == "loading" and not self._cancelled:
            how = "takes too long" if self._timed_out else "comes to a stop"
            self._timed_out = self._stalled = False
            self._give_up(f"loading what it imports {how}")
        else:
            super()._ask_to_end(grace_s)

    @property
    def apart(self) -> int:
        """See :class:`Running`; what is no zygote is the video itself."""
        return self._process.pid if self._state != "starting" else 0

    def _works_in(self) -> int:
        return self._video_pid or self._process.pid

    def _signal(self, number: int) -> None:
        super()._signal(number)
        if number == signal.SIGKILL and self._video_pid:  # the video may have stopped the process that tells of its end
            signal_group(self._process.pid, signal.SIGCONT)

    def pause(self) -> None:
        """See :class:`Running`; a fork that has not told its number is stopped when it does."""
        self._is_paused = True
        if self._video_pid or self._state != "forked":
            super().pause()

    def resume(self) -> None:
        """See :class:`Running`."""
        self._is_paused = False
        super().resume()

    def ended(self) -> Evidence | None:
        """See :class:`Running`; the zygote stays where it is well."""
        if self.has_exited():
            while self._listen() and self._status_told is None:
                pass
            if self._status_told is None:
                return self._ended_without_zygote()
        if self._status_told is None:
            return None
        said, status = self._status_told, os.waitstatus_to_exitcode(self._status_told["status"])
        evidence = replace(
            self._conclude(self._leftovers),
            exit_status=status if status >= 0 else None,
            signal=-status if status < 0 else None,
            oom_killed=self._is_oom(status),
            cpu_s=float(said["cpu_s"]),
            peak_memory_bytes=int(said["peak_memory_kib"]) << 10,
            warm=True,
        )
        self._patience, self._kill_at = Patience(None, None), None
        self._close_output()
        return evidence

    def _ended_without_zygote(self) -> Evidence | None:
        """It was killed with what ran in it, it fell over a module, or it was no zygote but the video itself."""
        was_asked = self._timed_out or self._stalled or self._cancelled
        if self._state == "loading" and not was_asked:
            how = f"signal {-self._status}" if self._status and self._status < 0 else f"exit status {self._status}"
            self._give_up(f"loading what it imports ended its process ({how})")
            return None
        if self._state == "starting" and not was_asked:
            self.cold_reason = "this Python cannot be stopped before its script: it reads no sitecustomize"
        self.stays = False
        lost = self._state in ("forked", "ended") and self._status is not None and self._status >= 0
        words = "the process that it was a fork of ended" if lost else ""
        if lost and not was_asked:
            self.cold_reason = f"the process that holds what is loaded ended (exit status {self._status})"
        return self._conclude(self.kill(), declared_kind="crash" if lost else "", message=words)

    def kill(self) -> int:
        """See :class:`Running`: the zygote, and with it whatever runs."""
        if self._video_pid:
            signal_group(self._video_pid, signal.SIGKILL)
        return super().kill()

    def _close_output(self) -> None:
        super().close()
        self._close_video_output()

    def close(self) -> None:
        """Close all pipes."""
        self._close_output()
        if self._log:
            self._log.close()
        if self._own_output is not None:
            os.close(self._own_output)
            self._own_output = None
        self._link.close()
        self._leash.close()


def _hooked(environment: dict[str, str], held: str) -> dict[str, str]:
    """The variables by which a Python finds our ``sitecustomize``, and puts back what they replace.

    ``held`` is the socket's number and, behind a colon, the script before which it is to be held.
    """
    old = {**os.environ, **environment}.get("PYTHONPATH")
    path = os.pathsep.join([str(_HOOK), old]) if old else str(_HOOK)
    return {_FD: held, "PYTHONPATH": path, **({} if old is None else {_HAD_PATH: ""})}
