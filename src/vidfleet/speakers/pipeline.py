"""The built-in pipeline: one video in, the folders pyavi, pyframes, pywork and pycrop out.

Run through the class contract: :meth:`Speakers.describe` once a run, :meth:`Speakers.setup` once a lane,
:meth:`Speakers.process` for each video.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfleet.speakers import models
from vidfleet.speakers.layout import COUNTED, Layout, promised
from vidfleet.speakers.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vidfleet.speakers.film import Hearing, Seen
    from vidfleet.speakers.media import VideoSource
    from vidfleet.speakers.settings import SpeakersSettings
    from vidfleet.speakers.tables import StageClock

    Report = Callable[[str, float], None]

REPORT_EVERY_S = 0.5
SOUND_SHARE, DRAWING_SHARE = 0.03, 0.17
"""How much of the whole the first and the last stage take, by measure on talking heads."""


class Speakers:
    """Who speaks in a film."""

    def __init__(self, settings: SpeakersSettings) -> None:
        self.settings = settings

    @classmethod
    def describe(cls, arguments: Sequence[str]) -> dict[str, Any]:
        """Say what the pipeline is under ``arguments``; everything JSON. No network is loaded for it.

        Called once a run, before the first video. ``arguments`` of the answer leave nothing open, so that all
        lanes do the same. Raises UsageError, and SetupError where weights are wanted that cannot be had.
        """
        settings = read_settings(arguments)
        models.check_installed()
        chosen = models.choose(settings)
        return {
            "name": "speakers",
            "arguments": [*arguments, *models.as_arguments(chosen)],
            "fingerprint": models.fingerprint(settings, chosen),
            "expected": list(promised(annotated=settings.annotated, grid_video=settings.grid_video)),
            "counted": list(COUNTED),
            "method": models.methods(settings, chosen),
            "fallback": models.fallback(settings, chosen),
            "disk": models.disk_use(settings),
            "notices": models.notices(settings, chosen),
            "resumable": False,
            "carry": [],
            "inputs": [],
        }

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> Speakers:
        """Make one of a command line's words."""
        return cls(read_settings(arguments))

    def setup(self, device: str) -> None:
        """Load the models for ``device``, ``cuda`` or ``cpu``, once a lane.

        Raises SetupError where a package or a model is missing.
        """
        models.check_installed()
        import cv2

        from vidfleet.speakers.stages import load

        share = os.environ.get("OMP_NUM_THREADS", "")
        most = max(1, int(share)) if share.isdecimal() else os.cpu_count() or 1
        self._threads = min(self.settings.threads or most, most)
        cv2.setNumThreads(self._threads)
        self.stages = load(self.settings, threads=self._threads, device=device)

    def process(self, video: str, out: str, report: Report) -> None:
        """Process one video into the folder ``out``; ``report(stage, share of the whole)`` tells how far it is.

        Raises :class:`~vidfleet.errors.BadInputError` where the video cannot be read.
        """
        from vidfleet.speakers.media import VideoSource
        from vidfleet.speakers.tables import StageClock

        settings, layout, clock = self.settings, Layout(Path(out)), StageClock()
        layout.make()
        source = VideoSource.open(
            Path(video),
            video_stream=settings.video_stream,
            audio_stream=settings.audio_stream,
            threads=self._threads,
        )
        hearing = self._hear(source, layout, clock, report)
        seen = self._see(source, hearing, layout, clock, report)
        if hearing.sound is None:
            hearing.write(layout.sound, 0, seen.frames)
        if settings.annotated:
            self._draw(source, seen, layout, clock, report)
        clock.write(layout.work("time_log.jsonl"), video_name=Path(video).stem)
        report("done", 1.0)

    def _hear(self, source: VideoSource, layout: Layout, clock: StageClock, report: Report) -> Hearing:
        """The sound track into ``audio.wav``, and when somebody speaks in it."""
        from vidfleet.speakers.film import Hearing
        from vidfleet.speakers.media import extract_sound

        report("sound", 0.0)
        with clock.of("sound"):
            sound = extract_sound(source.path, layout.sound, zero=source.zero, audio_stream=self.settings.audio_stream)
        with clock.of("speech"):
            return Hearing(sound, self.stages.voice_activity.find(sound) if sound else ())

    def _see(self, source: VideoSource, hearing: Hearing, layout: Layout, clock: StageClock, report: Report) -> Seen:
        """The one pass over the pictures, from which all results come."""
        from vidfleet.speakers.film import FilmPass

        last = 1.0 - (DRAWING_SHARE if self.settings.annotated else 0.0)
        progress = _Progress(report, "faces and scores", SOUND_SHARE, last, source.info.expected_frames)
        with FilmPass(
            self.settings,
            layout,
            info=source.info,
            hearing=hearing,
            stages=self.stages,
            clock=clock,
        ) as film:
            for frame in clock.timed("pictures", source.frames()):
                film.take(frame)
                progress.at(frame.index)
            return film.finish()

    def _draw(self, source: VideoSource, seen: Seen, layout: Layout, clock: StageClock, report: Report) -> None:
        """The annotated video, in a second pass: a score is known only when its track has ended."""
        from vidfleet.speakers.media import AviWriter, add_sound
        from vidfleet.speakers.render import Painter

        progress = _Progress(report, "annotated video", 1.0 - DRAWING_SHARE, 1.0, seen.frames)
        painter = Painter(seen.tracks, note=self._note())
        size = (source.info.width, source.info.height)
        with AviWriter(layout.annotated, width=size[0], height=size[1], threads=self._threads) as writer:
            for frame in clock.timed("annotated_pictures", source.frames()):
                with clock.of("annotated"):
                    writer.write(painter.paint(frame.index, frame.bgr))
                progress.at(frame.index)
        with clock.of("annotated"):
            add_sound(layout.annotated, layout.sound, layout.annotated_with_sound)

    def _note(self) -> str:
        """What stands in the picture where an embedded method was used."""
        return "heuristic" if self.stages.are_heuristic else ""


class _Progress:
    """Tells how far a stage is, a few times a second at most."""

    def __init__(self, report: Report, stage: str, first: float, last: float, frames: int) -> None:
        self._report, self._stage, self._first, self._last = report, stage, first, last
        self._frames = max(frames, 1)
        self._next_s = 0.0

    def at(self, frame: int) -> None:
        """Say that ``frame`` is done."""
        now = time.monotonic()
        if now >= self._next_s:
            self._next_s = now + REPORT_EVERY_S
            share = min(1.0, (frame + 1) / self._frames)
            self._report(self._stage, self._first + (self._last - self._first) * share)
