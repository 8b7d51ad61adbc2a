"""What is said of a run's end comes true, and the order in which lanes take videos brings it near."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks.order_simulated import EQUAL, UNLIKE, make_world, simulate
from vidfleet.data import Device, Lane, Took
from vidfleet.runner.events import AttemptEnded, AttemptProgress, AttemptStarted, LaneOut, RunStarted, VideoEnded
from vidfleet.runner.ledger import Ledger, read_ledger
from vidfleet.runner.lines import to_events
from vidfleet.runner.order.forecast import Forecast, longer_than
from vidfleet.runner.order.foretold import Foretold
from vidfleet.runner.order.lineup import Lineup
from vidfleet.runner.order.timing import Known, Sample, Tally, fit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runner.conftest import MadeUp
    from vidfleet.data import Task
    from vidfleet.runner.events import Event

_SEEDS = 20


def _begin(lanes: tuple[Lane, ...], tasks: list[Task], known: tuple[Known, ...] = (), schedule: str = "") -> Forecast:
    forecast = Forecast()
    forecast.apply(RunStarted("", "w", lanes, tuple(tasks), (), known, schedule), 0.0)
    return forecast


def _do(forecast: Forecast, made_up: MadeUp, task: Task, lane: Lane, began: float, seconds: float) -> None:
    forecast.apply(AttemptStarted(task, lane, 1), began)
    forecast.apply(AttemptEnded(task, made_up.attempt(lane, seconds=seconds), will_retry=False), began + seconds)
    forecast.apply(VideoEnded(task, made_up.outcome(task.video.relative, "done")), began + seconds)


# ---- how long a video takes


@pytest.mark.parametrize(
    ("samples", "cost", "seconds"),
    [
        ([Sample(1, 100, 10)], 200, 20),
        ([Sample(3, 300, 30)], 100, 10),
        ([Sample(1, 0, 10), Sample(1, 0, 20)], 500, 15),
        ([Sample(1, 100, 15), Sample(1, 1000, 105)], 2000, 205),
        ([Sample(5, 500, 50), Sample(5, 5000, 50)], 1000, 10),
        ([Sample(1, 1000, 1), Sample(1, 10, 10)], 10**6, 5.5),
    ],
    ids=["one", "equal costs", "no costs", "a start", "costs say nothing", "the costlier the quicker"],
)
def test_a_fit_makes_sense_of_little(samples: list[Sample], cost: float, seconds: float) -> None:
    model = fit({"cpu": samples}, 0.09)
    assert model is not None
    assert model.seconds(cost, "cpu") == pytest.approx(seconds, rel=0.1)
    assert model.start_s >= 0
    assert model.per_cost >= 0


def test_of_nothing_nothing_is_made() -> None:
    assert fit({}, 0.09) is None
    assert fit({"cpu": []}, 0.09) is None


def test_a_tally_holds_a_few_numbers_whatever_the_count_of_videos() -> None:
    tally = Tally(Sample(1, 10.0 + n, 1.0) for n in range(100_000))
    assert len(tally.samples()) < 60
    assert tally.count == 100_000
    assert sum(sample.seconds for sample in tally.samples(0.5)) == pytest.approx(50_000)


def test_a_device_of_which_little_is_known_counts_as_nearly_the_middle() -> None:
    fast = [Sample(20, 100.0 * n * 20, 10.0 * n * 20) for n in range(1, 6)]
    once, often = (
        fit({"fast": fast, "slow": [Sample(n, 100 * n, 40 * n)]}, 0.5) for n in (1, 100)
    )  # fmt: skip
    assert once is not None
    assert often is not None
    ratio_once, ratio_often = (m.slowness["slow"] / m.slowness["fast"] for m in (once, often))
    assert 1.5 < ratio_once < 3
    assert ratio_often == pytest.approx(4, rel=0.1)


def test_who_still_runs_takes_longer_than_was_expected_of_it() -> None:
    """Times are lognormal: what has not ended by the expected time takes a quarter more, give or take."""
    assert longer_than(0.0, 100.0, 0.09) == (0.0, 100.0)
    shares, totals = zip(*(longer_than(elapsed, 100.0, 0.09) for elapsed in (10, 50, 100, 150, 300, 1e6)), strict=True)
    assert list(shares) == sorted(shares)
    assert list(totals) == sorted(totals)
    assert totals[0] == pytest.approx(100.0)
    assert 115 < totals[2] < 140
    assert totals[-1] == pytest.approx(1.1e6)


# ---- the whole


def test_a_run_slower_than_earlier_ones_is_believed_after_a_few_videos(made_up: MadeUp) -> None:
    tasks, lane = [made_up.task(f"{n}.mp4") for n in range(100)], made_up.lanes(1)[0]
    forecast = _begin((lane,), tasks, (Known("gpu", (Sample(1000, 100_000, 10_000),)),))
    assert forecast.remaining_s(0.0) == pytest.approx(1000)
    for place, task in enumerate(tasks[:30]):
        _do(forecast, made_up, task, lane, 20.0 * place, 20.0)
    assert forecast.remaining_s(600.0) == pytest.approx(70 * 20, rel=0.2)


def test_lanes_that_are_slow_in_this_run_are_known_for_it(made_up: MadeUp) -> None:
    """Two of one device, one of which takes twice as long, video after video."""
    tasks, lanes = [made_up.task(f"{n}.mp4") for n in range(60)], made_up.lanes(2)
    forecast = _begin(lanes, tasks)
    for place in range(20):
        _do(forecast, made_up, tasks[2 * place], lanes[0], 10.0 * place, 10.0)
        _do(forecast, made_up, tasks[2 * place + 1], lanes[1], 20.0 * place, 20.0)
    forecast.refresh(400.0)
    assert 1.5 < forecast.slowness(lanes[1]) / forecast.slowness(lanes[0]) < 2.3


def test_lanes_that_differ_by_chance_stay_equal(made_up: MadeUp) -> None:
    world = make_world(3, misjudged="a little")
    forecast = Forecast()
    forecast.apply(RunStarted("", "w", made_up.lanes(8), world.tasks, ()), 0.0)
    for task in world.tasks:
        lane = made_up.lanes(8)[task.video.position % 8]
        _do(forecast, made_up, task, lane, 0.0, world.seconds[task.video.position])
    forecast.refresh(1e6)
    assert sum(forecast.slowness(lane) == 1.0 for lane in made_up.lanes(8)) >= 6


def test_what_took_a_while_before_takes_it_again_and_the_others_of_its_sort_as_much_longer(made_up: MadeUp) -> None:
    """The script takes twice as long as it did: each of its old videos does, whatever it costs."""
    tasks = [replace(made_up.task(f"{n}.mp4", cost=7), took=Took(10.0 + n, "gpu")) for n in range(40)]
    lane = made_up.lanes(1)[0]
    forecast = _begin((lane,), tasks)
    assert forecast.expected_s(tasks[30]) == pytest.approx(40)
    for place in range(20):
        _do(forecast, made_up, tasks[place], lane, 0.0, 2 * (10.0 + place))
    assert forecast.expected_s(tasks[30]) == pytest.approx(80, rel=0.1)


def test_a_lane_that_is_out_does_nothing_for_the_end(made_up: MadeUp) -> None:
    tasks, lanes = [made_up.task(f"{n}.mp4") for n in range(10)], made_up.lanes(2)
    known = (Known("gpu", (Sample(10, 1000, 100),)),)
    forecast = _begin(lanes, tasks, known)
    assert forecast.remaining_s(0.0) == pytest.approx(50)
    forecast.apply(LaneOut(lanes[1]), 0.0)
    assert forecast.remaining_s(0.0) == pytest.approx(100)


def test_in_round_robin_the_fullest_lane_makes_the_end(made_up: MadeUp) -> None:
    lanes, known = made_up.lanes(2), (Known("gpu", (Sample(10, 1000, 100),)),)
    tasks = []
    for position, cost in enumerate((100, 10, 100, 10, 100, 10)):
        task = made_up.task(f"{position}.mp4", cost=cost)
        tasks.append(replace(task, video=replace(task.video, position=position)))
    assert _begin(lanes, tasks, known, "round-robin").remaining_s(0.0) == pytest.approx(30)
    assert _begin(lanes, tasks, known, "longest").remaining_s(0.0) == pytest.approx(20, rel=0.1)


def test_thousands_are_dealt_out_as_hundreds_are(made_up: MadeUp) -> None:
    lanes = tuple(Lane(i, Device("gpu", str(i), name), 1) for i, name in enumerate(("fast", "fast", "slow")))
    known = (Known("fast", (Sample(50, 5000, 500),)), Known("slow", (Sample(50, 5000, 1500),)))
    for count in (900, 3000):
        forecast = _begin(lanes, [made_up.task(f"{n}.mp4") for n in range(count)], known)
        assert forecast.remaining_s(0.0) == pytest.approx(count * 10 / (1 + 1 + 1 / 3), rel=0.03)


def test_who_looks_from_outside_foretells_the_same(made_up: MadeUp, tmp_path: Path) -> None:
    """``vidfleet status`` has nothing but the ledger."""
    lanes, took = made_up.lanes(2), Took(33.0, "gpu")
    tasks = [made_up.task("a.mp4"), made_up.task("b.mp4", cost=300), replace(made_up.task("c.mp4"), took=took)]
    inside, outside = Forecast(), Forecast()
    events: list[Event] = [
        RunStarted("/r", "w", lanes, tuple(tasks), (), (Known("gpu", (Sample(4, 500, 44),)),), "longest"),
        AttemptStarted(tasks[1], lanes[0], 1), AttemptProgress(tasks[1], lanes[0], "", 0.5), LaneOut(lanes[1]),
    ]  # fmt: skip
    with Ledger(tmp_path / "events.jsonl") as ledger:
        for event in events:
            ledger.write(event)
            inside.apply(event, time.time())
    for at, event in to_events(read_ledger(tmp_path / "events.jsonl")):
        outside.apply(event, at)
    now = time.time() + 10
    assert outside.remaining_s(now) == pytest.approx(inside.remaining_s(now), rel=0.01)


def test_a_ledger_without_lanes_or_with_a_clock_that_was_set_back_foretells_no_nonsense(made_up: MadeUp) -> None:
    known = (Known("gpu", (Sample(4, 500, 44),)),)
    assert _begin((), [made_up.task()], known).remaining_s(0.0) is None
    lane, task = made_up.lanes(1)[0], made_up.task()
    forecast = _begin((lane,), [task], known)
    forecast.apply(AttemptStarted(task, lane, 1), 5000.0)
    left_s = forecast.remaining_s(1000.0)
    assert left_s is not None
    assert 0 < left_s < 10_000
    assert forecast.work_s(1000.0)[0] == 0
    for seconds in (float("nan"), float("inf"), -1.0):
        forecast.apply(AttemptEnded(task, made_up.attempt(lane, seconds=seconds), will_retry=True), 5000.0)
    assert forecast.expected_s(task) == pytest.approx(8.8)
    assert forecast.work_s(5000.0) == pytest.approx((0, 8.8))


def test_what_was_foretold_is_kept_and_compared_with_the_end(made_up: MadeUp) -> None:
    tasks, lane = [made_up.task(f"{n}.mp4") for n in range(10)], made_up.lanes(1)[0]
    foretold = Foretold(1000.0)
    foretold.take(RunStarted("", "w", (lane,), tuple(tasks), ()), 1000.0)
    foretold.tick(1000.5)
    assert foretold.after_first_fifth_s(100.0) is None, "nothing was known"
    for place, task in enumerate(tasks):
        foretold.take(AttemptStarted(task, lane, 1), 1000.0 + 10 * place)
        foretold.take(AttemptEnded(task, made_up.attempt(lane), will_retry=False), 1010.0 + 10 * place)
        foretold.tick(1010.0 + 10 * place)
    assert foretold.after_first_fifth_s(100.0) == pytest.approx(100.0, rel=0.01)
    for second in range(50_000):
        foretold.tick(1101.0 + second)
    assert foretold.after_first_fifth_s(50_000.0) == pytest.approx(10_000, rel=0.01), (
        "what is old is kept, only sparser"
    )


# ---- simulated runs


@pytest.mark.slow
@pytest.mark.parametrize("slowness", [EQUAL, UNLIKE], ids=["equal", "unlike"])
@pytest.mark.parametrize("earlier_run", [False, True])
def test_after_a_fifth_of_a_run_its_end_is_foretold_within_a_tenth(
    slowness: tuple[float, ...], earlier_run: bool
) -> None:
    """Wherever no single video makes the end: no one knows within a tenth beforehand what that one takes."""
    off, seed = list[float](), 0
    while len(off) < _SEEDS:
        world = make_world(seed, misjudged="a little", slowness=slowness)
        seed += 1
        if max(world.seconds.values()) * min(slowness) > 0.8 * world.bound_s:
            continue
        known = simulate(make_world(seed + 1000, misjudged="a little", slowness=slowness)).known if earlier_run else ()
        end_s = simulate(world, known=known).end_s
        foretold_s = simulate(world, known=known, ask_at_s=end_s / 5).foretold_s
        assert foretold_s is not None, "after a fifth something is known, also in a first run"
        off.append(abs(foretold_s / end_s - 1))
    assert sum(value <= 0.1 for value in off) >= 0.85 * _SEEDS
    assert statistics.median(off) < 0.06


@pytest.mark.parametrize(("misjudged", "bound"), [("a little", 1.03), ("by two", 1.06)])
@pytest.mark.parametrize("slowness", [EQUAL, UNLIKE], ids=["equal", "unlike"])
def test_the_last_video_ends_near_the_lower_bound(misjudged: str, bound: float, slowness: tuple[float, ...]) -> None:
    over = []
    for seed in range(_SEEDS):
        world = make_world(seed, misjudged=misjudged, slowness=slowness)
        over.append(simulate(world).end_s / world.bound_s)
    assert statistics.mean(over) <= bound


def test_first_come_first_served_ends_later_on_unlike_lanes() -> None:
    worlds = [make_world(seed, misjudged="a little", slowness=UNLIKE) for seed in range(_SEEDS)]
    assert statistics.mean(simulate(world, schedule="name").end_s / world.bound_s for world in worlds) > 1.1


# ---- lanes in a plan


def test_a_lineup_gives_a_video_to_the_lane_that_ends_it_first() -> None:
    lineup = Lineup([(0, 1.0, 30.0), (1, 2.0, 0.0), (2, 2.0, 5.0)])
    assert lineup.best_s(10) == 20
    lineup.give(10)  # lane 1, until 20
    lineup.give(10)  # lane 2, until 25
    lineup.give(10)  # lane 0 and lane 1 end it at 40: the faster one
    assert lineup.ends() == {0: 40.0, 1: 20.0, 2: 25.0}
    assert lineup.longest_s(3.0) == 20.0, "one of 20 ends at 60 on a lane of slowness 3, and on each of these later"
