"""The ledger and the folder of a run: nothing is lost, nothing is overwritten, no name leads astray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vidfleet.data import Evidence
from vidfleet.runner.events import (
    AttemptEnded,
    AttemptProgress,
    AttemptStarted,
    Event,
    LaneJoined,
    LaneLost,
    LaneOut,
    Notice,
    RunEnded,
    RunStarted,
    VideoEnded,
)
from vidfleet.runner.ledger import KEPT_RUNS, Ledger, RunFolder, all_runs, read_ledger
from vidfleet.runner.lines import to_events
from vidfleet.runner.owner import Owner

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.conftest import MadeUp

HOSTILE_NAMES = [
    "new\nline.mp4",
    "\x1b[31mred.mp4",
    "\u202egpj.mp4",
    "bytes\udcff\udcfe.mp4",
    "..",
    "../../escape.mp4",
    "../escape.mp4",
    "a/../b.mp4",
    "日本語/🎬.mp4",
    "-rf.mp4",
    "$(touch x).mp4",
    "\\xff.mp4",
    "\udcff.mp4",
    "x" * 251 + ".mp4",
    "x" * 250 + "y.mp4",
    "語" * 84 + ".mp4",
    "\udcff" * 200 + ".mp4",
    "\udcff" * 201 + ".mp4",
    "a.mp4",
    "a.mp4.log/a.mp4",
    "a.mp4.log",
]


def story(made_up: MadeUp) -> list[Event]:
    """One event of each kind."""
    lanes = made_up.lanes(2)
    task, bad = made_up.task("Frasier/\udcff\n日本.mp4"), made_up.task("b.mp4")
    failed = replace(
        made_up.attempt(lanes[1], kind="crash", reason="signal 11"), evidence=Evidence(signal=11, log_tail="x\ny")
    )
    good = made_up.attempt(lanes[0])
    settled = replace(made_up.outcome("c.mp4", "blocked", "foreign", "somebody else's"), probe=None)
    return [
        Notice("no driver"),
        RunStarted("/data/video", "a script", lanes, (task, bad), (settled,)),
        AttemptStarted(task, lanes[0], 1),
        AttemptStarted(bad, lanes[1], 1),
        AttemptProgress(task, lanes[0], "faces", 0.25),
        LaneLost(lanes[1], "killed"),
        AttemptEnded(bad, failed, will_retry=False),
        VideoEnded(
            bad,
            replace(
                made_up.outcome("b.mp4", "failed", "crash", "signal 11", log="logs/b.mp4.log"),
                attempts=(failed,),
                probe=bad.probe,
            ),
        ),
        AttemptEnded(task, good, will_retry=False),
        VideoEnded(
            task,
            replace(made_up.outcome(task.video.relative, "done"), attempts=(good,), probe=task.probe),
        ),
        LaneJoined(replace(lanes[0], index=7, device=replace(lanes[0].device, host="node3"))),
        LaneOut(lanes[0]),
        LaneOut(lanes[1], "its node was lost"),
        RunEnded(12.5, "interrupt"),
    ]


def write(path: Path, events: list[Event]) -> None:
    with Ledger(path) as ledger:
        for event in events:
            ledger.write(event)


def test_every_event_comes_back_from_the_ledger_as_it_was(tmp_path: Path, made_up: MadeUp) -> None:
    write(tmp_path / "events.jsonl", story(made_up))
    assert [event for _, event in to_events(read_ledger(tmp_path / "events.jsonl"))] == story(made_up)


def test_each_line_is_plain_ascii_with_schema_time_and_type(tmp_path: Path, made_up: MadeUp) -> None:
    write(tmp_path / "events.jsonl", story(made_up))
    lines = (tmp_path / "events.jsonl").read_text("ascii").splitlines()
    assert len(lines) == len(story(made_up))
    for line in lines:
        plain = json.loads(line)
        assert plain["schema"] == 1
        assert plain["at"] > 1e9
        assert plain["type"]


def test_a_line_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with Ledger(tmp_path / "events.jsonl") as ledger:
        ledger.write(Notice("here"))
        assert b"here" in (tmp_path / "events.jsonl").read_bytes()


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_torn_last_line_is_passed_over(tmp_path: Path, made_up: MadeUp, cut: int) -> None:
    path = tmp_path / "events.jsonl"
    write(path, story(made_up))
    path.write_bytes(path.read_bytes()[: -1 - cut])
    assert [event for _, event in to_events(read_ledger(path))] == story(made_up)[:-1]


def test_garbage_and_lines_of_a_newer_version_are_passed_over(tmp_path: Path, made_up: MadeUp) -> None:
    path = tmp_path / "events.jsonl"
    write(path, story(made_up)[:3])
    with path.open("ab") as file:
        file.write(b"\0\0\0\n\xff\xfe\n[1]\n{}\n")
        file.write(b'{"schema":9,"at":1,"type":"lane_painted","colour":"red"}\n{"type":"attempt_started"}\n')
        file.write(b'{"schema":9,"type":"notice","text":"new","mood":"calm"}\n')
    assert [plain["type"] for plain in read_ledger(path)][-3:] == ["lane_painted", "attempt_started", "notice"]
    assert [event for _, event in to_events(read_ledger(path))] == [*story(made_up)[:3], Notice("new")]


def test_videos_that_are_up_to_date_are_counted_not_named(tmp_path: Path, made_up: MadeUp) -> None:
    settled = tuple(made_up.outcome(f"old{number}.mp4", "up_to_date") for number in range(50))
    write(tmp_path / "events.jsonl", [RunStarted("/data/video", "w", (), (), settled)])
    assert b"old" not in (tmp_path / "events.jsonl").read_bytes()
    ((_, event),) = to_events(read_ledger(tmp_path / "events.jsonl"))
    assert isinstance(event, RunStarted)
    assert [outcome.state for outcome in event.settled] == ["up_to_date"] * 50


def test_progress_is_kept_once_a_stage_and_not_more(tmp_path: Path, made_up: MadeUp) -> None:
    task, lane = made_up.task(), made_up.lanes(1)[0]
    events: list[Event] = [RunStarted("/data/video", "w", (lane,), (task,), ())]
    events += [AttemptProgress(task, lane, stage, n / 100) for stage in ("shots", "faces") for n in range(100)]
    write(tmp_path / "events.jsonl", events)
    kept = [event for _, event in to_events(read_ledger(tmp_path / "events.jsonl"))][1:]
    assert [event.stage for event in kept if isinstance(event, AttemptProgress)] == ["shots", "faces"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_does_not_end_the_run(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.symlink_to("/dev/full")
    with Ledger(path) as ledger:
        ledger.write(Notice("first"))
        ledger.write(Notice("second"))
        assert ledger.trouble


def test_the_last_20_runs_are_kept(tmp_path: Path) -> None:
    (tmp_path / ".vidfleet/runs/000-not-ours").mkdir(parents=True)
    made = [ended_run(tmp_path) for _ in range(KEPT_RUNS + 3)]
    assert [run.id for run in all_runs(tmp_path)] == [run.id for run in made[3:]]
    assert (tmp_path / ".vidfleet/runs/000-not-ours").is_dir()


def test_the_folder_of_a_run_that_goes_on_is_not_removed(tmp_path: Path) -> None:
    going_on = RunFolder.create(tmp_path)
    made = [ended_run(tmp_path) for _ in range(KEPT_RUNS + 1)]
    kept = [run.id for run in all_runs(tmp_path)]
    assert going_on.id in kept
    assert made[0].id not in kept


def ended_run(base: Path) -> RunFolder:
    run = RunFolder.create(base)
    write(run.ledger, [RunEnded(1.0, "")])
    return run


def test_a_run_is_over_when_its_runner_is_dead(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from vidfleet.runner.ledger import RunFolder; "
        "RunFolder.create(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    (run,) = all_runs(tmp_path)
    assert run.owner() is not None
    assert not run.is_running()


def test_a_process_number_that_is_used_again_is_another_process() -> None:
    me = Owner.me()
    assert me.alive()
    assert Owner.read(me.write()) == me
    assert replace(me, start="1").alive() is False
    assert replace(me, boot="an earlier start of this machine").alive() is False


def test_of_another_host_or_container_nobody_can_tell() -> None:
    assert replace(Owner.me(), host="elsewhere.example").alive() is None
    if sys.platform == "linux":
        boot = Owner.me().boot.partition("/")[0]
        assert replace(Owner.me(), boot=f"{boot}/pid:[1]").alive() is None


def test_a_run_on_another_host_counts_as_going_on_until_it_is_silent_for_a_week(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    (run.path / "owner.json").write_text(replace(Owner.me(), host="elsewhere.example").write())
    write(run.ledger, [Notice("hello")])
    assert run.is_running()
    os.utime(run.ledger, (1e9, 1e9))
    assert not run.is_running()


def test_a_run_without_an_owner_file_is_over(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    (run.path / "owner.json").write_text("{}")
    assert not run.is_running()


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_a_log_can_be_written_for_any_name_and_stays_in_its_folder(tmp_path: Path, made_up: MadeUp, name: str) -> None:
    logs = RunFolder(tmp_path / "run").path / "logs"
    path = RunFolder(tmp_path / "run").log_path(made_up.video(name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("log")
    assert logs.resolve() in path.resolve().parents
    assert path.name.endswith(".log")
    assert all(len(part.encode()) <= 255 for part in path.parts)
    assert str(path.relative_to(tmp_path)).isprintable()


def test_two_videos_never_share_a_log(tmp_path: Path, made_up: MadeUp) -> None:
    run = RunFolder(tmp_path)
    paths = [run.log_path(made_up.video(name)) for name in HOSTILE_NAMES]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("x").close()
    shortened = [path.name.removesuffix(".log") for path in paths if "\\~" in path.name]
    assert shortened
    assert not set(paths) & {run.log_path(made_up.video(name)) for name in shortened}


def test_a_tree_as_deep_as_the_system_allows_still_gets_its_log(tmp_path: Path, made_up: MadeUp) -> None:
    run = RunFolder(tmp_path)
    path = run.log_path(made_up.video("/".join(["d" * 200] * 19) + "/a.mp4"))
    assert path != run.log_path(made_up.video("/".join(["d" * 200] * 19) + "/b.mp4"))
    path.parent.mkdir(parents=True)
    path.write_text("log")
