"""Who works on a video: a small file beside its stage, so that two runners never meet in one.

A claim is made by linking a finished file into place, which either succeeds or says that another was first, also
on NFS. Its owner touches it while it works. A dead owner's claim is taken over: on this host one whose process is
gone, from another host one that has not been touched for 90 s by the file server's clock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.data import CLAIM_ENDING
from vidfleet.errors import ClaimedError
from vidfleet.runner.owner import Owner
from vidfleet.runner.reading import read_json, read_small
from vidfleet.runner.writing import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vidfleet.data import Stage

HEARTBEAT_S = 20.0
COMMON_NAME = "claim.json"
STALE_S = 90.0
_LAST_BEAT_S = 5.0
"""A file server that does not answer keeps a beat waiting, but not the run's end."""
_LAST_SECOND = 253_402_300_800.0
"""The year 10000: what a calendar can say."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim file says."""

    owner: Owner
    token: str
    """Tells two claims of one owner apart."""
    since: float

    def __str__(self) -> str:
        """For people."""
        if self == _HIDDEN:
            return "a runner of another user"
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"host {self.owner.host}, pid {self.owner.pid}, since {began}"


_HIDDEN = Claim(Owner("", "", 0, ""), "hidden", 0.0)
"""One that another user keeps to themselves: only its heartbeat tells whether its owner lives."""


class Claims:
    """The claims that one run holds.

    ``folder`` is the run's own. Where it lies on the videos' file system, each claim is one more name of one file in
    it, which costs a link and nothing else: making and removing a file for each of 20,000 videos slows a journalling
    file system down several times.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._owner = Owner.me()
        self._held: dict[str, bytes] = {}
        self._common, self._common_text = folder and folder / COMMON_NAME, self._new_text()
        if self._common:
            self._common.write_bytes(self._common_text)

    def _new_text(self) -> bytes:
        return json.dumps(asdict(Claim(self._owner, secrets.token_hex(8), time.time()))).encode("ascii")

    def take(self, stage: Stage) -> None:
        """Claim a video; raises ClaimedError, naming the owner, where a living runner has it."""
        path = stage.beside(CLAIM_ENDING)
        self._held[path] = self._common_text if self._take_common(path) else self._take_own(path)

    def _take_common(self, path: str) -> bool:
        """False where no link can be made: no such folder yet, another file system, one that has no links."""
        if self._common is None:
            return False
        try:
            self._renew_where_altered(self._common)
            os.utime(self._common)  # a claim is as fresh as its file, for runners on other hosts
            _put(self._common, path)
        except OSError:
            return False
        return True

    def _renew_where_altered(self, common: Path) -> None:
        """A script that writes into the claim of its own video has written into all: those to come are of a new file.

        Raises OSError where there is none any more.
        """
        try:
            if read_small(common) == self._common_text:
                return
        except ValueError:  # something else stands there
            pass
        self._common_text = self._new_text()
        write_whole(common, self._common_text.decode("ascii"))

    def _take_own(self, path: str) -> bytes:
        text = self._new_text()
        aside = Path(f"{path}.{secrets.token_hex(8)}")
        aside.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(text)
        try:
            _put(aside, path)
        finally:
            aside.unlink(missing_ok=True)
        return text

    def is_free(self, stage: Stage) -> bool:
        """Whether nobody who is alive has a video, ourselves included; takes nothing."""
        path = stage.beside(CLAIM_ENDING)
        found = read_claim(path)
        if found is None or self._common is None:
            return found is None
        return path not in self._held and not _is_alive(found, path, self._common)

    def still_ours(self, stage: Stage) -> bool:
        """Read the claim again, as an owner does before it publishes."""
        return self._has(stage.beside(CLAIM_ENDING))

    def _has(self, path: str) -> bool:
        try:
            return read_small(path) == self._held.get(path)
        except (OSError, ValueError):
            return False

    def release(self, stage: Stage) -> None:
        """Give a video back."""
        path = stage.beside(CLAIM_ENDING)
        self._give_back(path)
        self._held.pop(path, None)

    def _give_back(self, path: str) -> None:
        if self._has(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def release_all(self) -> None:
        """Give back whatever is still held, as at the end of a run that ended in an exception."""
        for path in self._held:
            with contextlib.suppress(OSError):
                self._give_back(path)
        self._held.clear()

    def beat(self) -> None:
        """Touch what is held, so that others see that we live."""
        for claim in list(self._held):
            with contextlib.suppress(OSError):
                os.utime(claim)

    @contextlib.contextmanager
    def beating(self, *, every_s: float = HEARTBEAT_S) -> Iterator[None]:
        """Beat while the ``with`` block runs, in a thread: the run itself may copy an output for minutes."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(every_s):
                self.beat()

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(_LAST_BEAT_S)


def bury_dead(stage: Stage) -> None:
    """Take away the claim of a runner that died after it had published; a living runner's stays."""
    claims = Claims()
    with contextlib.suppress(ClaimedError, OSError):
        claims.take(stage)
        claims.release(stage)


def read_claim(path: Path | str) -> Claim | None:
    """What a claim says; nothing where there is none. A torn one is nobody's: its writer has died.

    One that may not be read is some other user's, and says nothing.
    """
    try:
        plain = read_json(path)
        owner, token, since = Owner.read(json.dumps(plain["owner"])), plain["token"], float(plain["since"])
        if not isinstance(token, str) or not 0 <= since < _LAST_SECOND:
            raise ValueError("no claim")
        return Claim(owner, token, since)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        if isinstance(error.__cause__, PermissionError):
            return _HIDDEN
        return Claim(Owner("", "", 0, ""), "", 0.0)


def _put(aside: Path, path: str) -> None:
    """Link the claim ``aside`` to ``path``, in place of a dead owner's; raises ClaimedError where one lives."""
    for _ in range(3):
        try:
            os.link(aside, path)
        except FileExistsError:
            _bury(path, aside)
        else:
            return
    raise ClaimedError("another runner took it at the same moment")


def _bury(path: str, aside: Path) -> None:
    """Take a dead owner's claim away; raises ClaimedError where the owner lives.

    Two runners may find one dead claim, and the slower of them must not take away what the quicker has put there
    meanwhile. So there is a claim on the burial, named after the dead: only who holds it removes, and looks again
    before. (Should its owner die too, that claim is buried in the same way.)
    """
    dead = _dead_claim(path, aside)
    if dead is None:
        return
    folder, name = os.path.split(path)
    digest = hashlib.sha256(os.fsencode(f"{name} {dead.token}")).hexdigest()[:16]
    burial = f"{folder}/{digest}.burial"
    _put(aside, burial)
    try:
        if _dead_claim(path, aside) == dead:
            Path(path).unlink(missing_ok=True)
    finally:
        Path(burial).unlink(missing_ok=True)


def _dead_claim(path: str, aside: Path) -> Claim | None:
    found = read_claim(path)
    if found is not None and _is_alive(found, path, aside):
        raise ClaimedError(f"claimed by {found}")
    return found


def _is_alive(claim: Claim, path: str, clock: Path) -> bool:
    """``clock`` is a file of ours on the same file system: its server's clock decides about heartbeats, not ours."""
    if not claim.token:
        return False
    alive = claim.owner.alive()
    if alive is not None:
        return alive
    try:
        os.utime(clock)
        return os.stat(clock).st_mtime - os.stat(path).st_mtime < STALE_S
    except FileNotFoundError:
        return False
