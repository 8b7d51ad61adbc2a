"""Words by Whisper, run by faster-whisper: batches of regions, a language for each.

faster-whisper's own batched pipeline finds one language for a whole film and aligns in that one; so its parts are
put together here anew. What Whisper is known to do wrong is met as its authors do: only speech is heard, nothing
said before is given to it, repetition and silence are known by their numbers.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from vidfleet.errors import SetupError
from vidfleet.speakers.data import Method, Transcript, Word
from vidfleet.speakers.hub import model_method
from vidfleet.speakers.words.cuda import load_cublas
from vidfleet.speakers.words.regions import plan_regions, share_out
from vidfleet.speakers.words.spoken import only_spoken, over_regions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vidfleet.speakers.data import Span
    from vidfleet.speakers.hub import ModelFiles
    from vidfleet.speakers.nets.session import Device
    from vidfleet.speakers.speech import SoundLike
    from vidfleet.speakers.words.regions import Region

GPU_BATCH, CPU_BATCH = 8, 4
"""Regions at a time. By faster-whisper's own figures, 8 are four times as fast as one on a GPU, for 1.5 GB more;
twice as fast on a CPU, for 2 GB more."""
BEAM_SIZE = 5
MOST_COMPRESSED = 2.4
"""Text that gzip makes smaller than by this repeats itself: Whisper ran in a circle."""
NO_SPEECH, UNLIKELY = 0.6, -1.0
"""Above the one, and of a mean log probability below the other: silence. All as in openai/whisper."""
SURE_OF_LANGUAGE = 0.5
"""A region whose language is less certain is taken to be in that of the rest of the film."""
MOST_TOKENS = 448
SHORTEST_FRAMES, MOST_FRAMES = 50, 3000
"""Frames of 10 ms of a region: what is aligned, and what Whisper hears."""
SHORTEST_WORD_S = 0.02
_BEFORE_WORD, _AFTER_WORD = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"  # noqa: RUF001 - faster-whisper's defaults


@dataclass(frozen=True, slots=True)
class _Spoken:
    """What Whisper heard in one region."""

    language: str
    tokens: list[int]


class Whisper:
    """A Whisper model, ready to run.

    Raises :class:`~vidfleet.errors.SetupError` where it cannot be loaded.
    """

    def __init__(
        self, files: ModelFiles, *, threads: int = 1, device: str = "cpu", language: str | None = None
    ) -> None:
        self._files = files
        self._model = _load(files.folder, threads=threads, device=device)
        self._batch = GPU_BATCH if self.device == "cuda" else CPU_BATCH
        self._language = language
        known = self._model.supported_languages
        if language is not None and language not in known:
            raise SetupError(
                f"The Whisper model {files.name} does not know the language {language}; it knows: {', '.join(known)}."
            )

    @property
    def method(self) -> Method:
        """See :class:`~vidfleet.speakers.words.base.Transcriber`."""
        return whisper_method(self._files)

    @property
    def device(self) -> Device:
        """Where it computes: on a GPU where there is one that can."""
        return "cuda" if self._model.model.device == "cuda" else "cpu"

    def transcribe(self, sound: SoundLike | None, speech: Sequence[Span]) -> Transcript:
        """See :class:`~vidfleet.speakers.words.base.Transcriber`."""
        source = f"faster-whisper {self._files.name}"
        if sound is None:
            return Transcript((), source)
        regions = plan_regions(sound, speech)
        choice = _Languages(self._language)
        heard = [item for batch in _batches(regions, self._batch) for item in self._hear(sound, batch, choice)]
        words = share_out(regions, [words for _, words in heard])
        spoken = [only_spoken(own, speech) for own in words]
        sentences = over_regions(regions, spoken, languages=[language for language, _ in heard])
        return Transcript(tuple(sentences), source)

    def _hear(self, sound: SoundLike, batch: Sequence[Region], languages: _Languages) -> list[tuple[str, list[Word]]]:
        """The language and the words of each region."""
        from faster_whisper.audio import pad_or_trim

        spectra = [self._model.feature_extractor(region.samples(sound))[..., :-1] for region in batch]
        encoded = self._model.encode(np.stack([pad_or_trim(spectrum) for spectrum in spectra]))
        if self._model.model.is_multilingual:
            codes = languages.choose(self._model.model.detect_language(encoded), batch)
        else:
            codes = ["en"] * len(batch)
        spoken = self._generate(encoded, codes)
        frames = [min(max(spectrum.shape[-1], SHORTEST_FRAMES), MOST_FRAMES) for spectrum in spectra]
        words: dict[int, list[Word]] = {}
        for code in sorted(set(codes)):
            words |= self._align(encoded, code, spoken, frames, batch)
        return [(code, words[number]) for number, code in enumerate(codes)]

    def _generate(self, encoded: Any, codes: Sequence[str]) -> list[_Spoken]:  # noqa: ANN401
        """What is said in each region; nothing where it is silence, or Whisper runs in a circle."""
        found = self._decode(encoded, codes, no_repeat_ngram_size=0)
        if any(tokens is None for tokens in found):
            again = self._decode(encoded, codes, no_repeat_ngram_size=3)
            found = [second if first is None else first for first, second in zip(found, again, strict=True)]
        return [_Spoken(code, tokens or []) for code, tokens in zip(codes, found, strict=True)]

    def _decode(self, encoded: Any, codes: Sequence[str], *, no_repeat_ngram_size: int) -> list[list[int] | None]:  # noqa: ANN401
        """Text tokens of each region; empty for silence, None for a circle."""
        from faster_whisper.transcribe import get_compression_ratio, get_suppressed_tokens

        tokenizers = [self._tokenizer(code) for code in codes]
        results = self._model.model.generate(
            encoded,
            [[*tokenizer.sot_sequence, tokenizer.no_timestamps] for tokenizer in tokenizers],
            beam_size=BEAM_SIZE,
            max_length=MOST_TOKENS,
            no_repeat_ngram_size=no_repeat_ngram_size,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=list(get_suppressed_tokens(tokenizers[0], [-1])),
        )
        found: list[list[int] | None] = []
        for tokenizer, result in zip(tokenizers, results, strict=True):
            tokens = [token for token in result.sequences_ids[0] if token < tokenizer.eot]
            likelihood = result.scores[0] * len(tokens) / (len(tokens) + 1)
            text = tokenizer.decode(tokens).strip()
            if not text or (result.no_speech_prob > NO_SPEECH and likelihood < UNLIKELY):
                found.append([])
            else:
                found.append(None if get_compression_ratio(text) > MOST_COMPRESSED else tokens)
        return found

    def _align(
        self,
        encoded: Any,  # noqa: ANN401
        code: str,
        spoken: Sequence[_Spoken],
        frames: Sequence[int],
        batch: Sequence[Region],
    ) -> dict[int, list[Word]]:
        """The words of the regions in one language, by the region's number."""
        from faster_whisper.transcribe import merge_punctuations

        texts = [item.tokens if item.language == code else [] for item in spoken]
        found = self._model.find_alignment(self._tokenizer(code), texts, encoded, list(frames))
        words = {}
        for number, (item, aligned) in enumerate(zip(spoken, found, strict=True)):
            if item.language == code:
                merge_punctuations(aligned, _BEFORE_WORD, _AFTER_WORD)
                words[number] = [_word(one, batch[number].start_s) for one in aligned if one["word"].strip()]
        return words

    def _tokenizer(self, code: str) -> Any:  # noqa: ANN401
        from faster_whisper.tokenizer import Tokenizer

        model = self._model
        return Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=code)


class _Languages:
    """The languages of a film's regions; a short region is known by the others."""

    def __init__(self, fixed: str | None) -> None:
        self._fixed = fixed
        self._heard: defaultdict[str, float] = defaultdict(float)

    def choose(self, found: Sequence[Sequence[tuple[str, float]]], batch: Sequence[Region]) -> list[str]:
        """A language for each region of a batch: the likeliest, or that of the film so far."""
        if self._fixed is not None:
            return [self._fixed] * len(batch)
        best = [(probable[0][0][2:-2], probable[0][1]) for probable in found]  # <|en|> is en
        for (code, share), region in zip(best, batch, strict=True):
            self._heard[code] += share * (region.end_s - region.start_s)
        usual = max(self._heard, key=self._heard.__getitem__)
        return [code if share >= SURE_OF_LANGUAGE else usual for code, share in best]


def whisper_method(files: ModelFiles) -> Method:
    """Name a model for the record; see :func:`~vidfleet.speakers.hub.model_method`."""
    return model_method(f"faster-whisper {files.name}", files, "model.bin")


def _batches(regions: Sequence[Region], size: int) -> Iterator[tuple[Region, ...]]:
    rest = iter(regions)
    while batch := tuple(islice(rest, size)):
        yield batch


def _word(aligned: dict[str, Any], region_start_s: float) -> Word:
    start_s, end_s = float(aligned["start"]), float(aligned["end"])
    score = float(aligned["probability"])
    return Word(
        aligned["word"].strip(),
        region_start_s + start_s,
        region_start_s + max(end_s, start_s + SHORTEST_WORD_S),
        min(max(score, 0.0), 1.0) if math.isfinite(score) else 0.0,
    )


def _load(folder: Path, *, threads: int, device: str) -> Any:  # noqa: ANN401
    """The model, on the GPU where there is one that can run it. Raises SetupError where it cannot be loaded."""
    import ctranslate2
    from faster_whisper import WhisperModel

    on = "cuda" if device == "cuda" and ctranslate2.get_cuda_device_count() and load_cublas() else "cpu"
    wanted = "float16" if on == "cuda" else "int8"
    kinds = ctranslate2.get_supported_compute_types(on)
    try:
        model = WhisperModel(
            str(folder),
            device=on,
            compute_type=wanted if wanted in kinds else "default",
            cpu_threads=threads,
            local_files_only=True,
        )
        if on == "cuda":  # what is missing there shows only when it computes
            model.encode(np.zeros((model.model.n_mels, MOST_FRAMES), np.float32))
    except (RuntimeError, ValueError, OSError) as error:
        raise SetupError(
            f"The Whisper model in {folder} cannot be loaded on the {'GPU' if on == 'cuda' else 'CPU'}: {error}\n"
            "Give another with --whisper NAME or --whisper DIR, or work without: --words none."
        ) from error
    return model
