"""Works on segments: from the key frame of one to the cut at which the next one begins, and on while that is free."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.speakers.film import FilmPass, frames_ahead
from vidfleet.speakers.flow import Crew
from vidfleet.speakers.hearing import Hearing
from vidfleet.speakers.media import VideoSource
from vidfleet.speakers.parts.part_file import PartFindings
from vidfleet.speakers.parts.watch import Watch
from vidfleet.speakers.settings import SpeakersSettings
from vidfleet.speakers.stages import Stages
from vidfleet.speakers.tables import StageClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidfleet.speakers.parts.board import Board, Claim
    from vidfleet.speakers.parts.plan import Plan


@dataclass(frozen=True)
class Tools:
    """What it takes to see a film."""

    source: VideoSource
    settings: SpeakersSettings
    hearing: Hearing
    stages: Stages
    clock: StageClock
    writes: Collection[str]
    """What is written beside the tables; see ``findings.FilmFiles``."""


class Taker:
    """Does one segment after the other.

    ``on_frame`` is called with each grid frame that is seen. ``stops_when_dropped``: a claim that somebody else has
    removed ends the work on its segment, since nobody waits for it.
    """

    def __init__(
        self, plan: Plan, board: Board, tools: Tools, *, on_frame: Callable[[int], None], stops_when_dropped: bool
    ) -> None:
        self._plan, self._board, self._tools = plan, board, tools
        self._on_frame, self._stops_when_dropped = on_frame, stops_when_dropped

    def work_on(self, claim: Claim) -> None:
        """Make the part of a segment, and of those behind it that nobody else has taken when it comes to them."""
        try:
            with ExitStack() as stack:
                self._work_on(claim, stack)
        finally:
            claim.release()

    def _work_on(self, claim: Claim, stack: ExitStack) -> None:
        tools = self._tools
        watch = Watch(
            self._plan.starts, claim.segment, minimum_s=tools.settings.scene_min_sec, clock=tools.clock
        )  # fmt: skip
        crew = stack.enter_context(Crew(tools.source.threads))
        growing = stack.enter_context(ExitStack())
        part = growing.enter_context(self._part(crew))
        frames = tools.source.frames(self._plan.segments[claim.segment].key)
        for frame in frames_ahead(frames, crew, tools.clock):
            for settled in watch.push(frame):
                part.film.take(settled.frame, starts_shot=settled.starts_shot)
            if not claim.beat(frame.index) and self._stops_when_dropped:
                return
            self._on_frame(frame.index)
            if watch.has_nothing:
                self._board.publish(part.folder, watch.segment, None)
                return
            if watch.agreed is not None:
                following = watch.agreed[1]
                self._finish(part, watch, following)
                further = self._board.claim(following)
                if further is None:
                    return
                claim.release()
                stack.callback(further.release)
                claim = further
                watch.go_on()
                growing.close()  # a part holds all that it has found until then
                part = growing.enter_context(self._part(crew))
        for settled in watch.finish():
            part.film.take(settled.frame, starts_shot=settled.starts_shot)
        self._finish(part, watch, len(self._plan.segments) if watch.has_begun else None)

    def _finish(self, part: _GrowingPart, watch: Watch, following: int | None) -> None:
        part.film.finish()
        if following is not None:
            part.findings.write(key=self._plan.key, sums=watch.sums, sums_from=watch.sums_from)
        self._board.publish(part.folder, watch.segment, following)

    def _part(self, crew: Crew) -> _GrowingPart:
        tools = self._tools
        folder = self._board.growing()
        findings = PartFindings(folder, hearing=tools.hearing, clock=tools.clock, writes=tools.writes)
        film = FilmPass(
            tools.settings, info=tools.source.info, hearing=tools.hearing, stages=tools.stages, clock=tools.clock,
            findings=findings, crew=crew,
        )  # fmt: skip
        return _GrowingPart(folder, findings, film)


@dataclass(frozen=True)
class _GrowingPart:
    """A part that is being made. A context manager, as the pass is."""

    folder: Path
    findings: PartFindings
    film: FilmPass

    def __enter__(self) -> _GrowingPart:
        self.film.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.film.__exit__(None, None, None)
