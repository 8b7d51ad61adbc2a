"""From what the steps found to what people and programs read; also again, after somebody has said who is who.

Everything comes from the files in ``pywork/.steps`` and from ``people.json``: neither the video nor a network is
needed, so a folder that was finished long ago can be told anew in a second.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from vidfleet.errors import RecordError
from vidfleet.speakers.attribution import who_said
from vidfleet.speakers.confidence import EMBEDDED, LR_ASD
from vidfleet.speakers.identity.groups import ONE_GROUP, read_groups
from vidfleet.speakers.identity.held import identify
from vidfleet.speakers.kept import UNREADABLE, check_plain, read_spans, read_words, reading
from vidfleet.speakers.layout import (
    GROUPS,
    PAGE,
    PANEL,
    PEOPLE,
    PORTRAITS,
    SEEN,
    SOFT_SUBTITLES,
    SPEECH,
    STEPS,
    WORDS,
)
from vidfleet.speakers.page import ResultsPage, write_page
from vidfleet.speakers.portraits import faces_of
from vidfleet.speakers.results import write_results
from vidfleet.speakers.seen import Seen
from vidfleet.speakers.tables import write_tracks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vidfleet.speakers.data import Conversation

FACTS = f"{STEPS}/facts.json"
TOLD = f"{STEPS}/told"
"""The SHA-256 of the ``people.json`` that the results are of."""
ASIDE = ".retold"
SHOWN_FILES = ("transcript.json", "transcript.srt", "transcript.vtt", "transcript.ass", "speakers.rttm", PEOPLE)
"""What the page links to."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What telling needs to know of a video and of how it was looked at."""

    video_name: str
    """With its ending."""
    video_url: str
    """Where a browser finds the film, relative to the page."""
    width: int
    """As shown, in square pixels."""
    height: int
    face_method: str
    score_method: str
    faces_were_compared: bool
    page: bool
    panel: bool

    @property
    def scores_are_heuristic(self) -> bool:
        """Whether an embedded method made the scores."""
        return self.score_method.startswith("heuristic")

    def write(self, folder: Path) -> None:
        """Write them into an output folder."""
        (folder / STEPS).mkdir(parents=True, exist_ok=True)
        (folder / FACTS).write_text(json.dumps(asdict(self)), "ascii")


def tell(folder: Path, *, into: Path | None = None, say: Callable[[str], None]) -> Conversation:
    """Write all results of the output folder ``folder``, into itself or into another; ``people.json`` into itself.

    ``say`` is told, in sentences, what of ``people.json`` could not be put into effect.
    """
    target = into or folder
    with reading(folder / FACTS):
        facts = Facts(**json.loads((folder / FACTS).read_text("ascii")))
    seen = Seen.load(folder / SEEN)
    if seen is None:
        raise RecordError(f"{folder / SEEN} cannot be read; run the video again, with --only all")
    groups = read_groups(folder / GROUPS, tracks=len(seen.tracks))
    found = identify(folder / PEOPLE, seen.tracks, groups, spoken=seen.spoken_s, joins_at=ONE_GROUP)
    for notice in found.notices:
        say(notice)
    transcript = read_words(folder / WORDS)
    conversation = who_said(
        transcript,
        speech=read_spans(folder / SPEECH),
        persons=found.persons,
        tracks=seen.tracks,
        fitted=EMBEDDED if facts.scores_are_heuristic else LR_ASD,
    )
    person_of = {track: person.name for person in found.persons for track in person.tracks}
    methods = {"face_method": facts.face_method, "score_method": facts.score_method}
    write_tracks(target / "pywork/tracks.csv", seen, person_of=person_of, **methods)
    write_results(
        target, conversation, transcript, video_name=facts.video_name, duration_s=seen.duration_s,
        size=(facts.width, facts.height), panel=facts.panel,
    )  # fmt: skip
    if facts.page:
        _write_page(folder, target / PAGE[0], conversation, facts=facts, duration_s=seen.duration_s)
    (target / STEPS).mkdir(exist_ok=True)
    (target / TOLD).write_text(_people_sum(folder), "ascii")
    return conversation


def retell(folder: Path, *, say: Callable[[str], None]) -> bool:
    """Bring a finished folder up to its ``people.json``; False where it is.

    Each file is written aside and renamed; the one that says that all is told comes last. Raises RecordError where
    the folder does not hold what is needed for it.
    """
    try:
        if _is_told(folder):
            return False
        aside = folder / ASIDE
        _remove(aside)
        (aside / STEPS).mkdir(parents=True)
        (aside / "pywork/tracks.pckl").symlink_to(folder.absolute() / "pywork/tracks.pckl")
        check_plain(folder / "pywork/tracks.pckl")
        tell(folder, into=aside, say=say)
        (aside / "pywork/tracks.pckl").unlink()
        (folder / TOLD).unlink(missing_ok=True)  # from here on the files are of two kinds until the last is there
        for path in sorted(aside.rglob("*"), key=lambda path: path == aside / TOLD):
            if path.is_file():
                path.replace(folder / path.relative_to(aside))
        shutil.rmtree(aside)
    except (FileNotFoundError, *UNREADABLE) as error:
        raise RecordError(
            f"{folder} was made by another version, or is not whole; run its video again, with --only all"
        ) from error
    if drawn := [name for name in (PANEL[0], SOFT_SUBTITLES) if (folder / name).exists()]:
        names = " and ".join(name.rpartition("/")[2] for name in drawn)
        say(f"{folder.name}: {names} still with the names of before; a run with --only all makes that anew.")
    return True


def _is_told(folder: Path) -> bool:
    """Whether the results are of this very ``people.json``."""
    if not (folder / FACTS).exists():
        raise FileNotFoundError(folder / FACTS)
    with reading(folder / TOLD):
        return (folder / TOLD).is_file() and (folder / TOLD).read_text("ascii") == _people_sum(folder)


def _remove(path: Path) -> None:
    """Remove what an interrupted call left, or somebody put there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _people_sum(folder: Path) -> str:
    """Of what stands in it; a file that :func:`read_people` does not read either has one sum, whatever it is."""
    path = folder / PEOPLE
    return hashlib.sha256(path.read_bytes() if path.is_file() else b"").hexdigest()


def _write_page(folder: Path, path: Path, conversation: Conversation, *, facts: Facts, duration_s: float) -> None:
    """The page for people."""
    page = ResultsPage(
        conversation,
        title=facts.video_name,
        duration_s=duration_s,
        video_url=facts.video_url,
        faces=faces_of(folder / PORTRAITS, conversation.persons),
        notes=_notes(facts),
        files=[(name, name) for name in SHOWN_FILES],
    )
    write_page(page, path)


def _notes(facts: Facts) -> list[str]:
    """What a reader of the results should know."""
    found = []
    if facts.scores_are_heuristic:
        found.append("Faces and speakers were found by methods without a trained network: expect mistakes.")
    if not facts.faces_were_compared:
        found.append("Faces were not compared: each time a face is seen it is a person of its own.")
    return found
