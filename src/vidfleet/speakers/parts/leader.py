"""The attempt whose film it is: it divides the film, lets others take a share, waits for them, and joins the parts."""

from __future__ import annotations

import shutil
import time
import uuid
from typing import TYPE_CHECKING, Self

from vidfleet.errors import BadInputError, RecordError, SplitError
from vidfleet.speakers.layout import PARTS
from vidfleet.speakers.parts.board import BEAT_S, OPEN, PLAN, Board, State
from vidfleet.speakers.parts.join import check_seams, feed
from vidfleet.speakers.parts.part_file import Part
from vidfleet.speakers.parts.plan import Plan, make_plan
from vidfleet.speakers.parts.taker import Taker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from vidfleet.speakers.data import FaceVector
    from vidfleet.speakers.findings import FilmFiles
    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.parts.board import Done, Look
    from vidfleet.speakers.parts.taker import Tools
    from vidfleet.speakers.seen import Seen

_WAIT_S = 0.2
_REMOVALS = 15
"""On NFS a file stays under another name while somebody has it open; helpers let go within a second or two."""


class Leader:
    """Sees a film in parts. A context manager: others may take a share while it lasts, and the parts go in its end.

    Raises :class:`SplitError` with half a sentence where the film is not divided.
    """

    def __init__(self, layout: Layout, tools: Tools, *, key: str) -> None:
        self._layout, self._tools = layout, tools
        self._folder = layout.folder / PARTS
        self._plan = make_plan(
            tools.source, key=key, seconds=tools.settings.split_seconds, has_sound=tools.hearing.sound is not None,
            writes=tools.writes,
        )  # fmt: skip
        self._next_look_s = 0.0
        self._at: Callable[[int], None] = lambda _: None

    def __enter__(self) -> Self:
        _make_ready(self._folder, self._plan)
        self._board = Board(self._folder, len(self._plan.segments))
        self._open(self._board.look())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self._folder / OPEN).unlink(missing_ok=True)
        if kind is None or isinstance(error, RecordError):  # else the next attempt goes on with what is there
            remove(self._folder)

    def see(self, files: Callable[[], FilmFiles], at: Callable[[int], None]) -> tuple[Seen, tuple[FaceVector, ...]]:
        """Do what is left to do, with whoever helps; then write the film's files.

        ``at`` is told how many grid frames are done. Raises :class:`SplitError` with half a sentence where the film
        has to be seen in one pass.
        """
        self._at = at
        taker = Taker(self._plan, self._board, self._tools, on_frame=self._on_frame, stops_when_dropped=False)
        try:
            while True:
                look = self._look()
                needed = look.needed()
                if needed is None:
                    way = self._way(look)
                    if all(self._is_whole(done) for done in way):
                        return self._join(way, files)
                    continue
                segment = needed if look.states[needed] is State.FREE else look.next_free()
                claim = self._board.claim(segment) if segment is not None else None
                if claim is None:
                    time.sleep(_WAIT_S)
                else:
                    taker.work_on(claim)
        except BadInputError as error:
            raise SplitError(str(error)) from error

    def close(self) -> None:
        """Let nobody take a share any more, and remove what there is of parts."""
        remove(self._folder)

    def _is_whole(self, done: Done) -> bool:
        """Whether a part can be read; else it goes, and its segment is free again."""
        try:
            Part.read(done.folder, key=self._plan.key).check_files(self._plan.writes)
        except RecordError:
            _remove(done.folder)
            if done.folder.exists():
                raise SplitError("one of its parts can be neither read nor removed") from None
            return False
        return True

    def _join(self, way: Sequence[Done], files: Callable[[], FilmFiles]) -> tuple[Seen, tuple[FaceVector, ...]]:
        (self._folder / OPEN).unlink(missing_ok=True)
        key, first_frames = self._plan.key, "first_frames" in self._plan.writes
        pieces = check_seams(way, key=key)
        with self._tools.clock.of("joining"), files() as all_files:
            feed(pieces, all_files, self._layout, key=key, first_frames=first_frames)
            return all_files.finish(), all_files.vectors

    def _way(self, look: Look) -> list[Done]:
        """The parts that lead through the film."""
        done = look.done
        way = [done[0]]
        while (following := way[-1].following) is not None and following < len(self._plan.segments):
            way.append(done[following])
        if following is None:
            raise SplitError("one of its parts has no cut where the one before has")
        return way

    def _on_frame(self, _: int) -> None:
        if time.monotonic() >= self._next_look_s:
            self._look()

    def _look(self) -> Look:
        """See how it is, and let others know whether there is something to take."""
        self._next_look_s = time.monotonic() + BEAT_S
        look = self._board.look()
        self._open(look)
        self._at(look.frames_done(self._plan.starts, self._plan.frames))
        return look

    def _open(self, look: Look) -> None:
        path = self._folder / OPEN
        if State.FREE in look.states:
            path.touch()
        else:
            path.unlink(missing_ok=True)


def _make_ready(folder: Path, plan: Plan) -> None:
    """Keep the whole parts that an earlier attempt left under the same plan, and nothing else."""
    if not _has_plan(folder, plan):
        remove(folder)
        folder.mkdir(parents=True)
        plan.write(folder / PLAN)
    for entry in folder.iterdir():
        if entry.name != PLAN and not (entry.suffix == ".part" and entry.is_dir() and not entry.is_symlink()):
            _remove(entry)


def _has_plan(folder: Path, plan: Plan) -> bool:
    if folder.is_symlink() or not folder.is_dir() or (folder / PLAN).is_symlink():
        return False
    try:
        return Plan.read(folder / PLAN) == plan
    except RecordError:
        return False


def remove(folder: Path) -> None:
    """Remove the parts: first out of the way of those who still work on one, who then find nothing to write into."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        folder.unlink()
    elif folder.is_dir():
        gone = folder.with_name(f"{folder.name}-{uuid.uuid4().hex}")
        folder.rename(gone)
        for _ in range(_REMOVALS):
            shutil.rmtree(gone, ignore_errors=True)
            if not gone.exists():
                return
            time.sleep(_WAIT_S)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
