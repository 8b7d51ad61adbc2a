"""Who works on a video: a small file beside its stage, so that two runners never meet in one.

A claim is made by linking a finished file into place, which either succeeds or says that another was first, also
on NFS. Its owner touches it while it works. A dead owner's claim is taken over: on this host one whose process is
gone, from another host one that has not been touched for 90 s by the file server's clock.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from vidfleet.errors import ClaimedError
from vidfleet.runner.owner import Owner

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Stage

HEARTBEAT_S = 20.0
STALE_S = 90.0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim file says."""

    owner: Owner
    token: str
    """Tells two claims of one owner apart."""
    since: float

    def __str__(self) -> str:
        """For people."""
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"host {self.owner.host}, pid {self.owner.pid}, since {began}"


class Claims:
    """The claims that one run holds."""

    def __init__(self) -> None:
        self._owner = Owner.me()
        self._held: dict[Path, str] = {}
        self._touched = time.monotonic()

    def take(self, stage: Stage) -> None:
        """Claim a video; raises ClaimedError, naming the owner, where a living runner has it."""
        claim = Claim(self._owner, secrets.token_hex(8), time.time())
        aside = stage.claim.with_name(f"{stage.claim.name}.{claim.token}")
        aside.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(json.dumps(asdict(claim)), encoding="ascii")
        try:
            for _ in range(3):
                with contextlib.suppress(FileExistsError):
                    os.link(aside, stage.claim)
                    self._held[stage.claim] = claim.token
                    return
                _bury(stage.claim, clock=aside)
        finally:
            aside.unlink(missing_ok=True)
        raise ClaimedError("another runner took it at the same moment")

    def still_ours(self, stage: Stage) -> bool:
        """Read the claim again, as an owner does before it publishes."""
        found = read_claim(stage.claim)
        return found is not None and found.token == self._held.get(stage.claim)

    def release(self, stage: Stage) -> None:
        """Give a video back."""
        if self.still_ours(stage):
            stage.claim.unlink(missing_ok=True)
        self._held.pop(stage.claim, None)

    def beat(self) -> None:
        """Touch what is held, so that others see that we live; cheap to call often."""
        if time.monotonic() - self._touched < HEARTBEAT_S:
            return
        self._touched = time.monotonic()
        for claim in self._held:
            with contextlib.suppress(OSError):
                os.utime(claim)


def read_claim(path: Path) -> Claim | None:
    """What a claim says; nothing where there is none. A torn one is nobody's: its writer has died."""
    try:
        plain = json.loads(path.read_bytes())
        return Claim(Owner(**plain["owner"]), plain["token"], plain["since"])
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError):
        return Claim(Owner("", "", 0, ""), "", 0.0)


def _bury(path: Path, *, clock: Path) -> None:
    """Take a dead owner's claim away; raises ClaimedError where the owner lives.

    ``clock`` is a file just written on the same file system: its server's clock decides, not ours.
    """
    found = read_claim(path)
    if found is None:
        return
    if _is_alive(found, path, clock):
        raise ClaimedError(f"claimed by {found}")
    grave = clock.with_name(clock.name + ".grave")
    with contextlib.suppress(FileNotFoundError):
        path.rename(grave)
        if read_claim(grave) != found:  # somebody was quicker, and lives: give it back
            with contextlib.suppress(FileExistsError):
                os.link(grave, path)
        grave.unlink()


def _is_alive(claim: Claim, path: Path, clock: Path) -> bool:
    if not claim.token:
        return False
    alive = claim.owner.alive()
    if alive is not None:
        return alive
    try:
        return clock.stat().st_mtime - path.stat().st_mtime < STALE_S
    except FileNotFoundError:
        return False
