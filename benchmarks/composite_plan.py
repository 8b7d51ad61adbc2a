"""Who speaks when in a composite, and who is seen meanwhile: drawn from a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from benchmarks.composite_sources import Recording, Talker

if TYPE_CHECKING:
    from benchmarks.composite_sources import Library

LEAD_S = 0.5
"""Before the first turn and after the last."""
PAUSE_S = (0.1, 0.6)
OVERLAP_S = (0.7, 1.2)
"""Shortest and longest; of what is heard of two recordings, so much falls together (less their quiet ends)."""
SHORTEST_SHOT_S = 1.2


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
    are_lively: bool = False
    """Everybody nods, leans and turns a little all the time, also who is shown as a still."""
    rate: str = "25"
    """Pictures a second as a fraction, or ``variable``."""
    size: tuple[int, int] = (960, 540)


@dataclass(frozen=True, slots=True)
class PlannedTurn:
    """A person says what was said in [from_s, to_s) of a recording."""

    person: str
    recording: Recording
    start_s: float
    """In the composite."""
    from_s: float
    to_s: float

    @property
    def end_s(self) -> float:
        """In the composite."""
        return self.start_s + self.to_s - self.from_s


@dataclass(frozen=True, slots=True)
class PlannedShot:
    """Who is in the picture in [start_s, end_s)."""

    number: int
    start_s: float
    end_s: float
    seen: tuple[str, ...]
    """From left to right."""
    zoom: float
    """Height of a face over the picture's."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a composite but its pictures."""

    turns: tuple[PlannedTurn, ...]
    """In order of time."""
    shots: tuple[PlannedShot, ...]
    resting: Mapping[str, Sequence[Recording]]
    """Of those who are seen: their recordings."""
    length_s: float

    def turns_of(self, person: str) -> tuple[PlannedTurn, ...]:
        """What a person says."""
        return tuple(turn for turn in self.turns if turn.person == person)


def plan(spec: CompositeSpec, library: Library) -> Plan:
    """Draw who speaks when and who is seen; the same for the same spec and media."""
    numbers = np.random.default_rng(spec.seed)
    cast = _cast(spec, numbers)
    voice = spec.voices[int(numbers.integers(len(spec.voices)))] if spec.narrator and spec.voices else None
    order = _order(spec, [talker for talker in cast if talker.speaks], voice, numbers)
    turns = _turns(order, spec.overlaps, library, numbers)
    length_s = round(max(turn.end_s for turn in turns) + LEAD_S, 2)
    shots = _shots(spec, tuple(talker.name for talker in cast), turns, length_s, numbers)
    return Plan(turns, shots, {talker.name: talker.recordings for talker in cast}, length_s)


def _cast(spec: CompositeSpec, numbers: np.random.Generator) -> list[Talker]:
    """Who is on stage, from left to right: at least two who speak where there are two, at most one who does not."""
    speaking = [talker for talker in spec.people if talker.speaks]
    silent = [talker for talker in spec.people if not talker.speaks]
    quiet = min(len(silent), 1) if spec.faces > 2 and numbers.random() < 0.6 else 0
    quiet = max(quiet, spec.faces - len(speaking))
    chosen = [
        group[index]
        for group, count in ((speaking, spec.faces - quiet), (silent, quiet))
        for index in numbers.permutation(len(group))[:count]
    ]
    return [chosen[index] for index in numbers.permutation(len(chosen))]


def _order(
    spec: CompositeSpec, talkers: Sequence[Talker], voice: Talker | None, numbers: np.random.Generator
) -> list[Talker]:
    """Who speaks, turn by turn: everybody at first, nobody twice in a row where there are two."""
    order: list[Talker] = []
    waiting: list[Talker] = []
    for index in range(spec.turns):
        if voice is not None and index % 3 == 1:
            order.append(voice)
            continue
        if not waiting:
            waiting = [talkers[place] for place in numbers.permutation(len(talkers))]
            if order and waiting[0] is order[-1]:
                waiting.append(waiting.pop(0))
        order.append(waiting.pop(0))
    return order


def _turns(
    order: Sequence[Talker], overlaps: int, library: Library, numbers: np.random.Generator
) -> tuple[PlannedTurn, ...]:
    overlapping = set(numbers.permutation(np.arange(1, len(order)))[:overlaps].tolist())
    now, turns, used = LEAD_S, list[PlannedTurn](), dict[str, int]()
    for index, talker in enumerate(order):
        count = used.get(talker.name, 0)
        used[talker.name] = count + 1
        recording = talker.recordings[count % len(talker.recordings)]
        talk = library.footage(recording).talk
        is_over = index in overlapping and order[index - 1] is not talker
        # Both ends carry 0.2 s in which nobody speaks yet or any more.
        start = now - 0.4 - numbers.uniform(*OVERLAP_S) if is_over else now + numbers.uniform(*PAUSE_S)
        start = max(start, turns[-1].start_s + 0.2) if turns else start
        # Nobody says two things at once.
        start = max(start, *(turn.end_s + PAUSE_S[0] for turn in turns if turn.person == talker.name), 0.0)
        turns.append(PlannedTurn(talker.name, recording, round(float(start), 2), talk.start_s, talk.end_s))
        now = max(turn.end_s for turn in turns)
    return tuple(turns)


def _shots(
    spec: CompositeSpec,
    stage: tuple[str, ...],
    turns: Sequence[PlannedTurn],
    length_s: float,
    numbers: np.random.Generator,
) -> tuple[PlannedShot, ...]:
    """All together, with cuts to one of them between turns: who speaks, or who listens."""
    pieces: list[tuple[float, float, tuple[str, ...]]] = []
    start, running = 0.0, list[PlannedTurn]()
    for turn, following in zip(turns, [*turns[1:], None], strict=True):
        running.append(turn)
        end = max(each.end_s for each in running)
        if following is not None and following.start_s < end:
            continue
        end = length_s if following is None else (end + following.start_s) / 2
        seen = _seen(spec, stage, [each.person for each in running], numbers)
        is_short = end - start < SHORTEST_SHOT_S
        if pieces and (is_short or seen == pieces[-1][2]):
            pieces[-1] = (pieces[-1][0], end, pieces[-1][2])
        else:
            pieces.append((start, end, seen))
        start, running = end, []
    return tuple(
        PlannedShot(
            number,
            round(start, 3),
            round(end, 3),
            seen,
            float(numbers.uniform(0.36, 0.5) if len(seen) > 1 else numbers.uniform(0.5, 0.62)),
        )
        for number, (start, end, seen) in enumerate(pieces)
    )


def _seen(
    spec: CompositeSpec, stage: tuple[str, ...], speaking: Sequence[str], numbers: np.random.Generator
) -> tuple[str, ...]:
    """Who is in the picture while these speak."""
    chance = float(numbers.random())
    chosen = stage[int(numbers.integers(len(stage)))]
    if not spec.cuts or len(speaking) > 1 or chance < 0.45:
        return stage
    if chance < 0.85 and speaking[0] in stage:
        return (speaking[0],)
    return (chosen,)
