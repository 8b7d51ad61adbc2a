"""Where attempts work, and how their output comes to be visible: as a whole, or not at all.

A stage is ``<dir>/.vidfleet/<stem>-<8 hex>/`` beside the video. For a workload it holds one entry, a link to the
video; claim and last error lie beside it. Publishing renames ``<stage>/<stem>`` to ``<dir>/<stem>``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.data import Stage, Video
from vidfleet.errors import OccupiedError
from vidfleet.runner.discover import STATE_FOLDER
from vidfleet.runner.record import RECORD_NAME, forget_beside
from vidfleet.runner.rename import exchange, move_new
from vidfleet.workloads.base import hash_file

if TYPE_CHECKING:
    from vidfleet.settings import StageSettings

_SAFE_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9._-]*")
_SAFE_PATH = re.compile(r"[A-Za-z0-9._/-]*")
_LONGEST_NAME = 150
_LONGEST_NAME_BYTES = 255
EXTRA_FOLDER = "_extra"


def make_stage(video: Video, folder: Path, *, target_name: str, keep_names: bool) -> Stage:
    """Say where ``video`` is staged when its output goes to ``folder``; touches nothing."""
    digest = hashlib.sha256(os.fsencode(video.path.name)).hexdigest()[:8]
    safe_stem = re.sub(r"[^A-Za-z0-9._-]", "_", video.stem).lstrip("-")[:_LONGEST_NAME]
    stage_folder = folder / STATE_FOLDER / f"{safe_stem or 'video'}-{digest}"
    if keep_names:
        return Stage(stage_folder, stage_folder, video.path.name, folder / target_name)
    is_safe = _SAFE_NAME.fullmatch(video.path.name)
    entry_name = video.path.name if is_safe else f"video_{digest}{_safe_ending(video.path)}"
    seen_as = stage_folder if _SAFE_PATH.fullmatch(str(stage_folder)) else _alias(stage_folder)
    return Stage(stage_folder, seen_as, entry_name, folder / target_name)


def _safe_ending(path: Path) -> str:
    return path.suffix if re.fullmatch(r"\.[A-Za-z0-9]+", path.suffix) else ".mp4"


def alias_folder() -> Path:
    """The folder for links to stages whose path has characters that shells and globs trip over."""
    base = Path(tempfile.gettempdir())
    if not _SAFE_PATH.fullmatch(str(base)):
        base = Path("/tmp")  # noqa: S108 - a folder of our own below it, whose owner is checked
    return base / f"vidfleet-{os.getuid()}"


def _alias(stage_folder: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(stage_folder)).hexdigest()[:16]
    return alias_folder() / digest


def prepare(stage: Stage, video: Video, settings: StageSettings, *, makes_output_folder: bool) -> None:
    """Make the stage as an attempt finds it: one entry, the video, and nothing else."""
    stage.folder.mkdir(parents=True, exist_ok=True)
    empty(stage.folder)
    _place(video.path, stage.folder / stage.entry_name, settings.stage_by)
    if stage.seen_as != stage.folder:
        _link_alias(stage)
    if not makes_output_folder:
        stage.output.mkdir()


def _place(video: Path, entry: Path, how: str) -> None:
    if how == "hardlink":
        with contextlib.suppress(OSError):  # another file system: a symbolic link does as well
            os.link(os.path.realpath(video), entry)  # of the file, where the video is a link
            return
    if how == "copy":
        shutil.copyfile(video, entry)
        return
    entry.symlink_to(video)


def _link_alias(stage: Stage) -> None:
    folder = stage.seen_as.parent
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise OccupiedError(f"{folder} is not a folder of yours alone; remove it, or set TMPDIR to a folder that is")
    if stage.seen_as.is_symlink() and stage.seen_as.readlink() == stage.folder:
        return
    aside = folder / f"{stage.seen_as.name}.{os.getpid()}"
    aside.unlink(missing_ok=True)
    aside.symlink_to(stage.folder)
    aside.replace(stage.seen_as)


def empty(folder: Path) -> None:
    """Remove all that ``folder`` holds; what cannot be removed is left and tells so by an OSError."""
    _make_writable(folder)
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            _remove_tree(Path(entry.path))
        else:
            Path(entry.path).unlink(missing_ok=True)


def _remove_tree(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        shutil.rmtree(folder)
        return
    if folder.exists():  # scripts make read-only folders; or something else removed a part meanwhile
        _open_up(folder)
        shutil.rmtree(folder)


def _open_up(folder: Path) -> None:
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        _make_writable(here)
        with os.scandir(here) as entries:
            waiting.extend(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))


def _make_writable(folder: Path) -> None:
    """Let its owner read, write and enter a folder."""
    with contextlib.suppress(OSError):
        mode = folder.stat().st_mode
        if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
            folder.chmod(stat.S_IMODE(mode) | 0o700)


def gather(stage: Stage, ours: frozenset[str]) -> tuple[str, ...]:
    """Sort what else the attempt left in its stage; returns the names that belong beside the video.

    Entries whose names begin with the stem stay, to be published beside the video under the video's own stem
    (unless a file stands there that is not ``ours``); the rest moves into ``<output>/_extra/``.
    """
    beside = []
    _make_writable(stage.output)
    with os.scandir(stage.folder) as entries:
        names = sorted(entry.name for entry in entries)
    for name in names:
        if name in (stage.entry_name, stage.entry_stem):
            continue
        if name.startswith(stage.entry_stem) and _is_free(stage, visible_name(stage, name), ours):
            beside.append(name)
        else:
            extra = stage.output / EXTRA_FOLDER
            extra.mkdir(exist_ok=True)
            (stage.folder / name).rename(extra / name)
    return tuple(beside)


def _is_free(stage: Stage, shown: str, ours: frozenset[str]) -> bool:
    if len(os.fsencode(shown)) > _LONGEST_NAME_BYTES:
        return False
    return shown in ours or not os.path.lexists(stage.target.parent / shown)


def visible_name(stage: Stage, name: str) -> str:
    """What an entry published beside the video is called there."""
    return stage.target.name + name.removeprefix(stage.entry_stem)


def publish(
    stage: Stage, video: Video, beside: tuple[str, ...], *, is_ours: bool, ours: frozenset[str] = frozenset()
) -> None:
    """Make a whole output visible under its name, in place of an older one of ours where ``is_ours``.

    ``beside`` are entries of the stage that go beside the video; those shown under a name in ``ours`` may
    replace what stands there. Raises OccupiedError where something else stands at the target; the stage is left
    as it is then.
    """
    if beside:
        _write_journal(stage, beside, ours)
    try:
        move_new(stage.output, stage.target)
    except FileExistsError as error:
        if not is_ours:
            _journal(stage).unlink(missing_ok=True)
            raise OccupiedError(f"{stage.target} has appeared meanwhile, and is not ours") from error
        _replace_old(stage)
    _finish_journal(stage)
    with contextlib.suppress(OSError):  # it is published; the next start tries again to remove the old
        _discard(old_aside(stage))
    with contextlib.suppress(OSError):  # the links are a convenience
        _leave_links(stage, video)


def _replace_old(stage: Stage) -> None:
    if exchange(stage.output, stage.target):
        return
    aside = old_aside(stage)
    _discard(aside)
    stage.target.rename(aside)
    try:
        stage.output.rename(stage.target)
    except OSError:
        aside.rename(stage.target)
        raise


def old_aside(stage: Stage) -> Path:
    """Where an older output stands for the moment between "old aside" and "new in"."""
    return stage.folder.with_name(stage.folder.name + ".old")


def _journal(stage: Stage) -> Path:
    """The file that says, while an output is being published, what goes beside the video."""
    return stage.folder.with_name(stage.folder.name + ".publishing")


def _write_journal(stage: Stage, beside: tuple[str, ...], ours: frozenset[str]) -> None:
    plain = {"record": hash_file(stage.output / RECORD_NAME), "beside": beside, "ours": sorted(ours)}
    aside = _journal(stage).with_suffix(".new")
    aside.write_text(json.dumps(plain), encoding="ascii")
    aside.replace(_journal(stage))


def _finish_journal(stage: Stage) -> None:
    """Put beside the video what goes there, if the output that it belongs to is published."""
    journal = _journal(stage)
    try:
        plain = json.loads(journal.read_bytes())
        is_published = hash_file(stage.target / RECORD_NAME) == plain["record"]
    except (FileNotFoundError, NotADirectoryError):
        is_published = False
    refused = []
    for name in plain["beside"] if is_published else ():
        if os.path.lexists(stage.folder / name) and not _publish_beside(stage, name, frozenset(plain["ours"])):
            refused.append(visible_name(stage, name))
    if refused:
        forget_beside(stage.target, refused)
    journal.unlink(missing_ok=True)


def _publish_beside(stage: Stage, name: str, ours: frozenset[str]) -> bool:
    """False where a file that is not ours has appeared there: the entry goes to ``_extra`` then."""
    source, target = stage.folder / name, stage.target.with_name(visible_name(stage, name))
    if target.name in ours and os.path.lexists(target):
        if source.is_dir() or target.is_dir():
            _discard(target)
        source.replace(target)
        return True
    try:
        move_new(source, target)
    except FileExistsError:
        extra = stage.target / EXTRA_FOLDER
        extra.mkdir(exist_ok=True)
        source.rename(extra / name)
        return False
    return True


def is_half_published(stage: Stage) -> bool:
    """Whether a kill came while an output was published, so that :func:`complete_publishing` has work."""
    return os.path.lexists(old_aside(stage)) or os.path.lexists(_journal(stage))


def complete_publishing(stage: Stage) -> None:
    """Finish what a kill between "old aside" and "new in", or before all stood beside the video, left half done."""
    aside = old_aside(stage)
    if os.path.lexists(aside):
        if not os.path.lexists(stage.target):
            newer = stage.output if (stage.output / RECORD_NAME).is_file() else aside
            newer.rename(stage.target)
        _discard(aside)
    _finish_journal(stage)


def _discard(path: Path) -> None:
    if os.path.lexists(path):
        if path.is_dir() and not path.is_symlink():
            _remove_tree(path)
        else:
            path.unlink()


def _leave_links(stage: Stage, video: Video) -> None:
    """Let absolute paths that a script wrote into its files still lead somewhere."""
    empty(stage.folder)
    here = os.path.realpath(stage.folder)  # ".." leaves the real folder, whatever link led into it
    for name, there in ((stage.entry_name, video.path), (stage.entry_stem, stage.target)):
        real = Path(os.path.realpath(there.parent), there.name)
        (stage.folder / name).symlink_to(os.path.relpath(real, here))
