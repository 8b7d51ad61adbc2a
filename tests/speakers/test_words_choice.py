"""Where words come from is decided once, and said."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, NoReturn

import pytest

from tests.support.tiny_whisper import make_whisper
from vidfleet.errors import SetupError, UsageError, WeightsError
from vidfleet.speakers.hub import ModelFiles
from vidfleet.speakers.words import choice as module
from vidfleet.speakers.words.base import NoWords
from vidfleet.speakers.words.choice import WordSource, choose_words
from vidfleet.speakers.words.sidecar import SidecarWords
from vidfleet.speakers.words.whisper import Whisper

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model and no GPU, as on a machine of which nothing is known."""
    monkeypatch.setattr(module, "count_gpus", lambda: 0)
    monkeypatch.setattr(module, "find_whisper", lambda _wanted, *, weights: None)


def no_network(wanted: str) -> NoReturn:
    raise WeightsError(f"the Whisper model {wanted} is not here.\nhf download it")


@pytest.fixture
def tiny(tmp_path: Path) -> ModelFiles:
    return ModelFiles("tiny", make_whisper(tmp_path / "tiny"))


def test_auto_is_whisper_where_its_model_can_be_had(tiny: ModelFiles) -> None:
    asked: list[str] = []

    def fetch(wanted: str) -> ModelFiles:
        asked.append(wanted)
        return tiny

    for gpu in (True, False):
        chosen = choose_words("auto", gpu=gpu, fetch=fetch)
        assert (chosen.words, chosen.whisper, chosen.notice, chosen.inputs) == ("whisper", tiny, "", ())
        assert chosen.method.name == "faster-whisper tiny"
    assert asked == ["large-v3-turbo", "small"]


def test_auto_without_a_model_is_what_lies_beside_the_videos_and_says_so() -> None:
    chosen = choose_words("auto", fetch=no_network)
    assert (chosen.words, chosen.inputs) == ("sidecar", (".json", ".srt", ".vtt"))
    assert chosen.notice.startswith("the Whisper model small is not here. So words come from")
    assert (chosen.method.name, chosen.method.is_heuristic) == ("subtitles", True)


def test_a_gpu_that_whisper_cannot_use_is_told_with_what_to_install(
    tiny: ModelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = choose_words("whisper", fetch=lambda _wanted: tiny)
    assert chosen.notice == ""
    monkeypatch.setattr(module, "count_gpus", lambda: 8)
    monkeypatch.setattr(module, "load_cublas", lambda: False)
    assert "Whisper runs on the CPU" in chosen.notice
    assert "pip install nvidia-cublas-cu12" in chosen.notice
    assert not module.has_gpu()
    monkeypatch.setattr(module, "load_cublas", lambda: True)
    assert (chosen.notice, module.has_gpu()) == ("", True)


def test_whisper_that_was_asked_for_stops_the_run_with_the_command() -> None:
    with pytest.raises(WeightsError, match="hf download it"):
        choose_words("whisper", whisper="base", fetch=no_network)


@pytest.mark.parametrize("words", ["sidecar", "none", "sphinx"])
def test_what_needs_no_model_looks_for_none(words: module.Wanted) -> None:
    def never(wanted: str) -> NoReturn:
        pytest.fail(f"{wanted} was looked for")

    if words == "sphinx":
        pytest.importorskip("pocketsphinx")
    chosen = choose_words(words, fetch=never)
    assert (chosen.words, chosen.notice) == (words, "")
    assert chosen.arguments == ["--words", words]


def test_the_lanes_get_the_decision_and_not_the_question(tiny: ModelFiles) -> None:
    chosen = choose_words("auto", fetch=lambda _wanted: tiny)
    assert chosen.arguments == ["--words", "whisper", "--whisper", str(tiny.folder)]


def test_a_lane_has_its_model_for_all_videos_and_files_for_each(tiny: ModelFiles, tmp_path: Path) -> None:
    whisper = WordSource(choose_words("whisper", fetch=lambda _wanted: tiny))
    first, second = (whisper.of(tmp_path / name, zero=Fraction(0)) for name in ("a.mp4", "b.mp4"))
    assert isinstance(first, Whisper)
    assert first is second
    files = WordSource(choose_words("sidecar"))
    assert isinstance(files.of(tmp_path / "a.mp4", zero=Fraction(0)), SidecarWords)
    assert isinstance(WordSource(choose_words("none")).of(tmp_path / "a.mp4", zero=Fraction(0)), NoWords)


def test_a_grammar_is_for_sphinx_alone_and_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--grammar is for --words sphinx"):
        choose_words("auto", grammar=tmp_path / "g.jsgf")
    with pytest.raises(UsageError, match="no such file"):
        choose_words("sphinx", grammar=tmp_path / "g.jsgf")


def test_sphinx_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SetupError, match=r"pip install 'vidfleet\[sphinx\]'"):
        choose_words("sphinx")


def test_deciding_loads_no_network() -> None:
    code = "import sys, vidfleet.speakers.words.choice as c; c.choose_words('sidecar'); print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"av", "faster_whisper", "ctranslate2", "pocketsphinx", "huggingface_hub"}
