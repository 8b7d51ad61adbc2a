"""One video's way through the steps: each is skipped where its result is there already."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet import __version__
from vidfleet.speakers.data import Span
from vidfleet.speakers.film import FilmPass, Hearing
from vidfleet.speakers.layout import ANNOTATED, STEPS
from vidfleet.speakers.media import AviWriter, Sound, VideoSource, add_sound, extract_sound
from vidfleet.speakers.render import DrawnTrack, Painter
from vidfleet.speakers.seen import Seen
from vidfleet.speakers.settings import StageSettings
from vidfleet.speakers.steps import Step, Steps, content_key, key_of, settings_of
from vidfleet.speakers.tables import StageClock, write_tracks

if TYPE_CHECKING:
    from collections.abc import Callable

    from vidfleet.speakers.data import Method
    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.settings import SpeakersSettings
    from vidfleet.speakers.stages import Stages

    Report = Callable[[str, float], None]

REPORT_EVERY_S = 0.5
SOUND_SHARE, DRAWING_SHARE = 0.03, 0.17
"""How much of the whole the first and the last stage take, by measure on talking heads."""
SOUND = "pyavi/audio.wav"
SPEECH = f"{STEPS}/speech.txt"
SEEN = f"{STEPS}/seen.npz"


@dataclass(frozen=True, slots=True)
class Places:
    """Where a video and what belongs to it are."""

    video: Path
    """As the pipeline reads it."""
    original: Path
    """The video itself, with its neighbours."""
    published: Path
    """The folder that the output becomes."""


class Work:
    """Everything that is done for one video, into the folder of ``layout``.

    Raises :class:`~vidfleet.errors.BadInputError` where the video cannot be read.
    """

    def __init__(
        self,
        places: Places,
        layout: Layout,
        *,
        settings: SpeakersSettings,
        stages: Stages,
        threads: int,
        report: Report,
    ) -> None:
        self._places, self._layout, self._settings, self._stages = places, layout, settings, stages
        self._threads, self._report = threads, report
        self._clock = StageClock()
        layout.make()
        self._source = VideoSource.open(
            places.video, video_stream=settings.video_stream, audio_stream=settings.audio_stream, threads=threads
        )
        self._steps = Steps(layout.folder, plan_steps(places.video, settings, stages), kept=("people.json",))
        layout.make()

    def run(self) -> None:
        """Go from the video to its folder."""
        hearing = self._hear()
        seen = self._see(hearing)
        if hearing.sound is None:
            hearing.write(self._layout.sound, 0, seen.frames)
        self._tell(seen)
        if self._settings.annotated:
            self._annotate(seen)
        self._clock.write(self._layout.work("time_log.jsonl"), video_name=self._places.original.stem)
        self._report("done", 1.0)

    def _hear(self) -> Hearing:
        """The sound track into ``audio.wav``, and when somebody speaks in it."""
        self._report("sound", 0.0)
        if not self._steps.is_done("sound"):
            with self._steps.doing("sound"), self._clock.of("sound"):
                stream = self._settings.audio_stream
                extract_sound(self._source.path, self._layout.sound, zero=self._source.zero, audio_stream=stream)
        sound = Sound.open(self._layout.sound) if self._layout.sound.exists() else None
        if not self._steps.is_done("speech"):
            with self._steps.doing("speech"), self._clock.of("speech"):
                found = self._stages.voice_activity.find(sound) if sound else ()
                _write_spans(self._layout.folder / SPEECH, found)
        return Hearing(sound, _read_spans(self._layout.folder / SPEECH))

    def _see(self, hearing: Hearing) -> Seen:
        """The one pass over the pictures, from which all results come."""
        kept = Seen.load(self._layout.folder / SEEN) if self._steps.is_done("pictures") else None
        if kept is not None:
            return kept
        last = 1.0 - (DRAWING_SHARE if self._settings.annotated else 0.0)
        progress = _Progress(self._report, "faces and scores", SOUND_SHARE, last, self._source.info.expected_frames)
        with self._steps.doing("pictures"):
            self._layout.make()
            with FilmPass(
                self._settings, self._layout, info=self._source.info, hearing=hearing, stages=self._stages,
                clock=self._clock,
            ) as film:  # fmt: skip
                for frame in self._clock.timed("pictures", self._source.frames()):
                    film.take(frame)
                    progress.at(frame.index)
                seen = film.finish()
            seen.save(self._layout.folder / SEEN)
        return seen

    def _tell(self, seen: Seen) -> None:
        """Write what people and programs read."""
        with self._clock.of("files"):
            write_tracks(
                self._layout.work("tracks.csv"),
                seen,
                person_of={},
                face_method=self._stages.detector.method.name,
                score_method=self._stages.active_speaker.method.name,
            )

    def _annotate(self, seen: Seen) -> None:
        """The annotated video, in a second pass: a score is known only when its track has ended."""
        if self._steps.is_done("annotated"):
            return
        progress = _Progress(self._report, "annotated video", 1.0 - DRAWING_SHARE, 1.0, seen.frames)
        painter = Painter([DrawnTrack.of(track) for track in seen.tracks], note=self._note())
        size = (self._source.info.width, self._source.info.height)
        with self._steps.doing("annotated"):
            with AviWriter(self._layout.annotated, width=size[0], height=size[1], threads=self._threads) as writer:
                for frame in self._clock.timed("annotated_pictures", self._source.frames()):
                    with self._clock.of("annotated"):
                        writer.write(painter.paint(frame.index, frame.bgr))
                    progress.at(frame.index)
            with self._clock.of("annotated"):
                add_sound(self._layout.annotated, self._layout.sound, self._layout.annotated_with_sound)

    def _note(self) -> str:
        """What stands in the picture where an embedded method was used."""
        return "heuristic" if self._stages.are_heuristic else ""


def plan_steps(video: Path, settings: SpeakersSettings, stages: Stages) -> list[Step]:
    """Say which steps there are, what each makes, and on what its result depends."""
    film = {"version": __version__, "video": content_key(video)}
    streams = settings_of(settings, "video_stream", "audio_stream")
    sound = key_of(**film, **streams)
    speech = key_of(sound=sound, method=_named(stages.voice_activity.method))
    looks = [_named(stage.method) for stage in (stages.detector, stages.active_speaker)]
    numbers = settings_of(settings, *(item.name for item in fields(StageSettings)))
    written = settings_of(settings, "score_weighting", "frames", "crops", "grid_video")
    pictures = key_of(speech=speech, methods=looks, **numbers, **written)
    return [
        Step("sound", sound, (SOUND,)),
        Step("speech", speech, (SPEECH,)),
        Step("pictures", pictures, (
            "pyframes", "pycrop", "pyavi/video.avi", SEEN,
            *(f"pywork/{name}" for name in ("scene.pckl", "shots.csv", "faces.pckl", "tracks.pckl", "scores.pckl")),
        )),
        Step("annotated", key_of(pictures=pictures), ANNOTATED),
    ]  # fmt: skip


def _named(method: Method) -> list[str]:
    return [method.name, method.sha256]


def _write_spans(path: Path, spans: tuple[Span, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([(span.start_s, span.end_s) for span in spans]), "ascii")


def _read_spans(path: Path) -> tuple[Span, ...]:
    return tuple(Span(start_s, end_s) for start_s, end_s in json.loads(path.read_text("ascii")))


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
