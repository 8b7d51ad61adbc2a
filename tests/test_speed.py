"""The benchmark of speed counts what it says it counts, and its page says what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.peers import PeerError
from benchmarks.speed import charts, makespan, measuring, noop, ours, page, sections, tables, warm
from benchmarks.speed.measuring import Case, Spread, Turn, interleaved, median_by_system, slope, steady_rate, timed
from vidfleet.runner.probe import probe

if TYPE_CHECKING:
    from pathlib import Path


def spread(median: float) -> dict[str, float]:
    return {"median": median, "least": median / 2, "most": median * 2, "count": 5}


def test_a_spread_is_the_median_between_the_least_and_the_most() -> None:
    assert Spread.of([3.0, 1.0, 10.0]) == Spread(3.0, 1.0, 10.0, 3)
    assert Spread.of([1.0, 2.0]).median == 1.5
    with pytest.raises(ValueError, match="nothing"):
        Spread.of([])


def test_what_is_paid_once_is_not_in_the_slope() -> None:
    start_s, job_s = 4.0, 0.25
    assert slope(start_s + 10 * job_s, 10, start_s + 90 * job_s, 90) == pytest.approx(job_s)


def test_the_steady_rate_leaves_out_each_lanes_first_job() -> None:
    loading_s = 30.0
    ends = [loading_s + 0.5 * (number // 2) for number in range(12)]
    assert steady_rate(ends[::-1], lanes=2) == pytest.approx(4.0)
    with pytest.raises(ValueError, match="more jobs than lanes"):
        steady_rate([1.0, 2.0], lanes=2)


def test_cases_are_measured_in_turns_and_a_peer_that_fails_is_kept_with_its_words() -> None:
    order: list[str] = []

    def fine(repeat: int) -> float:
        order.append(f"a{repeat}")
        return float(repeat)

    def fails(repeat: int) -> float:
        order.append(f"b{repeat}")
        raise PeerError("no such GPU")

    turns = interleaved([Case("a", fine), Case("b", fails)], 2)
    assert order == ["a0", "b0", "a1", "b1"]
    assert [(turn.system, turn.result, turn.trouble) for turn in turns[:2]] == [
        ("a", 0.0, ""),
        ("b", None, "no such GPU"),
    ]
    assert median_by_system(turns, lambda value: value) == {"a": Spread(0.5, 0.0, 1.0, 2)}


def test_a_command_is_timed_and_its_failure_told_in_its_own_words() -> None:
    code = "import time; block = bytearray(80_000_000); time.sleep(0.4); print(input())"
    took = timed([sys.executable, "-c", code], stdin="so be it\n")
    assert took.said == "so be it\n"
    assert 0.4 <= took.seconds < 30
    assert took.peak_bytes > 80_000_000
    with pytest.raises(PeerError, match="exit status 3: it cannot be"):
        timed([sys.executable, "-c", "import sys; print('it cannot be'); sys.exit(3)"])


def test_nothing_goes_on_that_has_taken_too_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measuring, "LIMIT_S", 1.0)
    script = f"sh -c 'sleep 2; touch {tmp_path}/went_on' & wait"
    with pytest.raises(PeerError, match="exit status -9"):
        timed(["sh", "-c", script])
    time.sleep(2)
    assert not (tmp_path / "went_on").exists()


def test_the_bare_loop_of_the_same_turn_is_taken_off_and_nothing_off_a_call() -> None:
    def turn(system: str, job_ms: float | None) -> Turn[noop.Cost]:
        return Turn(system, 0.0, None if job_ms is None else noop.Cost(job_ms))

    turns = [
        turn(noop.BARE, 1.0), turn("runs", 3.0), turn("calls", 0.5),
        turn(noop.BARE, 5.0), turn("runs", 9.0), turn("calls", 0.7),
        turn(noop.BARE, None), turn("runs", 100.0), turn("calls", 100.0),
    ]  # fmt: skip
    above = noop.above_bare(turns, {noop.BARE: True, "runs": True, "calls": False})
    assert above == {"runs": Spread(3.0, 2.0, 4.0, 2), "calls": Spread(0.6, 0.5, 0.7, 2)}


def test_a_peer_that_ends_well_without_its_work_has_failed(tmp_path: Path) -> None:
    place = noop.Place(tmp_path, lanes=1, jobs=4, few=2)
    assert noop.by_lines(place, lambda: ["sh"]).job_ms != 0.0
    with pytest.raises(PeerError, match="0 of 2 files were copied"):
        noop.by_lines(place, lambda: ["true"])


def test_times_are_found_before_what_a_cluster_says_when_it_ends() -> None:
    assert noop.last_figures("up\n1.5 2.75\n*** aborted\n\n") == [1.5, 2.75]
    with pytest.raises(PeerError, match="no times"):
        noop.last_figures("Traceback\n")


def test_no_order_ends_before_the_bound() -> None:
    assert makespan.bound([1.0, 1.0, 1.0, 1.0], 2) == 2.0
    assert makespan.bound([5.0, 1.0, 1.0, 1.0], 2) == 5.0


def test_a_draw_has_the_bound_that_was_asked_for_and_lengths_wrong_by_two_at_most() -> None:
    draw, again = makespan.Draw.of(3, 35.0), makespan.Draw.of(3, 35.0)
    assert draw == again
    assert makespan.bound(draw.jobs_s, makespan.LANES) == pytest.approx(35.0)
    assert all(0.5 <= factor <= 2.0 for factor in draw.factors)
    assert min(draw.factors) < 0.6
    assert max(draw.factors) > 1.7


def test_the_makespan_goes_from_the_first_beginning_to_the_last_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("10.5 12.0\n10.0 19.5\n11.0 11.5\n")
    assert makespan.makespan(log, 3) == (10.0, 19.5)
    with pytest.raises(PeerError, match="3 of 4 jobs"):
        makespan.makespan(log, 4)


def test_a_job_sleeps_as_long_as_the_table_says_and_writes_down_when(tmp_path: Path) -> None:
    draw = makespan.Draw((0.3,), (1.0,), (0.5,))
    place = makespan.make_place(tmp_path / "place", draw)
    log = place.log()
    (video,) = place.videos("true")
    subprocess.run(place.job(log, str(video), str(tmp_path / "out")), check=True)
    began, ended = makespan.makespan(log, 1)
    assert 0.3 <= ended - began < 10
    assert (tmp_path / "out" / "slept").exists()


def test_a_videos_length_is_its_jobs_and_its_size_is_not(tmp_path: Path) -> None:
    place = makespan.make_place(tmp_path / "place", makespan.Draw((2.0, 0.4), (0.5, 1.0), (0.03, 1.0)))
    flat, noisy = place.videos("true")
    assert [probe(flat).frames, probe(noisy).frames] == [50, 10]
    assert makespan.by_size([flat, noisy]) == [noisy, flat]
    assert probe(place.videos("misjudged")[0]).frames == 25


def test_a_runs_times_come_out_of_its_ledger(tmp_path: Path) -> None:
    root, videos = ours.fresh_root(tmp_path, 3)
    run = ours.run(root, "--devices", "cpu:1", *ours.COPY)
    assert len(videos) == len(run.ends()) == 3
    assert run.took.began_at < run.planned_at < min(run.ends()) <= max(run.ends()) <= run.took.ended_at + 0.01
    assert run.plan_s + run.work_s == pytest.approx(run.took.seconds)


def test_an_option_is_known_only_by_its_whole_name() -> None:
    assert ours.has_option("--devices")
    assert not ours.has_option("--devic")


def noop_row(system: str, lanes: int, above_ms: float | None, *, keeps: bool = False, trouble: str = "") -> tables.Row:
    above = None if above_ms is None else spread(above_ms)
    return {
        "system": system, "lanes": lanes, "called": f"{system} < JOBS | more", "writes": "nothing",
        "keeps_log_and_result": keeps, "above_bare_ms": above, "job_ms": spread(1.25), "plan_ms": spread(0.5),
        "trouble": trouble,
    }  # fmt: skip


def noop_found(*rows: tables.Row) -> dict[str, Any]:
    machine = {"cores": 2, "processor": "A", "memory_gib": 24, "python": "3.11", "system": "Linux"}
    return {
        "date": "2026-01-02", "vidfleet": "0.1.0", "commit": "abc", "repeats": 5, "machine": machine, "took_s": 3,
        "load_before": 0.1, "versions": {"xargs": "4.9"}, "jobs": 600, "few": 60, "rows": list(rows),
        "turns": [{"load": 0.5}, {"load": 2.25}],
    }  # fmt: skip


NOOP = noop_found(
    *(noop_row(noop.BARE, lanes, None) for lanes in (1, 2)),
    *(noop_row(noop.OURS, lanes, 2.0, keeps=True) for lanes in (1, 2)),
    *(noop_row("quick", lanes, 1.0) for lanes in (1, 2)),
    *(noop_row("thorough", lanes, 30.0, keeps=True) for lanes in (1, 2)),
    *(noop_row("broken", lanes, None, trouble="exit status 1:\nno GPU") for lanes in (1, 2)),
)


def test_the_page_says_who_is_ahead_and_shows_a_peer_that_fails(tmp_path: Path) -> None:
    (tmp_path / "noop.json").write_text(json.dumps(NOOP))
    text = page.make_page(tmp_path)
    assert "| **vidfleet** | 2.00 (1.00 to 4.00) |" in text
    assert "| broken | failed: exit status 1: no GPU |" in text
    flat = " ".join(text.split())
    assert "Nobody is ahead of vidfleet, of those that write a log and a result for each job." in flat
    assert "Ahead of vidfleet on two lanes, of all: quick." in flat
    assert "0.5 to 2.2" in text
    assert "Not measured so far: makespan, warm, threads, growth." in text
    assert "quick < JOBS \\| more" in text


def test_a_quick_look_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "noop.json").write_text(json.dumps({**NOOP, "quick": True}))
    assert "noop (a quick look at small sizes)" in page.make_page(tmp_path)


def test_a_chart_is_xml_and_cuts_what_is_too_long() -> None:
    svg = sections.noop_chart(NOOP)
    tree = ET.fromstring(svg)
    shown = ["".join(node.itertext()) for node in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert shown.index("quick") < shown.index("vidfleet") < shown.index("thorough")
    assert "broken" not in shown
    assert "30.00 ms, log and result" in shown
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}path"))) == 1
    assert charts.bar_length(4.0, 8.0) == charts.bar_length(8.0, 8.0) / 2
    assert charts.bar_length(30.0, 8.0) == charts.bar_length(8.0, 8.0)
    assert charts.bar_length(-1.0, 8.0) == 1.0


def warm_row(system: str, running: float | None, with_start: float | None) -> tables.Row:
    rates = [None if rate is None else spread(rate) for rate in (running, with_start)]
    return {"system": system, "running_per_s": rates[0], "with_start_per_s": rates[1]}


def test_warm_is_compared_with_the_cold_rate_and_with_ray_for_each_video() -> None:
    systems = [warm_row(warm.WARM, 8.0, 6.0), warm_row(warm.COLD, 0.8, 0.7), warm_row(warm.RAY, 10.0, 5.0)]
    told = sections.warm_verdict(tables.by_system(systems))
    assert told.startswith("Warm is 10.0 times the cold rate, 7.5 times with its start.")
    assert "25% more time than with Ray actors" in told
    assert f"Ahead of vidfleet once all run: {warm.RAY}. Nobody is ahead of vidfleet with the start." in told
    systems[0] = warm_row(warm.WARM, None, None)
    assert sections.warm_verdict(tables.by_system(systems)) == "Warm lanes were not measured."


def test_thread_budgets_stand_beside_none(tmp_path: Path) -> None:
    both = [
        {"library": "numpy", "lanes": 8, "budget": budget, "seconds": seconds, "cpu_s": 9.0, "threads": threads}
        for budget, seconds, threads in (("all", 12.0, 2), ("share", 6.0, 1))
    ]
    (tmp_path / "threads.json").write_text(json.dumps(noop_found(*both)))
    assert "| numpy | 8 | 6.0 | 12.0 | 2.00 | 9.0 | 9.0 | 1 and 2 |" in page.make_page(tmp_path)


def test_figures_of_no_date_or_machine_are_not_told(tmp_path: Path) -> None:
    (tmp_path / "threads.json").write_text(json.dumps({"rows": []}))
    assert "## Thread budgets" not in page.make_page(tmp_path)


def test_a_figure_that_nobody_measured_is_a_dash() -> None:
    assert tables.spread({"x": None}, "x") == tables.number(None) == "—"
    assert tables.spread({"x": spread(1000.0)}, "x", 0) == "1,000 (500 to 2,000)"
    assert tables.number(-0.001) == "0.00"


def test_the_page_in_docs_is_what_the_results_say() -> None:
    assert (page.DOCS / "performance.md").read_text() == page.make_page(), "python -m benchmarks.speed.page"
    for name, chart in page.CHARTS.items():
        if found := page.read(page.RESULTS, name):
            assert (page.DOCS / f"performance-{name}.svg").read_text() == chart(found)
