"""Text for people: names made harmless, cut by what they take on a screen; lengths of time in words."""

from __future__ import annotations

import os
import re
import time
import unicodedata
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

_ESCAPED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Control, formatting (bidi overrides among them), surrogates, line and paragraph separators."""
_JOINERS = frozenset("\u200c\u200d")
"""Formatting too, but scripts and emoji are written with them, and they do no harm."""
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF
"""Where Python's surrogate escapes put the bytes 0x80-0xff that are no UTF-8."""

_STAGED = re.compile(r"\S*/\.vidfleet/[^/\s]+-[0-9a-f]{8}\b|\bvideo_[0-9a-f]{8}\b")
"""A stage's path, and what a video with an odd name is called in it."""


def printable(text: str) -> str:
    r"""Show ``text`` so that it does nothing to a terminal: ``\n``, ``\x1b``, ``\xff`` for a lone byte.

    Markup is not escaped: print the result as text, never as markup.
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def one_line(text: str) -> str:
    """Fold all white space of a sentence into single blanks, and make it printable."""
    return printable(" ".join(text.split()))


def _shown(char: str) -> str:
    if unicodedata.category(char) not in _ESCAPED_CATEGORIES or char in _JOINERS:
        return char
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    if _FIRST_BYTE <= code <= _LAST_BYTE:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def fit_end(text: str, cells: int) -> str:
    """Cut ``text`` behind so that it takes at most ``cells`` columns; wide characters take two."""
    return _cut(text, cells, lambda size: text[:size].rstrip() + "…")


def fit_start(text: str, cells: int) -> str:
    """Cut ``text`` in front: the names of a series differ in their ends."""
    return _cut(text, cells, lambda size: "…" + _without_loose_marks(text[len(text) - size :]))


def pad(text: str, cells: int) -> str:
    """Fill ``text`` up with blanks to ``cells`` columns."""
    from rich.cells import cell_len

    return text + " " * (cells - cell_len(text))


def _cut(text: str, cells: int, make: Callable[[int], str]) -> str:
    """Take as many characters of ``text`` as go into ``cells`` columns."""
    from rich.cells import cell_len

    if cell_len(text) <= cells:
        return text
    fits, too_many = 0, len(text)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if cell_len(make(middle)) <= cells:
            fits = middle
        else:
            too_many = middle
    return make(fits) if cells > 0 else ""


def _without_loose_marks(text: str) -> str:
    """Drop what belonged to the character before: accents, joiners, emoji variants."""
    start = 0
    while start < len(text) and (unicodedata.combining(text[start]) or text[start] in "\u200c\u200d\ufe0f"):
        start += 1
    return text[start:]


def clock(seconds: float) -> str:
    """Write a length of time as ``0:07``, ``12:30`` or ``3:04:05``."""
    whole = max(int(seconds), 0)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def length(seconds: float) -> str:
    """Write a length of time in at most two units: ``45 s``, ``12 min``, ``2 h 10 min``, ``3 d 4 h``."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 86400:
        minutes = round(seconds / 60)
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def about(seconds: float | None) -> str:
    """Write a guessed length of time no finer than it is known; ``…`` where nothing is known."""
    if seconds is None:
        return "…"
    if seconds < 60:
        return f"about {max(round(seconds / 5) * 5, 5)} s"
    if seconds >= 3600:
        seconds = round(seconds / 300) * 300
    return "about " + length(seconds)


def ends(left_s: float | None, now: float) -> str:
    """Write when something will be through: ``ends about 14:32, in 1 h 5 min``; or that it is not known.

    ``now`` is in seconds since the epoch; the clock is that of this machine, with the day where it is another one.
    """
    if left_s is None:
        return "end not known yet"
    guessed = about(left_s)
    if left_s < 60:
        return f"ends in {guessed}"
    step_s = 300 if left_s >= 3600 else 60
    today, then = time.localtime(now), time.localtime(round((now + left_s) / step_s) * step_s)
    at = time.strftime("%H:%M" if then[:3] == today[:3] else "%a %H:%M", then)
    return f"ends about {at}, in {guessed.removeprefix('about ')}"


def size(count: int) -> str:
    """Write a number of bytes: ``512 B``, ``3.2 MiB``."""
    number = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"


def plural(count: int, word: str) -> str:
    """``1 video``, ``2 videos``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def signature(text: str, *names: str) -> str:
    """Reduce a sentence to what it shares with others of its sort: no ``names``, no stages, numbers, addresses."""
    if "/.vidfleet/" in text or "video_" in text:
        text = _STAGED.sub("…", text)
    for name in sorted(filter(None, names), key=len, reverse=True):
        if name not in text:  # asking first spares a pattern for each of 20,000 videos
            continue
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", text)
    return re.sub(r"\b(0x[0-9a-f]+|[0-9a-f]*\d[0-9a-f]*)(\.\d+)*", "#", text, flags=re.IGNORECASE)


def said(error: Exception) -> str:
    """What the system or a library said, without its number: to stand in parentheses behind a sentence of ours."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.strerror}: {os.fsdecode(error.filename)}" if error.filename else error.strerror


class HarmlessStream:
    """Writes to a stream that may be missing, closed, or a pipe that nobody reads: then it falls silent.

    What a person watches must never end what they wait for.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write what the stream's encoding can say; the rest is escaped."""
        if self._stream is not None:
            self._attempt(self._stream, text.encode(self.encoding, "backslashreplace").decode(self.encoding))
        return len(text)

    def flush(self) -> None:
        """Hand what was written to the system."""
        if self._stream is not None:
            self._attempt(self._stream, "")

    def isatty(self) -> bool:
        """Whether a person sits in front of it, who sees colours and moving lines."""
        try:
            there = self._stream is not None and self._stream.isatty()
        except ValueError:  # closed
            return False
        return there and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")

    def _attempt(self, stream: TextIO, text: str) -> None:
        try:
            if text:
                stream.write(text)
            else:
                stream.flush()
        except BrokenPipeError:
            self._stream = None
            _lead_nowhere(stream)
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._stream = None


def _lead_nowhere(stream: TextIO) -> None:
    """Let what is still buffered for a pipe without a reader flow off.

    Else Python tries again when it ends, and makes its exit status 120 of whatever it was:
    https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # no file behind it
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, number)
    finally:
        os.close(nowhere)
