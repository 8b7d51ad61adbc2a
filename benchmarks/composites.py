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
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from benchmarks.composite_pictures import Stage
from benchmarks.composite_plan import CompositeSpec, plan
from benchmarks.composite_sources import (
    FIT_PEOPLE,
    FIT_VOICES,
    MAKES_FACES,
    TEST_PEOPLE,
    TEST_VOICES,
    Library,
)
from benchmarks.composite_truth import Appearance, Composite, Spoken, TrueWord
from vidfleet.speakers.data import SAMPLE_RATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.composite_plan import Plan, PlannedShot

__all__ = [
    "FIT_SEED",
    "HARD_SEED",
    "TEST_SEED",
    "Composite",
    "CompositeSpec",
    "hard_set",
    "make_composite",
    "standard_set",
]

FIT_SEED, TEST_SEED, HARD_SEED = 1000, 2000, 3000
"""Composites for fitting are of other people than those for testing; the hard ones are of people from both."""
RATES = ("25", "24000/1001", "30000/1001", "50", "variable")
SIZES = ((640, 360), (960, 540), (1280, 720))
VARIABLE_STEPS_MS = (20, 33, 33, 33, 40, 50, 67)
ROOM_NOISE = 0.0006
FADE_S = 0.01


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
    stage = Stage(spec, planned, library)
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


def hard_set(n: int) -> list[CompositeSpec]:
    """``n`` specs in which listeners are never still: all lean and nod, and one of them makes faces."""
    quiet = (MAKES_FACES, *(talker for talker in TEST_PEOPLE if not talker.speaks))
    groups = [
        (*tuple(talker for talker in people if talker.speaks), quiet[index])
        for index, people in enumerate((TEST_PEOPLE, FIT_PEOPLE))
    ]
    return [
        CompositeSpec(
            name=f"composite_{HARD_SEED}_{index:02}",
            seed=HARD_SEED + index,
            people=groups[index % 2],
            voices=(TEST_VOICES, FIT_VOICES)[index % 2],
            faces=(3, 4, 2)[index % 3],
            turns=5,
            overlaps=index % 3,
            narrator=index % 2 == 1,
            cuts=index % 4 == 3,
            rest=("listening", "frozen")[index // 2 % 2],
            are_lively=True,
            rate=RATES[index % len(RATES)],
        )
        for index in range(n)
    ]


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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    parser.add_argument("-n", type=int, default=12, help="so many for fitting and so many for testing")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    library = Library(options.media)
    specs = [*standard_set(FIT_SEED, options.n), *standard_set(TEST_SEED, options.n), *hard_set(options.n // 2)]
    for spec in specs:
        made = make_composite(spec, options.output, options.media, library=library)
        print(
            f"{made.name}: {made.length_s:.1f} s, {len(made.persons)} seen, {len(made.voices)} only heard, "
            f"{len(made.cuts_s)} cuts, {len(made.words)} words, {spec.rate} pictures a second",
            flush=True,
        )


if __name__ == "__main__":
    main()
