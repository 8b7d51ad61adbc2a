"""What the pipeline said of a composite, beside what is true of it: read from its output files."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pyannote.core import Annotation, Segment
from pyannote.database.util import load_rttm
from scipy.optimize import linear_sum_assignment

from benchmarks.composite_truth import Composite, TrueWord
from vidfleet.speakers.data import GRID_RATE, Person, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


OFF_SCREEN = "off_screen"
STEP_S = 0.01
SAME_WORD_S = 0.15
"""A word of the transcript is a true word where their texts are alike and they begin this near each other."""


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face track with its scores, and whose face it truly is."""

    start: int
    scores: NDArray[np.float64]
    true_person: str | None
    frames_of: Mapping[str, int]
    """In so many of its frames it is this true person's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A true word and what the transcript says of it."""

    word: TrueWord
    person: str | None
    """The true person whom the transcript means; None: off screen; ``?``: nobody, or the word is missing."""
    face: str | None
    """Whose face it truly is that the transcript means, whatever it is called; None and ``?`` as above."""
    confidence: float

    @property
    def truth(self) -> str | None:
        """The person in the picture who says it; None: off screen."""
        return self.word.person if self.word.is_seen else None

    @property
    def is_right(self) -> bool:
        """The right person, by the name that is most often right."""
        return self.person == self.truth

    @property
    def is_face_right(self) -> bool:
        """The right face. Confidence is about this: who is who is another question."""
        return self.face == self.truth


@dataclass(frozen=True, slots=True)
class Case:
    """One composite and what was made of it."""

    composite: Composite
    faces: tuple[SeenFace, ...]
    persons: tuple[Person, ...]
    """As the pipeline found them."""
    turns: tuple[Turn, ...]
    answers: tuple[Answer, ...]
    rttm: Annotation
    words_from: str | None

    @classmethod
    def read(cls, composite: Composite, folder: Path) -> Case:
        """Read the output folder of a composite."""
        said = json.loads((folder / "transcript.json").read_text("utf-8"))
        faces = read_faces(composite, folder / "pywork" / "tracks.csv")
        persons = tuple(Person(each["name"], tuple(each["tracks"]), each["spoken_s"]) for each in said["persons"])
        loaded = list(load_rttm(folder / "speakers.rttm").values())
        return cls(
            composite=composite,
            faces=faces,
            persons=persons,
            turns=tuple(Turn(each["person"], each["start_s"], each["end_s"]) for each in said["turns"]),
            answers=tuple(answers(composite, said, persons, faces)),
            rttm=loaded[0] if loaded else Annotation(),
            words_from=said["words_from"],
        )

    def true_persons(self) -> tuple[Person, ...]:
        """The persons as they truly are: what attribution gets where identity makes no mistake."""
        tracks: dict[str, list[int]] = defaultdict(list)
        for index, face in enumerate(self.faces):
            if face.true_person:
                tracks[face.true_person].append(index)
        return tuple(Person(name, tuple(indices), 0.0) for name, indices in sorted(tracks.items()))


def read_faces(composite: Composite, table: Path) -> tuple[SeenFace, ...]:
    """The tracks of ``tracks.csv``."""
    rows: dict[int, list[dict[str, str]]] = defaultdict(list)
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows[int(row["track"])].append(row)
    return tuple(_face(composite, rows[index]) for index in sorted(rows))


def _face(composite: Composite, rows: Sequence[dict[str, str]]) -> SeenFace:
    owners = (
        composite.person_at(
            (int(row["frame"]) + 0.5) / GRID_RATE, [float(row[edge]) for edge in ("x1", "y1", "x2", "y2")]
        )
        for row in rows
    )
    votes = Counter(owner for owner in owners if owner)
    scores = np.array([float(row["score"]) for row in rows if row["score"]])
    return SeenFace(int(rows[0]["frame"]), scores, votes.most_common(1)[0][0] if votes else None, dict(votes))


def meant(persons: Sequence[Person], faces: Sequence[SeenFace]) -> dict[str, str]:
    """Whom the pipeline means by each of its persons: the assignment, one to one, that fits most face frames."""
    names = sorted({name for face in faces for name in face.frames_of})
    table = np.array(
        [[sum(faces[track].frames_of.get(name, 0) for track in person.tracks) for name in names] for person in persons]
    ).reshape(len(persons), len(names))
    chosen = linear_sum_assignment(table, maximize=True)
    return {persons[row].name: names[column] for row, column in zip(*chosen, strict=True) if table[row, column]}


def answers(
    composite: Composite,
    said: Any,  # noqa: ANN401 - JSON
    persons: Sequence[Person],
    faces: Sequence[SeenFace],
) -> list[Answer]:
    """What ``transcript.json`` says of every true word."""
    is_called = meant(persons, faces)
    tracks_of = {person.name: [faces[track] for track in person.tracks] for person in persons}
    spoken: dict[str, list[tuple[float, str | None, float]]] = defaultdict(list)
    for line in said["lines"]:
        for word in line["words"]:
            spoken[word["text"]].append((word["start_s"], line["person"], word["confidence"]))
    result = []
    for true in composite.words:
        found = take_nearest(spoken[true.text], true.start_s)
        if found is None:
            result.append(Answer(true, "?", "?", 0.0))
            continue
        _start_s, person, confidence = found
        if person is None:
            result.append(Answer(true, None, None, confidence))
        else:
            face = face_at(tracks_of[person], (true.start_s + true.end_s) / 2)
            result.append(Answer(true, is_called.get(person, "?"), face, confidence))
    return result


def take_nearest(
    words: list[tuple[float, str | None, float]], start_s: float
) -> tuple[float, str | None, float] | None:
    """Take out the word that begins nearest to a time, if it is near enough to be the same."""
    nearest = min(words, key=lambda word: abs(word[0] - start_s), default=None)
    if nearest is None or abs(nearest[0] - start_s) > SAME_WORD_S:
        return None
    words.remove(nearest)
    return nearest


def face_at(tracks: Sequence[SeenFace], time_s: float) -> str:
    """Whose face it truly is that a person has at a time, or next to it; ``?``: nobody's."""
    frame = time_s * GRID_RATE
    nearest = min(
        tracks, key=lambda track: max(track.start - frame, frame - track.start - len(track.scores)), default=None
    )
    return (nearest.true_person if nearest else None) or "?"


def true_turns(composite: Composite) -> Annotation:
    """Who truly speaks when; ``off_screen`` while the one who speaks is not in the picture."""
    found = Annotation(uri=composite.name)
    for number, spoken in enumerate(composite.speech):
        times = np.arange(spoken.start_s, spoken.end_s, STEP_S)
        labels = [
            spoken.person if spoken.person in {each.person for each in composite.seen(time)} else OFF_SCREEN
            for time in times.tolist()
        ]
        first = 0
        for at in range(1, len(labels) + 1):
            if at == len(labels) or labels[at] != labels[first]:
                end = spoken.end_s if at == len(labels) else float(times[at])
                found[Segment(float(times[first]), end), (number, first)] = labels[first]
                first = at
    return found
