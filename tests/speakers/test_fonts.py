"""Text is drawn in fonts that have its characters, in lines that fit; what no font has is never drawn silently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageDraw

from vidfleet.speakers.fonts import BOX, Fonts, is_right_to_left

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CJK = "今日は你昨天어제"


@pytest.fixture(scope="module")
def fonts() -> Fonts:
    return Fonts()


@pytest.fixture(scope="module")
def cjk(fonts: Fonts) -> Fonts:
    if fonts.missing(CJK):
        pytest.skip("no font here has Chinese, Japanese and Korean (Debian: apt-get install fonts-wqy-microhei)")
    return fonts


def drawn(fonts: Fonts, text: str) -> bytes:
    image = Image.new("L", (400, 60))
    fonts.draw(ImageDraw.Draw(image), (5, 40), text, 24, fill="#fff")
    return image.tobytes()


def test_each_character_is_drawn_in_a_font_that_has_it(cjk: Fonts) -> None:
    pieces = list(cjk.runs("Ab 今日 Ж", 20))
    assert "".join(text for text, _ in pieces) == "Ab 今日 Ж"
    assert pieces[0][1].path != pieces[1][1].path
    assert len({drawn(cjk, char) for char in CJK}) == len(CJK), "boxes look all the same"


def test_what_no_font_has_is_known_and_shown_as_boxes() -> None:
    few = Fonts(())
    assert few.missing("Hello, 今日!") == {"今", "日"}
    assert few.width("Hello", 20) > 20
    assert "".join(text for text, _ in few.runs("A今", 20)) == f"A{BOX}"


def test_a_broken_font_file_is_passed_over(tmp_path: Path) -> None:
    for name in ("DejaVuSans.ttf", "other.otf"):
        (tmp_path / name).write_bytes(b"no font")
    assert Fonts((tmp_path, tmp_path / "missing")).missing("Hello") == frozenset()


def check_lines(fonts: Fonts, lines: Sequence[str], width_px: float) -> None:
    assert all(0 < fonts.width(line, 20) <= width_px for line in lines)


def test_long_lines_wrap_between_words(fonts: Fonts) -> None:
    text = "He told me that the whole of the third floor had been painted over, twice."
    lines = fonts.wrap(text, 20, 200)
    check_lines(fonts, lines, 200)
    assert " ".join(lines) == text
    assert len(lines) >= 4


def test_a_word_longer_than_a_line_is_cut(fonts: Fonts) -> None:
    lines = fonts.wrap("a " + "x" * 100 + " b", 20, 150)
    check_lines(fonts, lines, 150)
    assert "".join(lines).replace(" ", "") == "a" + "x" * 100 + "b"


def test_chinese_wraps_between_characters_and_never_before_a_comma(cjk: Fonts) -> None:
    text = "你昨天说的那件事，我后来想了很久，还是觉得不太对。" * 3  # noqa: RUF001 - Chinese commas
    for width_px in range(100, 200, 7):
        lines = cjk.wrap(text, 20, width_px)
        check_lines(cjk, lines, width_px)
        assert "".join(lines) == text
        assert not [line for line in lines if line[0] in "，。"]  # noqa: RUF001


def test_a_line_narrower_than_a_character_still_ends(fonts: Fonts) -> None:
    assert fonts.wrap("abc", 20, 1) == ["a", "b", "c"]


def test_the_first_letter_tells_the_direction() -> None:
    assert is_right_to_left("שלום, Ann")
    assert is_right_to_left("... مرحبا")
    assert not is_right_to_left("Ann: שלום")
    assert not is_right_to_left("123")


def test_right_to_left_text_is_shaped(fonts: Fonts) -> None:
    if not fonts.has_shaping or fonts.missing("هل"):
        pytest.skip("Pillow has no Raqm here, or no font has Arabic")
    apart = sum(fonts.width(char, 40) for char in "هل")
    assert fonts.width("هل", 40) != apart, "joined letters have other shapes"
    assert drawn(fonts, "שלום") != drawn(fonts, "םולש")
