"""One frozen dataclass says what may be asked for, in Python and on the command line alike."""

from __future__ import annotations

from argparse import SUPPRESS
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pytest

from vidfleet.errors import UsageError
from vidfleet.options import Parser, add_options, alike, option, parse_options, to_arguments
from vidfleet.settings import RunSettings, WorkloadSettings
from vidfleet.speakers.settings import SpeakersSettings


def _half(text: str) -> float:
    if text != "0.5":
        raise ValueError(f"{text!r} is not a half")
    return 0.5


@dataclass(frozen=True)
class Settings:
    min_track: int = option(10, "pictures", also=("--minTrack",), metavar="N")
    share: float = option(0.25, "a 100 % share", parse=_half)
    depth: int = option(0, "how deep")
    mode: Literal["fast", "good"] = option("good", "which")
    words: tuple[str, ...] = option((), "several")
    place: Path | None = option(None, "where")
    render: bool = option(True, "draw")
    title: str = option("", "a title")
    unused: int = option(7, SUPPRESS)
    not_an_option: int = 3


def _parse(*arguments: str) -> Settings:
    return parse_options(Settings, arguments, program="test")


def test_what_is_not_given_keeps_its_default() -> None:
    assert _parse() == Settings()


@pytest.mark.parametrize("flag", ["--min-track", "--min_track", "--minTrack"])
def test_dashes_and_underscores_are_alike_in_flags(flag: str) -> None:
    assert _parse(flag, "5").min_track == 5
    assert _parse(f"{flag}=5").min_track == 5


def test_underscores_in_values_stay() -> None:
    assert _parse("--title=--a_b").title == "--a_b"
    assert _parse("--title", "a_b").title == "a_b"
    assert alike(["--a_b", "c_d", "--", "--e_f"]) == ["--a-b", "c_d", "--", "--e_f"]


def test_each_kind_of_field_is_read() -> None:
    found = _parse("--share", "0.5", "--mode=fast", "--place", "a b/c", "--no-render", "--words", "a,b", "--words=c")
    assert found == Settings(
        share=0.5, mode="fast", place=Path("a b/c"), render=False, words=("a", "b", "c")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--nonsense"], "--nonsense"),
        (["--min-tr", "5"], "--min-tr"),
        (["--not-an-option", "5"], "--not-an-option"),
        (["--share", "x"], "'x' is not a half"),
        (["--min-track", "many"], "'many'"),
        (["--mode", "bad"], "'bad'"),
        (["--title"], "expected one argument"),
        (["a stray word"], "a stray word"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        _parse(*arguments)
    assert words in str(refused.value)
    assert "test --help" in str(refused.value)


@pytest.mark.parametrize("settings", [
    Settings(), Settings(min_track=-3, share=0.5, depth=2, mode="fast", words=("a", "b c"), place=Path("-x/y=z")),
    Settings(render=False, title="--no"), Settings(title="a\nb 'c' $(d)"), Settings(words=("x",)),
])  # fmt: skip
def test_a_command_line_means_what_it_was_made_of(settings: Settings) -> None:
    assert _parse(*to_arguments(settings)) == settings


def test_defaults_are_left_out_of_a_command_line() -> None:
    assert to_arguments(Settings()) == ()
    assert to_arguments(Settings(min_track=3, render=False)) == ("--min-track=3", "--no-render")


def test_the_help_shows_text_and_default_and_hides_what_is_suppressed() -> None:
    parser = Parser(prog="test")
    add_options(parser, Settings)
    text = parser.format_help()
    assert "pictures (default: 10)" in " ".join(text.split())
    assert "how deep (default: 0)" in " ".join(text.split())
    assert "a 100 % share" in text
    assert "unused" not in text
    assert "SUPPRESS" not in text


@pytest.mark.parametrize("settings", [RunSettings, WorkloadSettings, SpeakersSettings])
def test_every_field_of_ours_is_an_option_with_a_help(settings: type[Any]) -> None:
    assert all(item.metadata.get("help") for item in fields(settings))
    parser = Parser(prog="test")
    add_options(parser, settings)
    assert parser.format_help()


@pytest.mark.parametrize(
    ("flag", "bad"),
    [
        ("--num-gpus", ["0", "-1", "x", "1.5", ""]),
        ("--per-gpu", ["0", "autoo"]),
        ("--memfree", ["", "x", "-1", "nan", "%", "100%", "5%5%", "1e300", "1e308T"]),
        ("--cores-per-lane", ["0", "x", "1.5"]),
        ("--limit", ["0", "all"]),
        ("--retries", ["-1", "x"]),
        ("--devices", ["cpu", "cpu:0", "gpu:1", "cpu:x", "4"]),
        ("--timeout", ["0", "-5", "x", "5xx", "nan", "inf", "infx", "5 minutes"]),
        ("--grace", ["-1", "nan", "inf", "x"]),
        ("--schedule", ["fastest"]),
        ("--stage-by", ["magic"]),
    ],
)
def test_bad_values_of_a_run_are_refused(flag: str, bad: list[str]) -> None:
    for value in bad:
        with pytest.raises(UsageError, match=flag):
            parse_options(RunSettings, [f"{flag}={value}"], program="test")


@pytest.mark.parametrize(
    ("words", "said"),
    [("--per-gpu=atuo", "'atuo' is not a whole number of at least 1, nor auto"),
     ("--cores-per-lane=al", "'al' is not a whole number of at least 1, nor all"),
     ("--cores-per-lane=9999", "9999 is more cores than any machine has")],
)  # fmt: skip
def test_what_is_said_of_a_bad_number_is_of_its_flag(words: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_options(RunSettings, [words], program="test")


def test_good_values_of_a_run_come_back_from_their_command_line() -> None:
    words = [
        "--num_gpus=4",
        "--timeout=5x",
        "--grace=0",
        "--retries=0",
        "--gpus=0,GPU-1a",
        "--gpus",
        "2",
        "--ext=mpg,webm",
        "--devices=cpu:4",
        "--schedule=round-robin",
        "--no-retry-failed",
        "--output=/x y",
    ]
    found = parse_options(RunSettings, words, program="test")
    assert found.gpus == ("0", "GPU-1a", "2")
    assert (found.num_gpus, found.timeout, found.grace, found.retry_failed) == (4, "5x", 0.0, False)
    assert found.endings == {".mp4", ".avi", ".mov", ".mkv", ".mpg", ".webm"}
    assert parse_options(RunSettings, to_arguments(found), program="test") == found
