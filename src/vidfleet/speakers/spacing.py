"""Where a space stands between two words: between most, and not within Chinese, Japanese or Thai."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3000, 0x30FF),  # CJK punctuation, kana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF00, 0xFFEF),  # full-width forms
    (0x20000, 0x3FFFF),
)
"""Blocks of scripts that are written without spaces between words. Korean has them."""


def is_unspaced(char: str) -> bool:
    """Whether a character is of a script that is written without spaces between words."""
    code = ord(char)
    return code >= _UNSPACED[0][0] and any(first <= code <= last for first, last in _UNSPACED)


def spaced(words: Sequence[str]) -> list[str]:
    """The words, each with the space before it that it needs, so that joining them gives the text."""
    texts = list(words[:1])
    for before, word in pairwise(words):
        close = before and word and is_unspaced(before[-1]) and is_unspaced(word[0])
        texts.append(word if close else f" {word}")
    return texts
