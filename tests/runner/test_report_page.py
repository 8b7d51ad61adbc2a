"""report.html: one file, nothing in it from elsewhere, nothing in it that a stranger's name or log could do."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from vidfleet.data import Attempt, Evidence, Outcome, Summary
from vidfleet.runner.show import report_page
from vidfleet.runner.show.report_page import make_page, write_page
from vidfleet.runner.show.story import Story

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.conftest import MadeUp

HOSTILE = (
    "</script><script>document.title='x'</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "<!--<script>",
    "{{7*7}}${7*7}",
    "\x1b[31mred\x1b]0;title\x07",
    "\u202egpj",
    "bytes\udcff",
    "new\nline",
    "&lt;b&gt;",
)


class Elements(HTMLParser):
    """Collects the elements of a page, and what stands in those whose text is no text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] in ("script", "style") and data.strip():
            self.raw.append(data)


def elements(page: str) -> Elements:
    parser = Elements()
    parser.feed(page)
    return parser


def story_of(made_up: MadeUp, *outcomes: Outcome, lanes: int = 2, **more: Any) -> Story:  # noqa: ANN401
    return Story(Summary(outcomes, None, 1000.0, 1100.0, made_up.lanes(lanes), **more), "/data/video", "infer.py")


def hostile(made_up: MadeUp, word: str) -> Story:
    """A run in which a stranger's word stands wherever one can."""
    attempt = Attempt(1, made_up.lanes(2)[1], word, 1000.0, 1050.0, word, word, Evidence(log_tail=f"{word}\n{word}"))
    outcomes = [
        Outcome(made_up.video(word + ".mp4"), "failed", word, word, (attempt,), None, "logs/" + word),
        Outcome(made_up.video("b" + word), "blocked", "b" + word, word),
    ]
    return replace(story_of(made_up, *outcomes, notices=(word,)), root="/" + word, workload=word)


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    plain: dict[str, Any] = json.loads(found[1])
    return plain


@pytest.mark.parametrize("word", HOSTILE, ids=ascii)
def test_no_name_reason_or_log_becomes_an_element(made_up: MadeUp, tmp_path: Path, word: str) -> None:
    page = make_page(hostile(made_up, word), tmp_path)
    harmless = make_page(hostile(made_up, "x"), tmp_path)
    assert [tag for tag, _ in elements(page).found] == [tag for tag, _ in elements(harmless).found]
    assert not [name for _, attributes in elements(page).found for name in attributes if name.startswith("on")]
    page.encode("utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e]", page)


@pytest.mark.parametrize("word", HOSTILE, ids=ascii)
def test_the_table_shows_every_word_printable(made_up: MadeUp, tmp_path: Path, word: str) -> None:
    videos = data_of(make_page(hostile(made_up, word), tmp_path))["videos"]
    assert len(videos) == 2
    assert all(text.replace("\n", "").isprintable() for row in videos for text in row if isinstance(text, str))
    assert videos[0][6].count("\n") >= 1  # the log keeps its lines


def test_nothing_comes_from_elsewhere_and_only_the_known_script_runs(made_up: MadeUp, tmp_path: Path) -> None:
    page = make_page(story_of(made_up, made_up.outcome("a.mp4", "done")), tmp_path)
    found = elements(page)
    policy = next(str(a["content"]) for tag, a in found.found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    style, _, script = found.raw
    for text in (style, script):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy
    assert not [a for _, a in found.found for name in a if name in ("src", "href", "style", "srcset", "action")]
    assert "://" not in script + style


def test_the_script_never_makes_html_of_text() -> None:
    script = report_page._beside("report.js")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function\(", script)


def test_a_row_tells_state_kind_reason_attempts_and_log(made_up: MadeUp, tmp_path: Path) -> None:
    failed = made_up.outcome("s/a b%.mp4", "failed", "crash", "signal 11", seconds=30, log="logs/s/a b%.mp4.log")
    (tmp_path / "logs/s").mkdir(parents=True)
    (tmp_path / "logs/s/a b%.mp4.log").write_text("one\nthe last words\n")
    page = make_page(story_of(made_up, made_up.outcome("z.mp4", "done"), failed), tmp_path)
    first, second = data_of(page)["videos"]
    assert first == ["s/a b%.mp4", 0, "crash", "signal 11", 100.0, "logs/s/a%20b%25.mp4.log", "one\nthe last words",
                     [[0, 0.0, 30.0, "crash", ""]]]  # fmt: skip
    assert second[6] == ""
    assert "<b>1</b> failed" in page
    assert "the last words</pre>" in page


def test_a_log_elsewhere_is_never_linked(made_up: MadeUp, tmp_path: Path) -> None:
    outcome = replace(made_up.outcome("a.mp4", "done"), log="javascript:alert(1)")
    assert data_of(make_page(story_of(made_up, outcome), tmp_path))["videos"][0][5] == ""


def test_every_attempt_has_a_bar_of_its_kind_on_its_lane(made_up: MadeUp, tmp_path: Path) -> None:
    lanes = made_up.lanes(2)
    crash = replace(made_up.attempt(lanes[0], kind="crash", seconds=20), ended_at=1020.0)
    good = replace(made_up.attempt(lanes[1], seconds=0, number=2), started_at=1020.0, ended_at=1100.0)
    outcome = replace(made_up.outcome("a.mp4", "done"), attempts=(crash, good))
    page = make_page(story_of(made_up, outcome), tmp_path)
    bars = [a for tag, a in elements(page).found if tag == "rect"]
    assert [(bar["class"], bar["x"], bar["width"]) for bar in bars] == [
        ("k-crash", "0.00%", "20.00%"),
        ("k-done", "20.00%", "80.00%"),
    ]
    assert "a.mp4\ndone, try 2, 0:20 to 1:40, 80 s" in page


def test_short_attempts_share_a_bar_and_no_failure_hides_behind_it(made_up: MadeUp, tmp_path: Path) -> None:
    lane = made_up.lanes(1)[0]
    outcomes = [
        replace(made_up.outcome(f"{n}.mp4", "done"),
                attempts=(replace(made_up.attempt(lane), started_at=1000 + n / 1000, ended_at=1000 + (n + 1) / 1000),))
        for n in range(50)
    ]  # fmt: skip
    failed = replace(made_up.attempt(lane, kind="error"), started_at=1000.0, ended_at=1000.001)
    outcomes.append(replace(made_up.outcome("x.mp4", "failed", "error"), attempts=(failed,)))
    page = make_page(story_of(made_up, *outcomes, lanes=1), tmp_path)
    assert [a["class"] for tag, a in elements(page).found if tag == "rect"] == ["k-done", "k-error"]
    assert "50 attempts: 50 done" in page


@pytest.mark.slow
def test_a_page_of_20000_failures_stays_small(made_up: MadeUp, tmp_path: Path) -> None:
    lanes = made_up.lanes(8)
    outcomes = []
    for n in range(20_000):
        attempt = Attempt(
            1, lanes[n % 8], "h", 1000 + n, 1007 + n, "error", f"status {n}", Evidence(log_tail="x" * 6000)
        )
        outcomes.append(Outcome(made_up.video(f"series/s{n:05d}.mp4"), "failed", "error", f"status {n}", (attempt,)))
    page = write_page(story_of(made_up, *outcomes, lanes=8), tmp_path)
    assert page.stat().st_size < 12e6


def test_up_to_date_videos_beyond_the_table_are_counted(
    made_up: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_page, "MOST_ROWS", 3)
    outcomes = [made_up.outcome(f"{n}.mp4", "up_to_date") for n in range(9)]
    page = make_page(story_of(made_up, *outcomes, made_up.outcome("z.mp4", "failed", "error")), tmp_path)
    assert [row[0] for row in data_of(page)["videos"]] == ["z.mp4", "0.mp4", "1.mp4"]
    assert "7 videos that are up to date are not listed" in page


def test_an_empty_run_makes_a_page(made_up: MadeUp, tmp_path: Path) -> None:
    assert "Nothing ran." in make_page(story_of(made_up, made_up.outcome("a.mp4", "up_to_date")), tmp_path)
