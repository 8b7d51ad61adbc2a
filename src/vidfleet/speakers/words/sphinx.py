"""Words by PocketSphinx: small, quick, needs no download, and understands little.

Its wheel carries an English model. With a grammar, it is good where what may be said is known.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vidfleet.errors import SetupError
from vidfleet.speakers.data import Method, Transcript, Word
from vidfleet.speakers.words.regions import plan_regions, share_out
from vidfleet.speakers.words.spoken import only_spoken, over_regions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidfleet.speakers.data import Span
    from vidfleet.speakers.speech import SoundLike
    from vidfleet.speakers.words.regions import Region

FRAME_S = 0.01
_FILLERS = ("<", "[", "+")
"""How marks for silence and noise begin: <s>, <sil>, [NOISE], ++BREATH++."""


class Sphinx:
    """PocketSphinx with its English model, and a grammar (a JSGF file) of what may be said.

    Raises :class:`~vidfleet.errors.SetupError` where it is not installed, or refuses the grammar.
    """

    def __init__(self, *, grammar: Path | None = None) -> None:
        self._grammar = grammar
        self._decoder = _load(grammar)

    @cached_property
    def method(self) -> Method:
        """See :class:`~vidfleet.speakers.words.base.Transcriber`."""
        return sphinx_method(self._grammar)

    def transcribe(self, sound: SoundLike | None, speech: Sequence[Span]) -> Transcript:
        """See :class:`~vidfleet.speakers.words.base.Transcriber`."""
        if sound is None:
            return Transcript((), "pocketsphinx")
        regions = plan_regions(sound, speech)
        words = share_out(regions, [list(self._hear(sound, region)) for region in regions])
        spoken = [only_spoken(own, speech) for own in words]
        sentences = over_regions(regions, spoken, languages=["en"] * len(regions))
        return Transcript(tuple(sentences), "pocketsphinx")

    def _hear(self, sound: SoundLike, region: Region) -> Iterator[Word]:
        samples = np.round(region.samples(sound) * 32768).astype(np.int16)
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), full_utt=True)
        self._decoder.end_utt()
        for segment in self._decoder.seg() or ():
            if not segment.word.startswith(_FILLERS):
                start_s = region.start_s + segment.start_frame * FRAME_S
                end_s = region.start_s + (segment.end_frame + 1) * FRAME_S
                text = segment.word.partition("(")[0]  # "the(2)": another pronunciation
                yield Word(text, start_s, end_s, float(np.clip(segment.prob, 0.0, 1.0)))


def sphinx_method(grammar: Path | None) -> Method:
    """Name the model for the record, with one SHA-256 over its files and the grammar."""
    from importlib.metadata import version

    digest = hashlib.sha256()
    files = sorted(path for path in _model().rglob("*") if path.is_file())
    for path in [*files, *([grammar] if grammar else [])]:
        digest.update(path.read_bytes())
    said = f" with {grammar.name}" if grammar else ""
    return Method(f"pocketsphinx {version('pocketsphinx')} en-us{said}", digest.hexdigest())


def _model() -> Path:
    """The English model of the wheel, found without importing it."""
    package = importlib.util.find_spec("pocketsphinx")
    for folder in (package.submodule_search_locations or ()) if package else ():
        path = Path(folder, "model", "en-us")
        if path.is_dir():
            return path
    raise SetupError(
        "--words sphinx needs PocketSphinx, which is not installed.\nInstall it: pip install 'vidfleet[sphinx]'"
    )


def _load(grammar: Path | None) -> Any:  # noqa: ANN401
    model = _model()
    from pocketsphinx import Config, Decoder

    config = Config(
        hmm=str(model / "en-us"),
        dict=str(model / "cmudict-en-us.dict"),
        # Loudness is measured on each region alone, so that nothing depends on what was heard before.
        cmn="batch",
        loglevel="FATAL",
    )
    if grammar is None:
        config["lm"] = str(model / "en-us.lm.bin")
    else:
        config["lm"] = None
        config["jsgf"] = str(grammar)
    try:
        return Decoder(config)
    except RuntimeError as error:
        what = f"the grammar {grammar}" if grammar else "its own model"
        raise SetupError(
            f"PocketSphinx refuses {what}: {error}\n"
            "A grammar is a JSGF file; each of its words must stand in PocketSphinx's dictionary, in small letters."
        ) from error
