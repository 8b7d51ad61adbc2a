"""The values that travel through a run, in the order in which they come to be.

::

    Video ──probe──▶ Probe ──plan──▶ Task ──execute──▶ Attempt ──▶ Outcome ──▶ Summary
                                       └ Stage   └ on a Lane, which has a Device

All are frozen. Times are seconds since the epoch where the name ends in ``_at``, and lengths of time in
seconds where it ends in ``_s``. Paths may hold bytes that are not UTF-8 (as Python's surrogate escapes).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

State = Literal["done", "up_to_date", "failed", "blocked", "interrupted", "not_started"]
"""How a video ends."""
StoppedBy = Literal["", "interrupt", "setup", "disk_full", "lack_of_lanes"]
"""What ends a run before its time; empty where nothing did."""
HELPED = "helped"
"""The kind of an attempt that was none, but help for another lane's, and came back in order."""
CLAIM_ENDING, ERROR_ENDING = ".claim", ".error.json"
"""Of files beside a stage."""


@dataclass(frozen=True, slots=True)
class Video:
    """A video that discovery found."""

    path: Path
    """Where it is, absolute; the link itself where it is a symbolic link."""
    relative: str
    """Its path below the root, with ``/``."""
    size_bytes: int
    mtime_ns: int
    position: int
    """Its index among all discovered videos, by relative path; round-robin goes by it."""
    no_file: str = ""
    """A sentence where it is only called like a video and is no file that can be opened: a pipe, a broken link."""

    @property
    def stem(self) -> str:
        """The name without its last extension: what the output folder is called."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class Probe:
    """What a video's header says; no frame is read for it."""

    duration_s: float
    """Length; 0 where the container does not tell."""
    frames: int
    """Number of pictures, from the header or from duration and rate; at least 1."""
    width: int
    height: int
    codec: str

    @property
    def cost(self) -> float:
        """Pictures times pixels: what a video is expected to cost, in no unit."""
        return float(self.frames) * max(self.width * self.height, 1)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where one video's attempts work until their output is published."""

    folder: Path
    """``<dir>/.vidfleet/<stem>-<8 hex>``: the same for a video in every run."""
    seen_as: Path
    """The path under which the workload sees ``folder``: the same, or a link free of odd characters."""
    entry_name: str
    """What the video is called inside the stage."""
    target: Path
    """The folder that publishing makes: ``<dir>/<stem>``."""

    @property
    def entry(self) -> Path:
        """The video as the workload sees it."""
        return self.seen_as / self.entry_name

    @property
    def entry_stem(self) -> str:
        """What the workload calls its output folder."""
        return self.entry_name.rpartition(".")[0] or self.entry_name

    @property
    def output(self) -> Path:
        """Where the workload leaves its output: ``<folder>/<entry stem>``."""
        return Path(self.output_at)

    @property
    def output_at(self) -> str:
        """The same as a string: it is asked for many times a video."""
        return f"{self.folder}/{self.entry_stem}"

    def beside(self, ending: str) -> str:
        """The path of a file of ours beside the stage; a string, as it is asked for many times a video."""
        return f"{self.folder}{ending}"

    @property
    def claim(self) -> Path:
        """The file that says who works on this video, beside the stage."""
        return Path(self.beside(CLAIM_ENDING))

    @property
    def error(self) -> Path:
        """The file that keeps the last failure, beside the stage."""
        return Path(self.beside(ERROR_ENDING))


@dataclass(frozen=True, slots=True)
class Device:
    """What an attempt may compute on."""

    kind: Literal["gpu", "cpu"]
    visible: str
    """The value of ``CUDA_VISIBLE_DEVICES``: an index (of NVIDIA's in PCI bus order), a UUID, or nothing."""
    name: str = ""
    """What the driver calls it, such as ``NVIDIA H200``; empty where no driver told."""
    uuid: str = ""
    driver: str = ""
    maker: Literal["", "NVIDIA", "AMD"] = ""
    """Empty where no driver told."""
    host: str = ""
    """The machine that has it, as people call it; empty where it is this one."""

    @property
    def model(self) -> str:
        """What devices of one speed have in common: the driver's name for it, else ``gpu`` or ``cpu``."""
        return self.name or self.kind

    @property
    def label(self) -> str:
        """A short name for people: ``gpu:0`` or ``cpu``; of another machine ``node3/gpu:0``."""
        return self.place + (f"gpu:{self.visible}" if self.kind == "gpu" else "cpu")

    @property
    def place(self) -> str:
        """What a name begins with: the machine, where it is not this one."""
        return f"{self.host}/" if self.host else ""


@dataclass(frozen=True, slots=True)
class Lane:
    """A place where one attempt runs at a time."""

    index: int
    device: Device
    threads: int
    """Its share of the machine's cores."""
    cores: tuple[int, ...] = ()
    """The cores that its attempts keep to, near its GPU where that is known; any where there are none."""
    spare: bool = False
    """Used only where ``--per-gpu auto`` finds that one more at a time on its GPU pays."""

    @property
    def label(self) -> str:
        """``gpu:0``, or ``cpu:1`` where lanes are cores; on another machine ``node3/gpu:0``."""
        return self.device.label if self.device.kind == "gpu" else f"{self.device.place}cpu:{self.index}"


@dataclass(frozen=True, slots=True)
class Took:
    """How long a video's last good attempt took."""

    seconds: float
    device: str
    """What it ran on: see :attr:`Device.model`."""


@dataclass(frozen=True, slots=True)
class Task:
    """One video that has to run."""

    video: Video
    stage: Stage
    probe: Probe
    took: Took | None = None
    """Where the workload, as it was then, has done the same video in an earlier run."""

    @property
    def cost(self) -> float:
        """See :attr:`Probe.cost`."""
        return self.probe.cost


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about how an attempt ended; ``runner/failures.py`` makes a kind of it."""

    exit_status: int | None = None
    """The exit status, where the process exited."""
    signal: int | None = None
    """The signal that ended it, where one did."""
    timed_out: bool = False
    """Its time limit was reached and it was ended for that."""
    stalled: bool = False
    """It had neither output nor processor time for ``--stall`` and was ended for that."""
    cancelled: bool = False
    """The runner asked for its end."""
    oom_killed: bool = False
    """It was killed while the kernel's count of out-of-memory kills rose."""
    device_trouble: str = ""
    """What is wrong with the lane's device, in words, as its driver tells."""
    declared_kind: str = ""
    """The kind that the workload itself named (a class may)."""
    message: str = ""
    """What the workload said of its failure: an exception's type and text."""
    log_tail: str = ""
    """The last lines of its log."""
    cpu_s: float = 0.0
    """Processor time of the attempt and its descendants that were waited for, and of lanes that helped it."""
    peak_memory_bytes: int = 0
    """Largest resident set of one process of the attempt, or of all together where that was seen to be more."""
    peak_gpu_memory_bytes: int = 0
    """Most memory of its GPU that its processes were seen to hold; 0 where none was seen, or nothing tells."""
    ended_leftovers: int = 0
    """Processes that it had left behind and that were ended."""
    warm: bool = False
    """It was a fork of a process in which its modules were loaded already."""
    cold_reason: str = ""
    """Why it was none, where one was asked for."""
    told: str = ""
    """What a class said of its result, for the record: a JSON object, or nothing."""
    modules: str = ""
    """Top-level modules that a class had loaded after its first video, with spaces between them."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one video, ended."""

    number: int
    """From 1."""
    lane: Lane
    host: str
    started_at: float
    ended_at: float
    kind: str
    """``done``, ``helped``, ``interrupted``, or a row of ``runner/failures.py``."""
    reason: str
    """One sentence for people; empty when done."""
    evidence: Evidence
    helpers: tuple[Attempt, ...] = ()
    """What other lanes did for it meanwhile, each like an attempt; of kind ``helped`` where they came back in order."""

    @property
    def seconds(self) -> float:
        """Wall-clock time."""
        return self.ended_at - self.started_at

    @property
    def lane_seconds(self) -> float:
        """With the time of the lanes that helped: about what it would have taken alone."""
        return self.seconds + sum(helper.seconds for helper in self.helpers if helper.kind == HELPED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one video ended in this run."""

    video: Video
    state: State
    kind: str = ""
    """The kind of failure, or why it is blocked: ``foreign``, ``collision``, ``claimed``; else empty."""
    reason: str = ""
    attempts: tuple[Attempt, ...] = ()
    probe: Probe | None = None
    log: str = ""
    """The log's path below the run's folder; empty where nothing ran."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run comes to."""

    outcomes: tuple[Outcome, ...]
    run_folder: Path | None
    """Where ledger, logs and report lie; nothing where the run had nothing to do."""
    started_at: float
    ended_at: float
    lanes: tuple[Lane, ...] = ()
    stopped_by: StoppedBy = ""
    signal: int = 0
    """The signal that interrupted it."""
    notices: tuple[str, ...] = field(default=())
    foretold_s: float | None = None
    """How long it was expected to take, after its first fifth; None where nothing was known, or it was stopped."""

    def count(self, state: State) -> int:
        """How many videos ended in this state."""
        return sum(outcome.state == state for outcome in self.outcomes)

    @property
    def exit_status(self) -> int:
        """What the command exits with: see docs/cli.md."""
        if self.stopped_by == "interrupt":
            return 128 + self.signal
        if self.stopped_by:
            return 3
        unfinished = [o for o in self.outcomes if o.state not in ("done", "up_to_date")]
        if not unfinished:
            return 0
        if all(o.kind == "claimed" for o in unfinished) and not self.count("done"):
            return 4
        return 1
