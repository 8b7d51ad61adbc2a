"""A class that stays loaded in the lane, called for one video after the other."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.data import Evidence
from vidfleet.worker.attempts import Running
from vidfleet.worker.family import descendants, end_all
from vidfleet.worker.leash import Leash
from vidfleet.worker.messages import LineBuffer
from vidfleet.worker.patience import Patience
from vidfleet.workloads.base import Call

if TYPE_CHECKING:
    from vidfleet.worker.attempts import Kept
    from vidfleet.worker.messages import Start
    from vidfleet.workloads.base import Launch

_CHUNK = 1 << 16
_SETUP_LIMIT_S = 600.0
_HOST = Path(__file__).with_name("host.py")


class Hosted(Running):
    """A class, loaded once (``host.py``) and called for one video after the other.

    What a call starts ends with the call; what ``setup`` starts stays.
    """

    stays = True

    def __init__(
        self, call: Call, kept: Kept, cores: tuple[int, ...] = (), variables: tuple[tuple[str, str], ...] = ()
    ) -> None:  # fmt: skip
        super().__init__(kept)
        self._call_key = (call.python, call.target, call.arguments, call.folder)
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        os.set_blocking(self._answers, False)
        self._leash = Leash()
        self._lines = LineBuffer()
        self._progress: list[tuple[str, float]] = []
        self._answer: dict[str, object] | None = None
        self._ready = False
        self._there_before: set[int] = set()
        request = json.dumps({"target": call.target, "arguments": call.arguments, "folder": call.folder})
        argv = (call.python, str(_HOST), str(orders), str(answers), request)
        try:
            self.spawn(argv, "", variables, cores, self._leash, pass_fds=(orders, answers))
        except OSError:
            os.close(self._orders)
            os.close(self._answers)
            self._leash.close()
            raise
        finally:
            os.close(orders)
            os.close(answers)

    def fits(self, call: Launch) -> bool:
        """Whether this process can take ``call``: alive, and the same class with the same arguments."""
        if not isinstance(call, Call):
            return False
        key = (call.python, call.target, call.arguments, call.folder)
        return key == self._call_key and not self.has_exited()

    def begin(self, start: Start) -> None:
        """Call ``process`` for the next video, or ``help``."""
        call = start.launch
        assert isinstance(call, Call)
        self.begin_attempt(start)
        self._limits = (start.timeout_s, start.stall_s)
        if not self._ready and start.timeout_s is not None:  # loading the models is not the video's time
            self._patience = Patience(max(start.timeout_s, _SETUP_LIMIT_S), start.stall_s)
        self._answer = None
        places = {"video": call.video, "out": call.out, "original": call.original, "published": call.published}
        order = json.dumps({"attempt": start.attempt, "helps": call.helps, **places}) + "\n"
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
        try:
            said = json.loads(line)
            kind, attempt = said["type"], said.get("attempt", self.attempt)
        except (ValueError, TypeError, KeyError, AttributeError):
            return  # something else wrote into the pipe: not our protocol
        if attempt != self.attempt:
            return  # of an earlier video
        if kind == "ready":
            self._there_before = _pids(said.get("there"))
            self._ready = True
            if self._kill_at is None:
                self._patience = Patience(*self._limits)
        elif kind == "progress":
            self._progress.append((str(said.get("stage", "")), float(said.get("share", -1.0))))
        elif kind in ("returned", "raised"):
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
        leftovers = end_all(descendants(self._process.pid) - self._there_before)
        evidence = self._conclude(leftovers, declared_kind=kind, message=message)
        self._patience, self._kill_at = Patience(None, None), None
        return Evidence(
            exit_status=status,
            declared_kind=kind,
            message=message,
            timed_out=evidence.timed_out,
            stalled=evidence.stalled,
            cancelled=evidence.cancelled,
            log_tail=evidence.log_tail,
            ended_leftovers=leftovers,
            cpu_s=float(used["cpu_s"]),  # type: ignore[arg-type]
            peak_memory_bytes=int(used["peak_memory_bytes"]),  # type: ignore[call-overload]
            modules=str(used.get("modules", "")),
            told=str(used.get("told", "")),
        )

    def _told(self) -> tuple[str, str]:
        if self._answer is None or self._answer["type"] == "returned":
            return "", ""
        return str(self._answer["kind"]), str(self._answer["message"])

    def close(self) -> None:
        """Close all pipes."""
        super().close()
        self._leash.close()
        os.close(self._orders)
        os.close(self._answers)


def _pids(told: object) -> set[int]:
    return {pid for pid in told if isinstance(pid, int)} if isinstance(told, list) else set()
