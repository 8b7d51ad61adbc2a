"""What a person may set about a run: frozen, with the help that the command line shows."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vidfleet.options import option

VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv")
"""What counts as a video without ``--ext``, in any letter case."""


_MOST_LANES = 1024
_MOST_MEMORY = 1e18
"""More than any machine has, in whatever unit; far beyond it, there is no such whole number."""


def parse_time_limit(text: str) -> str:
    """Check ``--timeout``: seconds, or a multiple of the video's own length such as ``5x``."""
    number = text.removesuffix("x")
    try:
        positive = 0 < float(number) < float("inf")
    except ValueError:
        positive = False
    if not positive:
        raise ValueError(f"{text!r} is no time limit: give seconds (3600), or a multiple of the length (5x)")
    return text


def time_limit_s(timeout: str, duration_s: float) -> float | None:
    """Seconds that ``--timeout`` allows; ``5x`` needs a length, and allows any time where there is none."""
    if not timeout:
        return None
    if timeout.endswith("x"):
        return float(timeout[:-1]) * duration_s if duration_s else None
    return float(timeout)


def parse_count(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def parse_lanes(text: str) -> int:
    """Read a number of lanes: 1 to 1024, more than any machine has."""
    if parse_count(text) > _MOST_LANES:
        raise ValueError(f"{text} is more lanes than any machine has")
    return int(text)


def parse_per_gpu(text: str) -> int | Literal["auto"]:
    """Read how many attempts share a GPU: a number, or ``auto``."""
    try:
        return "auto" if text == "auto" else parse_lanes(text)
    except ValueError as error:
        raise ValueError(f"{error}, nor auto") from error


def parse_cores(text: str) -> int | Literal["", "all"]:
    """Read the cores of a lane: a number, ``all``, or nothing for its share."""
    if text in ("", "all"):
        return text  # type: ignore[return-value]  # one of the two
    try:
        cores = parse_count(text)
    except ValueError as error:
        raise ValueError(f"{error}, nor all") from error
    if cores > _MOST_LANES:
        raise ValueError(f"{text} is more cores than any machine has for a lane")
    return cores


def parse_memory(text: str) -> str:
    """Check an amount of memory: bytes, with K, M, G or T behind them (powers of 1024), or a share of all: ``5%``."""
    number = text[:-1] if text[-1:].upper() in ("K", "M", "G", "T", "%") else text
    try:
        fits = 0 <= float(number) < (100 if text.endswith("%") else _MOST_MEMORY)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{text!r} is no amount of memory: give 500M, 4G, or a share of all, 5%")
    return text


def parse_number(text: str) -> int:
    """Read a whole number of at least 0."""
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def parse_devices(text: str) -> str:
    """Check ``--devices``: ``cpu:N``."""
    kind, _, number = text.partition(":")
    if kind != "cpu" or not number.isdecimal() or not 1 <= int(number) <= _MOST_LANES:
        raise ValueError(f"{text!r}: give cpu:N, with N lanes on the processor")
    return text


def parse_seconds(text: str) -> float:
    """Read a number of seconds, 0 or more."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{text!r} is not a number of seconds")
    return seconds


def parse_command(text: str) -> str:
    """Check a command line: words as a shell would split them."""
    try:
        if not shlex.split(text):
            raise ValueError("there is no command in it")
    except ValueError as error:
        raise ValueError(f"{text!r} is no command: {error}") from error
    return text


@dataclass(frozen=True)
class FindSettings:
    """Which videos."""

    ext: tuple[str, ...] = option((), "further file endings that count as videos: mpg,webm", metavar="EXT")
    include: tuple[str, ...] = option((), "only videos whose path below the root matches", metavar="GLOB")
    exclude: tuple[str, ...] = option((), "no videos whose path below the root matches", metavar="GLOB")
    limit: int | None = option(None, "no more than the first N videos", metavar="N", parse=parse_count)
    files_from: str = option(
        "", "only the videos that FILE names, one path a line; - reads them from standard input", metavar="FILE"
    )
    output: Path | None = option(None, "mirror the tree here instead of writing beside the videos", metavar="DIR")

    @property
    def endings(self) -> frozenset[str]:
        """All endings that count, lower case, with their dot."""
        return frozenset(VIDEO_ENDINGS) | {"." + word.strip().lower().lstrip(".") for word in self.ext}


@dataclass(frozen=True)
class MachineSettings:
    """On which machines lanes are."""

    executor: str = option(
        "local", "local: on this machine; ray: on a Ray cluster; slurm: on the nodes of a Slurm cluster", metavar="NAME"
    )
    address: str = option(
        "", "the Ray cluster: HOST:PORT, or auto for the one that this machine is in (default: one is started here)",
        metavar="ADDRESS",
    )  # fmt: skip
    slurm: tuple[str, ...] = option(
        (), "what Slurm is to give each array element, as options of sbatch without their dashes: "
        "partition=gpu,account=x,gpus=1,time=4:00:00", metavar="KEY=VALUE",
    )  # fmt: skip
    max_jobs: int = option(16, "no more than N array elements", metavar="N", parse=parse_count)
    chunk_minutes: float = option(
        10.0, "one array element for every M minutes of work, counted on one lane; 0: as many as --max-jobs allows",
        metavar="M", parse=parse_seconds,
    )  # fmt: skip
    detach: bool = option(
        False, "hand the work in and return; the same command without it follows, and ends with the report"
    )


@dataclass(frozen=True)
class LaneSettings:
    """Where attempts run."""

    num_gpus: int | None = option(
        None, "this many GPUs, the first ones (default: all, else CPU lanes)", metavar="N", parse=parse_lanes
    )
    gpus: tuple[str, ...] = option(
        (), "these GPUs: indices or UUIDs, 0,2,GPU-1a2b; or free: those that nobody uses", metavar="LIST"
    )
    per_gpu: int | Literal["auto"] = option(
        1, "attempts at a time on one GPU; auto: as many as fit and as long as it gets faster, found out on the first "
        "videos", metavar="K|auto", parse=parse_per_gpu,
    )  # fmt: skip
    devices: str = option("", "lanes on the processor instead of GPUs: cpu:4", metavar="cpu:N", parse=parse_devices)
    cores_per_lane: int | Literal["", "all"] = option(
        "", "cores for each lane: N, or all, which divides nothing (default: each its share)", metavar="N|all",
        parse=parse_cores,
    )  # fmt: skip
    lanes: int | None = option(
        None, "no more than N lanes in all (default: as many as there are)", metavar="N",
        parse=parse_count,
    )  # fmt: skip
    memfree: str = option(
        "", "memory of this machine to keep free: with less nothing new is started, with less than half of it the "
        "youngest attempt is ended and runs again later; 0: off (default: 5%, at least 256M, at most 16G)",
        metavar="SIZE", parse=parse_memory,
    )  # fmt: skip


@dataclass(frozen=True)
class StageSettings:
    """How a video is put before the workload."""

    stage_by: Literal["symlink", "hardlink", "copy"] = option(
        "symlink", "how the video gets into the folder that a script sees"
    )
    keep_names: bool = option(False, "show scripts the real file name, odd characters and all")
    keep_failed: bool = option(False, "keep what a failed attempt left, for looking at")


@dataclass(frozen=True)
class RetrySettings:
    """When an attempt ends, and what follows."""

    schedule: Literal["longest", "round-robin", "name", "shortest"] = option(
        "longest", "the order; round-robin gives video i to lane i mod N"
    )
    retries: int = option(1, "tries more after an exit status that is not 0", metavar="N", parse=parse_number)
    timeout: str = option(
        "",
        "limit for one attempt: seconds, or 5x the video's own length",
        metavar="T",
        parse=parse_time_limit,
    )
    stall: float = option(
        1800.0, "an attempt that neither says nor computes anything for so long is ended; 0: never", metavar="S",
        parse=parse_seconds,
    )  # fmt: skip
    quarantine: int = option(
        3, "failures in a row after which a GPU gets no more videos, while others succeed", metavar="N",
        parse=parse_count,
    )  # fmt: skip
    on_interrupt: Literal["end", "drain"] = option(
        "end", "after Ctrl-C: end running attempts, or let them finish; a second one ends them at once"
    )
    grace: float = option(
        10.0, "seconds between SIGTERM and SIGKILL when an attempt is ended", metavar="S", parse=parse_seconds
    )
    on_stop: str = option(
        "", "a command that runs after each attempt that is not done, and ends what is no process of it, such as a "
        "container: 'docker kill {stem}'", metavar="CMD", parse=parse_command,
    )  # fmt: skip
    retry_failed: bool = option(True, "run the videos again that failed in an earlier run")


@dataclass(frozen=True)
class ResumeSettings:
    """What counts as done, and what becomes of what is there."""

    only: Literal["all", "failed"] = option("all", "failed: only the videos that failed in an earlier run")
    keep_stale: bool = option(False, "keep outputs although the script or its arguments have changed since")
    depends: tuple[str, ...] = option(
        (), "files that the results depend on: when one changes, all run again", metavar="GLOB"
    )
    fingerprint: Literal["ends", "content"] = option(
        "ends", "what of a video is hashed: its first and last MiB, or all of it"
    )
    existing: Literal["block", "adopt", "seed", "replace"] = option(
        "block",
        "a folder that is there and not ours: leave it alone, take it as done, start on a copy of it, "
        "or put it aside as <stem>.old",
    )
    on_collision: Literal["block", "suffix"] = option(
        "block", "two videos with one stem: leave both alone, or call their folders <stem>_mp4 and <stem>_mkv"
    )
    resume_stage: bool = option(False, "keep what a failed or killed attempt left, and let the next one continue in it")
    check_disk: bool = option(True, "begin only where the outputs will take less than half of what is free")
    durable: bool = option(False, "write each output to the disk itself before it becomes visible")


@dataclass(frozen=True)
class WorkloadSettings:
    """What runs on each video, where a person says it on the command line."""

    script: Path | None = option(None, "a script that takes --videoFolder, unmodified", metavar="FILE")
    worker: str = option("", "a class with process(video, out)", metavar="MODULE:CLASS")
    python: str = option("", "the interpreter to run it with", metavar="PROGRAM")
    expect: tuple[str, ...] = option(
        (), "a file that each output folder must have afterwards: pywork/scores.pckl", metavar="FILE"
    )
    name: str = option("", "whose outputs these are (default: the script's or program's name)")
    warm: bool = option(False, "load what the script imports once in each lane, and run each video as a fork of that")
    preload: tuple[str, ...] = option((), "like --warm, but load these modules: torch,cv2", metavar="MODULE")


@dataclass(frozen=True)
class RunSettings(FindSettings, MachineSettings, LaneSettings, StageSettings, RetrySettings, ResumeSettings):
    """Everything about a run but what runs in it."""


RUN_GROUPS: tuple[tuple[str, type], ...] = (
    ("which videos", FindSettings),
    ("machines", MachineSettings),
    ("lanes", LaneSettings),
    ("staging", StageSettings),
    ("order and retries", RetrySettings),
    ("what is done already", ResumeSettings),
)
