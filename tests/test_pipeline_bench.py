"""The benchmark of the pipeline compares ways that give the same, and its page says what was measured."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.pipeline import __main__ as command
from benchmarks.pipeline import cost, films, more_sections, page, sections, stages
from benchmarks.pipeline.naive import NaivePipeline, ProcessorClock
from benchmarks.pipeline.same import same_as
from benchmarks.pipeline.turn import LR_ASD, SETTINGS, TrackOut, TurnOut, read_tracks, rounded
from benchmarks.speed.measuring import Turn
from vidfleet.speakers.pipeline import Speakers

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_naive_way_finds_the_programs_tracks_and_scores(media: Path, weights: Path, tmp_path: Path) -> None:
    film = media / "grid_2people_turns_cut.mp4"
    speakers = Speakers.from_arguments([*SETTINGS, "--face-embedder", "none", "--weights", str(weights)])
    speakers.setup("cpu")
    speakers.process(str(film), str(tmp_path / "ours"), lambda _stage, _share: None)
    ours = read_tracks(tmp_path / "ours/pywork/tracks.csv")
    clock = ProcessorClock()
    naive = NaivePipeline(speakers.stages.detector, weights / LR_ASD)
    found = [rounded(track) for track in naive.run(film, tmp_path / "audio.wav", clock)]
    agreed = same_as(2, 9, "naive", ours, found)
    assert agreed.tracks == agreed.exact_tracks == 3
    assert agreed.within == agreed.face_frames == 375
    assert agreed.largest_box_px <= 0.01
    assert agreed.scored_frames == 372
    assert agreed.same_sign >= 370  # rounding to 0.1 may sit on a tie
    assert agreed.largest_score <= 0.1
    assert set(clock.spent_s) <= set(stages.STAGES)


def track(score: float, *, left: float = 10.0) -> TrackOut:
    return TrackOut(5, [[left, 10.0, left + 40, 60.0]] * 3, [score, score, None])


def test_what_another_run_lacks_is_not_the_same() -> None:
    exact = [track(1.0)]
    assert same_as(1, 1, "x", exact, exact).same_score == 2
    apart = same_as(1, 1, "x", exact, [track(1.0, left=25.0)])
    assert (apart.face_frames, apart.within, apart.scored_frames) == (3, 0, 0)
    near = same_as(1, 1, "x", exact, [track(-0.2, left=11.0)])
    assert (near.within, near.same_score, near.same_sign) == (3, 0, 0)
    assert (near.largest_box_px, near.largest_score) == (1.0, 1.2)
    assert same_as(1, 1, "x", exact, []).within == 0


def turn(case: str, core_s: float, **spent_s: float) -> Turn[TurnOut]:
    tracks = [] if case == "decoding" else [TrackOut(0, [[10.0, 10.0, 50.0, 60.0]] * 50, [1.0] * 49)]
    return Turn(case, 0.5, TurnOut(case, core_s, core_s, spent_s, tracks))


def measured(exact_s: float = 2.0) -> dict[str, Any]:
    """A film of 4 s of which 2 s show a face."""
    costs = cost.Costs()
    turns = [
        turn("decoding", 0.4, pictures=0.4),
        turn("naive", 8.0, pictures=1.0, scores=6.0),
        turn("exact", exact_s, pictures=0.5, faces=1.0, sorting=0.2),
        turn("every 5", 1.6, pictures=0.5, faces=0.1),
        turn("before", 3.0, pictures=1.0, faces=2.0),
    ]
    costs.add(cost.Measurement(1, 4, 1, cost.ALL), turns)
    about = {"before": "abc", "films": [{"faces": 1, "film_s": 4, "turns": 1, "kbit_s": 2000}]}
    rows: dict[str, Any] = {"cost": costs.cost, "stages": costs.stages, "same": costs.same}
    return {**about, **{name: [asdict(row) for row in part] for name, part in rows.items()}}


def test_a_turns_time_is_told_per_second_of_film_and_of_track_and_beside_the_naive_one() -> None:
    rows = {row["case"]: row for row in measured()["cost"]}
    assert rows["exact"]["core_per_video_s"]["median"] == 0.5
    assert rows["exact"]["core_per_track_s"]["median"] == 1.0
    assert rows["exact"]["naive_over_it"]["median"] == 4.0
    assert rows["decoding"]["core_per_track_s"] is None


def test_stages_add_up_to_the_whole_and_an_unknown_one_keeps_its_name() -> None:
    text = sections.stages(measured())
    assert "| finding faces | — | 250.0 | 25.0 |" in text
    assert "| `sorting` | — | 50.0 | — |" in text
    assert "| all else | 250.0 | 75.0 | 250.0 |" in text
    assert "| **in all** | **2,000.0** | **500.0** | **400.0** |" in text


def test_stages_of_several_faces_are_told_per_second_of_track() -> None:
    found = measured()
    for part in ("cost", "stages"):
        found[part] += [{**row, "faces": 4} for row in found[part]]
    told = sections.stages(found).partition("With 4 faces, for a second of face track:")[2]
    assert "| finding faces | — | 500.0 | 50.0 |" in told


def test_what_lies_above_the_floor_is_told_in_shares_of_it() -> None:
    told = sections.floor(measured())
    assert "Exact takes 5.0 times what decoding alone takes (0.100 core-seconds a second)" in told
    assert "finding faces 62%, all else 19%, `sorting` 12%, decoding pictures 6%." in told


def test_a_bound_that_is_not_met_is_told_as_not_met() -> None:
    assert "**not met**" not in sections.verdict(measured())
    slow = sections.verdict(measured(exact_s=3.6))
    assert "Exact, one face: 0.90 core-seconds (asked for: at most 0.7) and 2.2 times" in slow
    assert slow.count("**not met**") == 1


def test_the_chart_is_xml_whose_bars_are_as_long_as_their_parts() -> None:
    tree = ET.fromstring(sections.chart(measured()))
    space = "{http://www.w3.org/2000/svg}"
    bars = [node for node in tree.iter(f"{space}rect") if node.get("height") == "20"]
    colours = {group.colour: group for group in stages.GROUPS}
    by_group = [(colours[bar.get("fill", "")], float(bar.get("width", "0"))) for bar in bars]
    longest = by_group[:3]
    assert [group for group, _ in longest] == [stages.DECODING, stages.SCORING, stages.ELSE]
    assert sum(width for _, width in longest) == pytest.approx(460, abs=0.2)
    assert longest[1][1] == pytest.approx(6 * longest[0][1], abs=0.5)


def test_fewer_looks_are_counted_against_the_reference_and_summed() -> None:
    def row(clip: str, every: int, looks: int, within: int) -> dict[str, Any]:
        return {
            "clip": clip, "every": every, "frames": 100, "looks": looks, "detector_s": looks / 100, "all_s": 2.0,
            "tracks": 1, "face_frames": 100, "within": within, "scored_frames": 99, "same_sign": 99, "clear_frames": 0,
            "clear_same_sign": 0,
        }  # fmt: skip

    rows = [row("a", 1, 100, 100), row("a", 5, 20, 90), row("b", 1, 100, 100), row("b", 5, 40, 100)]
    text = more_sections.detect_every({"rows": rows})
    assert "| `a` | 20 of 100 | 0.2 of 1.0 | 2.0 of 2.0 | 90.0% of 100 | 100.0% of 99 | — |" in text
    assert "| **all 2** | 60 of 200 | 0.6 of 2.0 | 4.0 of 4.0 | 95.0% of 200 |" in text


def test_what_is_written_is_told_in_megabytes_beside_the_way_before() -> None:
    row = {"name": "annotated", "core_s_per_s": 0.1, "bytes_per_s": 200_000, "before_core_s_per_s": 0.25,
           "before_bytes_per_s": None}  # fmt: skip
    text = more_sections.written_cost({"seconds": 60, "track_s": 120.0, "rows": [row]})
    assert "| 0.100 | 0.200 | 0.250 | — |" in text


def test_memory_is_told_per_face_and_by_length() -> None:
    about = {"tracks": 1, "base_mib": 200, "processor_s": 9.0}
    films = ((1, 1, 210), (4, 1, 240), (16, 1, 360), (1, 20, 212))
    rows = [{"faces": faces, "minutes": minutes, "peak_mib": peak, **about} for faces, minutes, peak in films]
    text = more_sections.memory_by_faces({"rows": rows})
    flat = " ".join(text.split())
    assert "One more face takes 10.0 MiB from 1 to 4 faces, 10.0 MiB from 4 to 16 faces." in flat
    assert "A film of 20 minutes takes 2 MiB more than one of 1." in flat
    assert "| 4 | 1 min | 1 | 200 | 240 | 40 |" in text


def test_two_lanes_are_told_beside_one_and_beside_what_was_asked_for() -> None:
    def split(two_s: float) -> str:
        runs = [{"way": "one lane", "wall_s": wall_s, "processor_s": 99.0} for wall_s in (90.0, 100.0, 130.0)]
        runs.append({"way": "two lanes", "wall_s": two_s, "processor_s": 101.0})
        medians = {"one lane": {"wall_s": 100.0}, "two lanes": {"wall_s": two_s}}
        about = {"minutes": 10, "by_hand": False, "arguments": ["--lean"], "results": "equal"}
        return more_sections.split_cost({**about, "medians": medians, "runs": runs})

    text = split(55.0)
    assert "| one lane | 100.0 (90.0 to 130.0) | 99.0 (99.0 to 99.0) | 1.00 |" in text
    assert "| two lanes | 55.0 (once) | 101.0 (once) | 0.55 |" in text
    assert "0.55 of the time of one (asked for: at most 0.6): met." in text
    assert "**not met**" in split(61.0)


def test_what_was_not_measured_has_no_section(tmp_path: Path) -> None:
    assert "##" not in page.make_page(tmp_path)
    assert page.summary(tmp_path) == ""
    (tmp_path / "pipeline_cost.json").write_text(json.dumps(measured()))
    text = page.make_page(tmp_path)
    assert "## A second of film" in text
    assert "## Fewer looks" not in text
    assert "| **exact** | 0.50 (once) | 4.0 (once) |" in page.summary(tmp_path)


def test_a_part_is_not_begun_without_its_folders_or_without_time(capsys: pytest.CaptureFixture[str]) -> None:
    part = command.Part("x", ("--golden", "{golden}"), 5.0, "benchmarks.lr_asd_cost")
    assert part.command({"golden": None}) is None
    command.run_part(part, None, 60.0)
    command.run_part(part, ["false"], 4.0)
    command.run_part(command.Part("x", (), 1.0, "benchmarks.of_tomorrow"), [], 4.0)
    assert capsys.readouterr().out.splitlines() == [
        "x: not measured: it needs more folders (--help)",
        "x: not measured: it takes 5 minutes, 4.0 are left",
        "x: not measured: no such module",
    ]


def test_sources_of_before_are_those_of_the_commit(tmp_path: Path) -> None:
    assert cost.sources_of("no-such-commit", tmp_path) is None
    found = cost.sources_of("HEAD", tmp_path)
    assert found is not None
    assert (found / "vidfleet/speakers/work.py").is_file()


def test_a_film_is_as_long_and_large_as_asked_for_and_made_once(media: Path, tmp_path: Path) -> None:
    from vidfleet.speakers.media import VideoSource

    film = films.make_film(tmp_path, media, faces=4, seconds=1)
    source = VideoSource.open(film)
    assert (source.info.width, source.info.height, source.info.has_sound) == (1280, 720, True)
    assert sum(1 for _ in source.frames()) == 25
    made_at = film.stat().st_mtime_ns
    assert films.make_film(tmp_path, media, faces=4, seconds=1).stat().st_mtime_ns == made_at


def test_the_page_in_docs_is_what_the_results_say() -> None:
    assert (page.DOCS / page.NAME).read_text() == page.make_page(), "python -m benchmarks.pipeline.page"
    if found := page.read(page.RESULTS, "pipeline_cost"):
        assert (page.DOCS / page.CHART).read_text() == sections.chart(found)
