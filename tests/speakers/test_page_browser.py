"""index.html in a real Chromium: the film plays, the transcript follows, and no stranger's script runs."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.speakers.films import noise, write_video
from tests.speakers.talks import conversation_of, drawn_faces, said, talk
from vidfleet.speakers.media import VideoSource
from vidfleet.speakers.page import ResultsPage, relative_url, write_page
from vidfleet.speakers.page.playable import browser_plays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.speakers.conftest import MakeClip
    from vidfleet.speakers.data import Conversation

    Open = Callable[..., Any]

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required")  # fmt: skip
FILM_S = 6
ATTACKS = (
    "</script><script>window.hurt=1</script>",
    "<img src=x onerror='window.hurt=1'>",
    "<svg onload=window.hurt=1>",
    "\"><iframe srcdoc='<script>parent.hurt=1</script>'>",
    "javascript:window.hurt=1",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium here (Debian: apt-get install chromium)"),
    pytest.mark.skipif(not importlib.util.find_spec("playwright"), reason="playwright is not installed"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Open]:  # noqa: ANN401
    """Opens a conversation's page at a size, beside a film of six seconds; nothing may go wrong on it."""
    film = tmp_path / "a film 50%.mp4"
    colours = [np.full((90, 160, 3), number, np.uint8) for number in range(0, 250, 250 // (25 * FILM_S))]
    write_video(film, colours[: 25 * FILM_S], sound=noise(FILM_S))
    trouble: list[str] = []
    missing = "Failed to load resource: net::ERR_FILE_NOT_FOUND"

    def open_it(conversation: Conversation, *, size: tuple[int, int] = (1280, 800), url: str = "", **more: Any) -> Any:  # noqa: ANN401
        folder = tmp_path / "a film 50%"
        folder.mkdir(exist_ok=True)
        values: dict[str, Any] = {
            "title": film.name,
            "duration_s": FILM_S,
            "video_url": relative_url(film, folder=folder),
        } | more
        write_page(ResultsPage(conversation, faces=drawn_faces(conversation), **values), folder / "index.html")
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda message: None if message.text == missing else trouble.append(message.text))
        page.on("request", lambda request: None if is_beside(request.url) else trouble.append(request.url))
        page.goto((folder / "index.html").as_uri() + url)
        wait_until(page, "document.getElementById('film').readyState > 1 || document.getElementById('film').error")
        return page

    yield open_it
    assert trouble == []


def is_beside(url: str) -> bool:
    return url.startswith(("file:", "data:image/jpeg"))


def wait_until(page: Any, condition: str) -> None:  # noqa: ANN401
    """Playwright's own waiting runs a string as code in the page, which its policy forbids."""
    end_s = time.monotonic() + 20
    while not page.evaluate(f"Boolean({condition})"):
        assert time.monotonic() < end_s, condition
        page.wait_for_timeout(50)


def seconds(page: Any) -> float:  # noqa: ANN401
    return float(page.evaluate("document.getElementById('film').currentTime"))


def three_lines() -> Conversation:
    lines = [said("One two three.", "Ann", 0.5), said("Four five six.", "Bob", 2.5), said("Seven eight.", None, 4.5)]
    return conversation_of(lines, persons=("Ann", "Bob"))


def test_the_film_plays_and_the_transcript_follows(open_page: Open) -> None:
    page = open_page(three_lines())
    page.evaluate("""() => { window.heard = []; new MutationObserver(() => {
        const now = document.querySelector("#lines .now");
        if (now && window.heard.at(-1) !== now.textContent) window.heard.push(now.textContent);
    }).observe(document.getElementById("lines"), { subtree: true, attributes: true, attributeFilter: ["class"] }) }""")
    page.keyboard.press("Space")
    wait_until(page, "window.heard.includes('Four')")
    page.keyboard.press("Space")
    heard = page.evaluate("window.heard")
    assert heard == sorted(heard, key=["One", "two", "three.", "Four", "five", "six."].index)
    assert page.locator("#lines li[aria-current] b").inner_text() == "Bob"
    assert 2.4 < seconds(page) < 5
    assert page.evaluate("document.getElementById('film').paused")


def test_a_click_on_a_word_a_time_or_the_timeline_seeks(open_page: Open) -> None:
    page = open_page(three_lines())
    page.locator("#lines p span", has_text="six.").click()
    assert seconds(page) == pytest.approx(3.1, abs=0.01)
    assert page.locator("#lines .now").all_inner_texts() == ["six."]
    page.locator("#lines .at").nth(2).click()
    assert seconds(page) == pytest.approx(4.5, abs=0.01)
    box = page.locator("#turns").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 40)
    assert seconds(page) == pytest.approx(FILM_S / 2, abs=0.1)
    now = page.locator("#now").bounding_box()
    assert now["x"] == pytest.approx(box["x"] + box["width"] / 2, abs=2)


def test_keys_step_through_lines_and_time(open_page: Open) -> None:
    page = open_page(three_lines(), url="#t=0.5")
    assert seconds(page) == pytest.approx(0.5, abs=0.01)
    for key, expected in (
        ("ArrowDown", 2.5),
        ("ArrowDown", 4.5),
        ("ArrowUp", 2.5),
        ("ArrowLeft", 0),
        ("ArrowRight", 5),
    ):
        page.keyboard.press(key)
        assert seconds(page) == pytest.approx(expected, abs=0.01)
    page.keyboard.press("/")
    page.keyboard.type(" five ")
    assert seconds(page) == pytest.approx(5, abs=0.01)
    assert page.locator("#lines li:visible").count() == 1


def test_one_person_or_what_is_searched_for_is_shown_alone(open_page: Open) -> None:
    page = open_page(three_lines())
    visible = page.locator("#lines li:visible")
    page.locator(".row", has_text="Bob").click()
    assert visible.locator("p").all_inner_texts() == ["Four five six."]
    assert page.locator(".card button[aria-pressed=true]").count() == 1
    page.locator("#only button").click()
    assert visible.count() == 3
    page.locator("#find").fill("EIGHT")
    assert visible.locator("p").all_inner_texts() == ["Seven eight."]
    assert page.locator("#lines .hit").all_inner_texts() == ["eight."]
    assert page.locator("#found").inner_text() == "1 line"
    page.keyboard.press("Escape")
    assert visible.count() == 3
    assert page.locator("#lines .hit").count() == 0


def test_hostile_names_and_words_are_text(open_page: Open) -> None:
    lines = [said(f"{attack} {attack}", attack, number) for number, attack in enumerate(ATTACKS)]
    page = open_page(conversation_of(lines, persons=ATTACKS), title=ATTACKS[0], notes=ATTACKS, duration_s=FILM_S)
    assert page.locator("#lines b bdi").all_inner_texts() == list(ATTACKS)
    assert page.locator("#lines p").all_inner_texts() == [f"{attack} {attack}" for attack in ATTACKS]
    assert page.locator(".row bdi").all_inner_texts() == [*ATTACKS, "Off screen"]
    assert page.locator("h1").inner_text() == ATTACKS[0]
    for row in page.locator(".row").all():
        row.click()
    page.locator("#turns").hover(position={"x": 10, "y": 30})
    page.locator("#find").fill(ATTACKS[1])
    page.evaluate("document.getElementById('film').textTracks[0].mode = 'showing'")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("window.hurt") is None
    assert page.locator("iframe, svg, #lines img, #lines script").count() == 0


def test_a_persons_scrolling_is_left_alone_until_they_ask(open_page: Open) -> None:
    page = open_page(talk(persons=4, duration_s=600), duration_s=600)
    page.keyboard.press("ArrowDown")
    page.locator("#lines").hover()
    page.mouse.wheel(0, 4000)
    wait_until(page, "document.getElementById('lines').scrollTop > 3000")
    page.wait_for_timeout(300)
    assert page.locator("#follow").get_attribute("aria-pressed") == "false"
    page.evaluate("document.getElementById('film').currentTime = 3")
    page.wait_for_timeout(300)
    assert page.evaluate("document.getElementById('lines').scrollTop") > 3000
    page.locator("#follow").click()
    wait_until(page, "document.getElementById('lines').scrollTop < 500")


@pytest.mark.parametrize("size", [(1600, 1000), (1280, 800), (900, 700), (400, 800), (320, 600)])
def test_nothing_sticks_out_or_overlaps_on_any_screen(open_page: Open, size: tuple[int, int], tmp_path: Path) -> None:
    conversation = talk(persons=12, duration_s=600)
    page = open_page(conversation, size=size, title="A" * 200 + ".mp4", duration_s=600)
    page.screenshot(path=tmp_path / f"page_{size[0]}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    overlapping = page.evaluate("""() => {
        const parts = document.querySelectorAll("header, .player, .said, .when, main > section:last-child, footer");
        const boxes = [...parts].map((part) => part.getBoundingClientRect());
        const apart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
        return boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => !apart(a, b))).length }""")
    assert overlapping == 0
    outside = page.evaluate("""() => [...document.querySelectorAll("#lines li:not([hidden]) p")].slice(0, 60).filter(
        (text) => text.scrollWidth > text.clientWidth + 1).length""")
    assert outside == 0


def test_a_film_of_three_hours_is_read_searched_and_jumped_through(open_page: Open) -> None:
    page = open_page(talk(persons=30, duration_s=10_800), duration_s=10_800)
    assert page.locator("#lines li").count() > 2000
    assert page.locator("#lines p span").count() < 3000, "words far away are not laid out"
    page.locator("#find").fill("third floor")
    assert page.locator("#lines .hit").first.inner_text() == "third"
    page.keyboard.press("Escape")
    page.evaluate("document.querySelectorAll('#lines .at')[1500].click()")
    page.wait_for_timeout(300)
    for _ in range(3):
        page.locator("#in").click()
    assert page.locator("#pan").is_visible()


def test_a_film_that_is_gone_leaves_its_transcript(open_page: Open) -> None:
    page = open_page(three_lines(), video_url="../gone.mp4")
    wait_until(page, "!document.getElementById('trouble').hidden")
    page.locator("#lines p span", has_text="six.").click()
    assert page.locator("#lines .now").all_inner_texts() == ["six."]


def test_a_film_without_words_still_shows_who_speaks_when(open_page: Open) -> None:
    full = three_lines()
    silent = type(full)(full.persons, (), full.turns, "")
    page = open_page(silent)
    assert "No words" in page.locator(".said").inner_text()
    coloured = page.evaluate("""() => { const canvas = document.getElementById("turns");
        const pen = canvas.getContext("2d"), x = Math.round(canvas.width * 0.15);
        return [...pen.getImageData(x, Math.round(canvas.height * 34 / canvas.clientHeight), 1, 1).data] }""")
    assert coloured == [0x00, 0x72, 0xB2, 255]


def test_chromium_plays_what_is_said_to_be_played(browser: Any, make_clip: MakeClip, tmp_path: Path) -> None:  # noqa: ANN401
    x264, opus = {"video_options": {"preset": "ultrafast"}}, {"audio": "libopus", "audio_rate": 48_000}
    kinds: dict[str, dict[str, Any]] = {
        "aac.mp4": x264,
        "aac.mov": x264,
        "aac.m4v": x264,
        "mp3.mp4": {**x264, "audio": "libmp3lame", "audio_rate": 44_100},
        "opus.mp4": {**x264, **opus},
        "flac.mp4": {**x264, "audio": "flac"},
        "vp8.webm": {"video": "libvpx", "video_options": {}, **opus},
        "vp9.webm": {"video": "libvpx-vp9", "video_options": {}, **opus},
        "vp9.mp4": {"video": "libvpx-vp9", "video_options": {}},
    }
    page = browser.new_page()
    for name, codecs in kinds.items():
        path, _ = make_clip(name, **codecs)
        assert browser_plays(VideoSource.open(path)), name
        (tmp_path / "plain.html").write_text(f'<video src="{name}"></video>')
        page.goto((tmp_path / "plain.html").as_uri())
        wait_until(page, "document.querySelector('video').readyState > 1 || document.querySelector('video').error")
        assert page.evaluate("document.querySelector('video').error") is None, name
