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
from vidfleet.speakers.kept import read_spans, read_words
from vidfleet.speakers.layout import GROUPS, PAGE, PEOPLE, PORTRAITS, SEEN, SPEECH, STEPS, WORDS
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
    facts = Facts(**json.loads((folder / FACTS).read_text("ascii")))
    seen = Seen.load(folder / SEEN)
    if seen is None:
        raise RecordError(f"{folder / SEEN} cannot be read; delete the folder and run the video again")
    groups = read_groups(folder / GROUPS)
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
        if (folder / TOLD).read_text("ascii") == _people_sum(folder):
            return False
        aside = folder / ASIDE
        shutil.rmtree(aside, ignore_errors=True)
        (aside / STEPS).mkdir(parents=True)
        (aside / "pywork/tracks.pckl").symlink_to(folder.absolute() / "pywork/tracks.pckl")
        tell(folder, into=aside, say=say)
        (aside / "pywork/tracks.pckl").unlink()
        for path in sorted(aside.rglob("*"), key=lambda path: path == aside / TOLD):
            if path.is_file():
                path.replace(folder / path.relative_to(aside))
        shutil.rmtree(aside)
    except (FileNotFoundError, ValueError, TypeError) as error:
        raise RecordError(f"{folder} was made by another version, or is not whole; run its video again") from error
    if (folder / "pyavi/video_with_panel.mp4").exists():
        say(f"{folder.name}: video_with_panel.mp4 still has the names of before; run the video again to draw it anew.")
    return True


def _people_sum(folder: Path) -> str:
    return hashlib.sha256((folder / PEOPLE).read_bytes()).hexdigest()


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
