"""Whatever stands in the place of a file below .vidfleet: nobody waits for it, falls over it, or writes through it."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.workshop import Workshop
from vidfleet.errors import ClaimedError
from vidfleet.runner.begin import begin, begun_with
from vidfleet.runner.care.stop import stop_runs
from vidfleet.runner.claims import STALE_S, Claims
from vidfleet.runner.events import AttemptProgress, AttemptStarted, RunStarted
from vidfleet.runner.ledger import Ledger, RunFolder, read_ledger
from vidfleet.runner.lines import read_log_name, to_events
from vidfleet.runner.live import LIVE_NAME, Live, read_live
from vidfleet.runner.roots import remember_root
from vidfleet.runner.show.status import status_to_plain
from vidfleet.runner.show.story import REPORT_NAME, read_story
from vidfleet.runner.slurm.place import Place
from vidfleet.runner.sweep import dead_runs
from vidfleet.runner.writing import write_whole
from vidfleet.workloads.base import Traits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.runner.conftest import MadeUp

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file of somebody's that must stay as it is."""
    path = tmp_path / "precious"
    path.write_text("precious")
    yield path
    assert path.read_text() == "precious"


def test_a_pipe_in_place_of_a_ledger_or_report_is_not_waited_for(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path)
    os.mkfifo(run.ledger)
    os.mkfifo(run.path / REPORT_NAME)
    assert not run.has_ended()
    assert dead_runs(tmp_path) == []
    with pytest.raises(OSError, match="no regular file"):
        list(read_ledger(run.ledger))
    with pytest.raises(OSError, match="no regular file"):
        read_story(run)


def test_a_pipe_in_place_of_what_a_stage_was_begun_with_is_not_waited_for(workshop: Workshop) -> None:
    task = workshop.add("a.mp4")
    description = replace(workshop.description, traits=Traits(resumable=True))
    begin(task, description, workshop.settings)
    text = begun_with(task.stage).read_text()
    begun_with(task.stage).unlink()
    os.mkfifo(begun_with(task.stage))
    begin(task, description, workshop.settings)
    assert begun_with(task.stage).read_text() == text


@pytest.mark.parametrize("line", ['{"type":' * 100_000, '{"type":"notice","text":"x","at":1%s}' % ("0" * 400)])
def test_a_line_that_no_ledger_has_is_passed_over(tmp_path: Path, line: str) -> None:
    ledger = tmp_path / "events.jsonl"
    ledger.write_text(line + '\n{"schema":1,"at":1,"type":"notice","text":"read"}\n')
    assert [str(event) for _, event in to_events(read_ledger(ledger))] == ["Notice(text='read')"]


def test_how_far_lanes_are_is_never_written_through_a_link(tmp_path: Path, made_up: MadeUp, victim: Path) -> None:
    lane, task = made_up.lanes(1)[0], made_up.task("a.mp4")
    for name in (LIVE_NAME, "live.part", f".{LIVE_NAME}.{os.getpid()}"):
        (tmp_path / name).symlink_to(victim)
    live = Live(tmp_path)
    live.take(AttemptStarted(task, lane, 1))
    live.take(AttemptProgress(task, lane, "faces", 0.5))
    live.write()
    assert [now.share_done for now in read_live(tmp_path)] == [0.5]


@pytest.mark.parametrize("share", ["NaN", "Infinity", "-1e999", "1" + "0" * 400, "[]"])
def test_no_share_but_one_between_none_and_all_is_shown(tmp_path: Path, share: str) -> None:
    (tmp_path / LIVE_NAME).write_text(
        f'{{"lanes": [{{"lane": 0, "video": "a", "number": 1, "stage": "", "share_done": {share}}}]}}'
    )
    assert all(-1.0 <= now.share_done <= 1.0 for now in read_live(tmp_path))


def test_roots_are_never_written_through_a_link(tmp_path: Path, victim: Path) -> None:
    (tmp_path / ".vidfleet").mkdir()
    for name in ("roots.json", f"roots.json.{os.getpid()}", f".roots.json.{os.getpid()}"):
        (tmp_path / ".vidfleet" / name).symlink_to(victim)
    remember_root(tmp_path, Path("/data/video"))
    assert "/data/video" in (tmp_path / ".vidfleet/roots.json").read_text()


def test_a_file_that_cannot_be_put_in_its_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "learnt.json/full").mkdir(parents=True)
    with pytest.raises(OSError, match="learnt"):
        write_whole(tmp_path / "learnt.json", "{}")
    assert os.listdir(tmp_path) == ["learnt.json"]


def test_no_log_is_read_from_outside_a_runs_logs() -> None:
    assert read_log_name({"log": "logs/a/..b.mp4.log"}) == "logs/a/..b.mp4.log"
    for name in ("/etc/passwd", "../owner.json", "logs/../../../secret", 7):
        assert read_log_name({"log": name}) == ""


@pytest.mark.parametrize(("age_s", "is_alive"), [(0.0, True), (STALE_S + 20, False)])
def test_a_claim_that_may_not_be_read_lives_by_its_heartbeat(age_s: float, is_alive: bool) -> None:
    """Two people share a folder, and one of them lets nobody read what they write."""
    with tempfile.TemporaryDirectory() as shared:
        Path(shared).chmod(0o777)
        workshop = Workshop(Path(shared))
        stage = workshop.add("a.mp4").stage
        stage.claim.parent.mkdir(exist_ok=True)
        stage.claim.parent.chmod(0o777)
        Claims().take(stage)
        stage.claim.chmod(0)
        then = time.time() - age_s
        os.utime(stage.claim, (then, then))
        me = os.geteuid()
        try:
            os.seteuid(me or 65534)  # root may read everything
            if is_alive:
                with pytest.raises(ClaimedError, match="another user"):
                    Claims().take(stage)
            else:
                Claims().take(stage)
        finally:
            os.seteuid(me)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_run_on_slurm_of_another_user_keeps_nobody_from_working(made_up: MadeUp) -> None:
    """What its jobs meet in is closed to all others: they cannot tell whether some are left, and need not."""
    with tempfile.TemporaryDirectory() as shared:
        Path(shared).chmod(0o777)
        run = RunFolder.create(Path(shared))
        with Ledger(run.ledger) as ledger:
            ledger.write(RunStarted(shared, "x", (), (made_up.task(),), ()))
        Place.of(run.path).make()
        os.chown(Place.of(run.path).path, 12345, -1)
        try:
            os.seteuid(65534)
            assert run.may_go_on_alone()
            assert dead_runs(Path(shared)) == []
            assert status_to_plain(Path(shared))["standing"] == "running"
            assert [asked.was_asked for asked in stop_runs(Path(shared), drain=False)] == [False]
        finally:
            os.seteuid(0)
