"""report.html in a real Chromium: its own script runs, nobody else's does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vidfleet.data import Attempt, Evidence, Outcome, Summary
from vidfleet.runner.show.report_page import write_page
from vidfleet.runner.show.story import Story

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.runner.conftest import MadeUp

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
ATTACKS = (
    "</script><script>window.hurt=1</script>",
    "<img src=x onerror='window.hurt=1'>",
    "<svg onload=window.hurt=1>",
    "\"><iframe srcdoc='<script>parent.hurt=1</script>'>",
    "<a href='javascript:window.hurt=1'>x</a>",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium here (Debian: apt-get install chromium)"),
    pytest.mark.skipif(not importlib.util.find_spec("playwright"), reason="playwright is not installed"),
]


@pytest.fixture
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture
def page_file(made_up: MadeUp, tmp_path: Path) -> Path:
    """A run of hostile names and logs, and 250 harmless videos."""
    lanes, outcomes = made_up.lanes(2), []
    for n, word in enumerate(ATTACKS):
        attempt = Attempt(1, lanes[0], word, 1000 + n, 1001 + n, "error", word, Evidence(log_tail=word))
        outcomes.append(
            Outcome(made_up.video(f"{word}.mp4"), "failed", "error", word, (attempt,), None, f"logs/{word}")
        )
    outcomes += [made_up.outcome(f"v{n:03d}.mp4", "done") for n in range(250)]
    summary = Summary(tuple(outcomes), None, 1000.0, 1100.0, lanes, notices=ATTACKS)
    return write_page(Story(summary, "/" + ATTACKS[1], ATTACKS[0]), tmp_path)


def test_the_page_works_and_no_strangers_script_runs(browser: Any, page_file: Path) -> None:  # noqa: ANN401
    page = browser.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda message: trouble.append(message.text))
    page.on("request", lambda request: None if request.url.startswith("file:") else trouble.append(request.url))
    page.goto(page_file.as_uri())
    assert page.locator("#where").inner_text() == "1 to 100 of 255"
    for button in page.locator("#rows tr:not(.more) td button").all()[: len(ATTACKS)]:
        button.click()
    assert page.locator("tr.more pre").all_inner_texts() == sorted(ATTACKS)
    page.locator("#next").click()
    assert page.locator("#where").inner_text() == "101 to 200 of 255"
    page.locator("[data-state=done]").click()
    page.locator("#find").fill("v24")
    assert page.locator("#where").inner_text() == "1 to 10 of 10"
    page.locator("th [data-sort=name]").click()
    page.locator("th [data-sort=name]").click()
    assert page.locator("#rows td button").first.inner_text() == "v249.mp4"
    page.locator("rect[data-row]").first.click(force=True)
    assert page.locator("tr.more").count() == 1
    assert page.evaluate("window.hurt") is None
    assert trouble == []


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_sticks_out_of_the_screen(browser: Any, page_file: Path, width: int) -> None:  # noqa: ANN401
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(page_file.as_uri())
    page.locator("#rows td button").first.click()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
