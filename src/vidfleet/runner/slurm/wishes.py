"""``--slurm``: what the user wants of sbatch, checked word by word."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vidfleet.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEY = re.compile(r"[a-z][a-z0-9-]*")
_BARE = frozenset(
    ("contiguous", "exclusive", "get-user-env", "hold", "kill-on-invalid-dep", "nice", "no-kill", "overcommit",
     "oversubscribe", "propagate", "reboot", "spread-job", "use-min-nodes")
)  # fmt: skip
"""Options of sbatch that may stand without a value."""
_OURS = {
    "array": "how many elements there are is --max-jobs and --chunk-minutes",
    "chdir": "elements work in the folder in which the run was started",
    "clusters": "start the run on that cluster itself",
    "error": "the logs lie in the run's folder",
    "input": "elements read nothing",
    "job-name": "jobs are found again by their name",
    "open-mode": "the logs lie in the run's folder",
    "output": "the logs lie in the run's folder",
    "parsable": "",
    "quiet": "",
    "requeue": "elements are always put back",
    "no-requeue": "elements are always put back",
    "signal": "elements are told of their end in time",
    "test-only": "--dry-run tells what would be done",
    "verbose": "",
    "wait": "the run waits, unless --detach is given",
    "wrap": "what runs in an element is the runner",
}
_ONCE = ("nodes", "ntasks", "ntasks-per-node")
LEAD_S = 90
"""Before a time limit, elements are told so long ahead; Slurm itself may be up to a minute early."""


def sbatch_options(words: Sequence[str]) -> tuple[str, ...]:
    """The words of ``--slurm`` as options of sbatch; raises UsageError.

    A word without ``=`` that is no option goes on with the value before it: ``partition=a,b`` is one.
    """
    options: list[str] = []
    for word in words:
        key, equals, _ = word.partition("=")
        if not equals and word not in _BARE and options and "=" in options[-1]:
            options[-1] += f",{word}"
            continue
        key = key.replace("_", "-")
        _check(key, word, equals)
        options.append(f"--{key}{word[len(key) :]}")
    for option in options:
        if any(char in option for char in "\n\r\0"):
            raise UsageError(f"--slurm {option[2:]!r}: a value is one line")
        if option.startswith("--nodelist=") and any(char in option for char in ",["):
            raise UsageError(
                f"--slurm {option[2:]}: each element would want all of these; leave others out by exclude="
            )
    return tuple(options)


def _check(key: str, word: str, equals: str) -> None:
    ours = next((name for name in _OURS if key and name.startswith(key)), "")  # sbatch takes beginnings, too
    if ours:
        why = f": {_OURS[ours]}" if _OURS[ours] else ""
        raise UsageError(f"--slurm {ours} is not yours to set{why}")
    if not _KEY.fullmatch(key) or (not equals and key not in _BARE):
        raise UsageError(f"--slurm {word}: give options of sbatch without their dashes: partition=gpu,account=x")
    if key in _ONCE and word.partition("=")[2] != "1":
        raise UsageError(
            f"--slurm {word}: an element is one runner on one node; how many there are is --max-jobs and "
            "--chunk-minutes"
        )
