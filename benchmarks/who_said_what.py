"""Who said what: how often the whole pipeline is right, on composites whose truth is known.

    python -m benchmarks.who_said_what --media ../shared/media --work DIR

makes talking composites (benchmarks/composites.py), runs the pipeline over each, once with the networks and once
with the embedded methods, and reads what anybody reads: ``transcript.json``, ``tracks.csv``, ``speakers.rttm``. The
words are given to it beside each clip, so that what is measured is who said them. It counts

* frames: of all faces seen, in how many grid frames it is right that this person speaks, or does not;
* words: how many are given to the person who says them, or to "off screen" where that person is not in the picture;
* off-screen recall and precision among them;
* the diarisation and identification errors of pyannote.metrics, overlap and off-screen speech included;
* the expected calibration error: how far the words' confidence is from how often the right face is meant.

``--fit`` prints the numbers of vidfleet/speakers/confidence.py anew, from composites of other people.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pyannote.core import Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate
from pyannote.metrics.identification import IdentificationErrorRate

from benchmarks.composites import FIT_SEED, TEST_SEED, Composite, make_composite, standard_set
from benchmarks.who_said_what_cases import Case, meant, true_turns
from benchmarks.who_said_what_fit import calibration_error, fitted
from vidfleet.speakers.confidence import EMBEDDED, LR_ASD
from vidfleet.speakers.data import GRID_RATE
from vidfleet.speakers.pipeline import Speakers
from vidfleet.speakers.results.rttm import speaker_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

METHODS = {"networks": ("--models", "full"), "embedded": ("--models", "embedded")}
NUMBERS = {"networks": LR_ASD, "embedded": EMBEDDED}
OUTPUTS = ("--frames", "none", "--no-crops", "--no-annotated", "--no-page")
COLLAR_S = 0.25
RESULT = Path(__file__).parent / "results" / "who_said_what.json"


@dataclass(frozen=True)
class Measured:
    """What is reported of a method, over all composites."""

    method: str
    composites: int
    frames: int
    frames_right: float
    words: int
    words_right: float
    words_right_by_face: float
    """The same where it only counts whose face is meant, and not whether all faces of a person have one name."""
    off_screen_words: int
    off_screen_recall: float
    off_screen_precision: float
    diarisation_error: float
    diarisation_error_collar: float
    """The same without the 0.25 s around each true border."""
    identification_error: float
    """The same where off screen must be called so, and each person is the one whose face it is."""
    calibration_error: float


def outputs(
    seed: int, count: int, method: str, media: Path, work: Path, *, rate: str = ""
) -> Iterator[tuple[Composite, Path]]:
    """The composites and what the pipeline made of them; what is in ``work`` already is not made again.

    With ``rate`` all have so many pictures a second; else each has its own.
    """
    clips = work / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    speakers = Speakers.from_arguments([*METHODS[method], *OUTPUTS])
    is_set_up = False
    for standard in standard_set(seed, count):
        tag = rate.replace("/", "_")
        spec = replace(standard, rate=rate, name=f"{standard.name}_{tag}") if rate else standard
        truth = clips / f"{spec.name}.truth.json"
        composite = Composite.read(truth) if truth.exists() else make_composite(spec, clips, media)
        out = work / method / spec.name
        if not (out / "done").exists():
            if not is_set_up:
                speakers.setup("cpu")
                is_set_up = True
            shutil.rmtree(out, ignore_errors=True)
            speakers.process(str(composite.video), str(out), lambda _stage, _share: None)
            (out / "done").touch()
        yield composite, out


def measure(method: str, cases: Sequence[Case]) -> Measured:
    """All figures of a method."""
    answers = [answer for case in cases for answer in case.answers]
    frames = [right for case in cases for right in frames_right(case)]
    hidden = [answer for answer in answers if not answer.word.is_seen]
    said_hidden = [answer for answer in answers if answer.person is None]
    errors = DiarizationErrorRate(), IdentificationErrorRate(), DiarizationErrorRate(collar=COLLAR_S)
    for case in cases:
        whole = Timeline([Segment(0.0, case.composite.length_s)])
        named = case.rttm.rename_labels(mapping=rttm_names(case))
        for error in errors:
            error(true_turns(case.composite), named, uem=whole)
    return Measured(
        method=method,
        composites=len(cases),
        frames=len(frames),
        frames_right=share(frames),
        words=len(answers),
        words_right=share(answer.is_right for answer in answers),
        words_right_by_face=share(answer.is_face_right for answer in answers),
        off_screen_words=len(hidden),
        off_screen_recall=share(answer.is_right for answer in hidden),
        off_screen_precision=share(answer.is_right for answer in said_hidden),
        diarisation_error=round(float(abs(errors[0])), 4),
        diarisation_error_collar=round(float(abs(errors[2])), 4),
        identification_error=round(float(abs(errors[1])), 4),
        calibration_error=calibration_error(
            np.array([answer.confidence for answer in answers]),
            np.array([answer.is_face_right for answer in answers], float),
        ),
    )


def rttm_names(case: Case) -> dict[str, str]:
    """The true person for each speaker of ``speakers.rttm``."""
    is_called = meant(case.persons, case.faces)
    ids = speaker_ids([person.name for person in case.persons])
    return {ids[name]: true for name, true in is_called.items()}


def share(right: Iterable[bool]) -> float:
    """How many of them are true, of 1."""
    values = list(right)
    return round(sum(values) / max(len(values), 1), 4)


def frames_right(case: Case) -> Iterator[bool]:
    """For each face in each grid frame: is it right that its person has a turn then, or has none."""
    is_called = meant(case.persons, case.faces)
    name_of = {track: person.name for person in case.persons for track in person.tracks}
    spans = {name: [turn for turn in case.turns if turn.person == name] for name in {*name_of.values()}}
    for index, face in enumerate(case.faces):
        if face.true_person is None:
            continue
        name = name_of.get(index)
        for frame in range(face.start, face.start + len(face.scores)):
            time_s = (frame + 0.5) / GRID_RATE
            speaks = any(turn.start_s <= time_s < turn.end_s for turn in spans.get(name or "", ()))
            is_meant = name is not None and is_called.get(name) == face.true_person
            truly = face.true_person in case.composite.speaking(time_s)
            yield (speaks and is_meant) == truly


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="clips and outputs are kept here")
    parser.add_argument("--composites", type=int, default=20)
    parser.add_argument("--only", choices=METHODS, help="one method only")
    parser.add_argument("--fit", action="store_true", help="print the fitted numbers instead")
    parser.add_argument("--rate", default="", help="all composites at this rate: 24000/1001, 50, variable")
    parser.add_argument("--output", type=Path, default=RESULT)
    options = parser.parse_args()
    measured = []
    for method in [options.only] if options.only else list(METHODS):
        seed = FIT_SEED if options.fit else TEST_SEED
        found = outputs(seed, options.composites, method, options.media, options.work, rate=options.rate)
        cases = [Case.read(composite, out) for composite, out in found]
        if options.fit:
            print(method, fitted(cases, NUMBERS[method]))
            continue
        measured.append(asdict(measure(method, cases)))
        print(json.dumps(measured[-1], indent=1), flush=True)
    if measured:
        result = {"cpu_count": os.cpu_count(), "methods": measured}
        options.output.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
