"""A run's folder, and in it the ledger: the story of the run, one event a line.

The records beside the videos are the truth about what is done; the ledger is what people and tools look at.
So a ledger that cannot be written (a full disk) never ends a run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfleet.runner.events import AttemptProgress
from vidfleet.runner.lines import to_plain
from vidfleet.runner.owner import Owner
from vidfleet.runner.reading import open_regular, read_small

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from vidfleet.data import Lane, Video
    from vidfleet.runner.events import Event

LEDGER_NAME = "events.jsonl"
OWNER_NAME = "owner.json"
KEPT_RUNS = 20
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_LONGEST_NAME_BYTES = 255
_LONGEST_PATH_BYTES = 4000
"""PATH_MAX is 4096 on Linux, with its final zero."""
_LIKE_A_LOG = re.compile(r"\.log((?:\.lane-\d+)?)\Z")
_RUN_ID = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}")
_BETWEEN_PROGRESS_S = 10.0
_FORGOTTEN_AFTER_S = 7 * 86400.0
"""A runner on another host that has written nothing for so long is taken for dead."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Where another process has written an event down: what is merged into a run's ledger is merged once."""

    at: float
    element: str
    line: int
    """Which line of its ledger it is, from 1."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """``<root>/.vidfleet/runs/<utc-time>-<id>/``: ledger, logs and report of one run."""

    path: Path

    @classmethod
    def create(cls, base: Path) -> RunFolder:
        """Make the folder below ``base`` (the root, or the output root), and remove all but the last 20.

        The folder of a run whose runner is alive is never removed. Raises OSError where it cannot be made.
        """
        runs = runs_folder(base)
        runs.mkdir(parents=True, exist_ok=True)
        started = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")  # so that runs of one second sort
        made = cls(runs / f"{started}Z-{secrets.token_hex(4)}")
        made.path.mkdir()
        try:
            (made.path / OWNER_NAME).write_text(Owner.me().write(), "ascii")
        except OSError:  # a full disk: a run that never was shall not be taken for the last
            shutil.rmtree(made.path, ignore_errors=True)
            raise
        for old in all_runs(base)[:-KEPT_RUNS]:
            if not old.is_running():
                shutil.rmtree(old.path, ignore_errors=True)
        return made

    @property
    def id(self) -> str:
        """The run's name: when it started, and a few random digits."""
        return self.path.name

    @property
    def ledger(self) -> Path:
        """Where its ledger lies."""
        return self.path / LEDGER_NAME

    def owner(self) -> Owner | None:
        """Who runs or ran it; None where nothing tells."""
        try:
            return Owner.read(read_small(self.path / OWNER_NAME).decode("ascii"))
        except (OSError, ValueError):
            return None

    def is_running(self) -> bool:
        """Whether its runner is alive and not through; on another host: has spoken in the last week."""
        owner = self.owner()
        if owner is None or self.has_ended():
            return False
        alive = owner.alive()
        if alive or (alive is not None and not self.may_go_on_alone()):
            return alive
        newest = self.ledger if self.ledger.exists() else self.path
        return time.time() - newest.stat().st_mtime < _FORGOTTEN_AFTER_S

    def may_go_on_alone(self) -> bool:
        """Whether jobs of it may be at work on a cluster although nobody follows them; of another user's they may."""
        try:
            return (self.path / "slurm").is_dir() and not (self.path / "slurm" / "over").exists()
        except PermissionError:
            return True

    def has_ended(self) -> bool:
        """Whether it came to its end in order."""
        try:
            with open_regular(self.ledger) as file:
                file.seek(max(os.fstat(file.fileno()).st_size - 4096, 0))
                return b'"type":"run_ended"' in file.read()
        except OSError:
            return False

    def log_path(self, video: Video) -> Path:
        """Where the log of ``video`` goes."""
        return self.path / self.log_name(video)

    def log_name(self, video: Video, helper: Lane | None = None) -> str:
        """The same, seen from this folder: ``logs/<relative path>.log``, and never out of it whatever the name is.

        What a lane writes that helps has a log of its own beside it: ``<name>.log.lane-2``. Two videos never share
        one: what is escaped begins with a backslash, and a backslash is escaped.
        """
        ending = ".log" if helper is None else f".log.lane-{helper.index}"
        *folders, name = video.relative.split("/")
        parts = [_safe_name(_not_like_a_log(_escaped(part))) for part in folders]
        path = "/".join(("logs", *parts, _safe_name(_escaped(name), ending)))
        if len(os.fsencode(f"{self.path}/{path}")) > _LONGEST_PATH_BYTES:
            return f"logs/{_hashed(video.relative)}{ending}"
        return path


def runs_folder(base: Path) -> Path:
    """Where the runs over a root have their folders."""
    return base / ".vidfleet" / "runs"


def all_runs(base: Path) -> list[RunFolder]:
    """Every run over this root that is still kept, oldest first."""
    try:
        found = sorted(path for path in runs_folder(base).iterdir() if _RUN_ID.fullmatch(path.name))
    except OSError:  # none yet, or something else stands there
        return []
    return [RunFolder(path) for path in found]


class Ledger:
    """Appends events to a file, each as one line that is handed to the system at once.

    Of progress it keeps each new stage and, within one, a line every ten seconds a lane.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._progress: dict[int, tuple[str, str, float]] = {}
        self._torn = False
        self.trouble = ""
        """What kept it from writing a line; empty where all is well."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, event: Event, heard: Heard | None = None) -> None:
        """Write one line; a full disk is remembered in ``trouble`` and harms nothing else."""
        now = heard.at if heard else time.time()
        if isinstance(event, AttemptProgress) and not self._is_news(event, now):
            return
        source = {"element": heard.element, "line": heard.line} if heard else {}
        line = _to_json({**to_plain(event, now), **source}) + "\n"
        # After trouble, half a line may stand there: the new one must not be glued to it.
        data = (b"\n" if self._torn else b"") + line.encode("ascii")
        try:
            self._torn = self._file.write(data) != len(data)
            if self._torn:
                self.trouble = "the disk is full"
        except OSError as error:
            self._torn, self.trouble = True, str(error)

    def _is_news(self, event: AttemptProgress, now: float) -> bool:
        name, stage, last = self._progress.get(event.lane.index, ("", "", 0.0))
        if (name, stage) == (event.task.video.relative, event.stage) and now - last < _BETWEEN_PROGRESS_S:
            return False
        self._progress[event.lane.index] = (event.task.video.relative, event.stage, now)
        return True


def read_ledger(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole line of a ledger, of whatever version; a torn or garbled line is passed over.

    ``vidfleet.runner.lines.to_events`` makes events of them. Raises OSError where there is no such file.
    """
    with open_regular(path) as file:
        for line in file:
            try:
                plain = json.loads(line)
            except (ValueError, RecursionError):  # also bytes that are no text
                continue
            if isinstance(plain, dict) and "type" in plain:
                yield plain


def _escaped(part: str) -> str:
    r"""Write a part of a path as text on one line: ``\xff`` for a lone byte, a backslash as ``\x5c``."""
    if part in ("", ".", ".."):
        return "\\x2e" * len(part) or "\\x"
    if part.isprintable() and "\\" not in part:
        return part
    return "".join(char if char.isprintable() and char != "\\" else _escape(ord(char)) for char in part)


def _escape(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"  # a byte that is not UTF-8
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:06x}"


def _not_like_a_log(folder: str) -> str:
    """Keep a folder ``a.mp4.log``, or ``a.mp4.log.lane-2``, apart from the logs of ``a.mp4``."""
    return _LIKE_A_LOG.sub(r"\\x2elog\1", folder)


def _safe_name(name: str, ending: str = "") -> str:
    room = _LONGEST_NAME_BYTES - len(ending)
    encoded = name.encode("utf-8")
    if len(encoded) <= room:
        return name + ending
    hashed = _hashed(name)
    return encoded[: room - len(hashed)].decode("utf-8", "ignore") + hashed + ending


def _hashed(name: str) -> str:
    return "\\~" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
