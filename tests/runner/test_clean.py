"""``vidfleet clean``: takes what nobody needs, and nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vidfleet.runner.care import clean as cleaning
from vidfleet.runner.care.clean import clean
from vidfleet.runner.claims import Claims
from vidfleet.runner.events import RunEnded
from vidfleet.runner.ledger import Ledger, RunFolder, all_runs
from vidfleet.runner.owner import Owner

if TYPE_CHECKING:
    from tests.support.workshop import Workshop


def everything(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def ended_run(root: Path) -> RunFolder:
    run = RunFolder.create(root)
    with Ledger(run.ledger) as ledger:
        ledger.write(RunEnded(1.0, ""))
    return run


def test_outputs_and_videos_stay_and_links_go(workshop: Workshop) -> None:
    done, odd = workshop.add("s/a.mp4"), workshop.add("s/odd $(x).mp4")
    workshop.make_done(done)
    workshop.make_done(odd)
    alias = odd.stage.seen_as
    kept = {name for name in everything(workshop.root) if ".vidfleet" not in name}
    assert any(path.is_symlink() for path in done.stage.folder.iterdir())
    cleaned = clean(workshop.root, dry_run=False)
    assert cleaned.counts["stage with links"] == 2
    assert everything(workshop.root) == kept
    assert not os.path.lexists(alias) or alias == odd.stage.folder
    assert not workshop.judge("s/a.mp4").must_run
    assert not workshop.judge("s/odd $(x).mp4").must_run


def test_a_link_in_the_temporary_folder_goes_with_its_stage(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "links").mkdir()
    monkeypatch.setattr(cleaning, "alias_folder", lambda: tmp_path / "links")
    task = workshop.add("a.mp4")
    workshop.make_done(task)
    for name, there in (("ours", task.stage.folder), ("gone", workshop.root / "gone"), ("other", tmp_path / "other")):
        (tmp_path / "links" / name).symlink_to(there)
    assert clean(workshop.root, dry_run=False).counts["link in the temporary folder"] == 2
    assert [path.name for path in (tmp_path / "links").iterdir()] == ["other"]


def test_a_dry_run_names_the_same_and_removes_nothing(workshop: Workshop) -> None:
    workshop.make_done(workshop.add("a.mp4"))
    ended_run(workshop.root)
    ended_run(workshop.root)
    before = everything(workshop.root)
    said = clean(workshop.root, dry_run=True)
    assert everything(workshop.root) == before
    assert said.counts == clean(workshop.root, dry_run=False).counts
    assert said.freed_bytes > 0


def test_a_claimed_stage_stays(workshop: Workshop) -> None:
    task = workshop.add("a.mp4")
    workshop.make_done(task)
    Claims().take(task.stage)
    cleaned = clean(workshop.root, dry_run=False)
    assert task.stage.folder.is_dir()
    assert task.stage.claim.exists()
    assert "1 stage that a runner has claimed" in cleaned.left


def test_what_an_attempt_may_go_on_from_stays(workshop: Workshop) -> None:
    task = workshop.add("a.mp4")
    workshop.prepare(task)
    task.stage.output.mkdir()
    (task.stage.output / "half.txt").write_text("half")
    workshop.claims.release(task.stage)
    clean(workshop.root, dry_run=False)
    assert (task.stage.output / "half.txt").exists()


def test_stages_go_where_they_are_asked_for_and_their_size_is_said_before(workshop: Workshop) -> None:
    """Not those that a runner has claimed, nor a whole output that only waits to be published."""
    left, claimed, whole = (workshop.add(name) for name in ("left.mp4", "claimed.mp4", "whole.mp4"))
    for task in (left, claimed, whole):
        workshop.prepare(task)
        task.stage.output.mkdir()
        (task.stage.output / "half.bin").write_bytes(bytes(1 << 20))
    (whole.stage.output / "vidfleet.json").write_text("{}")
    (left.stage.output / "half.bin").parent.chmod(0o500)
    for task in (left, whole):
        workshop.claims.release(task.stage)
    said = clean(workshop.root, dry_run=True)
    assert "1 stage with what an attempt has left (1.0 MiB); --stages removes these, too" in said.left
    assert said.freed_bytes < 1 << 20 < clean(workshop.root, dry_run=True, stages=True).freed_bytes
    cleaned = clean(workshop.root, dry_run=False, stages=True)
    assert cleaned.counts == {"stage with what an attempt left": 1}
    assert not left.stage.folder.exists()
    assert (claimed.stage.output / "half.bin").exists()
    assert (whole.stage.output / "half.bin").exists()
    assert "1 stage whose publishing the next run completes" in cleaned.left


@pytest.mark.parametrize("ending", [".old", ".publishing"])
def test_a_half_published_output_stays_for_the_next_run(workshop: Workshop, ending: str) -> None:
    task = workshop.add("a.mp4")
    workshop.make_done(task)
    half = Path(str(task.stage.folder) + ending)
    half.mkdir()
    clean(workshop.root, dry_run=False)
    assert half.exists()
    assert task.stage.folder.exists()


def test_errors_go_where_the_video_is_done(workshop: Workshop) -> None:
    done, failed = workshop.add("a.mp4"), workshop.add("b.mp4")
    workshop.make_done(done)
    workshop.prepare(failed)
    workshop.claims.release(failed.stage)
    for task in (done, failed):
        task.stage.error.write_text("{}")
    assert clean(workshop.root, dry_run=False).counts["error of a video that is done"] == 1
    assert not done.stage.error.exists()
    assert failed.stage.error.exists()


def test_only_the_last_run_and_those_that_go_on_stay(workshop: Workshop) -> None:
    ended_run(workshop.root)
    going_on = RunFolder.create(workshop.root)
    ended_run(workshop.root)
    last = ended_run(workshop.root)
    workshop.make_done(workshop.add("a.mp4"))
    cleaned = clean(workshop.root, dry_run=False)
    assert [run.id for run in all_runs(workshop.root)] == [going_on.id, last.id]
    assert cleaned.counts == {"old run": 2}
    assert "because a run goes on" in cleaned.left[0]


@pytest.mark.parametrize("where", ["above", "below"])
def test_a_run_on_an_overlapping_root_holds_it_off(workshop: Workshop, where: str) -> None:
    task = workshop.add("s/a.mp4")
    workshop.make_done(task)
    RunFolder.create(workshop.root.parent if where == "above" else workshop.root / "s")
    clean(workshop.root, dry_run=False)
    assert task.stage.folder.is_dir()


def test_a_dead_runner_holds_nothing_off(workshop: Workshop) -> None:
    task = workshop.add("a.mp4")
    workshop.make_done(task)
    run = RunFolder.create(workshop.root)
    (run.path / "owner.json").write_text(replace(Owner.me(), start="1").write())
    clean(workshop.root, dry_run=False)
    assert not task.stage.folder.exists()


def test_of_folders_called_old_only_those_that_a_record_names_go(workshop: Workshop) -> None:
    workshop.make_done(workshop.add("a.mp4"))
    for name in ("a.old", "a.old2", "b.old", "precious"):
        (workshop.root / name).mkdir()
        (workshop.root / name / "file").write_text("x")
    record = workshop.root / "a" / "vidfleet.json"
    plain = json.loads(record.read_text())
    plain["outputs"]["put_aside"] = ["a.old", "precious", "../root/a.old2", "a.old/../a.old2"]
    record.write_text(json.dumps(plain))
    cleaned = clean(workshop.root, dry_run=False)
    assert cleaned.counts["folder put aside as .old"] == 1
    assert {"a.old2", "b.old", "precious"} <= everything(workshop.root)
    assert "a.old" not in everything(workshop.root)
