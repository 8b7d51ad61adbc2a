"""When a node is left out, and what its failures count for."""

from __future__ import annotations

from vidfleet.data import Attempt, Device, Evidence, Lane, Outcome
from vidfleet.runner.ledger import Heard
from vidfleet.runner.slurm.place import ElementStart
from vidfleet.runner.slurm.suspects import Held, Suspects

from .test_shares import make_task

GOOD, BAD = ElementStart(0, 0), ElementStart(1, 0)


def ended(kind: str) -> Attempt:
    return Attempt(1, Lane(0, Device("gpu", "0"), 1), "h", 0.0, 1.0, kind, "", Evidence())


def failure(index: int, kind: str) -> Held:
    task = make_task(index, 1.0)
    return Held(task, Outcome(task.video, "failed", kind), Heard(0.0, "1-0", 1))


def test_a_node_is_out_once_it_has_failed_too_often_and_another_has_succeeded() -> None:
    suspects = Suspects(3)
    for index in range(3):
        assert suspects.attempt(BAD, ended("device")) == []
        assert suspects.hold(BAD, failure(index, "device"))
    assert suspects.cleared(BAD, has_ended=True) == []
    assert suspects.attempt(GOOD, ended("done")) == [BAD]
    assert len(suspects.forget(BAD)) == 3
    assert suspects.attempt(GOOD, ended("done")) == []


def test_a_success_clears_what_was_held_back() -> None:
    suspects = Suspects(3)
    suspects.attempt(BAD, ended("device"))
    assert suspects.hold(BAD, failure(0, "device"))
    suspects.attempt(BAD, ended("done"))
    assert len(suspects.cleared(BAD, has_ended=False)) == 1


def test_the_videos_own_failure_is_told_at_once() -> None:
    """Where its element has done others well."""
    suspects = Suspects(3)
    suspects.attempt(BAD, ended("done"))
    assert not suspects.hold(BAD, failure(0, "error"))
    assert not suspects.hold(BAD, Held(make_task(1, 1.0), Outcome(make_task(1, 1.0).video, "done"), Heard(0, "", 0)))


def test_a_node_on_which_all_fails_alike_is_out_where_others_succeed() -> None:
    """As where a library is missing."""
    suspects = Suspects(3)
    assert suspects.hold(BAD, failure(0, "error"))
    assert suspects.gave_up(BAD) == []
    assert not suspects.is_everywhere([0, 1])
    assert suspects.attempt(GOOD, ended("done")) == [BAD]


def test_where_nobody_can_do_better_it_is_everybodys_fault() -> None:
    suspects = Suspects(3)
    suspects.gave_up(BAD)
    assert suspects.is_everywhere([1])
    assert not suspects.is_everywhere([0, 1])
    suspects.gave_up(GOOD)
    assert suspects.is_everywhere([0, 1, 2])
