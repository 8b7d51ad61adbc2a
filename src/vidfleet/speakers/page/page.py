"""One file that shows what was found in a video; only the film itself lies beside it.

Names and words come from strangers. Each is escaped: as HTML in what is written here, as JSON without ``<`` in what
the script shows, which puts it on the page as text only. A content security policy lets nothing run but that
script, known by its hash, and fetches nothing but the film.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import vidfleet
from vidfleet.speakers.data import Conversation
from vidfleet.speakers.palette import OFF_SCREEN, colour_of, ink_on
from vidfleet.speakers.results.text import plain, shown_names
from vidfleet.speakers.spacing import spaced

if TYPE_CHECKING:
    from vidfleet.speakers.data import Line, Person, SaidWord

PAGE_NAME = "index.html"
UNSURE_WHO, UNSURE_WORD = 0.6, 0.4
"""Words below are marked: who said it, and what was said."""
_JPEG = b"\xff\xd8"


@dataclass(frozen=True, slots=True)
class ResultsPage:
    """All that the page shows."""

    conversation: Conversation
    title: str
    """The video's name."""
    duration_s: float
    video_url: str
    """Where the film is, relative to the page: :func:`relative_url`. Nothing: there is none that browsers play."""
    faces: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    """JPEGs of each person, by name, the best first."""
    notes: Sequence[str] = ()
    """What a reader should know: fallbacks, what was switched off."""
    files: Sequence[tuple[str, str]] = ()
    """Other results to offer: what each is called, and its URL relative to the page."""


def relative_url(target: Path, *, folder: Path) -> str:
    """How a page in ``folder`` addresses a file, whatever characters are in its name."""
    way = os.path.relpath(target.absolute(), folder.absolute())
    return quote(os.fsencode(way))


def write_page(page: ResultsPage, path: Path) -> None:
    """Write the page, aside and then renamed. Raises OSError."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_text(make_page(page), encoding="utf-8")
    aside.replace(path)


def make_page(page: ResultsPage) -> str:
    """The page's text. Raises ValueError for an address that leads elsewhere than to files beside."""
    for url in (page.video_url, *(url for _, url in page.files)):
        if urlsplit(url).scheme or url.startswith("//"):
            raise ValueError(f"{url!r} is not relative: the page shows only what lies beside it")
    style, script = _beside("page.css") + _person_rules(page), _beside("page.js")
    allowed = f"img-src data:; media-src 'self' file:; style-src {_hash(style)}; script-src {_hash(script)}"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">',
        f"<title>{_text(page.title)}</title><style>{style}</style></head><body>",
        _head(page),
        "<main>",
        f'<div class="stage">{_player(page)}{_transcript(page)}</div>',
        _timeline(page),
        _people(page),
        "</main>",
        _foot(),
        f'<script type="application/json" id="data">{_data(page)}</script>',
        f"<script>{script}</script></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(text: str) -> str:
    return escape(plain(text))


def _clock(seconds: float) -> str:
    whole = max(int(seconds), 0)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _names(page: ResultsPage) -> list[str]:
    """Of the rows: all persons, then off screen."""
    names = shown_names(page.conversation)
    return [*(names[person.name] for person in page.conversation.persons), names[None]]


def _who(page: ResultsPage) -> dict[str | None, int]:
    """The row of each person; the last row is everybody off screen."""
    order: dict[str | None, int] = {person.name: row for row, person in enumerate(page.conversation.persons)}
    order[None] = len(order)
    return order


def _data_url(jpeg: bytes) -> str:
    if not jpeg.startswith(_JPEG):
        raise ValueError("a face is not a JPEG picture")
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _person_rules(page: ResultsPage) -> str:
    """The style of each row: its colour, and its face. Nothing of it is a stranger's text."""
    rules = []
    for row, person in enumerate(page.conversation.persons):
        colour = colour_of(row)
        rules.append(f".p{row}{{--colour:{colour};--ink:{ink_on(colour)}}}")
        faces = page.faces.get(person.name, ())
        if faces:
            rules.append(f'.p{row} .face{{background-image:url("{_data_url(faces[0])}");color:transparent}}')
    rules.append(f".p{len(page.conversation.persons)}{{--colour:{OFF_SCREEN};--ink:{ink_on(OFF_SCREEN)}}}")
    return "\n".join(rules)


def _head(page: ResultsPage) -> str:
    conversation = page.conversation
    facts = [_clock(page.duration_s), _plural(len(conversation.persons), "person")]
    if conversation.lines:
        facts.append(_plural(sum(len(line.words) for line in conversation.lines), "word"))
    if conversation.words_from:
        facts.append(f"words from {_text(conversation.words_from)}")
    notes = "".join(f'<li dir="auto">{_text(note)}</li>' for note in page.notes)
    files = " · ".join(f'<a href="{escape(url)}">{_text(name)}</a>' for name, url in page.files)
    return "\n".join([
        f'<header><h1 dir="auto">{_text(page.title)}</h1>',
        f'<p class="quiet">{" · ".join(facts)}</p>',
        f'<p class="files">{files}</p>' if files else "",
        f'<ul class="notes">{notes}</ul>' if notes else "",
        "</header>",
    ])  # fmt: skip


def _player(page: ResultsPage) -> str:
    if not page.video_url:
        film = '<p class="none">There is no film here that browsers play.</p><video id="film" hidden></video>'
        return f'<section class="player" aria-label="film">{film}</section>'
    url = escape(page.video_url)
    return f"""<section class="player" aria-label="film">
<video id="film" controls preload="metadata" playsinline src="{url}"></video>
<p id="trouble" class="none" hidden>This browser cannot play the film. Is it still at <a href="{url}">its place</a>?
What was said can be read all the same.</p></section>"""


def _transcript(page: ResultsPage) -> str:
    conversation = page.conversation
    if conversation.lines:
        note = '<noscript><p class="none">What was said is shown by a script, which is switched off.</p></noscript>'
    elif conversation.turns:
        note = '<p class="none">No words were to be had. Below you see who speaks when.</p>'
    else:
        note = '<p class="none">Nobody is heard speaking in this film.</p>'
    hidden = "" if conversation.lines else " hidden"
    return f"""<section class="said" aria-label="what was said">
<div class="tools"{hidden}><input type="search" id="find" placeholder="search what was said" aria-label="search">
<span id="found" class="quiet" role="status"></span>
<button type="button" id="follow" aria-pressed="true" title="keep the line that is heard in sight">follow</button></div>
<div id="only" class="only" role="status" hidden><span>only <bdi></bdi></span>
<button type="button">show all</button></div>
{note}<ol id="lines" tabindex="0" aria-label="lines"{hidden}></ol></section>"""


def _face(name: str | None) -> str:
    """A round picture; the first letter where there is none."""
    letter = "…" if name is None else next((char for char in name if char.isalnum()), "?")
    return f'<span class="face" aria-hidden="true">{escape(letter.upper()[:1])}</span>'


def _spoken_s(conversation: Conversation) -> Mapping[str | None, float]:
    """How long each speaks: the same numbers wherever the page shows them."""
    spoken_s: defaultdict[str | None, float] = defaultdict(float)
    for turn in conversation.turns:
        spoken_s[turn.person] += turn.end_s - turn.start_s
    return spoken_s


def _timeline(page: ResultsPage) -> str:
    spoken_s = _spoken_s(page.conversation)
    people = [*(person.name for person in page.conversation.persons), None]
    rows = "".join(
        f'<button type="button" class="row p{row}" data-who="{row}" aria-pressed="false">'
        f'{_face(person)}<bdi>{_text(name)}</bdi><span class="quiet">{_clock(spoken_s[person])}</span></button>'
        for row, (name, person) in enumerate(zip(_names(page), people, strict=True))
    )
    return f"""<section class="when" aria-labelledby="when"><div class="tools"><h2 id="when">Who speaks when</h2>
<span class="zoom" role="group" aria-label="zoom"><button type="button" id="out" title="show more">&minus;</button>
<button type="button" id="in" title="show less, larger">+</button>
<button type="button" id="all">all</button></span></div>
<div class="rows"><div class="names">{rows}</div>
<div class="track"><canvas id="turns" tabindex="0" role="slider" aria-label="time" aria-valuemin="0"
 aria-valuemax="{int(page.duration_s)}" aria-valuenow="0"></canvas>
<i id="now"></i><div id="tip" hidden></div></div></div>
<input type="range" id="pan" min="0" max="1000" value="0" aria-label="part that is shown" hidden></section>"""


def _people(page: ResultsPage) -> str:
    persons = page.conversation.persons
    if not persons:
        text = "No face was seen long enough to be a person." if page.duration_s else "There are no pictures."
        return f'<section aria-labelledby="people"><h2 id="people">Persons</h2><p class="quiet">{text}</p></section>'
    spoken_s = _spoken_s(page.conversation)
    total_s = sum(spoken_s[person.name] for person in persons)
    lines = Counter(line.person for line in page.conversation.lines)
    cards = "".join(
        _card(page, row, _facts(spoken_s[person.name], total_s, lines[person.name]))
        for row, person in enumerate(persons)
    )
    title = '<h2 id="people">Persons</h2>'
    return f'<section aria-labelledby="people">{title}<ul class="cards">{cards}</ul></section>'


def _facts(spoken_s: float, total_s: float, lines: int) -> str:
    share = f", {spoken_s / total_s:.0%}" if total_s else ""
    return f"{_clock(spoken_s)}{share}" + (f" · {_plural(lines, 'line')}" if lines else "")


def _card(page: ResultsPage, row: int, facts: str) -> str:
    person: Person = page.conversation.persons[row]
    faces = page.faces.get(person.name, ())
    shown = "".join(f'<img src="{_data_url(jpeg)}" alt="" width="64" height="64">' for jpeg in faces)
    return (
        f'<li class="card p{row}"><button type="button" data-who="{row}" aria-pressed="false" '
        f'title="show only what this person says"><bdi>{_text(person.name)}</bdi>'
        f'<span class="quiet">{facts}</span></button><div class="faces">{shown or _face(person.name)}</div></li>'
    )


def _foot() -> str:
    keys = (("space", "play"), ("← →", "5 seconds"), ("↑ ↓", "lines"), ("/", "search"))
    shown = " ".join(f"<span><kbd>{key}</kbd> {what}</span>" for key, what in keys)
    return f'<footer><span class="keys">{shown}</span><span>vidfleet {escape(vidfleet.__version__)}</span></footer>'


def _data(page: ResultsPage) -> str:
    """What the script shows, as JSON that cannot end its element."""
    who = _who(page)
    values = {
        "duration": round(page.duration_s, 3),
        "names": _names(page),
        "turns": [[who[turn.person], _ms(turn.start_s), _ms(turn.end_s)] for turn in page.conversation.turns],
        "lines": [_line(line, who) for line in page.conversation.lines],
    }
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _line(line: Line, who: Mapping[str | None, int]) -> list[Any]:
    """The row, the language, and the words, each with the space before it."""
    texts = spaced([plain(said.word.text) for said in line.words])
    return [
        who[line.person],
        plain(line.language),
        [_word(said, text, who) for said, text in zip(line.words, texts, strict=True)],
    ]


def _word(said: SaidWord, text: str, who: Mapping[str | None, int]) -> list[Any]:
    """Text, begin and end in ms; then, only where there is something to say: why it is marked, who speaks as well."""
    item: list[Any] = [text, _ms(said.word.start_s), _ms(said.word.end_s)]
    doubts = []
    if said.confidence < UNSURE_WHO:
        doubts.append(f"who said it: {said.confidence:.0%} sure")
    if said.word.score < UNSURE_WORD:
        doubts.append(f"what was said: {said.word.score:.0%} sure")
    others = [who[name] for name in said.overlapping if name in who]
    if doubts or others:
        item.append("\n".join(doubts))
    if others:
        item.append(others)
    return item
