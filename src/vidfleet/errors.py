"""Everything that vidfleet raises on purpose.

::

    VidfleetError              says what happened, where, and what to do next
    ├── UsageError             a wrong flag or argument; nothing was touched        exit status 2
    ├── SetupError             the workload cannot run on any video here            exit status 3
    │   └── WeightsError       a model's weights are missing, or not what they claim to be
    ├── SplitError             a film cannot be done in parts; it is done in one
    ├── BadInputError          this one video cannot be read; others go on          kind ``bad_input``
    ├── RecordError            a record is damaged, or newer than this version
    ├── ClaimedError           another runner works on this video                   state ``blocked``
    ├── OccupiedError          somebody else's folder stands where ours would go    state ``blocked``
    ├── LetGoError             the run goes on on a cluster, without this process
    └── LaneError              a lane's worker cannot be started or has died

An error that ends one attempt may carry ``failure_kind``: the name of a row in ``runner/failures.py``.
"""

from __future__ import annotations

from typing import ClassVar


class VidfleetError(Exception):
    """The root of the tree; its text is meant for the user."""

    exit_status: ClassVar[int] = 1
    failure_kind: ClassVar[str | None] = None


class UsageError(VidfleetError):
    """The command line or the call is wrong; nothing was touched."""

    exit_status = 2


class SetupError(VidfleetError):
    """The workload cannot run on any video here: a missing module, file or weight."""

    exit_status = 3
    failure_kind = "setup"


class WeightsError(SetupError):
    """A model's weights are missing, cannot be fetched, or have the wrong checksum."""


class SplitError(VidfleetError):
    """A film cannot be done in parts, or one of its parts not be had; the film is done in one."""


class BadInputError(VidfleetError):
    """This one video cannot be read."""

    failure_kind = "bad_input"


class RecordError(VidfleetError):
    """A record is damaged, or was written by a newer version."""


class ClaimedError(VidfleetError):
    """Another runner works on this video just now."""


class OccupiedError(VidfleetError):
    """A folder that is not ours stands where the output would go."""


class LetGoError(VidfleetError):
    """The run goes on on a cluster, without this process; not a failure."""

    def __init__(self, text: str, *, status: int) -> None:
        super().__init__(text)
        self.status = status
        """What the command exits with: 0 where that was asked for, else as after the signal."""


class LaneError(VidfleetError):
    """A lane's worker cannot be started, or has died."""
