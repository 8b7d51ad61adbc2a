"""How a run on Slurm is ended on purpose, by its driver or by ``vidfleet stop`` from wherever Slurm's commands are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vidfleet.runner.slurm import site

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidfleet.runner.slurm.place import Place

_BETWEEN_LOOKS_S = 1.0


def ask_to_end(place: Place, *, drain: bool) -> int:
    """Have no element start any more, and those that run end in order; returns how many there are.

    Raises SlurmError where Slurm does not answer; the file that is left then still keeps elements from going on.
    """
    place.ask_to_stop(drain=drain)
    going = [state for state in site.look(place.jobs_prefix) if not state.is_over]
    site.cancel(state for state in going if state.state != "RUNNING")
    site.send("USR1" if drain else "TERM", going)
    return len(going)


def end_at_once(place: Place) -> None:
    """Have Slurm end whatever is left. Raises SlurmError."""
    place.ask_to_stop(drain=False)
    site.cancel(site.look(place.jobs_prefix))


def wait_for_end(place: Place, seconds: float, *, tick: Callable[[], None] = lambda: None) -> bool:
    """Wait until no element is left; False where some are after that time. Raises SlurmError."""
    until = time.monotonic() + seconds
    while any(not state.is_over for state in site.look(place.jobs_prefix)):
        if time.monotonic() > until:
            return False
        tick()
        time.sleep(_BETWEEN_LOOKS_S)
    place.touch(place.over)
    return True
