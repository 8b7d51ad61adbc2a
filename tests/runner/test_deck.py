"""What is made ready ahead of its turn is what would be made ready at it, and can be given back."""

from __future__ import annotations

import resource
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vidfleet.errors import ClaimedError
from vidfleet.runner.begin import begun_with
from vidfleet.runner.claims import Claims
from vidfleet.runner.deck import Deck, Settled, Staged
from vidfleet.runner.order.queue import Case
from vidfleet.settings import RunSettings
from vidfleet.workloads.adjusted import Adjusted
from vidfleet.workloads.script import Script

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.workshop import Workshop


class Bench:
    """A workshop with a deck, and another runner beside it."""

    def __init__(self, workshop: Workshop, tmp_path: Path, *, resumable: bool = False) -> None:
        self.script = tmp_path / "infer.py"
        self.script.write_text("pass")
        workload = Adjusted(Script(self.script), resume_stage=resumable)
        workshop.description = workload.describe(workshop.root)
        self.workshop = workshop
        self.deck = Deck(workload, workshop.description, RunSettings(), workshop.claims)
        self.other = Claims()

    def case(self, name: str = "a.mp4") -> Case:
        return Case(self.workshop.add(name))

    def is_free(self, case: Case) -> bool:
        """Whether another runner could have it."""
        try:
            self.other.take(case.task.stage)
        except ClaimedError:
            return False
        self.other.release(case.task.stage)
        return True


@pytest.fixture
def bench(workshop: Workshop, tmp_path: Path) -> Bench:
    return Bench(workshop, tmp_path)


def test_what_is_ready_is_taken_as_it_is(bench: Bench) -> None:
    """Staged once: what its stage holds at its turn is what was put there."""
    case = bench.case()
    bench.deck.put(case)
    assert (len(bench.deck), bench.deck.ready, case in bench.deck) == (1, 1, True)
    entry = case.task.stage.folder / case.task.stage.entry_name
    inode = entry.lstat().st_ino
    made = bench.deck.take(case)
    assert isinstance(made, Staged)
    assert entry.lstat().st_ino == inode
    assert not bench.is_free(case)
    assert (len(bench.deck), bench.deck.ready) == (0, 0)


def test_what_is_given_back_is_as_if_nobody_had_touched_it(bench: Bench) -> None:
    """Another runner can have it, and no stage is left."""
    case = bench.case()
    bench.deck.put(case)
    assert not bench.is_free(case)
    bench.deck.clear()
    assert bench.is_free(case)
    assert not case.task.stage.folder.exists()


def test_a_video_that_has_changed_since_is_looked_at_again(bench: Bench) -> None:
    case = bench.case()
    bench.deck.put(case)
    case.task.video.path.write_bytes(b"x" * 77)
    made = bench.deck.take(case)
    assert isinstance(made, Staged)
    assert case.task.video.size_bytes == 77


def test_a_video_that_is_gone_since_is_bad_input(bench: Bench) -> None:
    case = bench.case()
    bench.deck.put(case)
    case.task.video.path.unlink()
    made = bench.deck.take(case)
    assert isinstance(made, Settled)
    assert (made.outcome.state, made.outcome.kind) == ("failed", "bad_input")
    assert bench.is_free(case)


def test_a_folder_that_has_appeared_since_blocks_it_before_it_runs(bench: Bench) -> None:
    """Its attempt would take its hours, and could not be published."""
    case = bench.case()
    bench.deck.put(case)
    case.task.stage.target.mkdir()
    made = bench.deck.take(case)
    assert isinstance(made, Settled)
    assert (made.outcome.state, made.outcome.kind) == ("blocked", "foreign")
    assert not list(case.task.stage.target.iterdir())
    assert bench.is_free(case)


def test_a_stage_that_is_gone_since_is_made_again(bench: Bench) -> None:
    case = bench.case()
    bench.deck.put(case)
    stage = case.task.stage
    (stage.folder / stage.entry_name).unlink()
    stage.folder.rmdir()
    assert isinstance(bench.deck.take(case), Staged)
    assert (stage.folder / stage.entry_name).is_symlink()


def test_a_workload_that_has_changed_since_is_described_again(bench: Bench) -> None:
    case = bench.case()
    bench.deck.put(case)
    bench.script.write_text("print('another text')")
    before = bench.deck.described.fingerprint
    made = bench.deck.take(case)
    assert isinstance(made, Staged)
    assert made.described.fingerprint != before


def test_a_workload_that_is_gone_since_stops_the_run(bench: Bench) -> None:
    case = bench.case()
    bench.deck.put(case)
    bench.script.unlink()
    made = bench.deck.take(case)
    assert isinstance(made, Settled)
    assert made.stops == "setup"
    assert bench.is_free(case)


def test_a_claim_that_is_lost_since_is_the_others(bench: Bench) -> None:
    """Its stage is left alone: another runner works there."""
    case = bench.case()
    bench.deck.put(case)
    stage = case.task.stage
    stage.claim.unlink()
    bench.other.take(stage)
    (stage.folder / "theirs").touch()
    made = bench.deck.take(case)
    assert isinstance(made, Settled)
    assert made.outcome.kind == "claimed"
    assert (stage.folder / "theirs").exists()


def test_what_cannot_be_ready_is_said_at_its_turn_only(bench: Bench) -> None:
    """By then it may be another story: the other runner has given it back."""
    case = bench.case()
    bench.other.take(case.task.stage)
    bench.deck.put(case)
    assert (len(bench.deck), bench.deck.ready) == (1, 0)
    bench.other.release(case.task.stage)
    assert isinstance(bench.deck.take(case), Staged)


def test_a_stage_to_continue_in_keeps_what_it_holds(workshop: Workshop, tmp_path: Path) -> None:
    bench = Bench(workshop, tmp_path, resumable=True)
    case = bench.case()
    assert isinstance(bench.deck.make_ready(case), Staged)
    case.task.stage.output.mkdir()
    (case.task.stage.output / "half").touch()
    workshop.claims.release(case.task.stage)
    bench.deck.put(case)
    bench.deck.clear()
    assert (case.task.stage.output / "half").exists()
    assert bench.is_free(case)


def test_a_stage_to_continue_in_is_gone_where_nothing_was_done_in_it(workshop: Workshop, tmp_path: Path) -> None:
    """However often a run is interrupted, it leaves nothing of videos that it never began."""
    bench = Bench(workshop, tmp_path, resumable=True)
    case = bench.case()
    bench.deck.put(case)
    assert begun_with(case.task.stage).exists()
    bench.deck.clear()
    assert not case.task.stage.folder.exists()
    assert not begun_with(case.task.stage).exists()
    assert bench.is_free(case)


def test_half_a_copy_is_not_left_where_no_whole_one_can_be_made(bench: Bench, workshop: Workshop) -> None:
    """Ahead of its turn it would fill the disk that those need which run."""
    case = bench.case()
    case.task.video.path.write_bytes(b"x" * 100_000)
    by_copy = RunSettings(stage_by="copy")
    deck = Deck(Script(bench.script), workshop.description, by_copy, workshop.claims)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        made = deck.make_ready(case)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(made, Settled)
    assert "its stage cannot be made" in made.outcome.reason
    assert not case.task.stage.folder.exists()
    assert bench.is_free(case)


def test_links_to_an_older_output_are_there_again(bench: Bench) -> None:
    """A script's absolute paths go on leading somewhere, as long as the old output stands."""
    case = bench.case()
    bench.workshop.make_done(case.task)
    link = case.task.stage.folder / case.task.stage.entry_stem
    assert link.resolve() == case.task.stage.target.resolve()
    case.task.video.path.write_bytes(b"another content")
    bench.deck.put(case)
    assert bench.deck.ready == 1
    assert not link.exists()
    bench.deck.clear()
    assert link.resolve() == case.task.stage.target.resolve()


def test_a_video_that_is_done_by_then_gets_no_attempt(bench: Bench) -> None:
    case = bench.case()
    bench.workshop.make_done(case.task)
    bench.deck.put(replace(case))
    made = bench.deck.take(case)
    assert isinstance(made, Settled)
    assert made.outcome.state == "up_to_date"
    assert bench.is_free(case)
