"""The files that tell who said what: for programs, for players, for old tools.

::

    Conversation ─┬─▶ transcript.json                          programs (docs/transcript.md)
                  ├─▶ transcript.srt, .vtt, .ass               players, editors
                  ├─▶ speakers.rttm                            diarisation tools
                  └─▶ matched_diriazation.pckl, ...            tools around whisperVideo
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidfleet.speakers.results.cues import cues_of
from vidfleet.speakers.results.old_pickles import (
    write_matched_diarization,
    write_raw_diarization,
    write_tracks_identity,
)
from vidfleet.speakers.results.rttm import write_rttm
from vidfleet.speakers.results.subtitles import write_ass, write_srt, write_vtt
from vidfleet.speakers.results.transcript import write_transcript

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.speakers.data import Conversation, Transcript

__all__ = ["MAY_BE_EMPTY", "PANEL_SUBTITLES", "RESULT_FILES", "write_results"]

RESULT_FILES = (
    "transcript.json",
    "transcript.srt",
    "transcript.vtt",
    "transcript.ass",
    "speakers.rttm",
    "pywork/raw_diriazation.pckl",
    "pywork/matched_diriazation.pckl",
    "pywork/tracks_identity.pckl",
)
"""What :func:`write_results` always writes, below the video's output folder."""
MAY_BE_EMPTY = ("transcript.srt", "speakers.rttm")
"""Of these, those that have nothing in them where nobody speaks."""
PANEL_SUBTITLES = "pywork/panel_subtitles.ass"
"""Written for the panel only."""


def write_results(
    folder: Path,
    conversation: Conversation,
    transcript: Transcript,
    *,
    video_name: str,
    duration_s: float,
    size: tuple[int, int],
    panel: bool = False,
) -> None:
    """Write all files into a video's output folder, where ``pywork/tracks.pckl`` already lies.

    ``video_name`` is the file's name with its ending, ``size`` the picture's width and height in pixels as it is
    shown. Nothing is written aside: the folder is published as a whole.
    """
    work = folder / "pywork"
    write_transcript(folder / "transcript.json", conversation, video_name=video_name, duration_s=duration_s)
    cues = cues_of(conversation, duration_s=duration_s)
    write_srt(folder / "transcript.srt", cues)
    write_vtt(folder / "transcript.vtt", cues, conversation)
    for path in (folder / "transcript.ass", *((folder / PANEL_SUBTITLES,) if panel else ())):
        write_ass(path, cues, conversation, width=size[0], height=size[1])
    write_rttm(folder / "speakers.rttm", conversation, video_name=video_name.rpartition(".")[0] or video_name)
    person_of = {track: person.name for person in conversation.persons for track in person.tracks}
    write_raw_diarization(work / "raw_diriazation.pckl", transcript)
    write_matched_diarization(work / "matched_diriazation.pckl", conversation)
    write_tracks_identity(work / "tracks_identity.pckl", work / "tracks.pckl", person_of=person_of)
