"""Another lane that takes a share of a film: segment by segment, until none is left to take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidfleet.errors import RecordError, SplitError
from vidfleet.speakers.hearing import Hearing
from vidfleet.speakers.kept import read_spans, reading
from vidfleet.speakers.layout import PARTS, SPEECH
from vidfleet.speakers.media import Sound, VideoSource
from vidfleet.speakers.parts.board import OPEN, PLAN, Board
from vidfleet.speakers.parts.plan import Plan
from vidfleet.speakers.parts.taker import Taker, Tools
from vidfleet.speakers.step_plan import parts_key
from vidfleet.speakers.tables import StageClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.settings import SpeakersSettings
    from vidfleet.speakers.stages import Stages
    from vidfleet.speakers.step_plan import Places

    Report = Callable[[str, float], None]


def help_with(
    places: Places, layout: Layout, *, settings: SpeakersSettings, stages: Stages, threads: int, report: Report
) -> None:
    """Take shares of a film on which another attempt works in ``layout``'s folder, until none is left.

    Raises :class:`SplitError` where that one goes by another film, other settings, models or versions.
    """
    try:
        _help_with(places, layout, settings=settings, stages=stages, threads=threads, report=report)
    except (OSError, RecordError):
        # The parts go as soon as they are joined, while we load models or are in the middle of a share: no failure.
        if (layout.folder / PARTS / PLAN).exists():
            raise


def _help_with(
    places: Places, layout: Layout, *, settings: SpeakersSettings, stages: Stages, threads: int, report: Report
) -> None:
    folder = layout.folder / PARTS
    plan = Plan.read(folder / PLAN)
    if plan.key != parts_key(places, layout, settings, stages):
        raise SplitError("This lane has another film, or other settings, models or versions: it cannot help with it.")
    source = VideoSource.open(
        places.video, video_stream=settings.video_stream, audio_stream=settings.audio_stream, threads=threads
    )
    with reading(layout.sound):
        sound = Sound.open(layout.sound) if plan.has_sound else None
    hearing = Hearing(sound, read_spans(layout.folder / SPEECH))
    board = Board(folder, len(plan.segments))

    def on_frame(frame: int) -> None:
        report("a share of a film", min(1.0, frame / plan.frames))

    tools = Tools(source, settings, hearing, stages, StageClock(), plan.writes)
    taker = Taker(plan, board, tools, on_frame=on_frame, stops_when_dropped=True)
    while (folder / PLAN).exists() and (segment := board.look().next_free()) is not None:
        claim = board.claim(segment)
        if claim is not None:
            taker.work_on(claim)
    (folder / OPEN).unlink(missing_ok=True)
