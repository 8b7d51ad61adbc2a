"""The benchmark of who said what counts what it says it counts."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.composite_truth import Appearance, Composite, Spoken, TrueWord
from benchmarks.who_said_what import measure
from benchmarks.who_said_what_cases import Case, meant, true_turns
from benchmarks.who_said_what_fit import calibration_error, fitted, judged, talk_of
from vidfleet.speakers.confidence import LR_ASD
from vidfleet.speakers.data import Conversation, Line, Person, SaidWord, Turn, Word
from vidfleet.speakers.results.rttm import write_rttm
from vidfleet.speakers.results.transcript import write_transcript
from vidfleet.speakers.tables import TRACKS_HEADER

if TYPE_CHECKING:
    from pathlib import Path

LEFT, RIGHT = (0, 0, 320, 360), (320, 0, 640, 360)
COMPOSITE = Composite(
    name="two",
    folder="",
    length_s=8.0,
    cuts_s=(),
    persons=("anna", "bert"),
    voices=("narrator",),
    appearances=(Appearance("anna", 0.0, 8.0, LEFT), Appearance("bert", 0.0, 8.0, RIGHT)),
    speech=(Spoken("anna", 1.0, 2.0), Spoken("bert", 3.0, 4.0), Spoken("narrator", 5.0, 6.0)),
    words=(
        TrueWord("hello", "anna", 1.0, 2.0, is_seen=True, is_known=True),
        TrueWord("hello", "bert", 3.0, 4.0, is_seen=True, is_known=True),
        TrueWord("meanwhile", "narrator", 5.0, 6.0, is_seen=False, is_known=True),
    ),
)


def output(folder: Path, *said_by: str | None) -> Case:
    """The case of an output folder: Person_1 is bert, Person_2 anna; the three words are said by these."""
    (folder / "pywork").mkdir()
    with (folder / "pywork" / "tracks.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(TRACKS_HEADER)
        for track, (name, x) in enumerate((("Person_2", 100), ("Person_1", 500))):
            speaks = {spoken.person: spoken for spoken in COMPOSITE.speech}[("anna", "bert")[track]]
            for frame in range(200):
                score = 3.0 if speaks.start_s <= (frame + 0.5) / 25 < speaks.end_s else -3.0
                box = (x, 50, x + 100, 150)
                rows.writerow((frame / 25, frame, frame / 25, track, *box, score, int(score > 0), "", "", name))
    lines = tuple(
        Line(person, (SaidWord(Word(true.text, true.start_s, true.end_s, 1.0), person, 0.75),))
        for true, person in zip(COMPOSITE.words, said_by, strict=True)
    )
    turns = tuple(Turn(line.person, line.start_s, line.end_s) for line in lines)
    said = Conversation((Person("Person_1", (1,), 1.0), Person("Person_2", (0,), 1.0)), lines, turns, "words.json")
    write_transcript(folder / "transcript.json", said, video_name="two.mp4", duration_s=8.0)
    write_rttm(folder / "speakers.rttm", said, video_name="two")
    return Case.read(COMPOSITE, folder)


def test_all_right_is_all_right_whatever_the_persons_are_called(tmp_path: Path) -> None:
    case = output(tmp_path, "Person_2", "Person_1", None)
    assert meant(case.persons, case.faces) == {"Person_1": "bert", "Person_2": "anna"}
    found = measure("networks", [case])
    assert (found.frames_right, found.words_right, found.off_screen_recall, found.off_screen_precision) == (1, 1, 1, 1)
    assert found.words_right_by_face == 1
    assert (found.diarisation_error, found.identification_error) == (0, 0)
    assert found.calibration_error == 0.25


def test_what_is_wrong_is_counted(tmp_path: Path) -> None:
    found = measure("networks", [output(tmp_path, "Person_2", None, "Person_1")])
    assert found.words_right == pytest.approx(1 / 3, abs=1e-3)
    assert (found.off_screen_recall, found.off_screen_precision) == (0, 0)
    # Bert is told to speak while the narrator does, and not while he does: 2 of 16 seconds of faces.
    assert found.frames_right == pytest.approx(1 - 50 / 398, abs=0.005)
    # Diarisation may call anybody anything; identification may not.
    assert found.diarisation_error == pytest.approx(0, abs=0.01)
    assert found.identification_error == pytest.approx(2 / 3, abs=0.01)


def test_truth_says_off_screen_of_who_is_not_in_the_picture() -> None:
    turns = [(label, segment.start, segment.end) for segment, _, label in true_turns(COMPOSITE).itertracks(True)]
    assert turns == [("anna", 1.0, 2.0), ("bert", 3.0, 4.0), ("off_screen", 5.0, 6.0)]


def test_calibration_error_is_the_distance_from_what_happens() -> None:
    assert calibration_error(np.array([0.8] * 10), np.array([1.0] * 8 + [0.0] * 2)) == 0
    assert calibration_error(np.array([1.0] * 10), np.array([1.0] * 8 + [0.0] * 2)) == 0.2
    assert calibration_error(np.array([0.05] * 5 + [0.95] * 5), np.array([0.0] * 5 + [1.0] * 5)) == 0.05


def test_fitting_finds_numbers_under_which_the_truth_is_likelier(tmp_path: Path) -> None:
    case = output(tmp_path, "Person_2", "Person_1", None)
    found = fitted([case], LR_ASD)
    talk = talk_of(case, 0.0)
    before, after = (min(word.likely for word in judged(talk, numbers.rules)) for numbers in (LR_ASD, found))
    assert after >= before
    assert found.calibration.posterior > 0
