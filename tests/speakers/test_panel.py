"""The panel shows who says what beside the film: nothing overlaps, long lines wrap, every script is drawn."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import av
import cv2
import numpy as np
import pytest

from tests.speakers.films import noise, write_video
from tests.speakers.stills import SD, bgr_of
from tests.speakers.talks import LANGUAGES, SENTENCES, conversation_of, drawn_faces, said, talk
from vidfleet.speakers.data import Conversation, Turn
from vidfleet.speakers.fonts import Fonts
from vidfleet.speakers.media import MediaInfo, VideoSource, extract_sound
from vidfleet.speakers.media.planes import blank
from vidfleet.speakers.palette import OFF_SCREEN, colour_of, rgb_of
from vidfleet.speakers.panel import PanelPainter, PanelStyle, PanelWriter, film_and_panel
from vidfleet.speakers.panel_column import LONGEST_MESSAGE, THEMES, messages_of
from vidfleet.speakers.seen import SeenTrack

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from vidfleet.speakers.media.planes import Planes

COLOUR_NOISE = 8
"""Four pixels share their colour: so much of a neighbour's is seen."""
NAMES = ("Ann", "今日子", "Ünïcödé von und zu Hohenzollern-Sigmaringen")


def info_of(width: int, height: int, aspect: Fraction | int = 1) -> MediaInfo:
    return MediaInfo(width, height, Fraction(aspect), Fraction(25), 60.0, 1500, "h264", has_sound=True, colours=SD)


def grey(width: int, height: int) -> Planes:
    planes = blank(width, height, SD)
    for array, value in zip(planes.arrays, (round(16 + 90 * 219 / 255), 128, 128), strict=True):
        array[:] = value
    return planes


def shown(painter: PanelPainter, frame: int, planes: Planes) -> NDArray[np.uint8]:
    """What a player shows."""
    return bgr_of(painter.paint(frame, planes))


def track(index: int, box: tuple[float, ...], *, score: float = 1.0, frames: int = 1500) -> SeenTrack:
    boxes = np.tile(np.array(box, np.float64), (frames, 1))
    return SeenTrack(index, 0, boxes, np.full(frames - 1, score, np.float32))


def every_script() -> Conversation:
    lines = [
        said(text, (*NAMES, None)[at % 4], at * 3.0, language=language)
        for at, (text, language) in enumerate(zip(SENTENCES, LANGUAGES, strict=True))
    ]
    return conversation_of(lines, persons=NAMES)


def painted(
    conversation: Conversation,
    at_s: float,
    *,
    size: tuple[int, int] = (640, 360),
    tracks: tuple[SeenTrack, ...] = (),
    theme: Literal["glass", "dark", "light"] = "dark",
    note: str = "",
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The film's picture and the panel's at a time."""
    info, faces = info_of(*size), drawn_faces(conversation, each=1)
    painter = PanelPainter(conversation, tracks, info=info, faces=faces, style=PanelStyle(theme=theme), note=note)
    picture = shown(painter, round(at_s * 25), grey(*size))
    assert picture.shape == (painter.size[1], painter.size[0], 3)
    film = film_and_panel(info, 0.28)[0]
    return picture[:, : film[0]], picture[:, film[0] :]


def is_marked(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels are no longer the film's grey."""
    return np.asarray(np.abs(picture.astype(int) - 90).max(axis=-1) > COLOUR_NOISE)


def near(picture: NDArray[np.uint8], colour: str) -> NDArray[np.bool_]:
    """Which pixels have a colour."""
    return np.asarray(np.abs(picture.astype(int) - np.array(rgb_of(colour)[::-1])).max(axis=2) < 6)


def has_colour(picture: NDArray[np.uint8], colour: str, *, pixels: int = 20) -> bool:
    return bool(near(picture, colour).sum() > pixels)


def test_a_box_has_its_persons_colour_and_is_thick_while_it_speaks() -> None:
    conversation = talk(persons=2, duration_s=60)
    boxes = (track(0, (50, 80, 150, 180)), track(1, (300, 80, 400, 180), score=-1.0), track(9, (500, 80, 580, 160)))
    film, _ = painted(conversation, 10, tracks=boxes)
    for box, colour in zip(((40, 160), (290, 410), (490, 590)), (colour_of(0), colour_of(1), OFF_SCREEN), strict=True):
        assert has_colour(film[60:190, box[0] : box[1]], colour)
    speaking, silent = (int(is_marked(film[130, x : x + 30]).sum()) for x in (40, 290))
    assert speaking > silent > 0


def test_the_line_that_is_heard_stands_out_and_only_while_it_is_heard() -> None:
    conversation = conversation_of([said("Good morning.", "Ann", 1.0, word_s=0.5)], persons=("Ann",))
    before, heard, after = (painted(conversation, at_s)[1] for at_s in (0.5, 1.2, 3.0))
    assert not has_colour(before, colour_of(0))
    card = THEMES["dark"].card
    assert has_colour(heard, card, pixels=1000)
    assert has_colour(after, colour_of(0))
    assert not has_colour(after, card, pixels=1000)


@pytest.mark.parametrize("theme", ["glass", "dark", "light"])
@pytest.mark.parametrize("size", [(1280, 720), (320, 240), (360, 640), (640, 272)])
def test_every_script_is_drawn_inside_the_panel(
    size: tuple[int, int], theme: Literal["glass", "dark", "light"], tmp_path: Path
) -> None:
    for at_s in (10, 20, 29):
        _, panel = painted(every_script(), at_s, size=size, theme=theme)
        cv2.imwrite(str(tmp_path / f"panel_{size[0]}_{theme}_{at_s}.png"), panel)
        plain = PanelPainter(
            conversation_of([], persons=()), (), info=info_of(*size), faces={}, style=PanelStyle(theme=theme)
        )
        empty = shown(plain, 0, grey(*size))[:, -panel.shape[1] :]
        is_drawn = np.abs(panel.astype(int) - empty).max(axis=2) > COLOUR_NOISE
        assert is_drawn.any()
        rows, columns = np.flatnonzero(is_drawn.any(axis=1)), np.flatnonzero(is_drawn.any(axis=0))
        assert columns[0] >= 1
        assert columns[-1] < panel.shape[1] - 1
        assert rows[0] >= 1
        assert rows[-1] < panel.shape[0] - 1


def test_messages_lie_below_each_other() -> None:
    """Above every face there is a band of background across the whole panel, at any moment of a long talk."""
    conversation = talk(persons=4, duration_s=120)
    painter = PanelPainter(
        conversation, (), info=info_of(640, 360), faces=drawn_faces(conversation), style=PanelStyle(theme="dark")
    )
    theme, starts_s = THEMES["dark"], [message.start_s for message in messages_of(conversation)]
    most = 0
    for second in range(5, 120, 9):
        panel = shown(painter, second * 25, grey(640, 360))[:, 640:]
        is_bare = near(panel, theme.back) | near(panel, theme.card)
        rows_with_face = ~is_bare[:, 12:36].all(axis=1)
        tops = np.flatnonzero(np.diff(rows_with_face.astype(int)) == 1) + 1
        assert 1 <= len(tops) <= min(6, sum(start_s <= second for start_s in starts_s))
        assert is_bare[tops - 2, 6:].all()
        most = max(most, len(tops))
    assert most >= 3


def test_a_long_line_is_shown_in_messages_and_no_word_is_lost() -> None:
    line = said("Word " * 300, "Ann", 2.0)
    messages = list(messages_of(conversation_of([line], persons=("Ann",))))
    assert len(messages) > 5
    assert all(len(message.text) <= LONGEST_MESSAGE for message in messages)
    assert " ".join(message.text for message in messages).split() == ["Word"] * 300
    assert [message.start_s for message in messages] == sorted({message.start_s for message in messages})
    assert messages[-1].end_s == pytest.approx(line.end_s)


def test_a_long_line_is_cut_behind_a_sentence_where_there_is_one() -> None:
    line = said("It was late and nobody was there to open. " * 12, "Ann", 0.0)
    messages = list(messages_of(conversation_of([line], persons=("Ann",))))
    assert all(message.text.endswith("open.") for message in messages)


def test_without_words_it_shows_who_speaks() -> None:
    talking = conversation_of([said("Yes.", "Ann", 1.0)], persons=("Ann",))
    silent = Conversation(talking.persons, (), (Turn("Ann", 1.0, 2.0), Turn(None, 3.0, 4.0)), "")
    assert has_colour(painted(silent, 1.5)[1], colour_of(0))
    assert has_colour(painted(silent, 3.5)[1], OFF_SCREEN)


def test_a_note_is_seen_in_the_picture() -> None:
    conversation = talk(persons=1, duration_s=10)
    assert is_marked(painted(conversation, 1, note="heuristic")[0][300:]).any()
    assert not is_marked(painted(conversation, 1)[0][300:]).any()


@pytest.mark.parametrize("box", [(-5000, -40, 20, 5000), (600, 300, 9000, 9000), (1e9, 1e9, 2e9, 2e9), (5, 5, 5, 5)])
def test_a_box_anywhere_is_no_error(box: tuple[float, ...]) -> None:
    conversation = conversation_of([], persons=NAMES)
    painted(conversation, 1, tracks=(track(2, box),))


def test_hostile_names_and_broken_faces_are_drawn_as_they_are() -> None:
    name = "\x00\udc80" + "<b>" * 300
    conversation = conversation_of([said("{\\an8} \x1b[31m \u202e", name, 0.0)], persons=(name,))
    painter = PanelPainter(
        conversation, (track(0, (10, 100, 60, 150)),), info=info_of(640, 360), faces={name: [b"\xff\xd8 broken"]}
    )
    assert shown(painter, 5, grey(640, 360)).any()


def test_missing_fonts_are_said() -> None:
    painter = PanelPainter(every_script(), (), info=info_of(640, 360), faces={}, fonts=Fonts(()))
    (notice,) = painter.notices()
    assert "No font on this machine" in notice
    assert "fonts-noto-cjk" in notice
    assert "CJK" in notice
    assert notice.isascii(), "the log holds nothing that was said"
    painter.paint(300, grey(640, 360))
    latin = PanelPainter(talk(persons=1, duration_s=1), (), info=info_of(640, 360), faces={}, fonts=Fonts(()))
    assert latin.notices() == ()


@pytest.mark.parametrize(
    ("size", "aspect", "film"),
    [
        ((1920, 1080), 1, (1920, 1080)),
        ((3840, 2160), 1, (1920, 1080)),
        ((320, 240), 1, (480, 360)),
        ((720, 576), Fraction(16, 11), (1048, 576)),
        ((1080, 1920), 1, (608, 1080)),
        ((641, 361), 1, (640, 360)),
    ],
)
def test_sizes_are_even_in_shape_and_leave_room_to_read(
    size: tuple[int, int], aspect: Fraction | int, film: tuple[int, int]
) -> None:
    found, panel_px = film_and_panel(info_of(*size, aspect), 0.28)
    assert found == film
    assert panel_px % 2 == 0
    assert panel_px >= max(240, 0.27 * film[0])


def test_the_film_is_written_with_its_panel_and_sound(tmp_path: Path) -> None:
    pictures = [np.full((240, 320, 3), number * 3, np.uint8) for number in range(50)]
    path = write_video(tmp_path / "film.mp4", pictures, sound=noise(2))
    source = VideoSource.open(path)
    sound = extract_sound(path, tmp_path / "audio.wav", zero=source.zero)
    conversation = talk(persons=2, duration_s=5)
    target = tmp_path / "video_with_panel.mp4"
    painter = PanelPainter(conversation, (), info=source.info, faces={})
    with PanelWriter(painter, target, source=source, sound=sound) as writer:
        for frame in source.frames(keeps_planes=True):
            writer.write(frame.index, frame.planes)
    with av.open(str(target)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.width, video.height) == painter.size
        assert (container.duration or 0) / 1e6 == pytest.approx(2.0, abs=0.1)
    frames = list(VideoSource.open(target).frames())
    assert len(frames) == 50
    assert abs(int(frames[40].bgr[100, 100, 0]) - 120) < 15
    assert frames[40].bgr[:, 480:].std() > 10
