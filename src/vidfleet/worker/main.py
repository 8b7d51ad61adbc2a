"""The process of one lane: takes attempts from the runner, starts each, and ends all that it started.

Started by ``worker.process``. Two processes in truth: a *guard*, which does nothing but wait and
clean up, and below it the *worker*. Whichever of runner, guard and worker is killed, one of the others is left
to end what ran in the lane. The lane's device is in the environment before anything else happens here.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from vidfleet.data import Evidence
from vidfleet.worker.attempts import Kept, OneShot, Running
from vidfleet.worker.family import adopt_orphans, die_with_parent, end_descendants
from vidfleet.worker.hosted import Hosted
from vidfleet.worker.messages import (
    Cancel,
    Failed,
    Finished,
    Heartbeat,
    LineBuffer,
    Message,
    Pause,
    Prefetch,
    Progress,
    Ready,
    Resume,
    Start,
    decode,
    encode,
)
from vidfleet.worker.read_ahead import ReadAhead
from vidfleet.worker.tree_watch import TreeWatch
from vidfleet.worker.warm import Warmed, warm_key
from vidfleet.workloads.base import Program

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidfleet.worker.gpu_watch import GpuWatch
    from vidfleet.worker.gpus import Gpus
    from vidfleet.workloads.base import Launch

_CHUNK = 1 << 16
_BETWEEN_LOOKS_S = 0.2
_TO_END_BY_ITSELF_S = 4
"""That long a worker has after its runner was killed."""


@dataclass(frozen=True, slots=True)
class _Settling:
    """An attempt that is over, while its GPU still has to free memory."""

    attempt: str
    evidence: Evidence
    until: float
    """By the monotonic clock."""


class Worker:
    """One lane's loop: a selector over the control pipe, the attempt's pipes, and the death of children."""

    def __init__(self, control_fd: int, report_fd: int) -> None:
        self._control_fd = control_fd
        self._report_fd = report_fd
        self._control = LineBuffer()
        self._kept = Kept()
        self._read_ahead = ReadAhead()
        self._selector = selectors.DefaultSelector()
        self._running: Running | None = None
        self._hosted: Hosted | Warmed | None = None
        self._cold: dict[tuple[object, ...], str] = {}
        """What cannot be loaded ahead in this lane, and why."""
        self._gpus: Gpus | None = None
        self._gpu: GpuWatch | None = None
        self._tree = TreeWatch(())
        self._memory_back_s: float | None = None
        self._settling: _Settling | None = None
        self._heartbeat_s = self._next_beat = 0.0
        self._own_fds: set[int] = set()
        self._open = True

    def serve(self) -> None:
        """Work until the control pipe closes; then end everything below."""
        woken, wake = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._leave)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._watch(self._control_fd, self._read_control)
        self._watch(woken, lambda: _drain(woken))
        self._own_fds = {self._control_fd, woken}
        os.write(self._report_fd, b"\n")  # ends what a sitecustomize may have said
        self._send(Ready(os.getpid(), socket.gethostname()))
        while self._open:
            for key, _ in self._selector.select(self._patience_s()):
                key.data()
            self._look_after()
            self._beat()
        end_descendants()

    def _leave(self, *_: object) -> None:
        self._open = False

    def _watch(self, fd: int, callback: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def _patience_s(self) -> float | None:
        if self._settling:
            return _BETWEEN_LOOKS_S
        if self._running is None:
            return None
        waits = [self._next_beat, self._tree.next_look]
        if (deadline := self._running.next_deadline()) is not None:
            waits.append(deadline)
        if self._gpu:
            waits.append(self._gpu.next_look)
        return max(min(waits) - time.monotonic(), 0.0)

    def _beat(self) -> None:
        """Let the runner know, while it waits for an attempt, that this process does not hang."""
        now = time.monotonic()
        if (self._running or self._settling) and now >= self._next_beat:
            self._next_beat = now + self._heartbeat_s
            if select.select((), (self._report_fd,), (), 0)[1]:  # a runner that stands still for hours fills the pipe
                self._send(Heartbeat())

    def _read_control(self) -> None:
        data = os.read(self._control_fd, _CHUNK)
        if not data:
            self._open = False
        for line in self._control.feed(data):
            message = decode(line)
            if isinstance(message, Start):
                self._start(message)
                continue
            if isinstance(message, Prefetch):
                self._read_ahead.begin(message.path)
                continue
            if isinstance(message, Cancel):
                self._next_beat = 0.0  # at once, so that the runner knows that it was heard
            if self._running:
                self._tell_attempt(self._running, message)

    def _tell_attempt(self, running: Running, message: Message) -> None:
        if isinstance(message, Cancel):
            running.cancel(message.grace_s)
        elif isinstance(message, Pause):
            running.pause()
        elif isinstance(message, Resume):
            running.resume()

    def _start(self, start: Start) -> None:
        self._settling = None
        is_program = isinstance(start.launch, Program)
        self._memory_back_s = start.memory_back_s if is_program else None  # a class keeps what it has loaded
        self._heartbeat_s, self._next_beat = start.heartbeat_s, time.monotonic() + start.heartbeat_s
        self._gpu = self._watch_gpu() if start.watches_gpu else None
        self._tree = TreeWatch(start.cores)
        try:
            self._running = self._run(start)
        except OSError as error:  # no such program, no memory for a process
            self._running = None
            self._send(Failed(start.attempt, Evidence(message=f"it cannot be started ({error})")))
            return
        for fd in self._running.pipes():
            if fd not in self._selector.get_map():
                self._watch(fd, partial(self._read_attempt, fd))

    def _run(self, start: Start) -> Running:
        launch = start.launch
        if isinstance(launch, Program) and (not launch.warm or warm_key(launch) in self._cold):
            beside = self._hosted.pid if self._hosted else 0
            cold_reason = self._cold.get(warm_key(launch), "")
            return OneShot(start, launch, self._kept, cold_reason=cold_reason, beside=beside)
        stays = self._hosted
        if stays is None or not stays.fits(launch):
            self._drop_host()
            stays = self._hosted = self._load(launch, start)
        stays.begin(start)
        return stays

    def _load(self, launch: Launch, start: Start) -> Hosted | Warmed:
        if isinstance(launch, Program):
            return Warmed(launch, self._kept, start.cores, start.variables)
        return Hosted(launch, self._kept, start.cores, start.variables)

    def _unwatch_closed(self) -> None:
        """Forget pipes that nobody has any more, before their numbers are given to others."""
        known = {*self._own_fds, *(fd for owner in (self._running, self._hosted) if owner for fd in owner.pipes())}
        for key in list(self._selector.get_map().values()):
            if key.fd not in known:
                self._selector.unregister(key.fd)

    def _watch_gpu(self) -> GpuWatch:
        from vidfleet.worker.gpu_watch import GpuWatch  # a lane without a GPU starts 6 ms sooner without them
        from vidfleet.worker.gpus import installed

        self._gpus = self._gpus or installed(stay_open=True)
        return GpuWatch(self._gpus, os.environ.get("CUDA_VISIBLE_DEVICES", ""))

    def _read_attempt(self, fd: int) -> None:
        owner = self._running or self._hosted
        if owner is None or not owner.read(fd):
            self._selector.unregister(fd)

    def _look_after(self) -> None:
        """Pass on what the attempt says, and notice its end."""
        if self._settling:
            self._settle(self._settling)
        running = self._running
        if running is None:
            if self._hosted and self._hosted.has_exited():
                self._drop_host()
            return
        running.keep_time()
        for stage, share in running.take_progress():
            self._send(Progress(running.attempt, stage, share))
        evidence = running.ended()
        if self._gpu and (time.monotonic() >= self._gpu.next_look or (evidence and running.stays)):
            self._gpu.look()
        if evidence is None:
            if isinstance(running, Warmed) and running.gives_up:
                self._start_cold(running)
            else:
                self._tree.look_if_due(apart=running.apart)
            return
        evidence = self._with_peaks(evidence)
        self._running = None
        if not running.stays:
            self._forget(running)
        self._unwatch_closed()
        self._settle(_Settling(running.attempt, evidence, time.monotonic() + (self._memory_back_s or 0.0)))

    def _with_peaks(self, evidence: Evidence) -> Evidence:
        memory = max(evidence.peak_memory_bytes, self._tree.peak_bytes)
        on_gpu = self._gpu.peak_bytes if self._gpu else evidence.peak_gpu_memory_bytes
        return replace(evidence, peak_memory_bytes=memory, peak_gpu_memory_bytes=on_gpu)

    def _start_cold(self, warmed: Warmed) -> None:
        """Its modules cannot be loaded ahead: the video that waited for that starts by itself, as all after it."""
        self._running = None
        self._drop_host()
        self._start(warmed.start)

    def _settle(self, settling: _Settling) -> None:
        """Tell how an attempt ended, once its GPU's memory is free again."""
        self._settling = None
        evidence = settling.evidence
        if self._gpu and self._memory_back_s and not self._gpu.is_back():
            if time.monotonic() < settling.until:
                self._settling = settling
                return
            evidence = replace(evidence, device_trouble="the GPU's memory is not free again after the attempt's end")
        good = evidence.exit_status == 0 and not (evidence.timed_out or evidence.stalled or evidence.cancelled)
        self._send((Finished if good else Failed)(settling.attempt, evidence))

    def _drop_host(self) -> None:
        if self._hosted:
            self._hosted.kill()
            self._forget(self._hosted)

    def _forget(self, running: Running) -> None:
        for fd in running.pipes():
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(fd)
        running.close()
        if isinstance(running, Warmed) and running.cold_reason:
            self._cold[running.key] = running.cold_reason
        if running is self._hosted:
            self._hosted = None

    def _send(self, message: Message) -> None:
        try:
            os.write(self._report_fd, encode(message))
        except BrokenPipeError:
            self._open = False  # the runner is gone


def _drain(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(fd, _CHUNK)  # what else is there wakes us again


def main() -> None:
    """Become a lane: a guard above, the worker below."""
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the runner decides; a terminal's signals are not for us
    worker = os.fork()
    if worker == 0:
        die_with_parent(signal.SIGTERM)
        adopt_orphans()
        control, report = os.dup(0), os.dup(1)
        os.set_inheritable(control, False)
        os.set_inheritable(report, False)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(2, 1)
        Worker(control, report).serve()
        sys.exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _guard(worker)


def _guard(worker: int) -> None:
    """Wait for the worker to go, however it goes, and end what it left."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)  # the runner must see the end of the worker's pipe, not ours
    signal.signal(signal.SIGUSR1, lambda *_: signal.alarm(_TO_END_BY_ITSELF_S))
    signal.signal(signal.SIGALRM, lambda *_: os.kill(worker, signal.SIGKILL))
    die_with_parent(signal.SIGUSR1)  # a worker that hangs, or was stopped, does not see that its runner is gone
    while True:
        pid, status = os.wait()
        if pid == worker:
            break
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    end_descendants()
    sys.exit(0 if status == 0 else 1)
