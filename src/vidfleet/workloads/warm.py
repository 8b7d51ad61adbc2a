"""What the user wants loaded once in each lane, made of the script's text and of what was named."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vidfleet.errors import UsageError
from vidfleet.workloads.ahead import Ahead, read_ahead
from vidfleet.workloads.base import Step, Warm

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MOST_NAMED = 8


def plan_warm(script: Path, folder: Path, preload: Sequence[str]) -> tuple[Warm | None, str]:
    """What to load ahead of ``script``, which runs in ``folder``, and a sentence that says so; nothing, and why.

    ``preload`` names modules instead of what the text says; they are loaded where the text imports them, else last.
    """
    for name in preload:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UsageError(f"--preload {name}: that is no module's name")
    if sys.platform != "linux":
        return None, "warm: only on Linux; each video starts cold"
    try:
        ahead = read_ahead(script, folder)
    except ValueError as error:
        if not preload:
            return None, f"warm: {script.name} cannot be read by this Python ({error}); each video starts cold"
        ahead = Ahead(())
    steps = _named(ahead.steps, preload) if preload else ahead.steps
    return Warm(steps, is_named=bool(preload)), _in_words(steps, "" if preload else ahead.stopped)


def _named(steps: Sequence[Step], preload: Sequence[str]) -> tuple[Step, ...]:
    told = [step for step in steps if step.kind != "import" or step.name in preload]
    there = {step.name for step in told if step.kind == "import"}
    return (*told, *(Step("import", name) for name in dict.fromkeys(preload) if name not in there))


def _in_words(steps: Sequence[Step], stopped: str) -> str:
    names = dict.fromkeys(step.name.partition(".")[0] for step in steps if step.kind == "import")
    foreign = [name for name in names if name not in sys.stdlib_module_names] or ["Python itself"]
    more = len(foreign) - _MOST_NAMED
    shown = ", ".join(foreign[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    are = "is" if len(foreign) == 1 else "are"
    left = f"; from {stopped} on, which changes what is loaded, imports are left to the script" if stopped else ""
    return f"warm: {shown} {are} loaded once in each lane{left}"
