"""What is asked of Slurm, by the site's own commands: submit, look, signal, cancel, requeue, limits.

Each is started without a shell. Jobs are known by their names, which hold the run's and the first share's number, so
that those of a driver that was killed while it submitted are found, too.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vidfleet.errors import SetupError, VidfleetError
from vidfleet.runner.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ANSWER_S = 60.0
"""A controller that is busy keeps its commands waiting; they give up by themselves after MessageTimeout, 10 s."""
_COLUMNS = (("ArrayJobID", 20), ("ArrayTaskID", 20), ("State", 20), ("exit_code", 16), ("NodeList", 64),
            ("Reason", 64), ("Name", 80))  # fmt: skip
_OVER = frozenset(
    ("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
     "TIMEOUT")
)  # fmt: skip
_WHICH_CLUSTER = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")
_OF_OTHERS = ("SLURM_", "SQUEUE_", "SCANCEL_", "SBATCH_WAIT")
"""Beginnings of variables that are not for us: of an allocation that we may stand in ourselves, which would be taken
for wishes about the new job, and people's filters, such as SQUEUE_PARTITION, that would hide our jobs."""
_PREFIX = re.compile(r"^s\w+: (?:error: )?", re.MULTILINE)
"""Each line of an error begins with who says it."""
_STUCK = "launch failed requeued held"
_LEAST_ARRAY = 1001
"""MaxArraySize where nobody has set it."""


class SlurmError(VidfleetError):
    """Slurm's controller does not answer, or refuses."""

    exit_status = 3


@dataclass(frozen=True, slots=True)
class JobState:
    """What Slurm says of one array element."""

    job: int
    """The array's number."""
    index: int
    state: str
    """``PENDING``, ``RUNNING`` and so on."""
    exit_status: int
    """Negative: the signal that ended it."""
    node: str
    reason: str
    """Why it waits, or ended."""
    name: str

    @property
    def is_over(self) -> bool:
        """Whether it will not run any more."""
        return self.state in _OVER

    @property
    def is_stuck(self) -> bool:
        """Whether Slurm holds it, as it could not be started, until somebody comes."""
        return self.state == "PENDING" and self.reason == _STUCK

    @property
    def id(self) -> str:
        """What Slurm's commands call it."""
        return f"{self.job}_{self.index}"


def check_commands() -> None:
    """Raise SetupError where Slurm's commands are not here."""
    missing = [name for name in ("sbatch", "squeue", "scancel", "scontrol") if not shutil.which(name)]
    if missing:
        raise SetupError(
            f"there is no {' and no '.join(missing)} here\n"
            "Start the run where Slurm's commands are, which is mostly the cluster's login node."
        )


def submit(script: bytes, options: Sequence[str], *, name: str, count: int) -> int:
    """Hand in an array of ``count`` elements, from 0; returns the job's number. Raises SlurmError."""
    words = ["sbatch", "--parsable", f"--array=0-{count - 1}", f"--job-name={name}", "--requeue", "--nodes=1",
             "--input=/dev/null", "--output=/dev/null", "--error=/dev/null", *options]  # fmt: skip
    said = _ask(words, given=script)
    number = said.strip().splitlines()[-1].partition(";")[0] if said.strip() else ""
    if not number.isdecimal():
        raise SlurmError(f"sbatch has answered {one_line(said)!r}, which is no job's number")
    return int(number)


def look(prefix: str) -> list[JobState]:
    """All of this user's elements whose job's name begins with ``prefix``, also for some minutes after their end."""
    form = ",".join(f"{name}:{width}" for name, width in _COLUMNS)
    said = _ask(
        ["squeue", "--noheader", "--all", "--array", "--states=all", f"--user={os.getuid()}", f"--Format={form}"]
    )
    found = [_read_line(line) for line in said.splitlines()]
    return [state for state in found if state and state.name.startswith(prefix)]


def _read_line(line: str) -> JobState | None:
    fields, start = [], 0
    for _, width in _COLUMNS:
        fields.append(line[start : start + width].strip())
        start += width
    job, index, state, exit_code, node, reason, name = fields
    if not (job.isdecimal() and index.isdecimal()):
        return None  # no array
    code = int(exit_code) if exit_code.isdecimal() else 0
    status = code >> 8 if not code & 0x7F else -(code & 0x7F)  # as wait has it: a status, or a signal
    return JobState(int(job), int(index), state, status, node, reason, name)


def send(signal: str, states: Iterable[JobState]) -> None:
    """Send a signal to our process of each element that runs, and to nothing else of it."""
    running = [state.id for state in states if state.state == "RUNNING"]
    if running:
        _ask(["scancel", "--quiet", "--batch", f"--signal={signal}", *running], may_fail=True)


def cancel(states: Iterable[JobState]) -> None:
    """End elements: what waits at once, what runs by SIGTERM and, after the site's KillWait, SIGKILL."""
    going = [state.id for state in states if not state.is_over]
    if going:
        _ask(["scancel", "--quiet", *going], may_fail=True)


def requeue(job: str) -> bool:
    """Have an element run again from its start, later; False where Slurm refuses."""
    try:
        _ask(["scontrol", "requeue", job])
    except SlurmError:
        return False
    return True


def state_of(job: str) -> str:
    """The state of one job; empty where nobody tells."""
    try:
        return _ask(["squeue", "--noheader", f"--jobs={job}", "--format=%T"]).strip()
    except SlurmError:
        return ""


def most_elements() -> int:
    """How many elements the site lets an array have."""
    said = _ask(["scontrol", "show", "config"])
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", said, re.MULTILINE)
    return max(int(found[1]) if found else _LEAST_ARRAY, 1)


def _ask(words: Sequence[str], *, given: bytes = b"", may_fail: bool = False) -> str:
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(_OF_OTHERS) or key in _WHICH_CLUSTER
    }
    try:
        done = subprocess.run(
            words, input=given, capture_output=True, timeout=_ANSWER_S, check=False, env=environment,
            start_new_session=True,  # a terminal's Ctrl-C must not end an sbatch half way
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{words[0]} does not answer ({error})") from error
    said = done.stdout.decode("utf-8", "replace")
    if done.returncode and not may_fail:
        why = _PREFIX.sub("", done.stderr.decode("utf-8", "replace")).strip() or said.strip()
        raise SlurmError(
            f"{words[0]} says: {'; '.join(map(one_line, why.splitlines())) or f'exit status {done.returncode}'}"
        )
    return said
