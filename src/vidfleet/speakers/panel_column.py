"""The conversation as a column of messages, the newest below: faces, names, and words that wrap."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, UnidentifiedImageError

from vidfleet.speakers.fonts import is_right_to_left
from vidfleet.speakers.palette import OFF_SCREEN, colour_of, ink_on
from vidfleet.speakers.results.text import plain, shown_names
from vidfleet.speakers.spacing import spaced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from vidfleet.speakers.data import Conversation, Line
    from vidfleet.speakers.fonts import Fonts

LONGEST_MESSAGE = 220
"""Characters; a longer line is shown in several messages, cut at the end of a sentence where there is one."""
SPEAKS = "…"
"""What stands where somebody speaks and no words were to be had."""
_ENDS = (".", "?", "!", "…", "。", "？", "！")  # noqa: RUF001 - Chinese and Japanese ones
_LINE = 1.32
"""Height of a line over the size of its letters."""
_FINER = 4
"""Round pictures are cut out so many times larger, for smooth edges."""


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of the panel."""

    back: str
    card: str
    """Behind the line that is heard."""
    text: str
    quiet: str
    glass: float = 0.0
    """How much of the blurred film shines through, 0..1."""


THEMES = {
    "glass": Theme(back="#14171c", card="#2f3641", text="#f2f4f7", quiet="#a9b1bd", glass=0.3),
    "dark": Theme(back="#15171b", card="#262b33", text="#f2f4f7", quiet="#9aa1ab"),
    "light": Theme(back="#eef0f3", card="#ffffff", text="#1a1d21", quiet="#666d78"),
}


@dataclass(frozen=True, slots=True)
class PanelStyle:
    """What may be chosen about the panel; the defaults are whisperVideo's."""

    width_ratio: float = 0.28
    """The panel's width over the film's; narrow films get more."""
    most_items: int = 6
    """Messages shown at once."""
    theme: Literal["glass", "dark", "light"] = "glass"


@dataclass(frozen=True, slots=True)
class Message:
    """What one person says, short enough to be shown at once."""

    row: int
    """The person's place; the last is off screen."""
    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True)
class _Block:
    """A message laid out."""

    message: Message
    lines: tuple[str, ...]
    height: int


def rows_of(conversation: Conversation) -> dict[str | None, int]:
    """The place of each person; the last is everybody off screen."""
    order: dict[str | None, int] = {person.name: row for row, person in enumerate(conversation.persons)}
    order[None] = len(order)
    return order


def messages_of(conversation: Conversation) -> Iterator[Message]:
    """What is said, in order of time; where there are no words, that somebody speaks."""
    rows = rows_of(conversation)
    if not conversation.lines:
        for turn in conversation.turns:
            yield Message(rows[turn.person], turn.start_s, turn.end_s, SPEAKS)
    for line in conversation.lines:
        pieces = list(_cut(line))
        ends_s = [*(start_s for start_s, _ in pieces[1:]), line.end_s]
        for (start_s, text), end_s in zip(pieces, ends_s, strict=True):
            yield Message(rows[line.person], start_s, end_s, text)


def _cut(line: Line) -> Iterator[tuple[float, str]]:
    """A line's text with the time at which it begins; a long one in several."""
    texts = spaced([plain(said.word.text) for said in line.words])
    held, start_s = "", line.start_s
    for said, text in zip(line.words, texts, strict=True):
        is_long = len(held) + len(text) > LONGEST_MESSAGE
        if held and (is_long or (len(held) > LONGEST_MESSAGE // 2 and held.endswith(_ENDS))):
            yield start_s, held
            held, start_s, text = "", said.word.start_s, text.lstrip()
        held += text
    if held:
        yield start_s, held


class Column:
    """Draws the column as it is when a message has begun."""

    def __init__(
        self,
        conversation: Conversation,
        faces: Mapping[str, Sequence[bytes]],
        *,
        size: tuple[int, int],
        style: PanelStyle,
        fonts: Fonts,
    ) -> None:
        self._width, self._height = size
        self._style, self._theme, self._fonts = style, THEMES[style.theme], fonts
        self.messages = tuple(messages_of(conversation))
        shown = shown_names(conversation)
        self._names = [shown[name] for name in rows_of(conversation)]
        self._colours = [*map(colour_of, range(len(conversation.persons))), OFF_SCREEN]
        self.letters_px = max(11, min(round(self._width / 21), self._height // 24))
        self._gap = self.letters_px // 2
        self._face_px = round(self.letters_px * 2.3)
        self._text_px = self._width - self._face_px - 4 * self._gap
        pictures = [next(iter(faces.get(person.name, ())), b"") for person in conversation.persons]
        self._faces = [self._face(row, jpeg) for row, jpeg in enumerate([*pictures, b""])]

    def draw(self, last: int, backdrop: NDArray[np.uint8], *, is_heard: bool) -> NDArray[np.uint8]:
        """The column (height, width, 3), BGR, when message ``last`` has begun; -1: none yet.

        It stands out while it ``is_heard``. ``backdrop`` is the film's picture, which shines through a panel of glass.
        """
        image = self._background(backdrop)
        bottom = self._height - self._gap
        for at in range(last, max(last - self._style.most_items, -1), -1):
            block = self._laid_out(self.messages[at], most_px=bottom - self._gap if at == last else 10**6)
            top = bottom - block.height
            if top < self._gap:
                break
            self._draw_block(image, block, top, is_now=is_heard and at == last)
            bottom = top - self._gap
        return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])

    def _background(self, backdrop: NDArray[np.uint8]) -> Image.Image:
        size, theme = (self._width, self._height), self._theme
        if not theme.glass:
            return Image.new("RGB", size, theme.back)
        small = cv2.resize(backdrop, (16, 16), interpolation=cv2.INTER_AREA)
        soft = cv2.resize(cv2.GaussianBlur(small, (0, 0), 3), size, interpolation=cv2.INTER_CUBIC)
        back = np.array(ImageColor.getrgb(theme.back), np.float32)
        mixed = soft[:, :, ::-1] * np.float32(theme.glass) + back * np.float32(1 - theme.glass)
        return Image.fromarray(mixed.astype(np.uint8))

    def _laid_out(self, message: Message, *, most_px: int) -> _Block:
        """Wrap a message; one that is higher than the panel ends with an ellipsis."""
        size = self.letters_px
        lines = self._fonts.wrap(message.text, size, self._text_px)
        most = max(1, int((most_px - 2 * self._gap) / (size * _LINE)) - 1)
        if len(lines) > most:
            lines = [*lines[: most - 1], lines[most - 1] + "…"]
        height = round((len(lines) + 1) * size * _LINE) + 2 * self._gap
        return _Block(message, tuple(lines), max(height, self._face_px + 2 * self._gap))

    def _draw_block(self, image: Image.Image, block: _Block, top: int, *, is_now: bool) -> None:
        theme, gap, size, row = self._theme, self._gap, self.letters_px, block.message.row
        pen = ImageDraw.Draw(image)
        left, right = gap // 2, self._width - gap // 2
        if is_now:
            pen.rounded_rectangle((left, top, right, top + block.height), radius=gap, fill=theme.card)
            bar = (left, top + gap, left + max(2, gap // 3), top + block.height - gap)
            pen.rectangle(bar, fill=self._colours[row])
        image.paste(self._faces[row], (2 * gap, top + gap), self._faces[row])
        x, y = 3 * gap + self._face_px, top + gap + round(size * 0.95)
        name = clipped(self._fonts, self._names[row], round(size * 0.88), self._text_px - size)
        dot = round(size * 0.6)
        pen.rounded_rectangle((x, y - dot, x + dot, y), radius=max(1, dot // 4), fill=self._colours[row])
        at = (x + dot + gap // 2, y)
        self._fonts.draw(pen, at, name, round(size * 0.88), fill=theme.text if is_now else theme.quiet, bold=True)
        for line in block.lines:
            y += round(size * _LINE)
            start = x + self._text_px - self._fonts.width(line, size) if is_right_to_left(block.message.text) else x
            self._fonts.draw(pen, (start, y), line, size, fill=theme.text if is_now else theme.quiet)

    def _face(self, row: int, jpeg: bytes) -> Image.Image:
        """A round picture in a ring of the person's colour: the face, else the first letter."""
        side, large = self._face_px, self._face_px * _FINER
        ring = max(1, side // 16) * _FINER
        image = Image.new("RGB", (large, large), self._colours[row])
        picture = _decoded(jpeg)
        mask = Image.new("L", (large, large))
        if picture is not None:
            ImageDraw.Draw(mask).ellipse((ring, ring, large - ring, large - ring), fill=255)
            image.paste(picture.resize((large, large)), (0, 0), mask)
        else:
            letter = next((char for char in self._names[row] if char.isalnum()), "?").upper()[:1]
            letter = "…" if row == len(self._names) - 1 else letter
            pen, letters_px = ImageDraw.Draw(image), large // 2
            at = ((large - self._fonts.width(letter, letters_px, bold=True)) / 2, large * 0.68)
            self._fonts.draw(pen, at, letter, letters_px, fill=ink_on(self._colours[row]), bold=True)
        ImageDraw.Draw(mask).ellipse((0, 0, large, large), fill=255)
        image.putalpha(mask)
        return image.resize((side, side), Image.Resampling.LANCZOS)


def clipped(fonts: Fonts, text: str, size_px: int, width_px: float) -> str:
    """A name, or as much of its beginning as fits with an ellipsis."""
    if fonts.width(text, size_px, bold=True) <= width_px:
        return text
    text = text[:200]
    while text and fonts.width(text + "…", size_px, bold=True) > width_px:
        text = text[:-1]
    return text.rstrip() + "…"


def _decoded(jpeg: bytes) -> Image.Image | None:
    if not jpeg:
        return None
    try:
        return Image.open(BytesIO(jpeg), formats=("JPEG",)).convert("RGB")
    except (UnidentifiedImageError, OSError):
        return None
