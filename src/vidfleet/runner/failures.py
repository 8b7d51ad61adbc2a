"""The kinds of failure: how each is known, and what follows. One table; a new kind is a new row.

``recognise`` goes through the rows from the top and takes the first whose evidence fits.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

from vidfleet.data import Evidence

DONE = "done"
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
    """How often it is tried again; nothing stands for ``--retries``."""
    stops_run: bool = False
    """No other video could do better."""


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
        stops_run=True,
    ),
    Kind(
        "bad_input",
        lambda e: e.declared_kind == "bad_input",
        lambda e: e.message,
        retries=0,
    ),
    Kind(
        "timeout",
        lambda e: e.timed_out,
        lambda _: "it ran into its time limit (--timeout) and was ended",
        retries=1,
    ),
    Kind(
        "crash",
        lambda e: e.signal is not None or e.declared_kind == "crash",
        lambda e: e.message or _signal_in_words(e.signal),
        retries=1,
    ),
    Kind(
        "missing_output",
        lambda e: e.declared_kind == "missing_output",
        lambda e: e.message,
        retries=0,
    ),
    Kind(
        "error",
        lambda e: e.exit_status != 0 or bool(e.declared_kind),
        _status_in_words,
        retries=None,
    ),
)
"""From the most to the least telling evidence."""

BY_NAME = {kind.name: kind for kind in KINDS}


def recognise(evidence: Evidence) -> Kind | None:
    """The kind of failure that ``evidence`` shows; nothing where the attempt did well."""
    return next((kind for kind in KINDS if kind.is_it(evidence)), None)
