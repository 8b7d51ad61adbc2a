"""What tools around whisperVideo read: pickles that load anywhere, and the person column of the table."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from vidfleet.errors import RecordError
from vidfleet.speakers.attribution import who_said
from vidfleet.speakers.data import GRID_RATE, Person, Sentence, Span, Track, Transcript, Word
from vidfleet.speakers.results import MAY_BE_EMPTY, PANEL_SUBTITLES, RESULT_FILES, write_results
from vidfleet.speakers.results.old_pickles import write_tracks_identity
from vidfleet.speakers.seen import Seen, SeenTrack
from vidfleet.speakers.tables import TRACKS_HEADER, PickledList, faces_item, track_item, write_tracks

if TYPE_CHECKING:
    from vidfleet.speakers.data import Conversation

FRAMES = 100
NAME = 'Zoë, "the <b>";\n2nd'


def track(number: int, start: int) -> Track:
    frames = np.arange(start, start + FRAMES)
    line = np.linspace(10, 20, FRAMES)
    boxes = np.stack([line, line, line + 50, line + 60], axis=1)
    return Track(frames, boxes, line, line, np.full(FRAMES, 25.0), f"pycrop/{number:05d}")


TRACKS = (track(0, 0), track(1, 0), track(2, 100))
SCORES = tuple(np.full(FRAMES - 1, value) for value in (3.0, -3.0, -3.0))
SEEN = Seen(
    np.arange(2 * FRAMES) / GRID_RATE,
    (),
    tuple(
        SeenTrack(number, one.start, one.boxes.astype(np.float32), scores.astype(np.float32))
        for number, (one, scores) in enumerate(zip(TRACKS, SCORES, strict=True))
    ),
)
PERSONS = (Person(NAME, (0, 2), 4.0), Person("Person_2", (1,), 0.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A video's output folder after the pass over its pictures."""
    work = tmp_path / "film" / "pywork"
    work.mkdir(parents=True)
    with PickledList(work / "tracks.pckl") as tracks, PickledList(work / "scores.pckl") as scores:
        for one, values in zip(TRACKS, SCORES, strict=True):
            tracks.append(track_item(one))
            scores.append(values)
    with PickledList(work / "faces.pckl") as faces:
        faces.append(faces_item([]))
    return work.parent


def written(folder: Path, *, panel: bool = False) -> Conversation:
    words = (Word("Bonjour,", 1.0, 1.4, 0.9), Word("toi.", 1.4, 1.9, 0.8))
    late = (Word("«Non»", 6.0, 6.5, 1.0),)
    sentences = (Sentence("Bonjour, toi.", 1.0, 1.9, words, "fr"), Sentence("«Non»", 6.0, 6.5, late, "fr"))
    transcript = Transcript(sentences, "film.srt")
    said = who_said(
        transcript,
        speech=[Span(1.0, 1.9), Span(6.0, 6.5)],
        persons=PERSONS,
        tracks=SEEN.tracks,
    )
    size = (640, 360)
    write_results(folder, said, transcript, video_name="film.mp4", duration_s=8.0, size=size, panel=panel)
    return said


def load(folder: Path, name: str) -> Any:  # noqa: ANN401
    return pickle.loads((folder / "pywork" / name).read_bytes())


def test_every_promised_file_is_there_and_nothing_else(folder: Path) -> None:
    before = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    written(folder)
    after = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert after - before == set(RESULT_FILES)
    assert before <= after


def test_the_panels_subtitles_are_written_for_the_panel_only(folder: Path) -> None:
    written(folder, panel=True)
    assert (folder / PANEL_SUBTITLES).read_bytes() == (folder / "transcript.ass").read_bytes()


def test_the_pickles_have_the_structures_of_whispervideo(folder: Path) -> None:
    written(folder)
    assert load(folder, "raw_diriazation.pckl") == [
        {
            "start": 1.0,
            "end": 1.9,
            "text": "Bonjour, toi.",
            "words": [
                {"word": "Bonjour,", "start": 1.0, "end": 1.4, "score": 0.9},
                {"word": "toi.", "start": 1.4, "end": 1.9, "score": 0.8},
            ],
        },
        {"start": 6.0, "end": 6.5, "text": "«Non»", "words": [{"word": "«Non»", "start": 6.0, "end": 6.5, "score": 1}]},
    ]
    assert load(folder, "matched_diriazation.pckl") == [
        {"start": 1.0, "end": 1.9, "identity": NAME, "text": "Bonjour, toi.", "msg_idx": 1},
        {"start": 6.0, "end": 6.5, "identity": "None", "text": "«Non»", "msg_idx": 2},
    ]


def test_tracks_get_their_person_and_stay_what_they_were(folder: Path) -> None:
    write_tracks_identity(
        folder / "pywork/tracks_identity.pckl", folder / "pywork/tracks.pckl", person_of={0: "Anna", 2: NAME}
    )
    found, plain = load(folder, "tracks_identity.pckl"), load(folder, "tracks.pckl")
    assert [each.pop("identity") for each in found] == ["Anna", None, NAME]
    for one, other in zip(found, plain, strict=True):
        assert list(one) == list(other)
        np.testing.assert_array_equal(one["track"]["bbox"], other["track"]["bbox"])
        np.testing.assert_array_equal(one["proc_track"]["s"], other["proc_track"]["s"])


def test_a_pickle_that_runs_something_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "tracks.pckl").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(RecordError, match=r"tracks\.pckl") as raised:
        write_tracks_identity(tmp_path / "out.pckl", tmp_path / "tracks.pckl", person_of={})
    assert "os.system" in str(raised.value.__cause__)


def test_no_pickle_names_what_only_one_numpy_has(folder: Path) -> None:
    written(folder)
    for path in (folder / "pywork").glob("*.pckl"):
        assert b"numpy._core" not in path.read_bytes(), path.name


NUMPY_1 = "numpy==1.26.4"
READ_ALL = """
import json, pickle, sys, numpy
from pathlib import Path
found = {path.name: pickle.loads(path.read_bytes()) for path in Path(sys.argv[1]).glob("*.pckl")}
sizes = {name: len(value) for name, value in found.items()}
first = found["tracks_identity.pckl"][0]
total = first["track"]["bbox"].sum()
print(json.dumps([numpy.__version__, sizes, first["identity"], total, "vidfleet" in sys.modules]))
"""


@pytest.mark.slow
def test_every_pickle_loads_where_there_is_numpy_1_and_nothing_of_ours(folder: Path, tmp_path: Path) -> None:
    """All but scene.pckl, which holds PySceneDetect's own type."""
    if sys.version_info >= (3, 13):
        pytest.skip(f"{NUMPY_1} has no wheel for this Python")
    written(folder)
    try:
        venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no environment can be made here: {error}")
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", NUMPY_1]
    got = subprocess.run(install, capture_output=True, text=True, timeout=150)
    if got.returncode:
        pytest.skip(f"{NUMPY_1} cannot be installed: {got.stderr.strip().splitlines()[-1:]}")
    done = subprocess.run(
        [python, "-I", "-c", READ_ALL, str(folder / "pywork")], capture_output=True, text=True, check=True
    )
    version, sizes, name, total, has_ours = json.loads(done.stdout)
    assert (version, name, has_ours) == ("1.26.4", NAME, False)
    assert total == pytest.approx(float(TRACKS[0].boxes.sum()))
    assert sizes == {
        "faces.pckl": 1,
        "matched_diriazation.pckl": 2,
        "raw_diriazation.pckl": 2,
        "scores.pckl": 3,
        "tracks.pckl": 3,
        "tracks_identity.pckl": 3,
    }


def test_pandas_reads_the_table_with_its_persons(folder: Path) -> None:
    path = folder / "pywork" / "tracks.csv"
    write_tracks(path, SEEN, person_of={0: NAME, 1: "Person_2"}, face_method="YuNet", score_method="LR-ASD")
    table = pd.read_csv(path, keep_default_na=False)
    assert tuple(table.columns) == TRACKS_HEADER
    assert table.groupby("track")["person"].unique().map(list).to_dict() == {0: [NAME], 1: ["Person_2"], 2: [""]}


def test_a_film_in_which_nothing_happens_has_all_files_too(folder: Path) -> None:
    nothing = Transcript((), "")
    said = who_said(nothing, speech=[], persons=[], tracks=[])
    write_results(folder, said, nothing, video_name="film", duration_s=0.0, size=(2, 2))
    sizes = {name: (folder / name).stat().st_size for name in RESULT_FILES}
    assert {name for name, size in sizes.items() if not size} == set(MAY_BE_EMPTY)
    assert load(folder, "matched_diriazation.pckl") == []


def test_what_docs_say_of_the_transcript_is_so(folder: Path) -> None:
    """The page's Python runs on a real folder and prints what it says."""
    written(folder)
    page = Path(__file__).resolve().parents[2] / "docs" / "transcript.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder.parent, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["6.0", "off", "screen", "«Non»"]
