"""Text in pictures, in whatever fonts this machine has: each character in the first font that knows it.

Shaping (Arabic, Hebrew, Indic scripts) is Raqm's where Pillow has it, which its wheels do.
"""

from __future__ import annotations

import os
import unicodedata
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont, features

from vidfleet.speakers.spacing import is_unspaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path("~/.local/share/fonts"),
    Path("~/.fonts"),
    Path("/System/Library/Fonts"),
    Path("/Library/Fonts"),
    Path("~/Library/Fonts"),
)
PREFERRED = (
    "NotoSans-Regular",
    "DejaVuSans",
    "LiberationSans-Regular",
    "Arial",
    "NotoSansCJK-Regular",
    "wqy-microhei",
    "DroidSansFallbackFull",
    "PingFang",
    "Hiragino Sans GB",
    "AppleSDGothicNeo",
    "NotoSansArabic-Regular",
    "NotoSansHebrew-Regular",
)
"""Files without their endings, tried first; then all others that are regular in slope and weight."""
BOLD = ("NotoSans-Bold", "DejaVuSans-Bold", "LiberationSans-Bold", "Arial Bold")
_ENDINGS = frozenset({".ttf", ".otf", ".ttc"})
_ODD_CUTS = ("bold", "italic", "oblique", "light", "thin", "black", "condensed", "mono", "serif", "emoji", "symbol")
_MOST_FONTS = 300
_OWN = Path("Pillow's own font")
"""Always there; it knows Latin."""
_PROBE_PX = 20
_UNKNOWN = "\U0010ffff"
"""No font has it: what is drawn for it is drawn for all that a font lacks."""
BOX = "\u25a1"
"""Stands for what no font here can draw."""
_NOT_FIRST = frozenset("、。，．！？：；）］｝」』】〉》・ー々…,.!?:;)]}")  # noqa: RUF001 - Chinese and Japanese ones
"""Characters that no line begins with."""


class Fonts:
    """The fonts of this machine, opened when a character asks for them."""

    def __init__(self, folders: Sequence[Path] = FOLDERS) -> None:
        self._folders = folders
        self._file_of: dict[str, Path | None] = {}
        self._pens: dict[tuple[Path, int], ImageFont.FreeTypeFont] = {}
        self._blanks: dict[Path, bytes] = {}
        self.has_shaping = features.check("raqm") and bool(features.check("fribidi"))

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        """Fonts in the order in which they are tried."""
        found = list(_font_files(self._folders))
        preferred = [path for name in PREFERRED for path in found if path.stem == name]
        others = [path for path in found if not any(word in path.stem.lower() for word in _ODD_CUTS)]
        return (*list(dict.fromkeys([*preferred, *others]))[:_MOST_FONTS], _OWN)

    @cached_property
    def _bold(self) -> Path | None:
        found = list(_font_files(self._folders))
        return next((path for name in BOLD for path in found if path.stem == name), None)

    def missing(self, text: Iterable[str]) -> frozenset[str]:
        """The characters of a text that no font here can draw."""
        return frozenset(char for char in set(text) if _needs_font(char) and self._file_for(char) is None)

    def runs(self, text: str, size_px: int, *, bold: bool = False) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
        """The text in pieces, each with the font that draws it."""
        missing = self.missing(text)
        files: list[Path] = []
        for char in text:
            before = files[-1] if files else self._files[0]
            files.append((self._file_for(char) or self._files[0]) if _needs_font(char) else before)
        shown = (BOX if char in missing else char for char in text)
        for file, group in groupby(zip(shown, files, strict=True), key=lambda pair: pair[1]):
            piece = "".join(char for char, _ in group)
            yield piece, self._pen(self._bold if bold and self._bold and file == self._files[0] else file, size_px)

    def width(self, text: str, size_px: int, *, bold: bool = False) -> float:
        """Pixels that a text takes."""
        return sum(pen.getlength(piece) for piece, pen in self.runs(text, size_px, bold=bold))

    def draw(
        self,
        draw: ImageDraw.ImageDraw,
        at: tuple[float, float],
        text: str,
        size_px: int,
        *,
        fill: str,
        bold: bool = False,
    ) -> None:
        """Draw a text; ``at`` is its left end on the base line."""
        x, y = at
        for piece, pen in self.runs(text, size_px, bold=bold):
            draw.text((x, y), piece, font=pen, fill=fill, anchor="ls")
            x += pen.getlength(piece)

    def wrap(self, text: str, size_px: int, width_px: float) -> list[str]:
        """The text in lines that fit, broken where its script allows it; a word that is too long is cut."""
        lines = [""]
        for piece in _pieces(text):
            if self.width((lines[-1] + piece).rstrip(), size_px) <= width_px:
                lines[-1] += piece
                continue
            if lines[-1]:
                lines.append("")
            for char in piece:
                if lines[-1] and self.width((lines[-1] + char).rstrip(), size_px) > width_px:
                    lines.append("")
                lines[-1] += char
        return [line.strip() for line in lines if line.strip()]

    def _file_for(self, char: str) -> Path | None:
        """The first font that knows a character."""
        if char not in self._file_of:
            self._file_of[char] = next((file for file in self._files if self._knows(file, char)), None)
        return self._file_of[char]

    def _knows(self, file: Path, char: str) -> bool:
        try:
            if file not in self._blanks:
                self._blanks[file] = self._look(file, _UNKNOWN)
            return self._look(file, char) != self._blanks[file]
        except OSError:  # a bitmap font has not this size; a file may be broken
            return False

    def _look(self, file: Path, char: str) -> bytes:
        picture = Image.new("L", (2 * _PROBE_PX, 2 * _PROBE_PX))
        ImageDraw.Draw(picture).text((_PROBE_PX // 2, 0), char, font=self._pen(file, _PROBE_PX), fill=255)
        return picture.tobytes()

    def _pen(self, file: Path, size_px: int) -> ImageFont.FreeTypeFont:
        key = (file, size_px)
        if key not in self._pens:
            engine = ImageFont.Layout.RAQM if self.has_shaping else ImageFont.Layout.BASIC
            if file == _OWN:
                own = ImageFont.load_default(size_px)
                assert isinstance(own, ImageFont.FreeTypeFont)
                self._pens[key] = own
            else:
                self._pens[key] = ImageFont.truetype(file, size_px, layout_engine=engine)
        return self._pens[key]


def _font_files(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        for parent, names, files in os.walk(folder.expanduser()):
            names.sort()
            for name in sorted(files):
                if Path(name).suffix.lower() in _ENDINGS:
                    yield Path(parent, name)


def _needs_font(char: str) -> bool:
    """Whether anything is to be seen of a character."""
    return unicodedata.category(char)[0] not in "CZ"


def _pieces(text: str) -> Iterator[str]:
    """Where a line may be broken: behind spaces, and between Chinese or Japanese characters."""
    start = 0
    for at in range(1, len(text)):
        before, char = text[at - 1], text[at]
        is_between = (is_unspaced(before) or is_unspaced(char)) and char not in _NOT_FIRST
        if char != " " and (before == " " or is_between):
            yield text[start:at]
            start = at
    yield text[start:]


def is_right_to_left(text: str) -> bool:
    """Whether a text's first letter is of a script that runs from right to left."""
    kinds = (unicodedata.bidirectional(char) for char in text)
    return next((kind in ("R", "AL") for kind in kinds if kind in ("L", "R", "AL")), False)
