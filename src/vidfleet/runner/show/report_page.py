"""``report.html``: one file that shows a run, with nothing in it from anywhere else.

Names, reasons and logs come from strangers. Each is made printable, then escaped: as HTML in what is written here,
as JSON without ``<`` in what the script shows, which puts it on the page as text only. A content security policy
lets nothing run but that script, known by its hash, and fetches nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import vidfleet
from vidfleet.runner.ledger import RunFolder
from vidfleet.runner.reading import open_regular
from vidfleet.runner.show.page import by_sort
from vidfleet.runner.show.timeline import KNOWN_KINDS, draw_lanes, kind_class
from vidfleet.runner.text import fit_end, length, one_line, plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vidfleet.data import Attempt, Outcome, State
    from vidfleet.runner.show.story import Story

PAGE_NAME = "report.html"
MOST_ROWS = 50_000
"""Videos in the table; those that were up to date are left out first."""
TAILS_BYTES = 4 << 20
"""All ends of logs together, roughly."""
_LONGEST_TAIL, _SHORTEST_TAIL = 4000, 200
_LONGEST_REASON_CELLS = 500
_MOST_SORTS = 30
_EXAMPLES = 5
_MOST_NOTICES = 50
_READ_BYTES = 8 << 10

STATES: tuple[tuple[State, str], ...] = (
    ("failed", "failed"),
    ("blocked", "blocked"),
    ("interrupted", "interrupted"),
    ("not_started", "not started"),
    ("done", "done"),
    ("up_to_date", "up to date"),
)
"""In the order of the table: what needs somebody first."""
_STANDING = {
    "interrupt": "Interrupted: the same command again runs what is left.",
    "setup": "Stopped early: what is missing here fails every video.",
    "disk_full": "Stopped early: the disk is full.",
    "lack_of_lanes": "Stopped early: no machine was left for the rest.",
}


def write_page(story: Story, folder: Path) -> Path:
    """Write ``report.html`` into a run's folder, aside and then renamed. Raises OSError."""
    page = folder / PAGE_NAME
    aside = folder / f".{PAGE_NAME}.part"
    aside.write_text(make_page(story, folder), encoding="utf-8")
    aside.replace(page)
    return page


def make_page(story: Story, folder: Path) -> str:
    """The whole page; ends of logs that the story lacks are read from the logs in ``folder``."""
    outcomes = _rows(story.summary.outcomes)
    rows = {outcome.video.relative: place for place, outcome in enumerate(outcomes)}
    style, script = _beside("report.css"), _beside("report.js")
    allowed = f"style-src {_hash(style)}; script-src {_hash(script)}"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    title = f"{printable(Path(story.root).name or story.root)}: {_short(story.workload)}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">',
        f"<title>{escape(title)}</title><style>{style}</style></head><body>",
        _head(story),
        f'<main><section aria-labelledby="lanes"><h2 id="lanes">Lanes</h2>{_legend(story)}',
        draw_lanes(story.summary, rows),
        "</section>",
        _failures(story.summary.outcomes, folder),
        _table(outcomes, story),
        "</main>",
        f"<footer>vidfleet {escape(vidfleet.__version__)}, run {escape(folder.name)}</footer>",
        f'<script type="application/json" id="data">{_data(story, outcomes, folder)}</script>',
        f"<script>{script}</script></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _beside(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _rows(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The table's videos: what needs somebody first, else as they were found."""
    order = {state: place for place, (state, _) in enumerate(STATES)}
    return sorted(outcomes, key=lambda o: (order[o.state], o.video.relative))[:MOST_ROWS]


def _short(text: str) -> str:
    return fit_end(one_line(text), _LONGEST_REASON_CELLS)


def _head(story: Story) -> str:
    """Root, workload, times, counts, notices."""
    summary = story.summary
    began = datetime.fromtimestamp(summary.started_at).astimezone()
    facts = [
        f'<time datetime="{began.isoformat()}">{began:%Y-%m-%d %H:%M:%S %Z}</time>',
        f"took {length(summary.ended_at - summary.started_at)}",
        plural(len(summary.lanes), "lane"),
    ]
    done_s = sum(o.probe.duration_s for o in summary.outcomes if o.state == "done" and o.probe)
    if done_s:
        facts.append(f"{length(done_s)} of film done")
    return "\n".join([
        f'<header><h1 dir="auto">{escape(printable(story.root))}</h1>',
        f'<p class="workload">{escape(_short(story.workload))}</p>',
        f'<p class="quiet">{" · ".join(facts)}</p>',
        _banner(story),
        _counts(story),
        _notices(summary.notices),
        "</header>",
    ])  # fmt: skip


def _banner(story: Story) -> str:
    words = {"running": "This run is not over yet.", "killed": "Its runner was killed: the same command again runs "
             "what is left."}  # fmt: skip
    text = words.get(story.standing) or _STANDING.get(story.summary.stopped_by, "")
    return f'<p class="banner">{text}</p>' if text else ""


def _counts(story: Story) -> str:
    counts = Counter(outcome.state for outcome in story.summary.outcomes)
    counts["up_to_date"] += story.unnamed
    shown = [
        f'<li class="s-{state}"><b>{counts[state]:,}</b> {word}</li>'
        for state, word in (*STATES[4:], *STATES[:4])
        if counts[state]
    ]
    return f'<ul class="counts">{"".join(shown)}</ul>'


def _notices(notices: Sequence[str]) -> str:
    distinct = [f"<li>{escape(one_line(text))}</li>" for text in dict.fromkeys(notices)]
    if not distinct:
        return ""
    more = len(distinct) - _MOST_NOTICES
    rest = f"<li>and {more} more in report.json</li>" if more > 0 else ""
    return f'<ul class="notices">{"".join(distinct[:_MOST_NOTICES])}{rest}</ul>'


def _legend(story: Story) -> str:
    counts = Counter(item.kind for item in _all(story.summary.outcomes))
    order = {kind: place for place, kind in enumerate(KNOWN_KINDS)}
    shown = [
        f'<li><i class="{kind_class(kind)}"></i>{escape(_kind(kind))} <span class="quiet">{counts[kind]:,}</span></li>'
        for kind in sorted(counts, key=lambda kind: (order.get(kind, len(order)), kind))
    ]
    return f'<ul class="legend">{"".join(shown)}</ul>' if shown else ""


def _kind(kind: str) -> str:
    return printable(kind).replace("_", " ")


def _failures(outcomes: Sequence[Outcome], folder: Path) -> str:
    """What failed and what is blocked, by kind and reason, the most frequent first."""
    sorts = by_sort([outcome for outcome in outcomes if outcome.state in ("failed", "blocked")])
    if not sorts:
        return ""
    items = [_sort(sort, folder) for sort in sorts[:_MOST_SORTS]]
    left = sorts[_MOST_SORTS:]
    rest = f"<p>and {sum(map(len, left)):,} more of {len(left):,} other sorts, in the table below</p>" if left else ""
    return f'<section aria-labelledby="why"><h2 id="why">What went wrong</h2>{"".join(items)}{rest}</section>'


def _sort(sort: list[Outcome], folder: Path) -> str:
    first = sort[0]
    names = "".join(f'<li dir="auto">{escape(printable(o.video.relative))}</li>' for o in sort[:_EXAMPLES])
    more = f'<li class="quiet">and {len(sort) - _EXAMPLES:,} more</li>' if len(sort) > _EXAMPLES else ""
    tail = _tail(first, folder, _LONGEST_TAIL)
    log = f'<details><summary>end of the first one\'s log</summary><pre tabindex="0">{escape(tail)}</pre></details>'
    kind = first.kind or first.state
    return (
        f'<article class="sort"><p><span class="badge"><i class="{kind_class(kind)}"></i>{escape(_kind(kind))}</span> '
        f"<b>{plural(len(sort), 'video')}</b> <span>{escape(_short(first.reason) or 'no reason given')}</span></p>"
        f"<ul>{names}{more}</ul>{log if tail else ''}</article>"
    )


def _table(outcomes: Sequence[Outcome], story: Story) -> str:
    """The empty table and what steers it; the script fills it from the data."""
    left = len(story.summary.outcomes) - len(outcomes) + story.unnamed
    note = f'<p class="quiet">{plural(left, "video")} that are up to date are not listed.</p>' if left else ""
    counts = Counter(outcome.state for outcome in outcomes)
    states = "".join(
        f'<button type="button" data-state="{state}" aria-pressed="false">{word} {counts[state]:,}</button>'
        for state, word in STATES
        if counts[state]
    )
    heads = (("video", "name"), ("state", "state"), ("film", "film"), ("took", "took"), ("tries", "tries"))
    cells = "".join(
        f'<th scope="col"><button type="button" data-sort="{key}">{word}</button></th>' for word, key in heads
    )
    choices = "".join(f'<option value="{key}">{word}</option>' for word, key in heads)
    return f"""<section aria-labelledby="videos" id="all"><h2 id="videos">Videos</h2>
<noscript><p>This table needs its script; the same is in report.json.</p></noscript>
<div class="tools"><input type="search" id="find" placeholder="name, kind, reason or lane" aria-label="find videos">
<label class="phone">by <select id="by">{choices}</select></label>
<div class="states" role="group" aria-label="states">{states}</div></div>
<table><thead><tr>{cells}</tr></thead><tbody id="rows"></tbody></table>
<nav class="pages"><button type="button" id="back">back</button><span id="where" role="status"></span>
<button type="button" id="next">next</button></nav>{note}</section>"""


def _data(story: Story, outcomes: Sequence[Outcome], folder: Path) -> str:
    """What the script shows, as JSON that cannot end its element."""
    failed = sum(outcome.state == "failed" for outcome in outcomes)
    room = max(_SHORTEST_TAIL, min(_LONGEST_TAIL, TAILS_BYTES // max(failed, 1)))
    plain = {
        "lanes": {lane.index: printable(lane.label) for lane in story.summary.lanes},
        "begin": story.summary.started_at,
        "kinds": {kind: kind_class(kind) for kind in {item.kind for item in _all(outcomes)}},
        "videos": [_row(outcome, folder, story.summary.started_at, room) for outcome in outcomes],
    }
    text = json.dumps(plain, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _row(outcome: Outcome, folder: Path, begin_at: float, room: int) -> list[Any]:
    """Name, state, kind, reason, film's length, log, end of the log, attempts; what is empty at the end left out."""
    name = printable(outcome.video.relative)
    row: list[Any] = [name, [state for state, _ in STATES].index(outcome.state)]
    if outcome.state == "up_to_date":
        return row
    seconds = round(outcome.probe.duration_s, 1) if outcome.probe else 0
    log = quote(outcome.log, errors="surrogateescape") if outcome.log.startswith("logs/") else ""
    tail = _tail(outcome, folder, room) if outcome.state == "failed" else ""
    reason = _short(outcome.reason)
    attempts = [_attempt_with_help(attempt, begin_at, outcome, folder) for attempt in outcome.attempts]
    return [*row, _kind(outcome.kind), reason, seconds, log, tail, attempts]


def _all(outcomes: Sequence[Outcome]) -> Iterator[Attempt]:
    """Attempts, and what helped them."""
    return (item for outcome in outcomes for attempt in outcome.attempts for item in (attempt, *attempt.helpers))


def _attempt_with_help(attempt: Attempt, begin_at: float, outcome: Outcome, folder: Path) -> list[Any]:
    """An attempt; behind it, where others helped, theirs as a list, each with its log."""
    run, video = RunFolder(folder), outcome.video
    helpers = [
        [*_attempt(helper, begin_at, ""), quote(run.log_name(video, helper.lane), errors="surrogateescape")]
        for helper in attempt.helpers
    ]
    return [*_attempt(attempt, begin_at, outcome.reason), *([helpers] if helpers else [])]


def _attempt(attempt: Attempt, begin_at: float, said: str) -> list[Any]:
    """Lane, start, seconds, kind, reason."""
    reason = "" if attempt.reason == said else _short(attempt.reason)
    return [
        attempt.lane.index,
        round(attempt.started_at - begin_at, 1),
        round(attempt.seconds, 1),
        attempt.kind,
        reason,
    ]


def _tail(outcome: Outcome, folder: Path, room: int) -> str:
    """The end of a video's log, at most ``room`` characters, line by line made printable."""
    tail = outcome.attempts[-1].evidence.log_tail if outcome.attempts else ""
    if not tail and outcome.log and outcome.attempts:
        tail = _read_end(folder / outcome.log)
    lines = [printable(line.expandtabs(4).rstrip()) for line in tail[-room:].split("\n")]
    text = "\n".join(lines).strip("\n")
    return text if len(text) <= room else "…" + text[-room:]


def _read_end(log: Path) -> str:
    try:
        with open_regular(log) as file:
            file.seek(0, 2)
            file.seek(max(file.tell() - _READ_BYTES, 0))
            return file.read().decode("utf-8", "backslashreplace")
    except OSError:
        return ""
