"""Words and names as they may stand in a file for people: nothing in them is read as an instruction."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from vidfleet.speakers.spacing import spaced

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidfleet.speakers.data import Conversation, Person

OFF_SCREEN = "Off screen"
"""What people read where nobody in the picture speaks."""
NAME_WIDTH = 20
"""A longer name is cut where it stands before a subtitle."""
_INVISIBLE = re.compile(r"[\u202a-\u202e\u2066-\u2069\ufeff\u2060]")
"""Marks that turn the direction of text around them (or end such a turn), which a word must not do to its
neighbours; a byte order mark and word joiners. Right-to-left letters need none of them."""


def plain(text: str) -> str:
    """One line of text: all white space is one space, what controls something is gone.

    Half a surrogate pair, as a name that is no UTF-8 leaves it, becomes U+FFFD.
    """
    text = _INVISIBLE.sub("", text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    spaced = "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or unicodedata.category(character) != "Cc"
    )
    return " ".join(spaced.split())


def width(text: str) -> int:
    """How many columns a text takes: Chinese, Japanese and Korean letters two, marks upon letters none."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def clipped(text: str, most: int) -> str:
    """The text, or as much of its beginning as fits with an ellipsis."""
    if width(text) <= most:
        return text
    return next(_pieces(text, most - 1)) + "…"


def _pieces(text: str, most: int) -> Iterator[str]:
    """The text in pieces of at most so many columns, but at least one character."""
    piece, used = "", 0
    for character in text:
        columns = _columns(character)
        if piece and used + columns > most:
            yield piece
            piece, used = "", 0
        piece, used = piece + character, used + columns
    if piece:
        yield piece


def pieces(text: str, most: int) -> list[str]:
    """A word in pieces of at most so many columns: nearly always the word itself."""
    return [text] if width(text) <= most else list(_pieces(text, most))


def joined_words(words: Sequence[str]) -> str:
    """Words as a text."""
    return "".join(spaced(words))


def wrapped(words: Sequence[str], most: int) -> list[str]:
    """Lines of at most so many columns, broken between words; a longer word stands by itself."""
    lines: list[list[str]] = []
    for word in words:
        if lines and width(joined_words((*lines[-1], word))) <= most:
            lines[-1].append(word)
        else:
            lines.append([word])
    return [joined_words(line) for line in lines]


def shown_names(conversation: Conversation) -> dict[str | None, str]:
    """How each person is called in a file for people; None stands for off screen."""
    return {None: OFF_SCREEN, **{person.name: _shown(person) for person in conversation.persons}}


def _shown(person: Person) -> str:
    return plain(person.name) or "?"
