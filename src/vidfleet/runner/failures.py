"""The kinds of failure: how each is known, and what follows. One table; a new kind is a new row.

``recognise`` goes through the rows from the top and takes the first whose evidence fits.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vidfleet.data import Device, Evidence
from vidfleet.runner.text import signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.data import Lane

DONE = "done"
NODE_LOST = "node_lost"
INTERRUPTED = "interrupted"
"""No failure: the runner itself ended the attempt."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of failure."""

    name: str
    is_it: Callable[[Evidence], bool]
    """Whether an attempt's end is of this kind."""
    say: Callable[[Evidence], str]
    """One sentence for people."""
    retries: int | None
    """How often it is tried again, on another lane where there is one; nothing stands for ``--retries``."""
    room: Literal["", "gpu", "host"] = ""
    """What a retry has more of: a GPU for itself alone, or a host with half the lanes at work."""
    blames_device: bool = False
    """Counts against the GPU that it happened on."""
    stops_run: Literal["", "setup", "disk_full"] = ""
    """No other video could do better, so nothing else is started."""


_GPU_MEMORY = re.compile(
    r"(CUDA|HIP|GPU)[^\n]{0,40}out of memory|out of memory[^\n]{0,40}(CUDA|HIP|GPU)|OutOfMemoryError: (CUDA|HIP)"
    r"|(CUDA_ERROR|hipError)_?OutOfMemory|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation"
    r"|CU(BLAS|DNN|SOLVER)_STATUS_ALLOC_FAILED|RESOURCE_EXHAUSTED: Out of memory"
    r"|Failed to allocate memory for requested buffer",
    re.IGNORECASE,
)
"""As PyTorch, TensorFlow, JAX, CuPy and ONNX Runtime say it."""

_DEVICE = re.compile(
    r"uncorrectable ECC|\bXid\b|fallen off the bus|GPU is lost|devices?(\(s\))? (is|are|is/are) busy or unavailable"
    r"|device (kernel image is |is )?unavailable|cudaError(DevicesUnavailable|ECCUncorrectable|LaunchFailure|NoDevice)"
    r"|unspecified launch failure|CUDA error: unknown error|no CUDA-capable device is detected"
    r"|CUDA_ERROR_(NOT_INITIALIZED|NO_DEVICE|INVALID_DEVICE|ECC_UNCORRECTABLE|LAUNCH_FAILED|UNKNOWN)|hipErrorNoDevice",
    re.IGNORECASE,
)
_DISK_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|\[Errno (28|122)\]|\b(ENOSPC|EDQUOT)\b", re.IGNORECASE
)


def ended_with_us(evidence: Evidence) -> bool:
    """Whether what asks a runner to end may have ended an attempt itself.

    A scheduler that takes its machine back signals every process on it, and so the worker, too.
    """
    return evidence.declared_kind in ("crash", NODE_LOST) or evidence.signal in (signal.SIGTERM, signal.SIGKILL)


def _says(pattern: re.Pattern[str]) -> Callable[[Evidence], bool]:
    """Look for ``pattern`` in an attempt's last words, if it ended badly."""
    return lambda e: _ended_badly(e) and bool(pattern.search(f"{e.log_tail}\n{e.message}"))


def _ended_badly(evidence: Evidence) -> bool:
    return evidence.exit_status != 0 or bool(evidence.declared_kind)


def _line_with(pattern: re.Pattern[str]) -> Callable[[Evidence], str]:
    """Quote the line that shows it."""

    def say(evidence: Evidence) -> str:
        lines = f"{evidence.log_tail}\n{evidence.message}".splitlines()
        return next((line.strip() for line in reversed(lines) if pattern.search(line)), evidence.message)

    return say


def _signal_in_words(number: int | None) -> str:
    if number is None:
        return "its worker ended"
    name = next((known.name for known in signal.Signals if known == number), f"signal {number}")
    words = {
        "SIGSEGV": "it crashed: a segmentation fault",
        "SIGABRT": "it crashed: it gave up by itself (abort)",
        "SIGKILL": "it was killed from outside",
        "SIGBUS": "it crashed: a bus error (often a full disk or a file that shrank)",
        "SIGILL": "it crashed: an instruction that this processor lacks",
        "SIGFPE": "it crashed: an arithmetic error",
    }
    return f"{words.get(name, 'it was ended by a signal')} ({name})"


def _last_words(evidence: Evidence) -> str:
    lines = [line.strip() for line in evidence.log_tail.splitlines() if line.strip()]
    return evidence.message or (lines[-1] if lines else "")


def _status_in_words(evidence: Evidence) -> str:
    words = _last_words(evidence)
    if evidence.exit_status is None:
        return words or "it ended, and nothing says how"
    if evidence.message:
        return words
    return f"exit status {evidence.exit_status}" + (f": {words}" if words else ", and it said nothing")


KINDS: tuple[Kind, ...] = (
    Kind(
        "setup",
        lambda e: e.declared_kind == "setup",
        lambda e: e.message,
        retries=0,
        stops_run="setup",
    ),
    Kind(
        "bad_input",
        lambda e: e.declared_kind == "bad_input",
        lambda e: e.message,
        retries=0,
    ),
    Kind(
        "disk_full",
        lambda e: e.declared_kind == "disk_full" or _says(_DISK_FULL)(e),
        lambda e: _line_with(_DISK_FULL)(e) or "the disk is full",
        retries=0,
        stops_run="disk_full",
    ),
    Kind(
        "timeout",
        lambda e: e.timed_out or e.stalled,
        lambda e: (
            "it ran into its time limit (--timeout) and was ended"
            if e.timed_out
            else "it neither said nor computed anything for --stall seconds and was ended"
        ),
        retries=1,
    ),
    Kind(
        "host_memory",
        lambda e: e.oom_killed,
        lambda _: "the kernel killed it because memory ran out",
        retries=1,
        room="host",
    ),
    Kind(
        "gpu_memory",
        _says(_GPU_MEMORY),
        _line_with(_GPU_MEMORY),
        retries=1,
        room="gpu",
        blames_device=True,
    ),
    Kind(
        "device",
        lambda e: _says(_DEVICE)(e) or (bool(e.device_trouble) and _ended_badly(e)),
        lambda e: e.device_trouble or _line_with(_DEVICE)(e),
        retries=2,
        blames_device=True,
    ),
    Kind(
        NODE_LOST,
        lambda e: e.declared_kind == NODE_LOST,
        lambda e: e.message,
        retries=3,
    ),
    Kind(
        "crash",
        lambda e: e.signal is not None or e.declared_kind == "crash",
        lambda e: e.message or _signal_in_words(e.signal),
        retries=1,
        blames_device=True,
    ),
    Kind(
        "missing_output",
        lambda e: e.declared_kind == "missing_output",
        lambda e: e.message,
        retries=0,
    ),
    Kind(
        "error",
        _ended_badly,
        _status_in_words,
        retries=None,
    ),
)
"""From the most to the least telling evidence."""

BY_NAME = {kind.name: kind for kind in KINDS}


def recognise(evidence: Evidence) -> Kind | None:
    """The kind of failure that ``evidence`` shows; nothing where the attempt did well."""
    return next((kind for kind in KINDS if kind.is_it(evidence)), None)


def ended_well(evidence: Evidence) -> bool:
    """Whether an attempt came to its end by itself and without a failure; what it has left was not looked at."""
    return recognise(evidence) is None and not evidence.cancelled


_OF_ITS_OWN = ("bad_input", "timeout", "host_memory", "disk_full", NODE_LOST)
"""Kinds that say nothing of other videos."""


class SameError:
    """Notices that different videos fail with one and the same error and none succeeds: then it is no video's fault.

    Nor a single GPU's: where there are several devices, it must have happened on two of them. Lanes on the processor
    are one device, of which none is worse than another.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._videos_enough = max(3, len(lanes))
        self._devices_enough = min(2, len({lane.device for lane in lanes}))
        self._seen: dict[str, tuple[set[int], set[Device]]] = {}
        """Signature → positions of videos, where they failed."""
        self._has_success = False

    @property
    def has_success(self) -> bool:
        """Whether it is proven that the workload can run here."""
        return self._has_success

    def succeeded(self) -> None:
        """One success proves that the workload can run here."""
        self._has_success = True

    def failed(self, kind: Kind, reason: str, position: int, device: Device, *names: str) -> bool:
        """Note a failure; True where enough different videos have failed alike. ``names`` are cut out of reasons."""
        if self._has_success or kind.name in _OF_ITS_OWN:
            return False
        videos, devices = self._seen.setdefault(f"{kind.name}: {signature(reason, *names)}", (set(), set()))
        videos.add(position)
        devices.add(device)
        return len(videos) >= self._videos_enough and len(devices) >= self._devices_enough
