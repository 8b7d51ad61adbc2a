"""The folder in which driver and elements meet: ``<run>/slurm/``, of mode 0700, whose owner is checked.

::

    orders.json         what the elements are to do            share-<n>.json   which videos are whose first
    jobs.json           what was submitted                     <n>-<start>/     ledger and claims of one start of one
    stop                whoever finds it begins nothing more   <n>.txt          what it said outside of its ledger
    drain               beside it: what runs is let finish     <n>.through      nothing of this share is left
    over                nothing runs any more
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from vidfleet.errors import SetupError
from vidfleet.runner.reading import read_json, read_small
from vidfleet.runner.writing import write_whole

FOLDER = "slurm"
NO_WORKING_FOLDER, NO_RUN_FOLDER, NO_PYTHON, REFUSED, FRUITLESS = 81, 82, 83, 84, 85
"""Exit statuses by which an element tells why it cannot work, also where it can write nothing."""
_START = re.compile(r"(\d+)-(\d+)")
_SHARE = re.compile(r"share-(\d+)\.json")
_CLOCK = "clock"
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Submission:
    """One array of elements."""

    job: int
    first: int
    """The number of the share of its element 0."""
    count: int
    excluded: str = ""
    """Nodes that were left out, as they had shown to be of no use."""
    instead_of: tuple[int, ...] = ()
    """Shares whose elements had died, and whose videos these do."""


@dataclass(frozen=True, slots=True)
class ElementStart:
    """One start of one element: after a time limit or a pre-emption there is a further one."""

    share: int
    start: int

    @property
    def name(self) -> str:
        """What its folder is called."""
        return f"{self.share}-{self.start}"


@dataclass(frozen=True, slots=True)
class Place:
    """The folder."""

    path: Path

    @classmethod
    def of(cls, run_folder: Path) -> Place:
        """That of a run."""
        return cls(run_folder / FOLDER)

    def make(self) -> None:
        """Make it, for this user alone."""
        self.path.mkdir(mode=0o700)
        self.check()

    def check(self) -> None:
        """Raise SetupError where others could have put something in."""
        try:
            status = os.lstat(self.path)
        except OSError as error:
            raise SetupError(f"{self.path} is not there ({error.strerror})") from error
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise SetupError(
                f"{self.path} is not a folder of this user's alone: nothing in it is believed\n"
                "If nobody else has written there, say `chmod 700` to it."
            )

    def is_anothers(self) -> bool:
        """Whether it is another user's."""
        try:
            return os.lstat(self.path).st_uid != os.getuid()
        except OSError:
            return False

    @property
    def jobs_prefix(self) -> str:
        """How the names of the run's jobs begin."""
        return f"vidfleet-{self.path.parent.name.rpartition('-')[2]}-"

    def share(self, number: int) -> Path:
        """The list of a share's videos."""
        return self.path / f"share-{number}.json"

    def element(self, which: ElementStart) -> Path:
        """The folder of one start of one element."""
        return self.path / which.name

    def said(self, share: int) -> Path:
        """What an element has said outside of its ledger."""
        return self.path / f"{share}.txt"

    def through(self, share: int) -> Path:
        """A file that is there when nothing is left of a share."""
        return self.path / f"{share}.through"

    @property
    def orders(self) -> Path:
        """What elements are to do."""
        return self.path / "orders.json"

    @property
    def stop(self) -> Path:
        """A file that is there once somebody wants the run to end."""
        return self.path / "stop"

    @property
    def drain(self) -> Path:
        """A file that is there besides while what runs may come to its end."""
        return self.path / "drain"

    def ask_to_stop(self, *, drain: bool) -> None:
        """Have whoever looks begin nothing more."""
        if drain:
            self.touch(self.drain)
        else:
            with contextlib.suppress(OSError):  # mostly it is not there
                self.drain.unlink()
        self.touch(self.stop)

    @property
    def over(self) -> Path:
        """A file that is there once somebody has seen that no job is left."""
        return self.path / "over"

    def starts(self) -> list[ElementStart]:
        """Every start of every element that has a folder, in order."""
        found = (_START.fullmatch(entry.name) for entry in os.scandir(self.path))
        return sorted((ElementStart(int(m[1]), int(m[2])) for m in found if m), key=lambda s: (s.share, s.start))

    def shares(self) -> dict[int, bool]:
        """The number of every share that was ever written down, in order; and whether something may be left of it."""
        names = {entry.name for entry in self.path.iterdir()}
        numbers = sorted(int(m[1]) for m in map(_SHARE.fullmatch, names) if m)
        return {number: self.through(number).name not in names for number in numbers}

    def submissions(self) -> list[Submission]:
        """What was submitted, as far as its driver lived to write it down."""
        try:
            plain = read_json(self.path / "jobs.json")["jobs"]
            return [Submission(**{**item, "instead_of": tuple(item["instead_of"])}) for item in plain]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def remember(self, submissions: list[Submission]) -> None:
        """Write down what was submitted."""
        plain = {"schema": _SCHEMA, "user": os.getuid(), "jobs": [asdict(each) for each in submissions]}
        write_whole(self.path / "jobs.json", json.dumps(plain) + "\n")

    def tell_clock(self, folder: Path) -> None:
        """Note what our clock says, in a file whose own time is the file server's."""
        with contextlib.suppress(OSError):
            write_whole(folder / _CLOCK, f"{time.time():.3f}\n")

    def clock_ahead_s(self, folder: Path) -> float:
        """How far the clock of whoever wrote that is ahead of the file server's; 0 where nothing tells."""
        try:
            return float(read_small(folder / _CLOCK)) - (folder / _CLOCK).stat().st_mtime
        except (OSError, ValueError):
            return 0.0

    def touch(self, path: Path) -> None:
        """Make one of the files that only have to be there."""
        with contextlib.suppress(OSError):
            path.touch(mode=0o600)
