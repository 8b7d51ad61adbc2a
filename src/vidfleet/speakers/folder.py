"""The pipeline on one folder, called as whisperVideo's ``inference_folder.py`` is: ``--videoFolder DIR``.

Every video directly in DIR is processed, one after the other in this process, into ``DIR/<stem>/``. Many videos
on many GPUs, and resuming, are the runner's work (``parallel_runner.py``).
"""

from __future__ import annotations

import shutil
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.errors import OccupiedError, UsageError, VidfleetError
from vidfleet.options import Parser, add_options, alike, read_options
from vidfleet.speakers import models
from vidfleet.speakers.layout import PEOPLE
from vidfleet.speakers.pipeline import Speakers
from vidfleet.speakers.settings import BY_MASKS, SpeakersSettings, check
from vidfleet.speakers.words.cuda import count_gpus

if TYPE_CHECKING:
    from collections.abc import Sequence

VIDEO_ENDINGS = (".mp4", ".avi", ".mov", ".mkv")


def main(arguments: Sequence[str]) -> int:
    """Run on the words of a command line; return the exit status: 0, 1 (some failed), 2 or 3 (see errors)."""
    return _main("inference_folder.py", "Find who speaks, in every video directly in a folder.", arguments)


def main_sam2(arguments: Sequence[str]) -> int:
    """The same, with faces followed by the masks of a SAM 2 model where boxes leave a doubt."""
    about = (
        "Find who speaks, in every video directly in a folder; SAM 2 tells faces apart where they meet or turn away."
    )
    return _main("inference_folder_sam2.py", about, [*BY_MASKS, *arguments])


def _main(program: str, about: str, arguments: Sequence[str]) -> int:
    parser = Parser(prog=program, description=about)
    parser.add_argument("--videoFolder", required=True, metavar="DIR", type=Path, help="the folder")
    add_options(parser, SpeakersSettings)
    try:
        options = parser.parse_args(alike(arguments))
        return process_folder(options.videoFolder, check(read_options(SpeakersSettings, options)))
    except VidfleetError as error:
        _say(str(error))
        return error.exit_status


def process_folder(folder: Path, settings: SpeakersSettings) -> int:
    """Process all videos directly in ``folder``; return 1 if one failed, else 0.

    Raises UsageError where there is no video, and SetupError where a model cannot be had.
    """
    videos = _videos(folder)
    speakers = Speakers(settings)
    speakers.setup("cuda" if count_gpus() else "cpu")
    for notice in models.notices(settings, models.choose(settings), models.choose_words(settings)):
        _say(notice)
    failed = [video for video in videos if not _succeeds(speakers, video)]
    _say(f"{len(videos) - len(failed)} of {len(videos)} videos done in {folder}")
    return int(bool(failed))


def _videos(folder: Path) -> list[Path]:
    """The videos directly in ``folder``, by name. Raises UsageError where there are none."""
    if not folder.is_dir():
        raise UsageError(f"--videoFolder {folder}: there is no such folder")
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in VIDEO_ENDINGS and path.is_file() and not path.name.startswith(".")
    )
    if not found:
        raise UsageError(f"no video ({', '.join(VIDEO_ENDINGS)}) lies directly in {folder}")
    return found


def _succeeds(speakers: Speakers, video: Path) -> bool:
    """Process one video; what goes wrong is told, and does not keep the others from their turn."""
    try:
        _publish(speakers, video)
    except VidfleetError as error:
        _say(f"{video.name}: {error}")
        return False
    except Exception:  # noqa: BLE001 - whatever breaks one video must not end the folder
        _say(f"{video.name}: failed\n{traceback.format_exc()}")
        return False
    _say(f"{video.name}: done")
    return True


def _publish(speakers: Speakers, video: Path) -> None:
    """Write beside, then rename: a folder that is there is whole."""
    target = video.with_suffix("")
    if target.exists() and not (target / "pywork" / "tracks.csv").is_file():  # the original scripts write none
        raise OccupiedError(f"{target} is there already and is no output of this; move it away")
    growing = video.with_name(f".{video.stem}.growing")
    shutil.rmtree(growing, ignore_errors=True)
    try:
        if (target / PEOPLE).is_file():  # what people have edited stays
            growing.mkdir()
            shutil.copy2(target / PEOPLE, growing / PEOPLE)
        speakers.process(str(video), str(growing), lambda _stage, _share: None, published=str(target))
        if target.exists():
            shutil.rmtree(target)
        growing.rename(target)
    finally:
        shutil.rmtree(growing, ignore_errors=True)


def _say(text: str) -> None:
    """One or more lines for people; characters that the terminal cannot show are escaped."""
    sys.stderr.write(text.encode("utf-8", "backslashreplace").decode("utf-8") + "\n")
