"""One name for a person in all films of a series, and what people edited there holds as well."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from vidfleet.errors import RecordError, UsageError
from vidfleet.speakers import people
from vidfleet.speakers.data import FaceVector, Method
from vidfleet.speakers.identity import vectors_file
from vidfleet.speakers.identity.held import identify
from vidfleet.speakers.identity.vectors_file import read_vectors, write_vectors
from vidfleet.speakers.people import main, rename_persons

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

METHOD = Method("colours", "1" * 64)
FRASIER, NILES, ROZ, EDDIE = np.eye(4, dtype=np.float32)


@dataclass(frozen=True)
class Trail:
    """A face that stays where it is."""

    start: int
    end: int
    x: float

    @property
    def boxes(self) -> NDArray[np.float64]:
        return np.tile([self.x - 30, 60.0, self.x + 30, 140.0], (self.end - self.start, 1))


def film(
    root: Path,
    name: str,
    *looks: NDArray[np.float32],
    method: Method = METHOD,
    shift: int = 0,
    keep: bool = True,
    spoken: Sequence[float] | None = None,
) -> Path:
    """What a run leaves of a film whose faces come one after the other; the first speaks longest."""
    folder = root / name
    for part in ("pywork", "pyavi"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    trails = [Trail(200 * i + shift, 200 * i + 150 + shift, 100.0 + 10 * i) for i in range(len(looks))]
    vectors = [FaceVector(i, look, 5) for i, look in enumerate(looks)]
    spoken = [float(10 - i) for i in range(len(looks))] if spoken is None else spoken
    identify(folder / "people.json", trails, vectors, spoken=spoken, joins_at=0.5)
    if keep:
        path = folder / "pywork" / "face_vectors.npz"
        write_vectors(path, trails, vectors, spoken=spoken, method=method, joins_at=0.5)
    return folder


def names(folder: Path) -> list[str]:
    return [person["name"] for person in load(folder)["persons"]]


def load(folder: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((folder / "people.json").read_text("utf-8"))
    return plain


def rename(folder: Path, old: str, new: str) -> None:
    path = folder / "people.json"
    plain = load(folder)
    for person in plain["persons"]:
        person["name"] = new if person["name"] == old else person["name"]
    path.write_text(json.dumps(plain), "utf-8")


def series(root: Path, **more: Any) -> tuple[int, list[str]]:  # noqa: ANN401
    said: list[str] = []
    return main(root, say=said.append, **more), said


@pytest.fixture
def two_films(tmp_path: Path) -> tuple[Path, Path]:
    one = film(tmp_path, "02/Frasier_02x01", FRASIER, NILES, ROZ)
    return one, film(tmp_path, "02/Frasier_02x02", ROZ, EDDIE, FRASIER)


def test_the_same_face_in_two_films_is_one_person_of_the_series(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    status, said = series(tmp_path)
    assert status == 0
    assert "4 persons in 2 films, 2 of them in several" in said[-1]
    persons = load(tmp_path)["persons"]
    assert [(person["name"], person["spoken_s"], len(person["tracks"])) for person in persons] == [
        ("Person_1", 18.0, 2),
        ("Person_2", 18.0, 2),
        ("Person_3", 9.0, 1),
        ("Person_4", 9.0, 1),
    ]
    assert persons[0]["tracks"][0].startswith("02/Frasier_02x01: 0:00:00.00-0:00:06.00 at ")
    assert names(two_films[0]) == ["Person_1", "Person_2", "Person_3"], "numbers of the series stay in the series"


def test_a_name_given_in_the_series_reaches_each_film(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    series(tmp_path)
    rename(tmp_path, "Person_1", "Frasier")
    series(tmp_path)
    assert names(two_films[0]) == ["Frasier", "Person_2", "Person_3"]
    assert names(two_films[1]) == ["Person_1", "Person_2", "Frasier"]
    rename(tmp_path, "Frasier", "Dr. Crane")
    series(tmp_path)
    assert names(two_films[0])[0] == names(two_films[1])[2] == "Dr. Crane"
    before = (tmp_path / "people.json").read_bytes()
    series(tmp_path)
    assert (tmp_path / "people.json").read_bytes() == before


def test_a_name_given_in_one_film_reaches_the_others(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    rename(two_films[0], "Person_3", "Roz")
    series(tmp_path)
    assert names(two_films[1]) == ["Roz", "Person_2", "Person_3"]
    assert "Roz" in [person["name"] for person in load(tmp_path)["persons"]]


def test_a_films_name_that_gives_way_to_the_series_is_told_of(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    series(tmp_path)
    rename(tmp_path, "Person_1", "Frasier")
    series(tmp_path)
    rename(two_films[0], "Frasier", "Kelsey")
    _, said = series(tmp_path)
    assert any("Kelsey is Frasier now" in text and "people.json" in text for text in said)
    assert "Kelsey" not in names(two_films[0])
    assert not any("Kelsey" in text for text in series(tmp_path)[1])


def test_a_new_film_finds_the_names_that_were_given(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    series(tmp_path)
    rename(tmp_path, "Person_1", "Frasier")
    series(tmp_path)
    third = film(tmp_path, "02/Frasier_02x03", EDDIE, FRASIER)
    series(tmp_path)
    assert names(third) == ["Person_1", "Frasier"]


def test_names_stay_when_a_film_is_run_again_with_other_cuts(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    series(tmp_path)
    rename(tmp_path, "Person_1", "Frasier")
    series(tmp_path)
    film(tmp_path, "02/Frasier_02x01", FRASIER, NILES, ROZ, shift=11, spoken=(1.0, 2.0, 3.0))
    status, said = series(tmp_path)
    assert status == 0
    assert names(two_films[0]) == ["Person_1", "Person_2", "Frasier"]
    assert len(load(tmp_path)["persons"]) == 4
    assert not [line for line in said if "no face is found" in line]


def test_two_persons_of_one_film_are_two_though_they_look_alike(tmp_path: Path) -> None:
    half = np.sqrt(0.5).astype(np.float32)
    twin = half * (FRASIER + NILES)
    film(tmp_path, "a", (FRASIER - 0.6 * ROZ) / np.linalg.norm(FRASIER - 0.6 * ROZ), NILES)
    film(tmp_path, "b", twin)
    series(tmp_path)
    assert [len(person["tracks"]) for person in load(tmp_path)["persons"]] == [2, 1]


def test_different_names_are_different_persons(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    rename(two_films[0], "Person_1", "Frasier")
    rename(two_films[1], "Person_3", "his double")
    series(tmp_path)
    assert names(two_films[0])[0] == "Frasier"
    assert names(two_films[1])[2] == "his double"


def test_a_face_that_was_moved_in_the_series_stays_there(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    series(tmp_path)
    plain = load(tmp_path)
    plain["persons"].append({"name": "his double", "tracks": [plain["persons"][0]["tracks"].pop()]})
    (tmp_path / "people.json").write_text(json.dumps(plain), "utf-8")
    for _ in range(2):
        series(tmp_path)
        assert names(two_films[0]) == ["Person_1", "Person_2", "Person_3"]
        assert names(two_films[1]) == ["Person_1", "Person_2", "his double"]


def test_each_film_is_shown_anew_once_all_names_are_in_its_file(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    rename(two_films[0], "Person_1", "Frasier")
    seen: dict[Path, list[str]] = {}

    def render(folder: Path) -> bool:
        seen[folder] = names(folder)
        return folder == two_films[1]

    _, said = series(tmp_path, render=render)
    assert seen == {
        two_films[0]: ["Frasier", "Person_2", "Person_3"],
        two_films[1]: ["Person_1", "Person_2", "Frasier"],
    }
    assert [line for line in said if "up to date" in line] == [f"{two_films[1]}: brought up to date"]


def test_a_film_that_cannot_be_shown_anew_keeps_no_other_from_it(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    shown: list[Path] = []

    def render(folder: Path) -> bool:
        if folder == two_films[0]:
            raise OSError("no space left")
        shown.append(folder)
        return True

    status, said = series(tmp_path, render=render)
    assert status == 1
    assert any("02/Frasier_02x01" in line and "no space left" in line for line in said)
    assert shown == [two_films[1]]


def test_edits_are_shown_also_where_no_vectors_are(tmp_path: Path) -> None:
    one = film(tmp_path, "a", FRASIER, keep=False)
    rename(one, "Person_1", "Frasier")
    status, said = series(tmp_path, render=lambda folder: folder == one)
    assert status == 0
    assert f"{one}: brought up to date" in said
    assert any("--keep-embeddings" in line for line in said)
    assert not (tmp_path / "people.json").exists()


def test_films_that_cannot_be_compared_are_left_out_and_named(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    film(tmp_path, "without", FRASIER, keep=False)
    film(tmp_path, "other network", FRASIER, method=Method("other", "2" * 64))
    broken = film(tmp_path, "broken", FRASIER)
    (broken / "pywork" / "face_vectors.npz").write_bytes(b"PK\x03\x04 and no more")
    edited = film(tmp_path, "edited", FRASIER)
    (edited / "people.json").write_text("{", "utf-8")
    _, said = series(tmp_path)
    assert "in 2 films" in said[-1]
    text = "\n".join(said)
    for part in ("1 films without face vectors", "other network", "broken", "edited"):
        assert part in text
    assert (edited / "people.json").read_text() == "{"


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are UTF-8 there")
def test_folders_whose_names_are_no_text_are_films_too(tmp_path: Path) -> None:
    odd = film(tmp_path, os.fsdecode(b"caf\xe9: one"), FRASIER)
    rename(film(tmp_path, "b", FRASIER), "Person_1", "Frasier")
    for _ in range(2):
        assert series(tmp_path)[0] == 0
    assert names(odd) == ["Frasier"]
    assert sorted(load(tmp_path)["persons"][0]["tracks"])[1].startswith("caf\\xe9: one: 0:00:00.00-")


def test_a_film_that_cannot_be_written_to_is_named(
    tmp_path: Path, two_films: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rename(two_films[0], "Person_1", "Frasier")

    def refuse(folder: Path, _names: Mapping[str, str]) -> bool:
        raise OSError(f"{folder} is read-only")

    monkeypatch.setattr(people, "rename_persons", refuse)
    status, said = series(tmp_path)
    assert status == 1
    assert any("the names could not be carried over" in line and "read-only" in line for line in said)


def test_one_films_folder_is_shown_anew_and_its_file_stays_its_own(two_films: tuple[Path, Path]) -> None:
    rename(two_films[0], "Person_1", "Frasier")
    before = (two_films[0] / "people.json").read_bytes()
    assert series(two_films[0], render=lambda _folder: True) == (0, [f"{two_films[0]}: brought up to date"])
    assert (two_films[0] / "people.json").read_bytes() == before


def test_a_root_without_films_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="run vidfleet speakers on it first"):
        series(tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        series(tmp_path / "absent")


def test_a_fault_in_the_series_file_is_named_and_the_file_kept(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    (tmp_path / "people.json").write_text('{"persons": [{"name": "A", "tracks": ["Frasier"]}]}', "utf-8")
    before = (tmp_path / "people.json").read_bytes()
    _, said = series(tmp_path)
    assert any("no place" in line for line in said)
    assert (tmp_path / "people.json").read_bytes() == before


def test_lines_of_films_that_are_not_here_now_are_kept(tmp_path: Path, two_films: tuple[Path, Path]) -> None:
    series(tmp_path)
    rename(tmp_path, "Person_1", "Frasier")
    series(tmp_path)
    two_films[1].rename(tmp_path / ".away")
    series(tmp_path)
    (frasier,) = (person for person in load(tmp_path)["persons"] if person["name"] == "Frasier")
    assert len(frasier["tracks"]) == 2


def test_renaming_refuses_what_is_no_name_and_files_with_faults(two_films: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="means nobody"):
        rename_persons(two_films[0], {"Person_1": "None"})
    assert not rename_persons(two_films[0], {"Nobody": "Somebody"})
    assert rename_persons(two_films[0], {"Person_1": "Person_2", "Person_2": "Person_1"})
    assert names(two_films[0]) == ["Person_2", "Person_1", "Person_3"]
    (two_films[0] / "people.json").write_text("{", "utf-8")
    with pytest.raises(RecordError, match=r"people\.json"):
        rename_persons(two_films[0], {"Person_1": "A"})


def test_vectors_come_back_as_they_were_and_are_for_their_owner_alone(two_films: tuple[Path, Path]) -> None:
    path = two_films[0] / "pywork" / "face_vectors.npz"
    stored = read_vectors(path)
    assert stored.vectors == pytest.approx(np.stack([FRASIER, NILES, ROZ]))
    assert stored.embedder == METHOD.sha256
    assert stored.lines[1].startswith("0:00:08.00-0:00:14.00 at 110,100")
    assert path.stat().st_mode & 0o077 == 0
    assert os.listdir(path.parent) == ["face_vectors.npz"]


def test_a_film_without_a_well_seen_face_has_no_vectors_and_that_is_no_fault(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.npz", [], [], spoken=[], method=METHOD, joins_at=0.5)
    assert read_vectors(tmp_path / "v.npz").lines == ()
    film(tmp_path, "a")
    assert series(tmp_path)[0] == 0


def test_nothing_pickled_is_ever_read(tmp_path: Path) -> None:
    film(tmp_path, "a", FRASIER)
    path = tmp_path / "a" / "pywork" / "face_vectors.npz"
    with np.load(path) as arrays:
        plain = dict(arrays)
    plain["lines"] = np.array([{"a": 1}], dtype=object)
    np.savez(path, **plain)
    with pytest.raises(RecordError, match="cannot be read"):
        read_vectors(path)


@pytest.mark.parametrize("name", ["vectors", "views", "lines", "schema"])
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, name: str) -> None:
    film(tmp_path, "a", FRASIER, NILES)
    path = tmp_path / "a" / "pywork" / "face_vectors.npz"
    with np.load(path) as arrays:
        plain = dict(arrays)
    plain[name] = np.array([np.nan])
    np.savez(path, **plain)
    with pytest.raises(RecordError):
        read_vectors(path)


def test_a_packed_file_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path, "a", FRASIER)
    monkeypatch.setattr(vectors_file, "MOST_BYTES", 1000)
    with pytest.raises(RecordError, match="MiB"):
        read_vectors(tmp_path / "a" / "pywork" / "face_vectors.npz")
