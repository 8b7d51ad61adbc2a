"""A lane's worker seen from outside: start it, talk to it, notice its death."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.errors import LaneError
from vidfleet.worker.family import MARK, end_marked
from vidfleet.worker.messages import LineBuffer, Message, decode, encode

if TYPE_CHECKING:
    from vidfleet.data import Device, Lane

_CHUNK = 1 << 16
_LEAVE_S = 5.0

THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)  # fmt: skip
"""Set to the lane's share of cores, each where the user has not set it. Which library reads which: docs/lanes.md."""


def thread_variables(threads: int) -> tuple[tuple[str, str], ...]:
    """The variables by which libraries take so many threads; those that the user has set are left as they are."""
    return tuple((name, str(threads)) for name in THREAD_VARIABLES if name not in os.environ)


def python_module(module: str) -> tuple[str, ...]:
    """The command that calls ``main`` of one of our modules in a Python process of its own.

    Through the search path and not through PYTHONPATH, which whatever runs below would inherit.
    """
    code = f"import sys; sys.path.append({str(Path(__file__).parents[2])!r}); from {module} import main; main()"
    return (sys.executable, "-P", "-c", code)


def hip_variables(device: Device) -> dict[str, str]:
    """What shows AMD's software this one GPU, or none; nothing for NVIDIA's.

    ``ROCR_VISIBLE_DEVICES`` filters first, and HIP's index counts in what that leaves: with 3 in both nothing would be
    visible. So the user's ROCR stays as it is, and only HIP's is ours. HIP reads CUDA's variable where its own is
    missing or empty, and libraries refuse to start where the two differ: both are set, alike. An empty one hides
    nothing from HIP; -1 does.
    """
    if device.kind == "cpu":
        return {"HIP_VISIBLE_DEVICES": "-1"}
    return {} if device.maker == "NVIDIA" else {"HIP_VISIBLE_DEVICES": device.visible}


def lane_environment(lane: Lane, mark: str) -> dict[str, str]:
    """The environment of everything in a lane: one device, a share of the cores, a mark."""
    environment = dict(os.environ)
    environment.update(thread_variables(lane.threads))
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    environment["CUDA_VISIBLE_DEVICES"] = lane.device.visible
    environment.update(hip_variables(lane.device))
    environment["PYTHONUNBUFFERED"] = "1"  # a killed script's last lines are in its log
    environment[MARK] = mark
    return environment


class WorkerProcess:
    """One lane's worker, as a child of this process."""

    def __init__(self, lane: Lane, mark: str) -> None:
        self.lane = lane
        self._mark = f"{mark}:{lane.index}"
        self._buffer = LineBuffer()
        environment = lane_environment(lane, self._mark)
        try:
            self._process = subprocess.Popen(
                python_module("vidfleet.worker.main"), env=environment,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise LaneError(f"the worker of lane {lane.label} cannot be started: {error}") from error

    def fileno(self) -> int:
        """The file descriptor that has its messages."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def send(self, message: Message) -> None:
        """Say something to it; if it is dead, its pipe tells so a moment later."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(encode(message))

    def can_take_more(self) -> bool:
        """Whether a short message can be sent without waiting for it to read those before."""
        assert self._process.stdin is not None
        return bool(select.select((), (self._process.stdin,), (), 0)[1])

    def receive(self) -> list[Message] | None:
        """Messages that are there (blocks until at least one byte is); nothing when the worker has died.

        What is no message was said by the user's sitecustomize, when the worker's Python started.
        """
        data = os.read(self.fileno(), _CHUNK)
        return [decode(line) for line in self._buffer.feed(data) if line.startswith(b"{")] if data else None

    def close_orders(self) -> None:
        """Tell it to end all that it started, and itself."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def kill(self) -> None:
        """SIGKILL to the worker itself, which hangs; its guard ends what it leaves. :meth:`end` waits for that."""
        import psutil

        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(self._process.pid).children():
                with contextlib.suppress(psutil.Error):
                    process.kill()

    def end(self) -> None:
        """Tell it to end, and wait until nothing of it is left."""
        assert self._process.stdout is not None
        self.close_orders()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LEAVE_S)
        if self._process.returncode != 0:  # it did not leave in order: look for what it left
            self._process.kill()
            self._process.wait()
            end_marked(self._mark)
        self._process.stdout.close()
