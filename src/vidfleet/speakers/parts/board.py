"""Who does which segment, by files alone, so that it holds between machines on a shared file system.

In the parts folder lie, beside the plan::

    00007.2.taken        somebody works on segment 7 (the second who does: the first one died); its content changes
    00007-00009.part/    segment 7 is done, its results end where those of segment 9 begin
    00007-end.part/      it is done, up to the film's end
    00007-none.part/     it has met no cut, and so has nothing
    growing-<hex>/       a part that is being made

A claim is taken by creating its file, which succeeds for one only, also on NFS. Whoever holds it writes into it every
second or so; one that has not changed for a while, by the watcher's own clock, is of somebody dead, and the next one
takes the segment again. Should both live after all, both make the same part.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.errors import RecordError
from vidfleet.speakers.kept import check_plain
from vidfleet.speakers.layout import SHARES

if TYPE_CHECKING:
    from collections.abc import Iterator

BEAT_S = 1.0
STALE_S = 20.0
"""The longest step between two beats is the scoring of a track's last minute: a second or two on one slow core."""
PLAN, OPEN = "plan.json", Path(SHARES).name
_CLAIM = re.compile(r"(\d{5})\.(\d{1,4})\.taken")
_PART = re.compile(r"(\d{5})-(\d{5}|end|none)\.part")
_LONGEST_BEAT_BYTES = 100


class State(Enum):
    """How it is with a segment."""

    FREE = "free"
    TAKEN = "taken"
    DONE = "done"
    """Also one that is not needed: the segment before it goes beyond it."""


@dataclass(frozen=True, slots=True)
class Done:
    """A part that is whole."""

    folder: Path
    segment: int
    following: int | None
    """The segment whose results begin where these end; as many as there are: the film's end; None: it has none."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is on the board at one moment."""

    states: Sequence[State]
    done: Mapping[int, Done]
    at: Mapping[int, int]
    """For segments that are taken: the grid frame that is reached."""

    def needed(self) -> int | None:
        """The first segment on the way through the film that is not done; None: all that is needed is there."""
        segment: int | None = 0
        while segment is not None and segment < len(self.states):
            if segment not in self.done:
                return segment
            segment = self.done[segment].following
        return None

    def next_free(self) -> int | None:
        """The best segment to take: in the longest stretch of free ones, where nobody comes by himself.

        Who works on the segment before goes on into the free ones, so the other half of them is left to him: that
        saves decoding twice what lies between the key frame and the first cut.
        """
        runs = list(self._free_runs())
        if not runs:
            return None
        first, length = max(runs, key=lambda run: (run[1], -run[0]))
        is_coming = first > 0 and self.states[first - 1] is State.TAKEN
        return first + length // 2 if is_coming else first

    def frames_done(self, starts: Sequence[int], end: int) -> int:
        """How much of the film is seen."""
        total = 0
        for segment, (first, last) in enumerate(zip(starts, [*starts[1:], end], strict=True)):
            if self.states[segment] is State.DONE:
                total += last - first
            elif segment in self.at:
                total += min(max(self.at[segment] - first, 0), last - first)
        return total

    def _free_runs(self) -> Iterator[tuple[int, int]]:
        """First segment and length of each stretch of free segments."""
        length = 0
        for segment, state in enumerate([*self.states, State.DONE]):
            if state is State.FREE:
                length += 1
            elif length:
                yield segment - length, length
                length = 0


class Claim:
    """A segment that we work on."""

    def __init__(self, path: Path, segment: int) -> None:
        self.segment = segment
        self._path = path
        self._count = 0
        self._next_s = 0.0

    def beat(self, frame: int) -> bool:
        """Say that we live, and are at ``frame``; False: nobody waits for our part any more."""
        now = time.monotonic()
        if now < self._next_s:
            return True
        self._next_s = now + BEAT_S
        self._count += 1
        try:
            with self._path.open("r+b") as file:  # never made anew: who removed it meant it
                file.write(f"{self._count:012d} {frame:012d}\n".encode("ascii"))
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Give the segment back, or be done with it."""
        self._path.unlink(missing_ok=True)


class Board:
    """The claims and parts in one folder, as one of those who work there sees them."""

    def __init__(self, folder: Path, segments: int, *, stale_s: float = STALE_S) -> None:
        self.folder, self._segments, self._stale_s = folder, segments, stale_s
        self._beats: dict[str, tuple[bytes, float]] = {}
        """What was read in a claim last, and when it was first read so."""

    def look(self) -> Look:
        """Read the folder."""
        self._ask_anew()
        done: dict[int, Done] = {}
        claims: dict[int, tuple[int, str]] = {}
        for name, is_folder in _entries(self.folder):
            part, claim = _PART.fullmatch(name), _CLAIM.fullmatch(name)
            if part is not None and is_folder:
                segment, following = int(part[1]), self._following(part[2])
                if segment < self._segments and (following is None or following > segment):
                    done[segment] = Done(self.folder / name, segment, following)
            elif claim is not None and not is_folder:
                segment, turn = int(claim[1]), int(claim[2])
                claims[segment] = max(claims.get(segment, (0, "")), (turn, name))
        at = {}
        for segment, (_, name) in claims.items():
            if segment not in done:
                frame = self._frame_if_alive(name)
                if frame is not None:
                    at[segment] = frame
        return Look(self._states(done, at), done, at)

    def claim(self, segment: int) -> Claim | None:
        """Take a segment that is free; None where somebody else was faster."""
        look = self.look()
        if look.states[segment] is not State.FREE:
            return None
        turns = [int(found[2]) for name, _ in _entries(self.folder) if (found := _CLAIM.fullmatch(name))
                 and int(found[1]) == segment]  # fmt: skip
        path = self.folder / f"{segment:05d}.{max(turns, default=0) + 1}.taken"
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except OSError:
            return None
        claim = Claim(path, segment)
        claim.beat(0)
        return claim

    def growing(self) -> Path:
        """Make a folder in which a part can grow."""
        folder = self.folder / f"growing-{uuid.uuid4().hex}"
        folder.mkdir()
        return folder

    def publish(self, growing: Path, segment: int, following: int | None) -> None:
        """Let a part be seen by all, at once; another's that is there already is as good."""
        end = "none" if following is None else "end" if following >= self._segments else f"{following:05d}"
        target = self.folder / f"{segment:05d}-{end}.part"
        try:
            growing.rename(target)
        except OSError:
            if not target.is_dir():
                raise
            shutil.rmtree(growing, ignore_errors=True)

    def _ask_anew(self) -> None:
        """Change the folder, so that an NFS client asks its server what is in it; it may remember for a minute."""
        path = self.folder / f".look-{uuid.uuid4().hex}"
        try:
            path.touch()
            path.unlink()
        except OSError:
            return  # it is gone: then nothing is in it

    def _following(self, end: str) -> int | None:
        return None if end == "none" else self._segments if end == "end" else int(end)

    def _states(self, done: Mapping[int, Done], at: Mapping[int, int]) -> list[State]:
        states = [State.TAKEN if segment in at else State.FREE for segment in range(self._segments)]
        for part in done.values():
            end = part.following if part.following is not None else part.segment + 1
            for segment in range(part.segment, min(max(end, part.segment + 1), self._segments)):
                if segment == part.segment or segment not in done:
                    states[segment] = State.DONE
        return states

    def _frame_if_alive(self, name: str) -> int | None:
        """Where the holder of a claim is; None for one that has not been heard of for too long."""
        now = time.monotonic()
        path = self.folder / name
        try:
            check_plain(path)
            with path.open("rb") as file:
                said = file.read(_LONGEST_BEAT_BYTES)
        except (OSError, RecordError):
            return None
        before, since = self._beats.get(name, (b"?", now))
        if said != before:
            self._beats[name] = (said, now)
            since = now
        if now - since > self._stale_s:
            return None
        words = said.split()
        return int(words[1]) if len(words) == 2 and words[1].isdigit() else 0


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """Names of what lies in a folder, and whether each is a folder; links are passed over."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries if not entry.is_symlink()]
    except OSError:
        return []
