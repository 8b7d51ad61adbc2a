"""``vidfleet clean``: take away what runs have left and nobody needs any more; never what somebody works on.

What goes: the links that finished stages keep, the links to stages in the temporary folder, folders that were put
aside as ``<stem>.old``, errors of videos that are done by now, and all runs but the last. What stays: outputs, the
last run, and, unless they are asked for, stages that still hold what an attempt has left: of failed videos with
``--keep-failed``, or for a next attempt to go on from.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.data import Stage, Video
from vidfleet.errors import ClaimedError, RecordError
from vidfleet.runner.claims import Claims
from vidfleet.runner.discover import STATE_FOLDER
from vidfleet.runner.ledger import all_runs, runs_folder
from vidfleet.runner.record import RECORD_NAME, read_record
from vidfleet.runner.stage import alias_folder, discard, make_stage
from vidfleet.runner.text import plural, size

if TYPE_CHECKING:
    from collections.abc import Iterator

_BESIDE_STAGE = (".begun.json",)
_HALF_DONE = (".old", ".publishing", ".new")
"""What lies beside a stage while its output is being published: the next run completes that."""


@dataclass
class Cleaned:
    """What was removed, or would be."""

    counts: Counter[str] = field(default_factory=Counter)
    """By what it is, in words."""
    freed_bytes: int = 0
    left: list[str] = field(default_factory=list)
    """What was left alone, and why: sentences."""


def clean(root: Path, *, dry_run: bool, stages: bool = False) -> Cleaned:
    """Take away what nobody needs below ``root``, and with ``stages`` what attempts have left in theirs, too.

    With ``dry_run`` only say what that would be.
    """
    top = Path(os.path.abspath(root))  # noqa: PTH100 - keeps symbolic links
    return _Broom(top, dry_run=dry_run, stages=stages).sweep()


class _Broom:
    def __init__(self, root: Path, *, dry_run: bool, stages: bool) -> None:
        self._root = root
        self._dry_run = dry_run
        self._takes_stages = stages
        self._claims = Claims()
        self._done = Cleaned()
        self._aliases = _aliases_below(root)
        self._kept_stages = self._kept_bytes = self._half_done = self._claimed = 0

    def sweep(self) -> Cleaned:
        """The whole of it. Where a run goes on, only old runs go: it may want each stage in the next moment."""
        busy = self._is_running()
        for folder, files in _folders(self._root, self._done.left):
            if RECORD_NAME in files:
                if not busy:
                    self._put_aside(folder)
            elif folder.name == STATE_FOLDER:
                self._state_folder(folder, busy=busy)
        if not busy:
            for alias in self._aliases.values():
                if not alias.exists():
                    self._remove(alias, "link in the temporary folder")
        self._say_what_is_left()
        return self._done

    def _say_what_is_left(self) -> None:
        if self._kept_stages:
            held = f"with what an attempt has left ({size(self._kept_bytes)}); --stages removes these, too"
            self._done.left.append(f"{plural(self._kept_stages, 'stage')} {held}")
        if self._half_done:
            self._done.left.append(f"{plural(self._half_done, 'stage')} whose publishing the next run completes")
        if self._claimed:
            self._done.left.append(f"{plural(self._claimed, 'stage')} that a runner has claimed")

    def _is_running(self) -> bool:
        """Whether a run goes on here, above or below; above, because `video` and `video/Frasier` overlap."""
        above = [self._root, *self._root.parents]
        states = [folder.parent for folder, _ in _folders(self._root, []) if folder.name == STATE_FOLDER]
        for base in dict.fromkeys((*above, *states)):
            try:
                running = next((run for run in all_runs(base) if run.is_running()), None)
            except OSError:
                continue
            if running is not None:
                owner = running.owner()
                who = f" (process {owner.pid} on {owner.host})" if owner else ""
                self._done.left.append(f"all but old runs, because a run goes on over {base}{who}")
                return True
        return False

    def _state_folder(self, folder: Path, *, busy: bool) -> None:
        for run in all_runs(folder.parent)[:-1]:
            if not run.is_running():
                self._remove(run.path, "old run")
        if busy:
            return
        for entry in sorted(folder.iterdir()):
            if entry.is_dir() and not entry.is_symlink() and entry != runs_folder(folder.parent):
                self._stage(entry)
        self._errors(folder)
        if not self._dry_run and not any(folder.iterdir()):
            folder.rmdir()

    def _stage(self, folder: Path) -> None:
        """Remove a stage that holds links alone, or whatever it holds where stages are asked for."""
        if folder.name.endswith(_HALF_DONE) or any(os.path.lexists(f"{folder}{end}") for end in _HALF_DONE):
            self._half_done += 1
            return
        stage = Stage(folder, folder, "", folder)
        try:
            if not self._dry_run:
                self._claims.take(stage)
            elif os.path.lexists(stage.claim):
                raise ClaimedError
        except (ClaimedError, OSError):
            self._claimed += 1
            return
        try:
            entries = list(folder.iterdir())
            has_links_only = all(entry.is_symlink() for entry in entries)
            if any((entry / RECORD_NAME).is_file() for entry in entries if not entry.is_symlink()):
                self._half_done += 1  # a whole output, whose runner was killed before it was published
            elif has_links_only or self._takes_stages:
                self._remove(folder, "stage with links" if has_links_only else "stage with what an attempt left")
                for ending in _BESIDE_STAGE:
                    folder.with_name(folder.name + ending).unlink(missing_ok=True) if not self._dry_run else None
                if str(folder) in self._aliases:
                    self._remove(self._aliases.pop(str(folder)), "link in the temporary folder")
            else:
                self._kept_stages += 1
                self._kept_bytes += _size(folder)
        finally:
            if not self._dry_run:
                self._claims.release(stage)

    def _errors(self, folder: Path) -> None:
        """Remove the last failures of videos that have a finished output since."""
        left = {path.name for path in folder.glob("*.error.json")}
        for path in folder.parent.iterdir() if left else ():
            video = Video(path, path.name, 0, 0, 0)
            stage = make_stage(video, folder.parent, target_name=path.stem, keep_names=False)
            if stage.error.name in left and path.is_file() and _is_done(stage, path.name):
                self._remove(stage.error, "error of a video that is done")

    def _put_aside(self, output: Path) -> None:
        """Remove what this output has replaced, as its record says."""
        try:
            record = read_record(output)
        except RecordError:
            return
        for name in record.outputs.get("put_aside", ()) if record else ():
            # A record is a file like any other: only what bears the name that we give is taken away.
            ours = name.startswith(f"{output.name}.old") and "/" not in name
            old = output.parent / name
            if ours and old.is_dir() and not old.is_symlink():
                self._remove(old, "folder put aside as .old")

    def _remove(self, path: Path, what: str) -> None:
        freed_bytes = _size(path)
        if not self._dry_run:
            try:
                discard(path)
            except OSError as error:
                self._done.left.append(f"{path}: {error.strerror}")
                return
        self._done.counts[what] += 1
        self._done.freed_bytes += freed_bytes


def _folders(root: Path, trouble: list[str]) -> Iterator[tuple[Path, frozenset[str]]]:
    """Every folder below the root with the names of its files, links not followed; not what is in an output."""

    def note(error: OSError) -> None:
        trouble.append(f"{error.filename}: {error.strerror}")

    for folder, folders, files in os.walk(root, onerror=note):
        if RECORD_NAME in files or Path(folder).name == STATE_FOLDER:
            folders.clear()
        yield Path(folder), frozenset(files)


def _aliases_below(root: Path) -> dict[str, Path]:
    """Our links in the temporary folder that lead to stages below the root, by the stage."""
    try:
        links = [path for path in alias_folder().iterdir() if path.is_symlink()]
    except OSError:
        return {}
    found = {str(path.readlink()): path for path in links}
    return {stage: path for stage, path in found.items() if Path(stage).is_relative_to(root)}


def _is_done(stage: Stage, name: str) -> bool:
    try:
        record = read_record(stage.target)
    except RecordError:
        return False
    return record is not None and record.input.get("name") == name


def _size(path: Path) -> int:
    """What it takes on the disk."""
    total = path.lstat().st_blocks * 512
    if path.is_dir() and not path.is_symlink():
        for folder, _, files in os.walk(path):
            for name in files:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118 - names
                except OSError:
                    continue
    return total
