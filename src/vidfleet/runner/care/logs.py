"""``vidfleet logs``: the last log of one video, found by its path, its name or a part of it."""

from __future__ import annotations

import difflib
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from vidfleet.errors import UsageError
from vidfleet.runner.ledger import RunFolder, all_runs
from vidfleet.runner.reading import open_regular
from vidfleet.runner.show.story import read_story
from vidfleet.runner.text import HarmlessStream, one_line, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vidfleet.data import Outcome

_MOST_NAMED = 8
_TAB_CELLS = 8


@dataclass(frozen=True, slots=True)
class FoundLog:
    """One video's log in one run."""

    video: str
    """Its path below the root."""
    run: str
    path: Path
    helpers: tuple[tuple[str, Path], ...] = ()
    """Lanes that helped, by their labels, and what they wrote."""


def find_log(root: Path, wanted: str, *, run: str = "") -> FoundLog:
    """The newest log of the video that ``wanted`` means, or the one in ``run``.

    ``wanted`` is a path, a name with or without its ending, or a part of it that only one video has. Raises
    UsageError where that is none or several, or nothing ran for it; its text says what there is.
    """
    known: set[str] = set()
    seen: tuple[str, Outcome] | None = None
    for folder in _runs(root, run):
        try:
            outcomes = {o.video.relative: o for o in read_story(folder).summary.outcomes}
        except OSError:
            continue
        known |= outcomes.keys()
        name = _match(wanted, root, outcomes)
        if name is None:
            continue
        if outcomes[name].log and (folder.path / outcomes[name].log).is_file():
            return FoundLog(name, folder.id, folder.path / outcomes[name].log, _helpers(folder, outcomes[name]))
        seen = seen or (name, outcomes[name])
    if seen is not None:
        name, outcome = seen
        why = ": ".join(filter(None, (outcome.state.replace("_", " "), one_line(outcome.reason))))
        raise UsageError(f"there is no log of {printable(name)}: nothing ran for it ({why})")
    raise UsageError(_unknown(wanted, known))


def _helpers(folder: RunFolder, outcome: Outcome) -> tuple[tuple[str, Path], ...]:
    lanes = dict.fromkeys(helper.lane for attempt in outcome.attempts for helper in attempt.helpers)
    logs = ((f"{lane.label} (lane {lane.index})", folder.path / folder.log_name(outcome.video, lane)) for lane in lanes)
    return tuple((label, log) for label, log in logs if log.is_file())


def print_logs(found: FoundLog, stream: TextIO | None) -> None:
    """Write a video's log, and below it the logs of the lanes that helped. Raises OSError."""
    print_log(found.path, stream)
    for label, path in found.helpers:
        HarmlessStream(stream).write(f"\n==> {printable(label)}, which helped: {printable(str(path))} <==\n")
        print_log(path, stream)


def print_log(path: Path, stream: TextIO | None) -> None:
    """Write a log; on a terminal nothing in it does anything but be read. Raises OSError where it cannot be read."""
    out = HarmlessStream(stream)
    shows = out.isatty()
    with io.TextIOWrapper(open_regular(path), "utf-8", "backslashreplace", newline="\n") as lines:
        for line in lines:
            text = line.removesuffix("\n")
            out.write((printable(text.expandtabs(_TAB_CELLS)) if shows else text) + "\n")
    out.flush()


def find_run(root: Path, wanted: str = "") -> RunFolder:
    """The last run over ``root``, or the one that ``wanted`` names. Raises UsageError where there is none."""
    return _runs(root, wanted)[0]


def _runs(root: Path, wanted: str) -> list[RunFolder]:
    """Newest first."""
    runs = all_runs(root)[::-1]
    if not runs:
        raise UsageError(f"no run over {printable(str(root))} yet")
    if not wanted:
        return runs
    matching = [run for run in runs if run.id == wanted] or [run for run in runs if wanted in run.id]
    if len(matching) != 1:
        there = "\n".join(f"  {run.id}" for run in runs[:_MOST_NAMED])
        what = "there is more than one such run" if matching else "there is no such run"
        raise UsageError(f"--run {printable(wanted)}: {what}; the newest are\n{there}")
    return matching


def _match(wanted: str, root: Path, outcomes: Mapping[str, Outcome]) -> str | None:
    """The one video that is meant; none where there is none, UsageError where there are several."""
    for exact in (wanted, _below(root, wanted)):
        if exact in outcomes:
            return exact
    for means in (_is_printed, _is_name, _is_stem, _is_part):
        found = [name for name in outcomes if means(wanted, name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(f"{printable(wanted)} may mean {len(found)} videos:\n{_listed(found)}")
    return None


def _below(root: Path, wanted: str) -> str:
    """A path on this machine as a path below the root."""
    try:
        return os.path.relpath(wanted, root)
    except ValueError:
        return ""


def _is_printed(wanted: str, name: str) -> bool:
    return wanted == printable(name)


def _is_name(wanted: str, name: str) -> bool:
    return wanted in (Path(name).name, printable(Path(name).name))


def _is_stem(wanted: str, name: str) -> bool:
    return wanted in (Path(name).stem, printable(Path(name).stem), str(Path(name).with_suffix("")))


def _is_part(wanted: str, name: str) -> bool:
    return wanted.casefold() in name.casefold() or wanted.casefold() in printable(name).casefold()


def _listed(names: Sequence[str]) -> str:
    more = [f"  and {len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return "\n".join([f"  {printable(name)}" for name in sorted(names)[:_MOST_NAMED]] + more)


def _unknown(wanted: str, known: set[str]) -> str:
    near = difflib.get_close_matches(wanted, known, _MOST_NAMED) or difflib.get_close_matches(
        Path(wanted).name, [Path(name).name for name in known], _MOST_NAMED
    )
    hint = f"; near are\n{_listed(near)}" if near else ""
    return f"no run that is kept knows a video {printable(wanted)}{hint}"
