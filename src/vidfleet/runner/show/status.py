"""``vidfleet status``: where the last run over a root stands, read out of its ledger."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TextIO

from vidfleet.runner.ledger import RunFolder, all_runs
from vidfleet.runner.live import read_live
from vidfleet.runner.show.board import Board
from vidfleet.runner.show.page import Page, write_blocked, write_failures
from vidfleet.runner.show.report_page import PAGE_NAME
from vidfleet.runner.slurm.outside import look, told
from vidfleet.runner.text import clock, ends, length, one_line, plural, printable

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Lane
    from vidfleet.runner.show.board import Running

_MOST_LANES = 64
SCHEMA = 1


def status_to_plain(root: Path) -> dict[str, Any]:
    """The same as an object of JSON; ``run`` is null where there was none."""
    runs = [run for run in all_runs(root) if run.ledger.exists()]
    if not runs:
        return {"schema": SCHEMA, "run": None, "root": str(root)}
    run, on_slurm = runs[-1], look(runs[-1])
    board, now, goes_on = _read(run), time.time(), run.is_running()
    remaining_s = board.remaining_s(now) if goes_on else None
    return {
        "schema": SCHEMA,
        "run": run.id,
        "folder": str(run.path),
        "root": board.root,
        "workload": board.workload,
        "on_slurm": on_slurm,
        "standing": "ended" if board.ended else "running" if goes_on else "killed",
        "stopped_by": board.ended.stopped_by if board.ended else "",
        "started_at": board.started_at,
        "videos": board.videos,
        "counts": dict(board.counts),
        "waiting": max(board.to_run - board.ran - len(board.running), 0),
        "share_done": round(board.share_done(now), 4),
        "remaining_s": remaining_s,
        "ends_at": None if remaining_s is None else now + remaining_s,
        "running": [_running_to_plain(item, now) for item in board.running.values()] if goes_on else [],
        "helping": [_helping_to_plain(item, now) for item in board.helping.values()] if goes_on else [],
        "failures": [
            {"video": o.video.relative, "state": o.state, "kind": o.kind, "reason": o.reason, "log": o.log}
            for o in board.failures
        ],
    }


def _running_to_plain(item: Running, now: float) -> dict[str, Any]:
    return {
        "video": item.task.video.relative,
        "lane": item.lane.index,
        "label": item.lane.label,
        "number": item.number,
        "stage": item.stage,
        "share_done": item.share_done if item.share_done >= 0 else None,
        "seconds": round(now - item.started_at, 3),
    }


def _helping_to_plain(item: Running, now: float) -> dict[str, Any]:
    return {
        "video": item.task.video.relative,
        "lane": item.lane.index,
        "label": item.lane.label,
        "seconds": round(now - item.started_at, 3),
    }


def _read(run: RunFolder) -> Board:
    board = Board()
    for at, event in told(run):
        board.apply(event, at)
    for now in read_live(run.path):
        item = board.running.get(now.lane)
        if item is not None and (item.task.video.relative, item.number) == (now.video, now.number):
            item.stage, item.share_done = now.stage, now.share_done
    return board


def print_status(root: Path, stream: TextIO | None) -> int:
    """Write where the last run over ``root`` stands; returns the exit status: 1 where there was no run."""
    page = Page(stream)
    runs = [run for run in all_runs(root) if run.ledger.exists()]
    if not runs:
        page.line(f"No run over {printable(str(root))} yet.")
        page.close()
        return 1
    run, on_slurm = runs[-1], look(runs[-1])
    board, now = _read(run), time.time()
    _write_state(page, run, board, now)
    if on_slurm:
        page.line(f"{on_slurm}.")
    if run.is_running():
        _write_lanes(page, board, now)
    failed = [outcome for outcome in board.failures if outcome.state == "failed"]
    write_failures(page, failed, run.path)
    write_blocked(page, [outcome for outcome in board.failures if outcome.state == "blocked"])
    if (run.path / PAGE_NAME).exists():
        page.line(f"\nReport: {printable(str(run.path / PAGE_NAME))}, with the logs beside it")
    else:
        page.line(f"\nLogs: {printable(str(run.path / 'logs'))}")
    page.close()
    return 0


def _write_state(page: Page, run: RunFolder, board: Board, now: float) -> None:
    page.line(f"{printable(board.root)}: {one_line(board.workload)}", "bold")
    page.line(_state(run, board, now))
    waiting = board.to_run - board.ran - len(board.running)
    counts = [
        f"{board.counts['done']} done",
        f"{board.counts['failed']} failed" if board.counts["failed"] else "",
        f"{board.counts['blocked']} blocked" if board.counts["blocked"] else "",
        f"{board.counts['interrupted']} interrupted" if board.counts["interrupted"] else "",
        f"{len(board.running)} running" if board.running else "",
        f"{waiting} waiting" if waiting > 0 else "",
        f"{board.counts['not_started']} not started" if board.counts["not_started"] else "",
        f"{board.counts['up_to_date']} up to date" if board.counts["up_to_date"] else "",
    ]
    page.line(f"{plural(board.videos, 'video')}: " + ", ".join(filter(None, counts)))


def _state(run: RunFolder, board: Board, now: float) -> str:
    if board.ended is not None:
        why = f", stopped by {board.ended.stopped_by.replace('_', ' ')}" if board.ended.stopped_by else ""
        return f"Ended after {length(board.ended.seconds)}{why}."
    owner = run.owner()
    who = f"process {owner.pid} on {printable(owner.host)}" if owner else "nobody knows who"
    if not run.is_running():
        gone = "Its Slurm jobs are gone" if (run.path / "slurm").is_dir() else f"Its runner is gone ({who})"
        return f"{gone}: the same command again runs what is left."
    when = ends(board.remaining_s(now), now)
    if owner and owner.alive() is False:
        who = "nobody follows: the same command does, and ends with the report"
    return f"Running for {length(now - board.started_at)} ({who}): {board.share_done(now):.0%}, {when}."


def _write_lanes(page: Page, board: Board, now: float) -> None:
    page.line()
    width = max((len(lane.label) for lane in board.lanes), default=0)
    for lane in board.lanes[:_MOST_LANES]:
        page.line(f"  {printable(lane.label):<{width}}  {_lane(board, lane, now)}")
    if len(board.lanes) > _MOST_LANES:
        page.line(f"  … and {len(board.lanes) - _MOST_LANES} more lanes")


def _lane(board: Board, lane: Lane, now: float) -> str:
    item = board.running.get(lane.index)
    if item is None:
        helps = board.helping.get(lane.index)
        return f"helps {printable(helps.task.video.relative)}: {clock(now - helps.started_at)}" if helps else "idle"
    share = f"{item.share_done:.0%}" if item.share_done >= 0 else ""
    told = ", ".join(filter(None, (one_line(item.stage), share, clock(now - item.started_at))))
    again = f" (try {item.number})" if item.number > 1 else ""
    return f"{printable(item.task.video.relative)}{again}: {told}"
