"""What the driver does when elements die; Slurm itself is stood in for, the ledgers are real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from vidfleet.data import Attempt, Device, Evidence, Lane, Outcome, Task
from vidfleet.runner.events import AttemptEnded, AttemptStarted, Event, Notice, RunEnded, RunStarted, VideoEnded
from vidfleet.runner.ledger import LEDGER_NAME, Heard, Ledger
from vidfleet.runner.lines import Reader
from vidfleet.runner.order.forecast import Forecast
from vidfleet.runner.slurm import drive as driving
from vidfleet.runner.slurm.drive import Drive
from vidfleet.runner.slurm.follow import Follower
from vidfleet.runner.slurm.jobs import Death, Jobs
from vidfleet.runner.slurm.orders import Orders, write_share
from vidfleet.runner.slurm.place import ElementStart, Place
from vidfleet.runner.slurm.shares import cut
from vidfleet.runner.slurm.site import JobState, SlurmError
from vidfleet.runner.stopping import Stop
from vidfleet.settings import RunSettings
from vidfleet.workloads import Command

from .test_shares import make_task

if TYPE_CHECKING:
    from collections.abc import Sequence

TASKS = tuple(make_task(index, 60.0) for index in range(6))
LANE = Lane(0, Device("cpu", "", host="n1"), 1)
SETTINGS = RunSettings(executor="slurm", max_jobs=2, chunk_minutes=0)


@dataclass
class Cluster:
    """Takes arrays, and says of each element that it is over once ``act`` has done its part."""

    place: Place
    act: Callable[[Cluster, int], str]
    """What an element does, by the number of its share; returns the state in which it is then."""
    arrays: list[list[list[Task]]] = field(default_factory=list)
    refuses: bool = False
    excluded: set[str] = field(default_factory=set)
    alive: list[int] = field(default_factory=list)
    states: list[JobState] = field(default_factory=list)

    def submit(self, shares: Sequence[Sequence[Task]], *, instead_of: Sequence[int] = ()) -> int:
        if self.refuses:
            raise SlurmError("sbatch says: no")
        first = sum(map(len, self.arrays))
        self.arrays.append([list(share) for share in shares])
        for number, tasks in enumerate(shares, first):
            write_share(self.place, number, tasks)
            self.alive.append(number)
        return len(self.arrays)

    def look(self) -> list[Death]:
        deaths = []
        for share in list(self.alive):
            if state := self.act(self, share):
                self.alive.remove(share)
                deaths.append(Death(share, JobState(1, share, state, 0, "n1", "", "")))
        return deaths

    @property
    def goes_on(self) -> bool:
        return bool(self.alive)

    def waiting(self) -> str:
        return ""

    def end(self, share: int) -> None:
        """Nothing is left to be ended."""

    def share(self, number: int) -> list[Task]:
        return [share for array in self.arrays for share in array][number]


def works(place: Place, share: int, tasks: Sequence[Task], *, state: str = "done", kind: str = "") -> None:
    """Write the ledger of an element that has seen these videos through, and ended in order."""
    folder = place.element(ElementStart(share, 0))
    folder.mkdir()
    attempt = Attempt(1, LANE, "h", 1.0, 2.0, "done", "", Evidence())
    with Ledger(folder / LEDGER_NAME) as ledger:
        ledger.write(RunStarted("", "", (LANE,), (), ()))
        for task in tasks:
            if state == "done":
                ledger.write(AttemptStarted(task, LANE, 1))
                ledger.write(AttemptEnded(task, attempt, will_retry=False))
            ledger.write(VideoEnded(task, Outcome(task.video, state, kind)))  # type: ignore[arg-type]
        ledger.write(RunEnded(1.0, ""))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "run" / "slurm")
    made.path.parent.mkdir()
    made.make()
    return made


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has to be waited for here."""
    monkeypatch.setattr(driving, "_LEAST_LOOK_S", 0.0)
    monkeypatch.setattr(driving, "_MOST_LOOK_S", 0.0)
    monkeypatch.setattr(driving, "_BETWEEN_POLLS_S", 0.01)
    monkeypatch.setattr(driving, "STALE_S", 0.05)
    monkeypatch.setattr(driving, "_AGAIN_S", 0.05)


def drive(place: Place, cluster: Cluster, *, hand_in: bool = True, follow: bool = True) -> tuple[Drive, list[str]]:
    """A driver that has handed in and followed to the end, or has left at once; and what it has told."""
    told: list[str] = []

    def tell(event: Event, heard: Heard | None) -> None:
        if isinstance(event, Notice):
            told.append(event.text)

    reader = Reader()
    reader.begin(RunStarted("/videos", "x", (), TASKS, ()))
    command = Command(("true", "{video}"))
    orders = Orders("word", Path("/videos"), Path("/videos"), command, SETTINGS, "x", "y")
    made = Drive(
        TASKS, {task.video.relative: task for task in TASKS}, place=place, orders=orders, jobs=cast("Jobs", cluster),
        follower=Follower(place, reader), settings=SETTINGS, forecast=Forecast(), tell=tell, tick=lambda _: None,
        stop=Stop(), most_elements=1000,
    )  # fmt: skip
    try:
        if hand_in:
            made.hand_in()
        if follow or not made.goes_on_alone():
            made.run()
    finally:
        made.close()
    return made, told


def states(made: Drive) -> list[tuple[str, str]]:
    return [(made.outcomes[task.video.relative].state, made.outcomes[task.video.relative].kind) for task in TASKS]


def test_what_a_dead_element_has_left_is_handed_in_again_and_nothing_else(place: Place) -> None:
    """For as many elements as have died, while another is at work."""

    def act(cluster: Cluster, share: int) -> str:
        if share == 0 and len(cluster.arrays) == 1:
            return ""  # at work
        if share == 1:
            works(place, 1, cluster.share(1)[:1])
            (place.element(ElementStart(1, 0)) / LEDGER_NAME).write_bytes(
                (place.element(ElementStart(1, 0)) / LEDGER_NAME).read_bytes().rpartition(b'{"schema"')[0]
            )  # it did not live to say that it is through
            return "NODE_FAIL"
        works(place, share, cluster.share(share))
        return "COMPLETED"

    cluster = Cluster(place, act)
    made, told = drive(place, cluster)
    assert [len(array) for array in cluster.arrays] == [2, 1]
    assert cluster.arrays[1] == [cluster.arrays[0][1][1:]]
    assert states(made) == [("done", "")] * 6
    assert any("its node has failed" in text for text in told)


def test_what_nobody_gets_done_ends_after_a_few_tries(place: Place) -> None:
    def act(cluster: Cluster, share: int) -> str:
        return "FAILED"

    cluster = Cluster(place, act)
    made, told = drive(place, cluster)
    assert made.stopped_by == "setup"
    assert 3 <= len(cluster.arrays) <= 5
    assert {state for state, _ in states(made)} == {"not_started"}
    assert any("nothing came of it" in text for text in told)


def test_a_site_that_takes_no_more_elements_does_not_keep_the_driver_waiting_for_ever(place: Place) -> None:
    def act(cluster: Cluster, share: int) -> str:
        cluster.refuses = True
        return "FAILED"

    made, told = drive(place, Cluster(place, act))
    assert made.stopped_by == "setup"
    assert "sbatch says: no; it is tried again" in told


def test_claims_of_lost_nodes_are_waited_for(place: Place) -> None:
    """They hold for 90 s; then others take them over."""

    def act(cluster: Cluster, share: int) -> str:
        is_stale = len(cluster.arrays) > 2
        state, kind = ("done", "") if is_stale else ("blocked", "claimed")
        works(place, share, cluster.share(share), state=state, kind=kind)
        return "COMPLETED"

    cluster = Cluster(place, act)
    made, told = drive(place, cluster)
    assert states(made) == [("done", "")] * 6
    assert any("claimed by others" in text for text in told)


def test_elements_that_may_drain_are_given_the_time_they_take(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """`vidfleet stop --drain` on whatever host: what runs may last for hours."""
    monkeypatch.setattr(driving, "_END_S", -SETTINGS.grace)
    looks: list[int] = []

    def act(cluster: Cluster, share: int) -> str:
        looks.append(share)
        place.ask_to_stop(drain=True)
        if len(looks) < 10:
            return ""
        if not place.element(ElementStart(share, 0)).exists():
            works(place, share, cluster.share(share)[:1])
        return "FAILED"

    cluster = Cluster(place, act)
    made, _ = drive(place, cluster)
    assert made.stopped_by == "interrupt"
    assert [state for state, _ in states(made)].count("done") == 2
    assert len(cluster.arrays) == 1


def test_who_was_ended_before_this_driver_came_is_handed_in_again(place: Place) -> None:
    """A driver that finds all elements cancelled long ago was started to get the rest done."""

    def act(cluster: Cluster, share: int) -> str:
        if len(cluster.arrays) == 1:
            return "CANCELLED"
        works(place, share, cluster.share(share))
        return "COMPLETED"

    cluster = Cluster(place, act)
    cluster.submit(cut(TASKS, 2, lambda _: 1.0))
    made, told = drive(place, cluster, hand_in=False)
    assert states(made) == [("done", "")] * 6
    assert not any("nothing is handed in again" in text for text in told)


def test_who_leaves_at_once_leaves_elements_at_work(place: Place) -> None:
    """`--detach` again, after those of before have been cancelled."""

    def act(cluster: Cluster, share: int) -> str:
        return "CANCELLED" if share < 2 else ""

    cluster = Cluster(place, act)
    cluster.submit(cut(TASKS, 2, lambda _: 1.0))
    made, _ = drive(place, cluster, hand_in=False, follow=False)
    assert cluster.alive == [2, 3]
    assert "2 elements for 6 videos" in made.handed_in


def test_who_would_leave_when_all_is_done_stays_to_tell_the_end(place: Place) -> None:
    def act(cluster: Cluster, share: int) -> str:
        works(place, share, cluster.share(share))
        return "COMPLETED"

    cluster = Cluster(place, act)
    cluster.submit(cut(TASKS, 2, lambda _: 1.0))
    made, _ = drive(place, cluster, hand_in=False, follow=False)
    assert states(made) == [("done", "")] * 6
    assert len(cluster.arrays) == 1


def test_what_stays_with_another_runner_is_blocked(place: Place) -> None:
    """As in a local run."""

    def act(cluster: Cluster, share: int) -> str:
        works(place, share, cluster.share(share), state="blocked", kind="claimed")
        return "COMPLETED"

    made, _ = drive(place, Cluster(place, act))
    assert made.stopped_by == ""
    assert states(made) == [("blocked", "claimed")] * 6


def test_what_was_done_by_others_is_up_to_date(place: Place) -> None:
    """Once no element can tell any more that it was one of them."""

    def act(cluster: Cluster, share: int) -> str:
        works(place, share, cluster.share(share), state="up_to_date")
        return "COMPLETED"

    cluster = Cluster(place, act)
    made, _ = drive(place, cluster)
    assert states(made) == [("up_to_date", "")] * 6
    assert len(cluster.arrays) == 1
