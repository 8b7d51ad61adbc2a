"""Two runners never work on one video, and a dead one's video is not lost."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vidfleet.errors import ClaimedError
from vidfleet.executors.local import LocalExecutor
from vidfleet.runner.claims import STALE_S, Claim, Claims, read_claim
from vidfleet.runner.discover import discover
from vidfleet.runner.owner import Owner, _start_of
from vidfleet.runner.plan import make_plan
from vidfleet.runner.run import Prepared, execute
from vidfleet.workloads.command import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.workshop import Workshop
    from vidfleet.data import Stage


@pytest.fixture
def stage(workshop: Workshop) -> Stage:
    return workshop.add("a.mp4").stage


@pytest.fixture
def living() -> Iterator[Owner]:
    """Another process, alive."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield replace(Owner.me(), pid=process.pid, start=_start_of(process.pid))
    process.communicate(b"\n")


@pytest.fixture
def dead() -> Owner:
    """A process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return replace(Owner.me(), pid=process.pid, start="1")


def _write(stage: Stage, owner: Owner, *, age_s: float = 0.0) -> None:
    stage.claim.parent.mkdir(parents=True, exist_ok=True)
    stage.claim.write_text(json.dumps(asdict(Claim(owner, "theirs", 1e9))))
    then = time.time() - age_s
    os.utime(stage.claim, (then, then))


def test_what_a_living_runner_has_is_left_alone_and_its_owner_named(stage: Stage, living: Owner) -> None:
    _write(stage, living, age_s=10 * STALE_S)
    with pytest.raises(ClaimedError, match=f"host {re.escape(living.host)}, pid {living.pid}, since 2001-"):
        Claims().take(stage)
    found = read_claim(stage.claim)
    assert found is not None
    assert found.owner == living


def test_what_a_dead_runner_had_is_taken_over(stage: Stage, dead: Owner) -> None:
    _write(stage, dead)
    claims = Claims()
    claims.take(stage)
    assert claims.still_ours(stage)


def test_a_process_number_that_is_used_again_is_not_the_owner(stage: Stage, living: Owner) -> None:
    _write(stage, replace(living, start="12345"))
    Claims().take(stage)


def test_an_owner_of_an_earlier_start_of_the_machine_is_dead(stage: Stage, living: Owner) -> None:
    _write(stage, replace(living, boot="another"))
    Claims().take(stage)


@pytest.mark.parametrize(("age_s", "is_alive"), [(0.0, True), (STALE_S - 20, True), (STALE_S + 20, False)])
def test_another_hosts_claim_lives_by_its_heartbeat(stage: Stage, living: Owner, age_s: float, is_alive: bool) -> None:
    _write(stage, replace(living, host="elsewhere"), age_s=age_s)
    if is_alive:
        with pytest.raises(ClaimedError, match="host elsewhere"):
            Claims().take(stage)
    else:
        Claims().take(stage)


def test_a_heartbeat_is_judged_by_the_file_servers_clock(
    stage: Stage, living: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our own clock may be an hour wrong."""
    _write(stage, replace(living, host="elsewhere"))
    monkeypatch.setattr(time, "time", lambda: 1.0)
    with pytest.raises(ClaimedError):
        Claims().take(stage)


def test_beating_keeps_what_is_held_fresh_while_the_run_is_busy(stage: Stage) -> None:
    claims = Claims()
    claims.take(stage)
    os.utime(stage.claim, (1.0, 1.0))
    with claims.beating(every_s=0.02):
        until = time.monotonic() + 10
        while stage.claim.stat().st_mtime == 1.0 and time.monotonic() < until:
            time.sleep(0.01)
    assert stage.claim.stat().st_mtime > 1.0
    os.utime(stage.claim, (1.0, 1.0))
    time.sleep(0.1)
    assert stage.claim.stat().st_mtime == 1.0


def test_a_dead_runners_claim_on_a_video_that_is_done_is_taken_away_by_the_next_run(
    workshop: Workshop, dead: Owner, living: Owner
) -> None:
    """It died after it had published, and before it could give the video back."""
    task = workshop.add("a.mp4")
    workshop.make_done(task)
    for owner, stays in ((living, True), (dead, False)):
        _write(task.stage, owner)
        videos = discover(workshop.root, workshop.settings).videos
        plan = make_plan(videos, workshop.description, workshop.settings)
        assert plan.claimed == (task.stage,)
        prepared = Prepared(
            workshop.root,
            Command(("true", "{video}")),
            workshop.description,
            workshop.settings,
            LocalExecutor(),
            (),
            plan,
            (),
        )
        assert execute(prepared).exit_status == 0
        assert task.stage.claim.exists() == stays
    assert os.listdir(task.stage.claim.parent) == [task.stage.folder.name]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"owner": {}}', '{"owner": 3, "token": "x", "since": 0}'])
def test_a_torn_claim_is_nobodys(stage: Stage, text: str) -> None:
    stage.claim.parent.mkdir(parents=True)
    stage.claim.write_text(text)
    Claims().take(stage)


def test_a_second_claim_of_the_same_run_waits_for_the_release(stage: Stage) -> None:
    claims = Claims()
    claims.take(stage)
    with pytest.raises(ClaimedError):
        Claims().take(stage)
    claims.release(stage)
    assert not stage.claim.exists()
    Claims().take(stage)


def test_after_a_take_over_the_old_owner_neither_publishes_nor_releases(stage: Stage) -> None:
    old, new = Claims(), Claims()
    old.take(stage)
    stage.claim.unlink()
    new.take(stage)
    assert not old.still_ours(stage)
    old.release(stage)
    assert new.still_ours(stage)


def test_nothing_but_the_claim_stays(stage: Stage, dead: Owner) -> None:
    _write(stage, dead)
    claims = Claims()
    claims.take(stage)
    assert os.listdir(stage.claim.parent) == [stage.claim.name]
    with pytest.raises(ClaimedError):
        Claims().take(stage)
    assert os.listdir(stage.claim.parent) == [stage.claim.name]


@pytest.fixture
def run_folder(workshop: Workshop) -> Path:
    folder = workshop.root / ".vidfleet/runs/this"
    folder.mkdir(parents=True)
    return folder


def test_a_runs_claims_are_names_of_one_file_and_come_and_go_one_by_one(workshop: Workshop, run_folder: Path) -> None:
    claims = Claims(run_folder)
    stages = [workshop.add(name).stage for name in ("a.mp4", "b.mp4")]
    for stage in stages:
        claims.take(stage)
        with pytest.raises(ClaimedError, match=f"pid {os.getpid()}"):
            Claims().take(stage)
    assert os.path.samefile(stages[0].claim, stages[1].claim)
    claims.release(stages[0])
    assert not stages[0].claim.exists()
    assert claims.still_ours(stages[1])
    claims.release_all()
    assert not stages[1].claim.exists()


def test_a_claim_is_fresh_whenever_its_run_began(stage: Stage, run_folder: Path) -> None:
    """Else a runner on another host took it over at once."""
    claims = Claims(run_folder)
    for path in run_folder.iterdir():
        os.utime(path, (1.0, 1.0))
    claims.take(stage)
    assert time.time() - stage.claim.stat().st_mtime < STALE_S / 2


def test_a_run_on_another_file_system_than_its_videos_claims_too(
    workshop: Workshop, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, link = workshop.add("far/a.mp4").stage, os.link

    def refuse(source: Path | str, target: Path | str) -> None:
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        link(source, target)

    monkeypatch.setattr(os, "link", refuse)
    claims = Claims(run_folder)
    claims.take(stage)
    assert claims.still_ours(stage)
    with pytest.raises(ClaimedError):
        Claims(run_folder).take(stage)
    claims.release(stage)
    assert not os.listdir(stage.claim.parent)


def test_a_burial_whose_digger_died_is_buried_itself(
    stage: Stage, dead: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(stage, dead)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", _die)
        with pytest.raises(KeyboardInterrupt):
            Claims().take(stage)
    burial = next(stage.claim.parent.glob("*.burial"))
    with pytest.raises(ClaimedError):
        Claims().take(stage)  # the digger lives: it is this process
    burial.unlink()  # a second name of the digger's own file
    burial.write_text(json.dumps(asdict(Claim(dead, "digger", 0.0))))
    claims = Claims()
    claims.take(stage)
    assert claims.still_ours(stage)


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


_RACER = """
import sys
from pathlib import Path
from vidfleet.data import Stage
from vidfleet.errors import ClaimedError
from vidfleet.runner.claims import Claims
folder = Path(sys.argv[1])
claims = Claims(Path(sys.argv[3]) if sys.argv[3] else None)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    stage = Stage(folder / f"s{number}", folder / f"s{number}", "a.mp4", folder / "a")
    try:
        claims.take(stage)
        print(number, flush=True)
    except ClaimedError:
        pass
print("tried", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("common", [False, True], ids=["a file each", "one file of each run"])
def test_of_four_processes_that_race_for_dead_claims_exactly_one_wins_each(
    workshop: Workshop, dead: Owner, common: bool
) -> None:
    count = 60
    runs = [workshop.root / f"run{number}" if common else Path() for number in range(4)]
    for run in runs:
        run.mkdir(exist_ok=True) if common else None
    for number in range(count):
        (workshop.root / f"s{number}.claim").write_text(json.dumps(asdict(Claim(dead, "dead", 1.0))))
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER, str(workshop.root), str(count), str(run) if common else ""], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for run in runs
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None
        racer.stdout.readline()
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    won: list[int] = []
    for racer in racers:  # nobody may be dead before all have tried
        assert racer.stdout is not None
        won += [int(line) for line in iter(racer.stdout.readline, "tried\n")]
    for racer in racers:
        racer.communicate("\n")
    assert sorted(won) == list(range(count))
    assert not list(workshop.root.glob("*.burial"))


@pytest.mark.parametrize("how", ["write", "link", "remove"])
def test_a_script_that_spoils_its_own_claim_harms_no_other_video(workshop: Workshop, tmp_path: Path, how: str) -> None:
    """All claims of a run are names of one file."""
    stages = [workshop.add(f"{name}.mp4").stage for name in "abc"]
    folder = tmp_path / "run"
    folder.mkdir()
    claims = Claims(folder)
    for stage in stages[:2]:
        stage.claim.parent.mkdir(exist_ok=True)
        claims.take(stage)
    claims.release(stages[0])
    if how == "write":
        stages[1].claim.write_text("spoilt")
    else:
        (folder / "claim.json").unlink()
        stages[1].claim.unlink()
        if how == "link":
            (folder / "claim.json").symlink_to(tmp_path / "nothing")
    assert not claims.still_ours(stages[1])
    claims.take(stages[2])
    assert claims.still_ours(stages[2])
    with pytest.raises(ClaimedError, match="claimed by host"):
        Claims().take(stages[2])
    claims.release(stages[1])
    claims.take(stages[1])
    assert claims.still_ours(stages[1])
    claims.release_all()
    assert not any(stage.claim.exists() for stage in stages)
