"""Talking composites with exact truth: who is seen where, who speaks when, who says which word.

    python -m benchmarks.composites --media ../shared/media --output DIR

cuts recordings of single people together: several side by side in one picture who speak in turn, the others
listening; cuts to one of them and back; two who speak at once; a voice whose face is never seen; and pictures at
several rates. What is true is known by construction, but for when a single voice is heard in its own recording:
that is Silero's voice activity on that recording alone. Next to ``<name>.mp4`` lie ``<name>.truth.json`` and
``<name>.json``, the words as a recogniser would give them, without who said them.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import av
import cv2
import numpy as np

from benchmarks.composite_plan import plan
from benchmarks.composite_sources import (
    FIT_PEOPLE,
    FIT_VOICES,
    TEST_PEOPLE,
    TEST_VOICES,
    Library,
    Talker,
)
from vidfleet.speakers.data import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.composite_plan import Plan, PlannedShot, PlannedTurn
    from benchmarks.composite_sources import Footage

    Box = tuple[int, int, int, int]

FIT_SEED, TEST_SEED = 1000, 2000
"""Composites for fitting are of other people than those for testing."""
RATES = ("25", "24000/1001", "30000/1001", "50", "variable")
SIZES = ((640, 360), (960, 540), (1280, 720))
VARIABLE_STEPS_MS = (20, 33, 33, 33, 40, 50, 67)
ROOM_NOISE = 0.0006
FADE_S = 0.01
PAUSE_OF_RECOGNISER_S = 0.5
"""The recogniser's pieces end where nobody speaks for so long."""


@dataclass(frozen=True, slots=True)
class CompositeSpec:
    """What a composite is like; ``seed`` decides all that is left open."""

    name: str
    seed: int
    people: tuple[Talker, ...]
    """From whom ``faces`` are taken."""
    voices: tuple[Talker, ...] = ()
    """From whom a narrator is taken."""
    faces: int = 2
    """How many are side by side in the picture: two to four."""
    turns: int = 5
    overlaps: int = 0
    """So many turns begin before the last one has ended."""
    narrator: bool = False
    """Some turns are of a voice that is never seen."""
    cuts: bool = True
    """Else all is one shot."""
    rest: Literal["frozen", "listening"] = "listening"
    """What is seen of those who do not speak: a still, or a stretch of their own in which they do not."""
    is_handheld: bool = False
    """The camera sways."""
    rate: str = "25"
    """Pictures a second as a fraction, or ``variable``."""
    size: tuple[int, int] = (960, 540)


@dataclass(frozen=True, slots=True)
class Appearance:
    """A person in the picture, in [start_s, end_s)."""

    person: str
    start_s: float
    end_s: float
    box: tuple[int, int, int, int]
    """The part of the picture that is the person's: x1, y1, x2, y2."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A person is heard in [start_s, end_s), seen or not."""

    person: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class TrueWord:
    """A word and who says it."""

    text: str
    person: str
    start_s: float
    end_s: float
    is_seen: bool
    """The person is in the picture at the word's middle."""
    is_known: bool
    """Not so where a made-up word stands for what was said then."""


@dataclass(frozen=True, slots=True)
class Composite:
    """A composite clip and all that is true of it."""

    name: str
    folder: str
    length_s: float
    cuts_s: tuple[float, ...]
    """When the pictures of further shots begin."""
    persons: tuple[str, ...]
    """Who is seen at some time."""
    voices: tuple[str, ...]
    """Who is heard and never seen."""
    appearances: tuple[Appearance, ...]
    speech: tuple[Spoken, ...]
    words: tuple[TrueWord, ...]
    """In order of time."""

    @property
    def video(self) -> Path:
        """The clip."""
        return Path(self.folder, f"{self.name}.mp4")

    def seen(self, time_s: float) -> tuple[Appearance, ...]:
        """Who is in the picture at a time."""
        return tuple(each for each in self.appearances if each.start_s <= time_s < each.end_s)

    def speaking(self, time_s: float) -> frozenset[str]:
        """Who is heard at a time, seen or not."""
        return frozenset(each.person for each in self.speech if each.start_s <= time_s < each.end_s)

    def person_at(self, time_s: float, box: Sequence[float]) -> str | None:
        """Whose face a box (x1, y1, x2, y2) is, by its middle; nobody's where none is there."""
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        for each in self.seen(time_s):
            if each.box[0] <= x < each.box[2] and each.box[1] <= y < each.box[3]:
                return each.person
        return None

    @classmethod
    def read(cls, path: Path) -> Composite:
        """Read a ``.truth.json``; the clip lies beside it."""
        values = json.loads(path.read_text("utf-8"))
        parts: dict[str, Any] = {
            "appearances": tuple(Appearance(**{**each, "box": tuple(each["box"])}) for each in values["appearances"]),
            "speech": tuple(Spoken(**each) for each in values["speech"]),
            "words": tuple(TrueWord(**each) for each in values["words"]),
            "folder": str(path.parent),
        }
        plain = {name: tuple(values[name]) for name in ("cuts_s", "persons", "voices")}
        return cls(**{**values, **plain, **parts})

    def write(self) -> None:
        """Write ``.truth.json`` and the words' ``.json`` beside the clip."""
        truth = json.dumps(asdict(replace(self, folder="")), indent=1)
        Path(self.folder, f"{self.name}.truth.json").write_text(truth + "\n", "utf-8")
        words = {"segments": list(_segments(self.words)), "language": "en"}
        Path(self.folder, f"{self.name}.json").write_text(json.dumps(words, indent=1) + "\n", "utf-8")


def make_composite(spec: CompositeSpec, folder: Path, media: Path, *, library: Library | None = None) -> Composite:
    """Make one clip, its truth and its words in ``folder`` from recordings in ``media``.

    A ``library`` of the same media spares reading recordings again.
    """
    library = library or Library(media)
    planned = plan(spec, library)
    length_s = planned.length_s
    times = _frame_times(spec, length_s)
    shots = [_snapped(shot, times, length_s) for shot in planned.shots]
    target = folder / f"{spec.name}.mp4"
    stage = _Stage(spec, planned, library)
    pictures = ((time, stage.picture(time, _shot_at(shots, time))) for time in times)
    _write(target, pictures, _sound(planned, library, spec.seed), size=spec.size, rate=spec.rate)
    appearances = tuple(
        Appearance(person, shot.start_s, shot.end_s, box)
        for shot in shots
        for person, box in zip(shot.seen, stage.boxes(shot), strict=True)
    )
    composite = _truth(spec, folder, planned, library, appearances, tuple(shot.start_s for shot in shots[1:]))
    composite.write()
    return composite


def standard_set(seed: int, n: int) -> list[CompositeSpec]:
    """``n`` specs that vary all there is to vary; FIT_SEED and TEST_SEED give sets of different people."""
    people, voices = (FIT_PEOPLE, FIT_VOICES) if seed == FIT_SEED else (TEST_PEOPLE, TEST_VOICES)
    numbers = np.random.default_rng(seed)
    specs = []
    for index in range(n):
        faces = (2, 2, 3, 2, 3, 4)[index % 6]
        specs.append(
            CompositeSpec(
                name=f"composite_{seed}_{index:02}",
                seed=seed + index,
                people=people,
                voices=voices,
                faces=faces,
                turns=int(numbers.integers(4, 8)),
                overlaps=(0, 1, 0, 2)[index % 4],
                narrator=index % 3 == 1,
                cuts=index % 5 != 3,
                rest=("listening", "frozen")[index % 2],
                is_handheld=bool(numbers.random() < 0.4),
                rate=RATES[index % len(RATES)],
                size=SIZES[max(int(numbers.integers(0, 3)), 1 if faces > 2 else 0)],
            )
        )
    return specs


class _Stage:
    """Draws the pictures."""

    def __init__(self, spec: CompositeSpec, planned: Plan, library: Library) -> None:
        self._spec, self._plan, self._library = spec, planned, library

    def boxes(self, shot: PlannedShot) -> list[Box]:
        """The cells of a shot, from left to right."""
        width, height = self._spec.size
        edges = [round(width * place / len(shot.seen)) for place in range(len(shot.seen) + 1)]
        return [(left, 0, right, height) for left, right in pairwise(edges)]

    def picture(self, time_s: float, shot: PlannedShot) -> NDArray[np.uint8]:
        """(height, width, 3) BGR."""
        return np.hstack(
            [
                self._cell(person, time_s, shot, box, place)
                for place, (person, box) in enumerate(zip(shot.seen, self.boxes(shot), strict=True))
            ]
        )

    def _cell(self, person: str, time_s: float, shot: PlannedShot, box: Box, place: int) -> NDArray[np.uint8]:
        footage, at_s = self._moment(person, time_s, shot)
        width, height = box[2] - box[0], box[3] - box[1]
        x, y, face_height = footage.face
        # A face is two thirds as wide as high; neither cell nor face may be too narrow.
        scale = min(shot.zoom * height, 0.62 * width * 1.5) / face_height
        right_px, down_px, angle_deg = _sway(time_s, place, height) if self._spec.is_handheld else (0.0, 0.0, 0.0)
        matrix = cv2.getRotationMatrix2D((x, y), angle_deg, scale)
        matrix[:, 2] += (width / 2 + right_px - x, height * 0.47 + down_px - y)
        cell: NDArray[np.uint8] = cv2.warpAffine(
            footage.picture(at_s), matrix, (width, height), borderMode=cv2.BORDER_REPLICATE
        )
        return cell

    def _moment(self, person: str, time_s: float, shot: PlannedShot) -> tuple[Footage, float]:
        """Which moment of which recording of a person is shown.

        A turn is shown as it was; before and after it the person rests, and nothing jumps but half way
        between two turns.
        """
        turns = [
            turn for turn in self._plan.turns_of(person) if turn.start_s < shot.end_s and turn.end_s > shot.start_s
        ]
        if not turns:
            footage = self._library.footage(self._plan.resting[person][shot.number % len(self._plan.resting[person])])
            span = footage.rest()
            length_s = 0.0 if self._spec.rest == "frozen" else span.end_s - span.start_s
            return footage, span.start_s + _to_and_fro(time_s - shot.start_s, length_s)
        nearest = min(turns, key=lambda turn: _distance(turn, time_s))
        footage = self._library.footage(nearest.recording)
        if time_s < nearest.start_s:
            length_s = 0.0 if self._spec.rest == "frozen" else nearest.from_s
            return footage, nearest.from_s - _to_and_fro(nearest.start_s - time_s, length_s)
        if time_s >= nearest.end_s:
            length_s = 0.0 if self._spec.rest == "frozen" else footage.length_s - nearest.to_s
            return footage, nearest.to_s + _to_and_fro(time_s - nearest.end_s, length_s)
        return footage, nearest.from_s + time_s - nearest.start_s


def _distance(turn: PlannedTurn, time_s: float) -> float:
    return max(turn.start_s - time_s, time_s - turn.end_s, 0.0)


def _to_and_fro(time_s: float, length_s: float) -> float:
    """A place in [0, length_s] that goes to the end and back again; 0 where that would be a mere twitch."""
    if length_s < 0.2:
        return 0.0
    phase = time_s % (2 * length_s)
    return min(phase, 2 * length_s - phase)


def _sway(time_s: float, place: int, height: int) -> tuple[float, float, float]:
    """A hand that holds the camera: pixels to the right, pixels down, degrees."""
    t = time_s + 1.7 * place
    return 0.01 * height * np.sin(1.1 * t), 0.007 * height * np.sin(1.7 * t + 1), 1.5 * np.sin(0.9 * t + 2)


def _frame_times(spec: CompositeSpec, length_s: float) -> list[float]:
    """When pictures begin."""
    if spec.rate != "variable":
        step = 1 / Fraction(spec.rate)
        return [float(step * index) for index in range(int(length_s / step))]
    numbers, times = np.random.default_rng(spec.seed), [0]
    while times[-1] < length_s * 1000 - 67:
        times.append(times[-1] + int(numbers.choice(VARIABLE_STEPS_MS)))
    return [time / 1000 for time in times]


def _snapped(shot: PlannedShot, times: Sequence[float], length_s: float) -> PlannedShot:
    """The shot from its first picture on to the next shot's."""
    start = min(time for time in times if time >= shot.start_s - 1e-9)
    end = min((time for time in times if time >= shot.end_s - 1e-9), default=length_s)
    return replace(shot, start_s=start, end_s=end)


def _shot_at(shots: Sequence[PlannedShot], time_s: float) -> PlannedShot:
    return next(shot for shot in reversed(shots) if shot.start_s <= time_s)


def _sound(planned: Plan, library: Library, seed: int) -> NDArray[np.float32]:
    """All turns on one clock, over the faint noise of a room."""
    count = round(planned.length_s * SAMPLE_RATE)
    sound = np.random.default_rng(seed).normal(0, ROOM_NOISE, count).astype(np.float32)
    fade = np.linspace(0, 1, round(FADE_S * SAMPLE_RATE), dtype=np.float32)
    for turn in planned.turns:
        part = (
            library.footage(turn.recording)
            .sound[round(turn.from_s * SAMPLE_RATE) : round(turn.to_s * SAMPLE_RATE)]
            .copy()
        )
        part[: len(fade)] *= fade
        part[-len(fade) :] *= fade[::-1]
        first = round(turn.start_s * SAMPLE_RATE)
        sound[first : first + len(part)] += part[: count - first]
    return np.clip(sound, -0.99, 0.99).astype(np.float32)


def _write(
    path: Path,
    pictures: Iterator[tuple[float, NDArray[np.uint8]]],
    sound: NDArray[np.float32],
    *,
    size: tuple[int, int],
    rate: str,
) -> None:
    """H.264 and AAC in MP4; each picture at its own time."""
    constant = None if rate == "variable" else Fraction(rate)
    tick = 1 / constant if constant else Fraction(1, 1000)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        film = container.add_stream("libx264", rate=constant or 30, options={"crf": "23", "preset": "veryfast"})
        film.width, film.height, film.pix_fmt = *size, "yuv420p"
        film.codec_context.time_base = tick
        track = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for time, picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = round(Fraction(time) / tick), tick
            container.mux(film.encode(frame))
        container.mux(film.encode())
        samples = av.AudioFrame.from_ndarray(sound[None, :], format="fltp", layout="mono")
        samples.sample_rate, samples.pts = SAMPLE_RATE, 0
        container.mux(track.encode(samples))
        container.mux(track.encode())


def _truth(
    spec: CompositeSpec,
    folder: Path,
    planned: Plan,
    library: Library,
    appearances: tuple[Appearance, ...],
    cuts_s: tuple[float, ...],
) -> Composite:
    seen = frozenset(each.person for each in appearances)
    empty = Composite(
        name=spec.name,
        folder=str(folder),
        length_s=planned.length_s,
        cuts_s=cuts_s,
        persons=tuple(sorted(seen)),
        voices=tuple(sorted({turn.person for turn in planned.turns} - seen)),
        appearances=appearances,
        speech=(),
        words=(),
    )
    speech, words = [], []
    for turn in planned.turns:
        footage = library.footage(turn.recording)
        later = turn.start_s - turn.from_s
        for span in footage.speech:
            start, end = max(span.start_s, turn.from_s), min(span.end_s, turn.to_s)
            if start < end:
                speech.append(Spoken(turn.person, round(start + later, 3), round(end + later, 3)))
        for word in footage.words:
            middle = (word.start_s + word.end_s) / 2
            if turn.from_s <= middle < turn.to_s:
                is_seen = any(each.person == turn.person for each in empty.seen(middle + later))
                times = (round(word.start_s + later, 3), round(word.end_s + later, 3))
                words.append(TrueWord(word.text, turn.person, *times, is_seen=is_seen, is_known=word.is_known))
    speech.sort(key=lambda each: each.start_s)
    words.sort(key=lambda each: each.start_s)
    return replace(empty, speech=tuple(speech), words=tuple(words))


def _segments(words: Sequence[TrueWord]) -> Iterator[dict[str, Any]]:
    """The words as whisperX writes them: in pieces that end with a pause, whoever speaks."""
    pieces: list[list[TrueWord]] = []
    for word in words:
        if not pieces or word.start_s - max(each.end_s for each in pieces[-1]) > PAUSE_OF_RECOGNISER_S:
            pieces.append([])
        pieces[-1].append(word)
    for piece in pieces:
        yield {
            "start": piece[0].start_s,
            "end": max(word.end_s for word in piece),
            "text": " ".join(word.text for word in piece),
            "words": [{"word": word.text, "start": word.start_s, "end": word.end_s, "score": 0.9} for word in piece],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    parser.add_argument("-n", type=int, default=12, help="so many for fitting and so many for testing")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    library = Library(options.media)
    for seed in (FIT_SEED, TEST_SEED):
        for spec in standard_set(seed, options.n):
            made = make_composite(spec, options.output, options.media, library=library)
            print(
                f"{made.name}: {made.length_s:.1f} s, {len(made.persons)} seen, {len(made.voices)} only heard, "
                f"{len(made.cuts_s)} cuts, {len(made.words)} words, {spec.rate} pictures a second",
                flush=True,
            )


if __name__ == "__main__":
    main()
