"""Who spoke when, on composites whose truth is known: the embedded active speaker beside LR-ASD.

    python -m benchmarks.who_spoke_when --media ../shared/media --weights ../shared/weights --work DIR

makes the composites into DIR where they are not there yet, runs the pipeline over each where DIR does not hold its
tables yet, and counts. A frame of a face is right where "speaks" is what the truth says of the person whose face it
is; the truth is voice activity on the person's own recording. The diarisation error counts time against all speech,
with 0.25 s on either side of each border left out; who is heard and not in the picture is "off screen", which is
claimed where a voice is heard and no face speaks for half a second. The sets: ``fit`` are the people to whom the
embedded method was fitted, ``test`` others, ``hard`` both, where listeners lean, nod and make faces all the time.

Two ways to decide are compared: a face speaks where its score is above 0; or where, besides, speech is heard and no
other face's score (a mean over 0.28 s) is more than ``MARGIN`` above its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.active_speaker_accuracy import OUTPUTS
from benchmarks.composite_sources import Library
from benchmarks.composites import FIT_SEED, TEST_SEED, Composite, hard_set, make_composite, standard_set
from vidfleet.speakers.data import GRID_RATE
from vidfleet.speakers.media import VideoSource, extract_sound
from vidfleet.speakers.pipeline import Speakers
from vidfleet.speakers.speech import VoiceActivity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.composites import CompositeSpec

METHODS = {"LR-ASD AVA": ("--models", "full", "--asd-weights", "ava"), "embedded": ("--models", "embedded")}
RULES = ("score above 0", "and heard, and near the best")
MARGIN, NEAR_FRAMES = 1.0, 7
COLLAR_S, STEPS_PER_S = 0.25, 100
SLIVER_S = 0.5
"""A voice that no face has is off screen where it is heard for longer than this."""
OFF_SCREEN = "off screen"


@dataclass(frozen=True)
class FaceTrack:
    """A face and what was said of it."""

    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]

    def persons(self, truth: Composite) -> list[str | None]:
        """Whose face it is, frame by frame."""
        return [truth.person_at(time, box) for time, box in zip(self.times_s, self.boxes.tolist(), strict=True)]

    @property
    def sizes_px(self) -> list[float]:
        """The heights of its boxes."""
        return [float(height) for height in self.boxes[:, 3] - self.boxes[:, 1]]

    @property
    def times_s(self) -> list[float]:
        """The middles of its frames."""
        return [(frame + 0.5) / GRID_RATE for frame in self.frames.tolist()]


@dataclass(frozen=True)
class Count:
    """Of one clip, method and rule."""

    clip: str
    group: str
    method: str
    rule: str
    frames: int
    right: int
    spoken_s: float
    missed_s: float
    false_s: float
    confused_s: float


@dataclass(frozen=True)
class Row:
    """Of all clips of a group."""

    group: str
    clips: int
    method: str
    rule: str
    frames: int
    frames_right: float
    diarisation_error: float
    missed: float
    false_alarm: float
    confusion: float


def read_tracks(table: Path) -> list[FaceTrack]:
    """The tracks of a ``tracks.csv``, so far as they have scores."""
    rows: dict[str, list[dict[str, str]]] = {}
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["score"]:
                rows.setdefault(row["track"], []).append(row)
    return [
        FaceTrack(
            np.array([int(row["frame"]) for row in track]),
            np.array([[float(row[edge]) for edge in ("x1", "y1", "x2", "y2")] for row in track]),
            np.array([float(row["score"]) for row in track]),
        )
        for track in rows.values()
    ]


def decide(tracks: Sequence[FaceTrack], rule: str, heard: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """When each face speaks; ``heard`` tells for each grid frame whether anybody is."""
    if rule == RULES[0]:
        return [track.scores > 0 for track in tracks]
    window = np.ones(NEAR_FRAMES)
    means = [
        np.convolve(track.scores, window, "same") / np.convolve(np.ones(len(track.scores)), window, "same")
        if len(track.scores) >= NEAR_FRAMES
        else track.scores
        for track in tracks
    ]
    best = np.full(len(heard), -np.inf)
    for track, mean in zip(tracks, means, strict=True):
        best[track.frames] = np.maximum(best[track.frames], mean)
    return [
        (track.scores > 0) & heard[track.frames] & (mean >= best[track.frames] - MARGIN)
        for track, mean in zip(tracks, means, strict=True)
    ]


def count(
    truth: Composite, tracks: Sequence[FaceTrack], heard: NDArray[np.bool_], *, names: tuple[str, str, str]
) -> Count:
    """Compare one clip with its truth; ``names`` are group, method and rule."""
    spoken = decide(tracks, names[2], heard)
    steps = round(truth.length_s * STEPS_PER_S)
    claims: dict[str, NDArray[np.bool_]] = {}
    judged: dict[tuple[int, str | None], tuple[float, bool]] = {}
    for track, said in zip(tracks, spoken, strict=True):
        rows = zip(track.frames.tolist(), track.persons(truth), track.sizes_px, said.tolist(), strict=True)
        for frame, person, size_px, speaks in rows:
            # Of two boxes on one person the larger is the face; detectors find faces in shirts, too.
            judged[frame, person] = max(judged.get((frame, person), (0.0, False)), (size_px, speaks))
            if speaks and person is not None:
                first = frame * STEPS_PER_S // GRID_RATE
                claims.setdefault(person, np.zeros(steps, bool))[first : first + STEPS_PER_S // GRID_RATE] = True
    right = sum(
        speaks == (person in truth.speaking((frame + 0.5) / GRID_RATE))
        for (frame, person), (_size_px, speaks) in judged.items()
    )
    seen = np.any([*claims.values(), np.zeros(steps, bool)], axis=0)
    claims[OFF_SCREEN] = _without_slivers(np.repeat(heard, STEPS_PER_S // GRID_RATE)[:steps] & ~seen)
    missed, false, confused, total = diarisation(true_speech(truth, steps), claims, _borders_s(truth))
    return Count(truth.name, *names, len(judged), right, total, missed, false, confused)


def true_speech(truth: Composite, steps: int) -> dict[str, NDArray[np.bool_]]:
    """When each person in the picture speaks, and when somebody does who is not."""
    found: dict[str, NDArray[np.bool_]] = {}
    for each in truth.speech:
        for step in range(round(each.start_s * STEPS_PER_S), min(round(each.end_s * STEPS_PER_S), steps)):
            is_seen = any(one.person == each.person for one in truth.seen((step + 0.5) / STEPS_PER_S))
            name = each.person if is_seen else OFF_SCREEN
            found.setdefault(name, np.zeros(steps, bool))[step] = True
    return found


def diarisation(
    truth: Mapping[str, NDArray[np.bool_]], claims: Mapping[str, NDArray[np.bool_]], borders_s: Sequence[float]
) -> tuple[float, float, float, float]:
    """Missed, false, confused and spoken seconds, away from the borders; names are the same on both sides."""
    steps = len(next(iter(claims.values())))
    counted = np.ones(steps, bool)
    for border_s in borders_s:
        first = max(0, round((border_s - COLLAR_S) * STEPS_PER_S))
        counted[first : round((border_s + COLLAR_S) * STEPS_PER_S)] = False
    nothing = np.zeros(steps, bool)
    names = sorted({*truth, *claims})
    true, said = (np.array([each.get(name, nothing) for name in names])[:, counted] for each in (truth, claims))
    both, true_count, said_count = (true & said).sum(axis=0), true.sum(axis=0), said.sum(axis=0)
    missed, false = np.maximum(true_count - said_count, 0), np.maximum(said_count - true_count, 0)
    confused = np.minimum(true_count, said_count) - both
    sums = [float(values.sum()) / STEPS_PER_S for values in (missed, false, confused, true_count)]
    return sums[0], sums[1], sums[2], sums[3]


def _borders_s(truth: Composite) -> list[float]:
    return [time for each in truth.speech for time in (each.start_s, each.end_s)]


def _without_slivers(claimed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], claimed.astype(int), [0]))))
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if last - first < SLIVER_S * STEPS_PER_S:
            claimed[first:last] = False
    return claimed


def heard_in(video: Path, frames: int, voice_activity: VoiceActivity) -> NDArray[np.bool_]:
    """For each grid frame whether anybody is heard."""
    with tempfile.TemporaryDirectory() as folder:
        sound = extract_sound(video, Path(folder, "audio.wav"), zero=VideoSource.open(video).zero)
        spans = voice_activity.find(sound) if sound else ()
    times = (np.arange(frames) + 0.5) / GRID_RATE
    heard = np.zeros(frames, bool)
    for span in spans:
        heard |= (times >= span.start_s) & (times < span.end_s)
    return heard


def tables_of(method: str, clips: Sequence[Path], work: Path, weights: Path) -> list[Path]:
    """Each clip's ``tracks.csv``; made where it is not there."""
    tables = [work / method / clip.stem / "pywork" / "tracks.csv" for clip in clips]
    if not all(table.exists() for table in tables):
        speakers = Speakers.from_arguments([*METHODS[method], *OUTPUTS, "--weights", str(weights)])
        speakers.setup("cpu")
        for clip, table in zip(clips, tables, strict=True):
            if not table.exists():
                speakers.process(str(clip), str(table.parents[1]), lambda _stage, _share: None)
    return tables


def composites(media: Path, work: Path, n: int) -> dict[str, list[Composite]]:
    """Each group's clips; made where they are not there."""
    library = Library(media)
    groups: dict[str, list[CompositeSpec]] = {
        "fit": standard_set(FIT_SEED, n),
        "test": standard_set(TEST_SEED, n),
        "hard": hard_set(n // 2),
    }
    folder = work / "clips"
    folder.mkdir(parents=True, exist_ok=True)

    def one(spec: CompositeSpec) -> Composite:
        written = folder / f"{spec.name}.truth.json"
        return Composite.read(written) if written.exists() else make_composite(spec, folder, media, library=library)

    return {group: [one(spec) for spec in specs] for group, specs in groups.items()}


def summed(counts: Sequence[Count]) -> Row:
    """One row of all clips of a group, with one method and rule."""
    first = counts[0]
    frames, spoken_s = sum(each.frames for each in counts), sum(each.spoken_s for each in counts)
    parts = [
        sum(times) / spoken_s for times in zip(*((c.missed_s, c.false_s, c.confused_s) for c in counts), strict=True)
    ]
    right = sum(each.right for each in counts) / frames
    shares = [round(value, 4) for value in (right, sum(parts), *parts)]
    return Row(first.group, len(counts), first.method, first.rule, frames, *shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name in ("--media", "--weights", "--work"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("-n", type=int, default=12, help="so many composites for fitting and so many for testing")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/active_speaker.json"))
    options = parser.parse_args()
    voice_activity = VoiceActivity()
    counts: list[Count] = []
    for group, truths in composites(options.media, options.work, options.n).items():
        heard = [heard_in(truth.video, round(truth.length_s * 25) + 50, voice_activity) for truth in truths]
        for method in METHODS:
            tables = tables_of(method, [truth.video for truth in truths], options.work, options.weights)
            for truth, table, voices in zip(truths, tables, heard, strict=True):
                tracks = read_tracks(table)
                counts += [count(truth, tracks, voices, names=(group, method, rule)) for rule in RULES]
    keys = dict.fromkeys((each.group, each.method, each.rule) for each in counts)
    rows = [summed([c for c in counts if (c.group, c.method, c.rule) == key]) for key in keys]
    for row in rows:
        print(
            f"{row.group:5} {row.method:11} {row.rule:29} frames {row.frames:6} right {row.frames_right:6.1%} "
            f"diarisation error {row.diarisation_error:6.1%} (missed {row.missed:.1%}, false {row.false_alarm:.1%}, "
            f"confused {row.confusion:.1%})"
        )
    lines = ",\n ".join(json.dumps(asdict(row)) for row in rows)
    options.output.write_text(f'{{"who_spoke_when": [\n {lines}\n]}}\n', "utf-8")


if __name__ == "__main__":
    main()
