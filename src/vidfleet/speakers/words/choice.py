"""Where a run's words come from: decided once, before its first video.

Nothing heavy is imported here, so that asking takes no time.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vidfleet.errors import SetupError, UsageError, WeightsError
from vidfleet.speakers.hub import ModelFiles
from vidfleet.speakers.words.base import SIDECAR_ENDINGS, SIDECAR_METHOD, NoWords
from vidfleet.speakers.words.cuda import CUBLAS, HELP, count_gpus, load_cublas
from vidfleet.speakers.words.whisper_files import CPU_DEFAULT, GPU_DEFAULT, fetch_whisper, find_whisper

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from vidfleet.speakers.data import Method
    from vidfleet.speakers.nets.session import Device
    from vidfleet.speakers.words.base import Transcriber

Wanted = Literal["auto", "whisper", "sphinx", "sidecar", "none"]


@dataclass(frozen=True, slots=True)
class WordsChoice:
    """Where a run's words come from; nothing is left open."""

    words: Literal["whisper", "sphinx", "sidecar", "none"]
    whisper: ModelFiles | None = None
    """The model, where it is Whisper."""
    grammar: Path | None = None
    """What may be said, for PocketSphinx."""
    language: str | None = None
    """The one that Whisper is to hear, or nothing: it finds out."""
    reason: str = ""
    """Why Whisper was wished for and is not to be had; empty where it was not, or is."""

    @property
    def arguments(self) -> list[str]:
        """The words of a command line that make every lane choose the same."""
        return ["--words", self.words, *(["--whisper", str(self.whisper.folder)] if self.whisper else [])]

    @property
    def method(self) -> Method:
        """What finds the words, for the record."""
        if self.whisper is not None:
            from vidfleet.speakers.words.whisper import whisper_method

            return whisper_method(self.whisper)
        if self.words == "sphinx":
            from vidfleet.speakers.words.sphinx import sphinx_method

            return sphinx_method(self.grammar)
        return SIDECAR_METHOD if self.words == "sidecar" else NoWords.method

    @property
    def inputs(self) -> tuple[str, ...]:
        """Endings of the files beside a video that its words are read from."""
        return SIDECAR_ENDINGS if self.words == "sidecar" else ()

    @property
    def notice(self) -> str:
        """A sentence for the user, before the first video; empty where nobody needs to know."""
        if self.reason:
            return (
                f"{self.reason.splitlines()[0]} So words come from .json, .srt and .vtt files beside the videos and "
                "from subtitle streams in them, where there are any. With --words whisper this says how to get the "
                "model."
            )
        if self.whisper is not None and count_gpus() and not load_cublas():
            return (
                "Whisper runs on the CPU, several times slower: on a GPU it needs cuBLAS for CUDA 12 "
                f"({CUBLAS}), which is not here. Install it: {HELP}"
            )
        return ""


def choose_words(
    words: Wanted,
    *,
    whisper: str | None = None,
    language: str | None = None,
    grammar: Path | None = None,
    weights: Path | None = None,
    gpu: bool = False,
    fetch: Callable[[str], ModelFiles] = fetch_whisper,
) -> WordsChoice:
    """Decide where the words come from.

    ``whisper`` names the model (see :func:`~vidfleet.speakers.words.whisper_files.find_whisper`); by default it
    is the one for machines with a ``gpu`` or without. ``auto`` is Whisper where its model is here or can be
    fetched, else what lies beside the videos. Raises :class:`WeightsError`, with the command that helps, where
    ``whisper`` cannot be had; :class:`UsageError` for what contradicts itself; :class:`SetupError` where
    PocketSphinx is not installed.
    """
    if grammar is not None and words != "sphinx":
        raise UsageError("--grammar is for --words sphinx.")
    if grammar is not None and not grammar.is_file():
        raise UsageError(f"--grammar {grammar}: there is no such file.")
    if words == "sphinx":
        if importlib.util.find_spec("pocketsphinx") is None:
            raise SetupError("--words sphinx needs PocketSphinx.\nInstall it: pip install 'vidfleet[sphinx]'")
        return WordsChoice("sphinx", grammar=grammar)
    if words in {"sidecar", "none"}:
        return WordsChoice("sidecar" if words == "sidecar" else "none")
    wanted = whisper or (GPU_DEFAULT if gpu else CPU_DEFAULT)
    try:
        return WordsChoice("whisper", whisper=find_whisper(wanted, weights=weights) or fetch(wanted), language=language)
    except WeightsError as error:
        if words == "whisper":
            raise
        return WordsChoice("sidecar", reason=str(error))


def has_gpu() -> bool:
    """Whether Whisper can run on a GPU of this machine, whatever ``CUDA_VISIBLE_DEVICES`` hides of it."""
    return bool(count_gpus()) and load_cublas()


class WordSource:
    """A run's source of words, loaded; it stays in a lane from video to video.

    Raises :class:`SetupError` where a model cannot be loaded.
    """

    def __init__(self, choice: WordsChoice, *, threads: int = 1, device: str = "cpu") -> None:
        self._choice = choice
        self._recogniser: Transcriber | None = None
        self.device: Device = "cpu"
        """Where it computes."""
        if choice.whisper is not None:
            from vidfleet.speakers.words.whisper import Whisper

            whisper = Whisper(choice.whisper, threads=threads, device=device, language=choice.language)
            self._recogniser, self.device = whisper, whisper.device
        elif choice.words == "sphinx":
            from vidfleet.speakers.words.sphinx import Sphinx

            self._recogniser = Sphinx(grammar=choice.grammar)
        elif choice.words == "none":
            self._recogniser = NoWords()

    @property
    def method(self) -> Method:
        """What finds the words."""
        return self._choice.method

    @property
    def endings(self) -> tuple[str, ...]:
        """Endings of the files beside a video that its words are read from."""
        return self._choice.inputs

    def of(self, video: Path, *, zero: Fraction, notice: Callable[[str], None] | None = None) -> Transcriber:
        """What finds the words of this video.

        ``video`` is the real one, beside which its files lie; ``zero`` is where its grid starts, in the
        container's seconds; ``notice`` is told, in sentences, which of its files could not be read.
        """
        from vidfleet.speakers.words.sidecar import SidecarWords

        return self._recogniser or SidecarWords(video, zero=zero, notice=notice)
