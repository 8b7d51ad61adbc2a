"""A Whisper model small enough to be made in a test: the real file format, and weights that are written by hand.

It says the same words for every sound, one each :data:`WORD_EVERY_S` from the region's start on, and hears one
thing only: whether the sound is low or high, which it takes for English or German. So the code that loads, runs
and aligns a real model runs on it, and what comes out is known.

How: all layers but the decoder's cross attention are zero, so that a decoder position sees itself alone, and the
output weights map each position to its word. The cross attention's first head looks at the time that belongs to a
position (cosines of encoder and decoder positions), its second averages the sound.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import ctranslate2
import numpy as np
from faster_whisper.tokenizer import _LANGUAGE_CODES
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

WORDS = ("well", ",", "this", "is", "spoken", ".", "so", "is", "that", ".")
"""What it says; a mark belongs to the word before it."""
WORD_EVERY_S = 0.4
FIRST_WORD_S = 0.2
LOW, HIGH = "en", "de"
"""What it takes a low and a high sound for."""

_SIZE, _HEADS, _MELS, _TIMES, _POSITIONS = 64, 2, 80, 1500, 448
_MULTILINGUAL = ""
"""An empty token in the vocabulary: that is how CTranslate2 knows a multilingual model."""
_LOW, _HIGH, _ANGLES = 0, 1, 2
_PERIODS = (6000, 1500, 400, 100)
"""A time is a few angles, of clocks that go round in so many fiftieths of a second: exact also in 8 bits."""
_FIRST_POSITION = _ANGLES + 2 * len(_PERIODS)
"""From this dimension on, each decoder position has one of its own."""
_BANDS = 30
"""So many of the lowest, and of the highest, bands of sound are heard."""


def make_whisper(folder: Path, *, words: Sequence[str] = WORDS, multilingual: bool = True) -> Path:
    """Write a model folder that faster-whisper loads, and return it."""
    folder.mkdir(parents=True)
    vocabulary = _vocabulary(words, multilingual=multilingual)
    tokenizer = _tokenizer(vocabulary)
    tokenizer.save(str(folder / "tokenizer.json"))
    spec = _spec(vocabulary, words)
    spec.register_vocabulary(vocabulary)
    languages = [vocabulary.index(f"<|{code}|>") for code in _LANGUAGE_CODES] if multilingual else []
    spec.config.lang_ids = languages
    spec.config.alignment_heads = [(0, 0)]
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [], []
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": _MELS}))
    return folder


def _vocabulary(words: Sequence[str], *, multilingual: bool) -> list[str]:
    text = [*sorted(pre_tokenizers.ByteLevel.alphabet())]
    text += list(dict.fromkeys(_token(word) for word in words if _token(word) not in text))
    text += [_MULTILINGUAL] if multilingual else []
    marks = ["<|endoftext|>", "<|startoftranscript|>"]
    marks += [f"<|{code}|>" for code in _LANGUAGE_CODES] if multilingual else []
    marks += [f"<|{name}|>" for name in ("translate", "transcribe", "startoflm", "startofprev", "nospeech")]
    times = [f"<|{number * 0.02:.2f}|>" for number in range(_TIMES + 1)]
    return [*text, *marks, "<|notimestamps|>", *times]


def _token(word: str) -> str:
    return word if word in {",", "."} else f"Ġ{word}"


def _tokenizer(vocabulary: Sequence[str]) -> Tokenizer:
    text_tokens = vocabulary.index("<|endoftext|>")
    text = {token: number for number, token in enumerate(vocabulary[:text_tokens])}
    tokenizer = Tokenizer(models.BPE(vocab=text, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in vocabulary[text_tokens:]])
    return tokenizer


def _spec(vocabulary: Sequence[str], words: Sequence[str]) -> Any:  # noqa: ANN401
    spec = ctranslate2.specs.WhisperSpec(1, _HEADS, 1, _HEADS)
    _fill_encoder(spec.encoder)
    _fill_decoder(spec.decoder, vocabulary, words)
    return spec


def _fill_encoder(encoder: Any) -> None:  # noqa: ANN401
    """Pass low and high sound on, two spectra to a time, and mark each time by an angle."""
    first, second = _zeros(_SIZE, _MELS, 3), _zeros(_SIZE, _SIZE, 3)
    for band in range(_BANDS):
        first[band, band, 1] = first[_BANDS + band, _MELS - 1 - band, 1] = 4
    second[_LOW, :_BANDS, 1] = second[_HIGH, _BANDS : 2 * _BANDS, 1] = 1
    encoder.conv1.weight, encoder.conv1.bias = first, _zeros(_SIZE) - 3  # what is not loud comes to nothing
    encoder.conv2.weight, encoder.conv2.bias = second, _zeros(_SIZE)
    encoder.position_encodings.encodings = _angles(np.arange(_TIMES))
    _fill_norm(encoder.layer_norm)
    _fill_layer(encoder.layer[0])


def _fill_decoder(decoder: Any, vocabulary: Sequence[str], words: Sequence[str]) -> None:  # noqa: ANN401
    multilingual = _MULTILINGUAL in vocabulary
    first_output = 3 if multilingual else 1  # the prompt's last token: begin, language, task, no times
    said = [vocabulary.index(_token(word)) for word in words] + [vocabulary.index("<|endoftext|>")]
    decoder.embeddings.weight = _zeros(len(vocabulary), _SIZE)
    decoder.scale_embeddings = False
    positions = np.arange(_POSITIONS)
    looks_at_s = FIRST_WORD_S + WORD_EVERY_S * (positions - first_output)
    encodings = _angles(looks_at_s / 0.02)
    encodings[:first_output] = 0  # these say the language only
    output = _zeros(len(vocabulary), _SIZE)
    for number, token in enumerate(said):
        encodings[first_output + number, _FIRST_POSITION + number] = 20
        output[token, _FIRST_POSITION + number] = 10
    encodings[first_output + len(said) :, _FIRST_POSITION + len(said) - 1] = 20
    for code, dimension in ((LOW, _LOW), (HIGH, _HIGH)):
        if multilingual:
            output[vocabulary.index(f"<|{code}|>"), dimension] = 1
    decoder.position_encodings.encodings = encodings
    decoder.projection.weight = output
    _fill_norm(decoder.layer_norm)
    _fill_layer(decoder.layer[0])
    _fill_cross_attention(decoder.layer[0].attention)


def _fill_cross_attention(attention: Any) -> None:  # noqa: ANN401
    """The first head matches angles, the second averages what is heard and writes it into the position."""
    head = _SIZE // _HEADS
    query, key, value, out = (_zeros(_SIZE, _SIZE) for _ in range(4))
    for angle in range(2 * len(_PERIODS)):
        query[angle, _ANGLES + angle] = key[angle, _ANGLES + angle] = 4
    value[head, _LOW] = value[head + 1, _HIGH] = 1
    out[_LOW, head] = out[_HIGH, head + 1] = 20
    _fill_norm(attention.layer_norm)
    weights = (query, np.concatenate([key, value]), out)
    for linear, weight in zip(attention.linear, weights, strict=True):
        linear.weight, linear.bias = weight, _zeros(len(weight))


def _fill_layer(layer: Any) -> None:  # noqa: ANN401
    """A layer that adds nothing."""
    _fill_norm(layer.self_attention.layer_norm)
    _fill_norm(layer.ffn.layer_norm)
    shapes = (
        (layer.self_attention.linear[0], 3 * _SIZE, _SIZE),
        (layer.self_attention.linear[1], _SIZE, _SIZE),
        (layer.ffn.linear_0, _SIZE, _SIZE),
        (layer.ffn.linear_1, _SIZE, _SIZE),
    )
    for linear, rows, columns in shapes:
        linear.weight, linear.bias = _zeros(rows, columns), _zeros(rows)


def _fill_norm(norm: Any) -> None:  # noqa: ANN401
    norm.gamma, norm.beta = np.ones(_SIZE, np.float32), _zeros(_SIZE)


def _angles(times: NDArray[Any]) -> NDArray[np.float32]:
    """(N, _SIZE): where each clock's hand points at each time."""
    found = _zeros(len(times), _SIZE)
    for number, period in enumerate(_PERIODS):
        angle = 2 * np.pi * times / period
        found[:, _ANGLES + 2 * number], found[:, _ANGLES + 2 * number + 1] = 4 * np.cos(angle), 4 * np.sin(angle)
    return found


def _zeros(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)
