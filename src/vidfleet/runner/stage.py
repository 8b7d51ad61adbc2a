"""Where attempts work: a folder that shows them one video under a harmless name.

A stage is ``<dir>/.vidfleet/<stem>-<8 hex>/`` beside the video. For a workload it holds one entry, a link to the
video; claim and last error lie beside it. What it comes to hold is published by ``runner/publish.py``.
"""

from __future__ import annotations

import contextlib
import hashlib
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
from vidfleet.runner.record import RECORD_NAME

if TYPE_CHECKING:
    from vidfleet.settings import StageSettings

_SAFE_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9._-]*")
_SAFE_PATH = re.compile(r"[A-Za-z0-9._/-]*")
_LONGEST_NAME = 150
_LONGEST_NAME_BYTES = 255
EXTRA_FOLDER = "_extra"


def make_stage(video: Video, folder: Path | str, *, target_name: str, keep_names: bool) -> Stage:
    """Say where ``video`` is staged when its output goes to ``folder``; touches nothing."""
    name, target = video.path.name, Path(os.path.join(folder, target_name))
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    safe_stem = re.sub(r"[^A-Za-z0-9._-]", "_", video.stem).lstrip("-")[:_LONGEST_NAME]
    stage_folder = Path(os.path.join(folder, STATE_FOLDER, f"{safe_stem or 'video'}-{digest}"))
    if keep_names:
        return Stage(stage_folder, stage_folder, name, target)
    entry_name = name if _SAFE_NAME.fullmatch(name) else f"video_{digest}{_safe_ending(video.path)}"
    seen_as = stage_folder if _SAFE_PATH.fullmatch(str(stage_folder)) else _alias(stage_folder)
    return Stage(stage_folder, seen_as, entry_name, target)


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


def prepare(
    stage: Stage, video: Video, settings: StageSettings, *, makes_output_folder: bool, keep: bool = False
) -> None:
    """Make the stage as an attempt finds it: one entry, the video, and nothing else.

    With ``keep``, what an earlier attempt left there stays, for the next one to continue in.
    """
    if os.path.islink(stage.folder):
        stage.folder.unlink()  # somebody's link: what it leads to is not ours
    try:
        os.mkdir(stage.folder)
    except FileNotFoundError:
        stage.folder.mkdir(parents=True)
    except FileExistsError:
        if keep:
            _make_ready_to_continue(stage)
        else:
            empty(stage.folder)
    _place(stage, video.path, settings.stage_by)
    if stage.seen_as != stage.folder:
        _link_alias(stage)
    if not makes_output_folder and not (keep and os.path.isdir(stage.output_at)):
        os.mkdir(stage.output_at)


def _make_ready_to_continue(stage: Stage) -> None:
    """Take away the entry, which is made anew, a link to what was published, and a record: it is not whole now."""
    _make_writable(stage.folder)
    discard(stage.folder / stage.entry_name)
    if stage.output.is_symlink():
        stage.output.unlink()
    else:
        (stage.output / RECORD_NAME).unlink(missing_ok=True)


def _place(stage: Stage, video: Path, how: str) -> None:
    entry = f"{stage.folder}/{stage.entry_name}"
    if how == "hardlink":
        with contextlib.suppress(OSError):  # another file system: a symbolic link does as well
            os.link(os.path.realpath(video), entry)  # of the file, where the video is a link
            return
    if how == "copy":
        shutil.copyfile(video, entry)
        return
    os.symlink(way_to(video, stage), entry)


def way_to(path: Path, stage: Stage) -> str:
    """The text of a link in the stage that leads to ``path``, also when both have moved: nearly always ``../../x``.

    ``..`` leaves a real folder, whatever link led into it.
    """
    state = os.path.dirname(stage.folder)
    folder, name = os.path.split(path)
    if os.path.dirname(state) == folder and not os.path.islink(state):
        return f"../../{name}"
    return os.path.relpath(os.path.join(os.path.realpath(folder), name), os.path.realpath(stage.folder))


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
    """Remove all that ``folder`` holds; what cannot be removed is left and tells so by an OSError.

    A link in its place is taken away, and what it leads to left alone. Folders go one by one from the top, each
    after its own folders were moved up: that needs neither recursion nor paths longer than the system allows,
    however deep a script went.
    """
    if os.path.islink(folder):
        folder.unlink()
        folder.mkdir()
    waiting = _remove_files(folder)
    number = 0
    while waiting:
        here = waiting.pop()
        for inner in _remove_files(here):
            while os.path.lexists(moved := folder / f".remove-{number}"):
                number += 1
            inner.rename(moved)
            waiting.append(moved)
        with contextlib.suppress(FileNotFoundError):  # something else removed it meanwhile
            here.rmdir()


def _remove_files(folder: Path) -> list[Path]:
    """Remove what is no folder from ``folder``, and return its folders, which may be moved and removed now."""
    folders = []
    _make_writable(folder)
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            folders.append(Path(entry.path))
            _make_writable(Path(entry.path))
        else:
            Path(entry.path).unlink(missing_ok=True)
    return folders


def _remove_tree(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        empty(folder)
        folder.rmdir()


def discard(path: Path) -> None:
    """Remove a file, a link or a whole folder, if there is one."""
    if os.path.lexists(path):
        if path.is_dir() and not path.is_symlink():
            _remove_tree(path)
        else:
            path.unlink()


def _make_writable(folder: Path | str) -> None:
    """Let its owner read, write and enter a folder."""
    with contextlib.suppress(OSError):
        mode = os.stat(folder).st_mode
        if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
            os.chmod(folder, stat.S_IMODE(mode) | 0o700)


def gather(stage: Stage, ours: frozenset[str]) -> tuple[str, ...]:
    """Sort what else the attempt left in its stage; returns the names that belong beside the video.

    Entries whose names begin with the stem stay, to be published beside the video under the video's own stem
    (unless a file stands there that is not ``ours``); the rest moves into ``<output>/_extra/``.
    """
    beside = []
    _make_writable(stage.output_at)
    own = (stage.entry_name, stage.entry_stem)
    for name in sorted(os.listdir(stage.folder)):
        if name in own:
            continue
        if name.startswith(own[1]) and _is_free(stage, visible_name(stage, name), ours):
            beside.append(name)
        else:
            extra = extra_folder(stage.output)
            (stage.folder / name).rename(extra / name)
    return tuple(beside)


def _is_free(stage: Stage, shown: str, ours: frozenset[str]) -> bool:
    if shown == visible_name(stage, stage.entry_name):  # the video itself, whatever a record says is ours
        return False
    if len(os.fsencode(shown)) > _LONGEST_NAME_BYTES:
        return False
    return shown in ours or not os.path.lexists(stage.target.parent / shown)


def extra_folder(output: Path) -> Path:
    """Make the folder for what has no better place; a link in its place is taken away."""
    extra = output / EXTRA_FOLDER
    if extra.is_symlink():
        extra.unlink()
    extra.mkdir(exist_ok=True)
    return extra


def visible_name(stage: Stage, name: str) -> str:
    """What an entry published beside the video is called there."""
    return stage.target.name + name.removeprefix(stage.entry_stem)
