"""vidfleet.toml: what a file may say, which one counts, and that a folder of films never chooses what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vidfleet.config import FILE_NAME, fill_in, read_files
from vidfleet.errors import UsageError
from vidfleet.options import Parser, add_options
from vidfleet.settings import RunSettings, WorkloadSettings
from vidfleet.speakers.settings import SpeakersSettings

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

TABLES = {"run": (RunSettings, WorkloadSettings), "speakers": (SpeakersSettings,)}


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of videos, and a working directory."""
    root, here = tmp_path / "root", tmp_path / "here"
    root.mkdir()
    here.mkdir()
    return root, here


def given(*words: str) -> argparse.Namespace:
    parser = Parser(prog="test")
    add_options(parser, RunSettings)
    add_options(parser, WorkloadSettings)
    return parser.parse_args(words)


def read(places: tuple[Path, Path], *words: str) -> argparse.Namespace:
    """The command line, with what the files say where it leaves something open."""
    options = given(*words)
    fill_in(options, read_files(places[0], TABLES, here=places[1]), "run")
    return options


def test_keys_are_flags_with_either_line(places: tuple[Path, Path]) -> None:
    (places[0] / FILE_NAME).write_text('[run]\nnum_gpus = 4\nkeep-failed = true\ntimeout = "5x"\next = ["mpg", "webm"]')
    options = read(places)
    assert (options.num_gpus, options.keep_failed, options.timeout) == (4, True, "5x")
    assert [word for words in options.ext for word in words] == ["mpg", "webm"]


def test_the_command_line_counts_more_and_then_the_file_beside_the_videos(places: tuple[Path, Path]) -> None:
    (places[0] / FILE_NAME).write_text('[run]\nretries = 5\ntimeout = "60"\ninclude = ["a*"]')
    (places[1] / FILE_NAME).write_text('[run]\nretries = 7\ngrace = 3\ntimeout = "70"')
    options = read(places, "--timeout=50", "--include", "b*")
    assert (options.timeout, options.retries, options.grace) == ("50", 5, 3.0)
    assert options.include == [("b*",)]


def test_each_setting_says_where_it_came_from(places: tuple[Path, Path]) -> None:
    (places[1] / FILE_NAME).write_text("[run]\nretries = 7\n[speakers]\nmin-track = 5")
    settings = read_files(places[0], TABLES, here=places[1])
    assert [str(used) for used in fill_in(given(), settings, "run")] == [f"retries = 7 (from {places[1] / FILE_NAME})"]
    assert fill_in(given("--retries=1"), settings, "run") == []


def test_one_file_in_both_places_is_read_once(places: tuple[Path, Path]) -> None:
    (places[0] / FILE_NAME).write_text('[run]\nscript = "infer.py"')
    options = given()
    fill_in(options, read_files(places[0], TABLES, here=places[0]), "run")
    assert options.script == places[0] / "infer.py"


@pytest.mark.parametrize("key", ["script", "worker", "python"])
def test_a_folder_of_films_never_chooses_what_runs(places: tuple[Path, Path], key: str) -> None:
    (places[0] / FILE_NAME).write_text(f'[run]\n{key} = "evil"')
    with pytest.raises(UsageError, match="what runs is not read from beside the videos"):
        read(places)


def test_the_working_directory_may_and_a_worker_on_the_command_line_wins(places: tuple[Path, Path]) -> None:
    (places[1] / FILE_NAME).write_text('[run]\nscript = "infer.py"\nexpect = ["a"]')
    assert read(places).script == places[1] / "infer.py"
    assert read(places, "--worker", "m:C").script is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[run]\nnum_gpu = 4", "[run] num_gpu is no setting; did you mean num_gpus?"),
        ("[run]\nnonsense = 4", "[run] nonsense is no setting; there are "),
        ("[rum]\nnum_gpus = 4", "there is no table [rum]; did you mean run?"),
        ("num_gpus = 4", "there is no table [num_gpus]"),
        ("[run]\nnum_gpus = 0", "[run] num_gpus: argument --num-gpus: '0' is not a whole number of at least 1"),
        ("[run]\nkeep_failed = 3", "[run] keep_failed"),
        ("[run]\nnum_gpus = {a = 1}", "a list of texts is wanted"),
        ("[run]\nnum_gpus = [true]", "a list of texts is wanted"),
        ("[run\n", "--no-config leaves such files out"),
        ('[run]\nschedule = "fastest"', "[run] schedule"),
        ("[speakers]\nnum_gpus = 2", "[speakers] num_gpus is no setting"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(places: tuple[Path, Path], text: str, words: str) -> None:
    (places[0] / FILE_NAME).write_text(text)
    with pytest.raises(UsageError) as refused:
        read(places)
    assert str(places[0] / FILE_NAME) in str(refused.value)
    assert words in str(refused.value)


def test_no_file_means_no_settings(places: tuple[Path, Path]) -> None:
    assert read_files(places[0], TABLES, here=places[1]) == []
    assert read_files(places[0] / "missing", TABLES, here=places[1]) == []
