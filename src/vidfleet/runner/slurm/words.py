"""Why an element is gone, in words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.runner.reading import open_regular
from vidfleet.runner.slurm.place import FRUITLESS, NO_PYTHON, NO_RUN_FOLDER, NO_WORKING_FOLDER, REFUSED
from vidfleet.runner.text import one_line

if TYPE_CHECKING:
    from vidfleet.runner.slurm.jobs import Death
    from vidfleet.runner.slurm.place import Place

UNFIT = frozenset({NO_WORKING_FOLDER, NO_RUN_FOLDER, NO_PYTHON, REFUSED})
"""Exit statuses of a node on which the run cannot work at all."""
_LONGEST_BYTES = 4096
_SLURMS = {
    "NODE_FAIL": "its node has failed",
    "OUT_OF_MEMORY": "it took more memory than it was given (--slurm mem=…)",
    "TIMEOUT": "its time limit was reached before it could end in order",
    "CANCELLED": "it was cancelled",
    "PREEMPTED": "it was pre-empted",
    "BOOT_FAIL": "its node did not start",
    "DEADLINE": "its deadline was reached",
    "PENDING": "it could not be started",
}


def why(death: Death, place: Place) -> str:
    """One sentence about an element that did not end in order."""
    state = death.state
    if state is None:
        return "Slurm does not know it any more"
    node = state.node or "its node"
    told = {
        NO_WORKING_FOLDER: f"{node} does not see the folder {Path.cwd()}, in which the run was started",
        NO_RUN_FOLDER: f"{node} does not see {place.path}, or cannot write there",
        NO_PYTHON: f"{node} has no {sys.executable}",
        FRUITLESS: "start after start ended without one video done: the time limit may be too short for them",
    }.get(state.exit_status)
    if told:
        return told
    said = last_words(place, death.share)
    if state.exit_status == REFUSED and said:
        return said
    how = f"exit status {state.exit_status}" if state.exit_status >= 0 else f"signal {-state.exit_status}"
    reason = _SLURMS.get(state.state) or f"it ended with {how}"
    if state.state == "FAILED" and said:
        reason += f": {said}"
    return f"{reason} ({node})" if state.node else reason


def last_words(place: Place, share: int) -> str:
    """The last line that an element has said."""
    try:
        with open_regular(place.said(share)) as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - _LONGEST_BYTES, 0))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return one_line(lines[-1]) if lines else ""
