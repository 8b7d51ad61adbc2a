"""How an output comes to be visible: as a whole, or not at all.

``<stage>/<stem>`` is renamed to ``<dir>/<stem>``; in place of an older output of ours by exchanging the two, or, where
the file system refuses that (NFS), old aside and new in, which the next start completes if a kill comes between.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.errors import OccupiedError
from vidfleet.runner.reading import read_json
from vidfleet.runner.record import RECORD_NAME, forget_beside
from vidfleet.runner.rename import copy_near, exchange, forget_near_copy, move_in
from vidfleet.runner.stage import discard, empty, extra_folder, visible_name, way_to
from vidfleet.runner.sync import sync_folder, sync_tree
from vidfleet.workloads.base import hash_file

if TYPE_CHECKING:
    from vidfleet.data import Stage, Video


def publish(
    stage: Stage,
    video: Video,
    beside: tuple[str, ...],
    *,
    is_ours: bool,
    ours: frozenset[str] = frozenset(),
    put_aside: str = "",
    durable: bool = False,
) -> None:
    """Make a whole output visible under its name, in place of an older one of ours where ``is_ours``.

    ``beside`` are entries of the stage that go beside the video; those shown under a name in ``ours`` may
    replace what stands there. Somebody else's folder at the target is renamed to ``put_aside``; without that name,
    OccupiedError is raised for it, and the stage is left as it is. ``durable`` has the disk keep it all first.
    """
    if beside:
        _write_journal(stage, beside, ours)
    if durable:
        sync_tree(stage.folder)
    has_replaced = _put_in_place(stage, is_ours=is_ours, put_aside=put_aside)
    if beside:
        _finish_journal(stage)
    if durable:
        sync_folder(stage.target.parent)
    with contextlib.suppress(OSError):  # it is published; the next start tries again to remove the old
        forget_near_copy(stage.target)
        if has_replaced:
            discard(old_aside(stage))
            discard(_near_aside(stage))
    with contextlib.suppress(OSError):  # the links are a convenience
        leave_links(stage, video)


def _put_in_place(stage: Stage, *, is_ours: bool, put_aside: str) -> bool:
    """Whether it has taken the place of another."""
    try:
        move_in(stage.output_at, stage.target)
        return False
    except FileExistsError as error:
        if is_ours:
            _replace_old(stage)
        elif put_aside:
            _replace_theirs(stage, stage.target.with_name(put_aside))
        else:
            _journal(stage).unlink(missing_ok=True)
            raise OccupiedError(f"{stage.target} has appeared meanwhile, and is not ours") from error
        return True


def _replace_old(stage: Stage) -> None:
    if exchange(stage.output, stage.target):
        return
    aside = old_aside(stage)
    discard(aside)
    try:
        stage.target.rename(aside)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _replace_over_border(stage)
    else:
        _move_in_or_back(stage.output, stage.target, aside)


def _replace_over_border(stage: Stage) -> None:
    """For stages on another file system or under another quota: the long copy comes before anything is moved."""
    near = copy_near(stage.output, stage.target)
    if not exchange(near, stage.target):
        aside = _near_aside(stage)
        discard(aside)
        stage.target.rename(aside)
        _move_in_or_back(near, stage.target, aside)
    discard(stage.output)


def _replace_theirs(stage: Stage, aside: Path) -> None:
    """Put somebody else's folder aside, for good: between the two steps there is none, and never a mixture."""
    if os.path.lexists(aside):
        raise OccupiedError(f"{stage.target} is in the way, and so is {aside}")
    stage.target.rename(aside)
    _move_in_or_back(stage.output, stage.target, aside)


def _move_in_or_back(source: Path, target: Path, aside: Path) -> None:
    try:
        move_in(source, target)
    except OSError:
        aside.rename(target)
        raise


def old_aside(stage: Stage) -> Path:
    """Where an older output stands for the moment between "old aside" and "new in"."""
    return Path(stage.beside(".old"))


def _near_aside(stage: Stage) -> Path:
    """The same beside the target, where no rename leads to the other."""
    return Path(_near_old(stage))


def _near_old(stage: Stage) -> str:
    return f"{os.path.dirname(stage.target)}/.{os.path.basename(stage.folder)}.old"


def _journal(stage: Stage) -> Path:
    """The file that says, while an output is being published, what goes beside the video."""
    return Path(stage.beside(".publishing"))


def _write_journal(stage: Stage, beside: tuple[str, ...], ours: frozenset[str]) -> None:
    plain = {"record": hash_file(stage.output / RECORD_NAME), "beside": beside, "ours": sorted(ours)}
    aside = _journal(stage).with_suffix(".new")
    aside.write_text(json.dumps(plain), encoding="ascii")
    aside.replace(_journal(stage))


def _finish_journal(stage: Stage) -> None:
    """Put beside the video what goes there, if the output that it belongs to is published."""
    journal = _journal(stage)
    try:
        plain = read_json(journal)
        beside, ours = [*map(str, plain["beside"])], frozenset(map(str, plain["ours"]))
        is_published = hash_file(stage.target / RECORD_NAME) == plain["record"]
    except (OSError, ValueError, TypeError, KeyError):  # none, or one that is not ours
        is_published = False
    refused = []
    for name in beside if is_published else ():
        if not _may_stand_beside(stage, name):
            continue
        if os.path.lexists(stage.folder / name) and not _publish_beside(stage, name, ours):
            refused.append(visible_name(stage, name))
    if refused:
        forget_beside(stage.target, refused)
    discard(journal)


def _may_stand_beside(stage: Stage, name: str) -> bool:
    """A name as :func:`~vidfleet.runner.stage.gather` gives it, whoever wrote it down."""
    return name.startswith(stage.entry_stem) and "/" not in name and name not in (stage.entry_name, stage.entry_stem)


def _publish_beside(stage: Stage, name: str, ours: frozenset[str]) -> bool:
    """False where a file that is not ours has appeared there: the entry goes to ``_extra`` then."""
    source, target = stage.folder / name, stage.target.with_name(visible_name(stage, name))
    if target.name in ours and os.path.lexists(target):
        if source.is_dir() or target.is_dir() or source.parent.stat().st_dev != target.parent.stat().st_dev:
            discard(target)
            move_in(source, target)
        else:
            source.replace(target)
        return True
    try:
        move_in(source, target)
    except FileExistsError:
        move_in(source, extra_folder(stage.target) / name)
        return False
    return True


def is_half_published(stage: Stage) -> bool:
    """Whether a kill came while an output was published, so that :func:`complete_publishing` has work."""
    return any(os.path.lexists(path) for path in (stage.beside(".old"), _near_old(stage), stage.beside(".publishing")))


def complete_publishing(stage: Stage) -> None:
    """Finish what a kill between "old aside" and "new in", or before all stood beside the video, left half done."""
    for aside in (old_aside(stage), _near_aside(stage)):
        if not os.path.lexists(aside):
            continue
        if not os.path.lexists(stage.target):
            newer = stage.output if (stage.output / RECORD_NAME).is_file() else aside
            move_in(newer, stage.target)
        discard(aside)
    _finish_journal(stage)


def leave_links(stage: Stage, video: Video) -> None:
    """Let absolute paths that a script wrote into its files still lead somewhere.

    The link that it saw the video by is one of the two, and mostly still there: it stays.
    """
    way = way_to(video.path, stage)
    if not _holds_only(stage, way):
        empty(stage.folder)
        os.symlink(way, stage.folder / stage.entry_name)
    os.symlink(way_to(stage.target, stage), stage.output_at)


def _holds_only(stage: Stage, link: str) -> bool:
    """Whether nothing but its entry, a link with this text, is in the stage."""
    if os.path.islink(stage.folder) or os.listdir(stage.folder) != [stage.entry_name]:
        return False
    try:
        return os.readlink(f"{stage.folder}/{stage.entry_name}") == link
    except OSError:  # it is no link
        return False
