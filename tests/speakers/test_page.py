"""index.html says everything that was found, and takes no stranger's word for markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from tests.speakers.talks import conversation_of, drawn_face, drawn_faces, said, talk
from vidfleet.speakers.data import Conversation, Turn
from vidfleet.speakers.page import ResultsPage, relative_url, write_page
from vidfleet.speakers.page.page import make_page

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "</script><img src=x onerror='hurt()'>\"'&<b>\x00\udc80\u202eevil"


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page_of(conversation: Conversation, **more: Any) -> ResultsPage:  # noqa: ANN401
    values: dict[str, Any] = {"title": "a film.mp4", "duration_s": 10.0, "video_url": "../a%20film.mp4"} | more
    return ResultsPage(conversation, **values)


def data_of(page: str) -> Any:  # noqa: ANN401
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_the_data_hold_every_word_turn_and_person() -> None:
    conversation = talk(persons=3, duration_s=60)
    data = data_of(make_page(page_of(conversation)))
    assert data["names"] == ["Person_1", "Person_2", "Person_3", "Off screen"]
    assert len(data["turns"]) == len(conversation.turns)
    assert [line[0] for line in data["lines"]] == [
        {"Person_1": 0, "Person_2": 1, "Person_3": 2, None: 3}[line.person] for line in conversation.lines
    ]
    words = [word for line in data["lines"] for word in line[2]]
    expected = [one for line in conversation.lines for one in line.words]
    assert [(word[0].strip(), word[1], word[2]) for word in words] == [
        (one.word.text, round(one.word.start_s * 1000), round(one.word.end_s * 1000)) for one in expected
    ]


def test_doubt_is_said_and_certainty_is_not() -> None:
    sure, unsure = said("Yes.", "A", 0, confidence=0.95), said("No.", "A", 5, confidence=0.45)
    lines = data_of(make_page(page_of(conversation_of([sure, unsure], persons=("A",)))))["lines"]
    assert len(lines[0][2][0]) == 3
    assert lines[1][2][0][3] == "who said it: 45% sure"


def test_speaking_times_are_the_same_in_all_places() -> None:
    conversation = conversation_of([said("a b c d e f g h i j", "A", 0.0, word_s=1.0)], persons=("A",))
    other = Conversation((replace(conversation.persons[0], spoken_s=99.0),), conversation.lines, conversation.turns)
    texts = "".join(Elements(make_page(page_of(other))).texts)
    assert texts.count("0:10") >= 3, "row, card, and the film's length"
    assert "1:39" not in texts


def test_chinese_has_no_spaces_between_words() -> None:
    line = said("你昨天说的", "A", 0, language="zh")
    words = data_of(make_page(page_of(conversation_of([line], persons=("A",)))))["lines"][0][2]
    assert "".join(word[0] for word in words) == "你昨天说的"


def page_with(text: str, *, where: str) -> str:
    """A page that has ``text`` in one place."""

    def at(place: str) -> str:
        return text if place == where else "A"

    conversation = conversation_of([said(at("word"), at("name"), 0)], persons=(at("name"),), words_from=at("source"))
    return make_page(
        page_of(
            conversation,
            title=at("title"),
            notes=(at("note"),),
            files=((at("file"), "transcript.json"),),
            faces=drawn_faces(conversation),
        )
    )


@pytest.mark.parametrize("where", ["title", "name", "word", "note", "file", "source"])
def test_no_strangers_text_becomes_markup(where: str) -> None:
    made = page_with(HOSTILE, where=where)
    made.encode("utf-8")
    elements, harmless = Elements(made), Elements(page_with("A", where=where))
    assert [tag for tag, _ in elements.found] == [tag for tag, _ in harmless.found]
    assert [set(values) for _, values in elements.found] == [set(values) for _, values in harmless.found]
    assert "\u202e" not in made
    shown = "".join(word[0] for word in data_of(made)["lines"][0][2]) if where == "word" else "".join(elements.texts)
    assert "onerror" in shown


def test_the_policy_allows_its_own_script_and_style_and_nothing_else() -> None:
    made = make_page(page_of(talk(persons=2, duration_s=20), faces={"Person_1": [drawn_face(1)]}))
    policy = next(values["content"] for tag, values in Elements(made).found if tag == "meta" and "content" in values)
    assert policy
    script = re.findall(r"<script>(.*?)</script>", made, re.DOTALL)
    style = re.findall(r"<style>(.*?)</style>", made, re.DOTALL)
    assert len(script) == len(style) == 1
    for text in (*script, *style):
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_nothing_on_the_page_leads_into_the_network() -> None:
    made = make_page(page_of(talk(persons=2, duration_s=20), faces={"Person_1": [drawn_face(1)]}))
    links = [
        value for _, values in Elements(made).found for key, value in values.items() if key in ("src", "href") and value
    ]
    assert links
    assert not [link for link in links if not link.startswith(("../a%20film.mp4", "data:image/jpeg;base64,"))]
    assert "@import" not in made


@pytest.mark.parametrize(
    "url", ["https://example.org/a.mp4", "//example.org/a.mp4", "javascript:alert(1)", "file:///a"]
)
def test_an_address_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="relative"):
        make_page(page_of(talk(persons=1, duration_s=5), video_url=url))
    with pytest.raises(ValueError, match="relative"):
        make_page(page_of(talk(persons=1, duration_s=5), files=(("f", url),)))


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="JPEG"):
        make_page(page_of(talk(persons=1, duration_s=5), faces={"Person_1": [b"<svg onload=hurt()>"]}))


@pytest.mark.parametrize("name", ["a film.mp4", "50%#?.mp4", "c:d.mp4", "j\u00fcrgen\udcff.mp4", "-x'\"<>.mp4"])
def test_any_name_of_a_file_can_be_addressed(tmp_path: Path, name: str) -> None:
    url = relative_url(tmp_path / "root" / name, folder=tmp_path / "out" / "stem")
    assert url.startswith("../../root/")
    assert unquote(url, errors="surrogateescape") == f"../../root/{name}"
    make_page(page_of(talk(persons=1, duration_s=5), video_url=url))


def test_a_film_without_words_persons_or_pictures_is_a_result() -> None:
    turns = (Turn("A", 0.0, 1.0),)
    talking = conversation_of([], persons=("A",), words_from="")
    with_turns = Conversation(talking.persons, (), turns, "")
    assert "No words were to be had" in make_page(page_of(with_turns))
    nothing = make_page(page_of(Conversation((), (), (), ""), video_url=""))
    assert "Nobody is heard" in nothing
    assert "There is no film here" in nothing


def test_the_page_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    path.write_text("old")
    conversation = talk(persons=2, duration_s=20)
    with pytest.raises(ValueError, match="relative"):
        write_page(page_of(conversation, video_url="https://example.org"), path)
    assert path.read_text() == "old"
    write_page(page_of(conversation), path)
    assert path.read_text().endswith("</html>\n")
    assert [one.name for one in tmp_path.iterdir()] == ["index.html"]
