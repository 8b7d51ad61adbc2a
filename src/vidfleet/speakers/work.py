"""One video's way through the steps: each is skipped where its result is there already."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vidfleet.errors import RecordError, SplitError
from vidfleet.speakers import copies, ran_on
from vidfleet.speakers.crops import CropRules
from vidfleet.speakers.drawing import Easel
from vidfleet.speakers.film import FRAMES_AHEAD, FilmPass, frames_ahead
from vidfleet.speakers.findings import FilmFiles
from vidfleet.speakers.flow import Crew, read_ahead
from vidfleet.speakers.hearing import Hearing
from vidfleet.speakers.identity.groups import write_groups
from vidfleet.speakers.identity.vectors_file import (
    VECTORS_NAME,
    read_vectors,
    vectors_of_tracks,
    write_stored,
    write_vectors,
)
from vidfleet.speakers.kept import read_spans, reading, write_spans, write_words
from vidfleet.speakers.layout import (
    GROUPS,
    PARTS,
    PEOPLE,
    PREVIEW,
    SEEN,
    SOFT_SUBTITLES,
    SPEECH,
    TRACKING,
    WORDS,
)
from vidfleet.speakers.masks.use import write_told
from vidfleet.speakers.media import Sound, VideoSource, extract_sound
from vidfleet.speakers.page import relative_url
from vidfleet.speakers.page.playable import browser_plays
from vidfleet.speakers.parts.leader import Leader
from vidfleet.speakers.parts.leader import remove as remove_parts
from vidfleet.speakers.parts.taker import Tools
from vidfleet.speakers.results.cues import cues_of
from vidfleet.speakers.seen import Seen
from vidfleet.speakers.shots import ContentShots, SettledFrames
from vidfleet.speakers.step_plan import Places, parts_key, plan_steps
from vidfleet.speakers.steps import Steps
from vidfleet.speakers.subtitled import write_subtitled
from vidfleet.speakers.tables import StageClock
from vidfleet.speakers.telling import Facts, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from vidfleet.speakers.copies import Take
    from vidfleet.speakers.data import Conversation, FaceVector, GridFrame
    from vidfleet.speakers.findings import Findings
    from vidfleet.speakers.layout import Layout
    from vidfleet.speakers.masks.use import MaskUse
    from vidfleet.speakers.panel_column import PanelStyle
    from vidfleet.speakers.settings import SpeakersSettings
    from vidfleet.speakers.stages import Stages

    Report = Callable[[str, float], None]
    Found = tuple[Seen, tuple[FaceVector, ...]]

REPORT_EVERY_S = 0.5
SOUND_SHARE, DRAWING_SHARE = 0.03, 0.17
"""How much of the whole the first and the last stage take, by measure on talking heads."""
COPIES = ("frames", "grid_video", "crops")
"""What is copied out of the pictures, in the first pass where there is one."""
FILMS = ("annotated", "preview", "panel")
"""What is drawn in the second pass."""
_STAGES = {"crops": "crop_files"}
"""What ``time_log.jsonl`` calls the writing of a copy, where it is not its name."""


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
            places.video, video_stream=settings.video_stream, audio_stream=settings.audio_stream, threads=threads,
            decode_on=stages.decode_on,
        )  # fmt: skip
        kept = (PEOPLE, PARTS) if settings.split else (PEOPLE,)
        self._steps = Steps(layout.folder, plan_steps(places, layout, settings, stages), kept=kept)
        layout.make()

    def run(self) -> None:
        """Go from the video to its folder."""
        try:
            self._run()
        except RecordError:
            _say("What an earlier attempt left cannot be read, so all is made anew.")
            self._steps.forget_all()
            self._layout.make()
            self._run()

    def _run(self) -> None:
        for name in (*COPIES, *FILMS):
            if not self._wants(name):  # by an earlier run: the folder holds what was asked for last
                self._steps.forget(name)
        for name in {"tracking", "masks"} - {*self._of_masks}:
            self._steps.forget(name)
        self._layout.make()
        hearing = self._hear()
        with self._shares(hearing) as leader:
            self._understand(hearing)
            seen = self._see(hearing, leader)
        if hearing.sound is None:
            hearing.write(self._layout.sound, 0, seen.frames)
        self._compare(seen)
        with self._clock.of("telling"):
            self._facts().write(self._layout.folder)
            conversation = tell(self._layout.folder, say=_say)
        self._draw(hearing, seen, conversation)
        if self._settings.soft_subtitles:
            self._subtitle(conversation, seen)
        if not self._settings.keep_embeddings:
            self._steps.forget("vectors")
        if not self._wants_portraits:
            self._steps.forget("portraits")
        self._say_what_ran()
        self._report("done", 1.0)

    def _say_what_ran(self) -> None:
        """How long each stage took, and what computed it."""
        decoding, path = self._source.decoding, self._layout.work("time_log.jsonl")
        devices = ran_on.devices_of(self._stages, decoding)
        self._clock.write(path, video_name=self._places.original.stem, devices=devices)
        said = ran_on.describe(self._stages, decoding, threads=self._threads, ran=self._clock.stages)
        if said:
            _say(said)

    def _hear(self) -> Hearing:
        """The sound track into ``audio.wav``, and when somebody speaks in it."""
        self._report("sound", 0.0)
        if not self._steps.is_done("sound"):
            with self._steps.doing("sound"), self._clock.of("sound"):
                stream = self._settings.audio_stream
                extract_sound(self._source.path, self._layout.sound, zero=self._source.zero, audio_stream=stream)
        with reading(self._layout.sound):
            sound = Sound.open(self._layout.sound) if self._layout.sound.exists() else None
        if not self._steps.is_done("speech"):
            with self._steps.doing("speech"), self._clock.of("speech"):
                found = self._stages.voice_activity.find(sound) if sound else ()
                write_spans(self._layout.folder / SPEECH, found)
        return Hearing(sound, read_spans(self._layout.folder / SPEECH))

    def _understand(self, hearing: Hearing) -> None:
        """The words that are spoken, whoever says them."""
        if not self._steps.is_done("words"):
            self._report("words", SOUND_SHARE)
            with self._steps.doing("words"), self._clock.of("words"):
                source = self._stages.words.of(self._places.original, zero=self._source.zero, notice=_say)
                write_words(self._layout.folder / WORDS, source.transcribe(hearing.sound, hearing.speech))

    @contextmanager
    def _shares(self, hearing: Hearing) -> Iterator[Leader | None]:
        """Where it is asked for and can be, let other lanes take a share of the pictures in the ``with`` block."""
        if self._settings.split and self._stages.segmenter is not None:
            _say("The film is seen in one pass, --split or not: its faces are followed by masks.")
        if not self._settings.split or self._stages.segmenter is not None or self._has_all_of_the_pictures():
            remove_parts(self._layout.folder / PARTS)
            yield None
            return
        self._steps.forget("crops")  # of the tracks that were
        kinds = self._kinds(self._missing(COPIES))
        tools = Tools(self._source, self._settings, hearing, self._stages, self._clock, kinds)
        try:
            leader = Leader(
                self._layout, tools, key=parts_key(self._places, self._layout, self._settings, self._stages)
            )  # fmt: skip
        except SplitError as error:
            _say(f"The film is seen in one pass, --split or not: {error}.")
            remove_parts(self._layout.folder / PARTS)
            yield None
            return
        with leader:
            yield leader

    def _see(self, hearing: Hearing, leader: Leader | None) -> Seen:
        """The one pass over the pictures, from which all results come; or several over its parts."""
        kept = Seen.load(self._layout.folder / SEEN) if self._has_all_of_the_pictures() else None
        if kept is not None:
            return kept
        last = 1.0 - (DRAWING_SHARE if self._settings.annotated else 0.0)
        progress = _Progress(self._report, "faces and scores", SOUND_SHARE, last, self._source.info.expected_frames)
        with ExitStack() as steps:
            self._steps.forget("crops")  # of the tracks that were
            writes = self._missing(COPIES)
            if leader is not None:
                writes = [name for name in writes if self._kinds([name])]  # what is left shares the second pass
            for name in ("pictures", "portraits", *self._of_masks, *writes):
                steps.enter_context(self._steps.doing(name))
            self._layout.make()
            found = None if leader is None else self._see_parts(leader, writes, hearing, progress)
            seen, vectors = found or self._see_at_once(writes, hearing, progress)
            seen.save(self._layout.folder / SEEN)
            self._keep_vectors(seen, vectors)
        return seen

    def _see_parts(self, leader: Leader, writes: Sequence[str], hearing: Hearing, progress: _Progress) -> Found | None:
        try:
            crops = [name for name in writes if name == "crops"]  # first frames are JPEGs of the parts
            return leader.see(lambda: self._files(crops, hearing), progress.at)
        except SplitError as error:
            _say(f"The film is seen again, in one pass: {error}.")
            leader.close()
            return None

    def _see_at_once(self, writes: Sequence[str], hearing: Hearing, progress: _Progress) -> Found:
        with Crew(self._threads) as crew, self._files(writes, hearing) as files:
            with ExitStack() as stack:
                films = self._first_films(writes, hearing, crew)
                takers = [stack.enter_context(film) for film in films]
                frames = frames_ahead(self._source.frames(keeps_planes="grid_video" in writes), crew, self._clock)
                self._look(frames, files, hearing, takers, progress, crew)
            return files.finish(), files.vectors

    def _files(self, writes: Sequence[str], hearing: Hearing) -> FilmFiles:
        return FilmFiles(self._layout, hearing=hearing, clock=self._clock, writes=self._kinds(writes))

    def _kinds(self, names: Sequence[str]) -> frozenset[str]:
        """What of these copies comes out of the search for faces itself, as ``FilmFiles`` calls it; and masks."""
        kinds = ({"crops"} & {*names}) | ({"masks"} & {*self._of_masks})
        if "frames" in names and self._settings.frames == "shot":
            kinds.add("first_frames")
        return frozenset(kinds)

    def _look(
        self, frames: Iterable[GridFrame], findings: Findings, hearing: Hearing, takers: Sequence[Take],
        progress: _Progress, crew: Crew,
    ) -> None:  # fmt: skip
        """Go over the pictures, from the first to the last."""
        shots = SettledFrames(ContentShots(minimum_s=self._settings.scene_min_sec), clock=self._clock)
        with FilmPass(
            self._settings, info=self._source.info, hearing=hearing, stages=self._stages, clock=self._clock,
            findings=findings, crew=crew,
        ) as film:  # fmt: skip
            for frame in frames:
                for settled in shots.push(frame):
                    film.take(settled.frame, starts_shot=settled.starts_shot)
                for take in takers:
                    take(frame)
                progress.at(frame.index)
            for settled in shots.finish():
                film.take(settled.frame, starts_shot=settled.starts_shot)
            film.finish()
            self._keep_mask_use(film.mask_use)

    def _keep_mask_use(self, use: MaskUse | None) -> None:
        segmenter = self._stages.segmenter
        if use is not None and segmenter is not None:
            told = use.as_told(model=segmenter.method.name, when=self._settings.sam2_when)
            write_told(self._layout.folder / TRACKING, told)

    @property
    def told(self) -> dict[str, Any] | None:
        """What the record shall tell of the video, when it is done; None where there is nothing."""
        path = self._layout.folder / TRACKING
        if self._stages.segmenter is None or not path.is_file():
            return None
        return {"tracking": json.loads(path.read_bytes())}

    @property
    def _of_masks(self) -> list[str]:
        """What comes out of the pass where faces are followed by masks."""
        if self._stages.segmenter is None:
            return []
        return ["tracking", "masks"] if self._settings.masks else ["tracking"]

    def _missing(self, names: Sequence[str]) -> list[str]:
        """What of these is wanted and not there."""
        return [name for name in names if self._wants(name) and not self._steps.is_done(name)]

    def _first_films(
        self, names: Sequence[str], hearing: Hearing, crew: Crew
    ) -> Iterator[AbstractContextManager[Take]]:
        """What takes the pictures in the first pass; shots and tracks are known to the pass alone."""
        if "frames" in names and self._settings.frames == "all":
            yield copies.all_frames(self._layout, crew=crew, clock=self._clock)
        if "grid_video" in names:
            video = copies.grid_video(self._layout, self._source.info, hearing)
            yield self._behind("grid_video", video, crew)

    def _behind(self, name: str, film: AbstractContextManager[Take], crew: Crew) -> AbstractContextManager[Take]:
        return copies.behind(film, stage=_STAGES.get(name, name), crew=crew, clock=self._clock)

    def _has_all_of_the_pictures(self) -> bool:
        """Whether nothing is wanted for which faces must be looked at.

        Vectors and portraits go when a video is done, unless somebody asks for them.
        """
        done = self._steps.is_done
        wants_vectors = self._settings.keep_embeddings and self._stages.embedder is not None
        has_faces = done("vectors") or (done("groups") and not wants_vectors)
        has_masks = all(done(name) for name in self._of_masks)
        return done("pictures") and has_faces and has_masks and (done("portraits") or not self._wants_portraits)

    @property
    def _wants_portraits(self) -> bool:
        return self._settings.page or self._settings.panel

    def _keep_vectors(self, seen: Seen, vectors: Sequence[FaceVector]) -> None:
        """Write what the faces look like: for the next step, and for a series if somebody asked for it."""
        embedder = self._stages.embedder
        with self._steps.doing("vectors"):
            if embedder is not None:
                write_vectors(
                    self._layout.folder / VECTORS_NAME, seen.tracks, vectors,
                    spoken=seen.spoken_s, method=embedder.method, joins_at=self._joins_at,
                )  # fmt: skip

    def _tell_vectors_when_to_join(self) -> None:
        """Bring the cosine that a series' films are joined at up to ``--same-person``; the vectors stay the same."""
        path = self._layout.folder / VECTORS_NAME
        stored = read_vectors(path) if path.is_file() else None
        if stored is not None and stored.joins_at != self._joins_at:
            with self._steps.doing("vectors"):
                write_stored(path, replace(stored, joins_at=self._joins_at))

    @property
    def _joins_at(self) -> float:
        wanted, embedder = self._settings.same_person, self._stages.embedder
        return wanted if wanted is not None else embedder.joins_at if embedder is not None else 1.0

    def _compare(self, seen: Seen) -> None:
        """Which tracks have one face, whatever people have said about it."""
        folder = self._layout.folder
        if not self._steps.is_done("groups"):
            self._tell_vectors_when_to_join()
            with self._steps.doing("groups"), self._clock.of("identity"):
                vectors = vectors_of_tracks(folder / VECTORS_NAME, seen.tracks)
                write_groups(folder / GROUPS, seen.tracks, vectors, joins_at=self._joins_at)

    def _facts(self) -> Facts:
        info, published = self._source.info, self._places.published
        film = published / PREVIEW if self._wants("preview") else self._places.original
        return Facts(
            video_name=self._places.original.name,
            video_url=relative_url(film, folder=published),
            width=round(info.width * info.pixel_aspect),
            height=info.height,
            face_method=self._stages.detector.method.name,
            score_method=self._stages.active_speaker.method.name,
            faces_were_compared=self._stages.embedder is not None,
            page=self._settings.page,
            panel=self._settings.panel,
        )

    def _draw(self, hearing: Hearing, seen: Seen, conversation: Conversation) -> None:
        """What is drawn, in a second pass: a score is known only when its track has ended.

        So are copies that are asked for when the first pass is over, in an earlier run.
        """
        wanted = self._missing((*COPIES, *FILMS))
        if not wanted:
            return
        easel = Easel(self._source, self._layout, seen, hearing.sound, note=self._note(), threads=self._threads)
        films: dict[str, Callable[[], AbstractContextManager[Take]]] = {
            "grid_video": lambda: copies.grid_video(self._layout, self._source.info, hearing),
            "crops": lambda: copies.crops(self._layout, seen, hearing, self._crop_rules),
            "annotated": easel.annotated,
            "preview": easel.preview,
            "panel": lambda: easel.panel(conversation, style=self._panel_style(), say=_say),
        }
        progress = _Progress(self._report, "drawing", 1.0 - DRAWING_SHARE, 1.0, seen.frames)
        with ExitStack() as stack:
            for name in wanted:
                stack.enter_context(self._steps.doing(name))
            self._layout.make()
            crew = stack.enter_context(Crew(self._threads))
            takers = []
            for name in wanted:
                film = self._frames(seen, crew) if name == "frames" else self._behind(name, films[name](), crew)
                takers.append(stack.enter_context(film))
            frames = self._clock.timed("drawn_pictures", self._source.frames(keeps_planes=True))
            for frame in read_ahead(crew, frames, most=FRAMES_AHEAD):
                for take in takers:
                    take(frame)
                progress.at(frame.index)

    def _frames(self, seen: Seen, crew: Crew) -> AbstractContextManager[Take]:
        if self._settings.frames == "all":
            return copies.all_frames(self._layout, crew=crew, clock=self._clock)
        return self._behind("frames", copies.first_frames(self._layout, seen), crew)

    @property
    def _crop_rules(self) -> CropRules:
        return CropRules(pixel_aspect=self._source.info.pixel_aspect, scale=self._settings.crop_scale)

    def _wants(self, name: str) -> bool:
        if name == "frames":
            return self._settings.frames != "none"
        if name == "preview":
            return self._settings.preview and self._settings.page and not self._browser_plays
        return bool(getattr(self._settings, name))

    @cached_property
    def _browser_plays(self) -> bool:
        return browser_plays(self._source)

    def _subtitle(self, conversation: Conversation, seen: Seen) -> None:
        """The film itself, with subtitles that can be switched on."""
        with self._clock.of("soft_subtitles"):
            cues = cues_of(conversation, duration_s=seen.duration_s)
            trouble = write_subtitled(self._source, self._layout.folder / SOFT_SUBTITLES, cues)
        if trouble:
            _say(trouble)

    def _panel_style(self) -> PanelStyle:
        from vidfleet.speakers.panel_column import PanelStyle

        settings = self._settings
        return PanelStyle(settings.panel_width_ratio, settings.panel_max_items, settings.panel_theme)

    def _note(self) -> str:
        """What stands in the picture where an embedded method was used."""
        return "heuristic" if self._stages.are_heuristic else ""


def _say(notice: str) -> None:
    """A sentence into the video's log. It names no spoken word."""
    sys.stderr.write(notice + "\n")


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
