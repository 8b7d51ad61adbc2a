"""The benchmarks of SAM 2 measure what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import sam2_speed
from benchmarks.sam2_quality import Row, rows_of, scene_table
from benchmarks.sam2_scenes import FOUND, Scene, scenes
from tests.speakers.sam2_models import has_sam2, save_tiny
from vidfleet.speakers.hub import ModelFiles
from vidfleet.speakers.nets.sam2 import Sam2Segmenter, load_sam2

if TYPE_CHECKING:
    from pathlib import Path

needs_sam2 = pytest.mark.skipif(not has_sam2(), reason="PyTorch and transformers are not installed (extra sam2)")


@pytest.fixture(scope="module")
def crossing() -> Scene:
    return scenes()[0]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("model") / "tiny")


def test_a_head_is_hidden_by_the_one_in_front_of_it(crossing: Scene) -> None:
    meet = min(crossing.shown, key=lambda shown: abs(shown.boxes[0][0] - shown.boxes[1][0]))
    assert meet.seen[1] > FOUND
    assert meet.seen[0] < 0.2
    assert crossing.shown[0].seen == pytest.approx((1.0, 1.0), abs=0.02)


def test_boxes_take_one_head_for_another_where_exact_masks_do_not(crossing: Scene) -> None:
    by_boxes, by_masks = rows_of(crossing, None)
    assert (by_boxes.tracks, by_boxes.switches) == (3, 1)
    assert (by_masks.tracks, by_masks.switches, by_masks.kept) == (2, 0, 1.0)
    assert min(by_boxes.iou, by_masks.iou) > 0.9


@needs_sam2
def test_a_model_is_measured_beside_them(crossing: Scene, model: Path) -> None:
    short = Scene("short", crossing.paths, 14)
    rows = list(rows_of(short, Sam2Segmenter(ModelFiles("tiny", model), threads=1)))
    assert [row.way for row in rows] == ["boxes", "exact masks", "SAM 2, hard", "SAM 2, always"]
    assert rows[-1].by_masks == 14


def test_the_table_has_a_line_for_each_way() -> None:
    row = Row("they cross", "boxes", 2, 3, 1, kept=0.75, iou=0.97, by_masks=0, ms=0.1)
    assert "| they cross | boxes | 2 | 3 | 1 | 75 % | 0.97 | 0 | 0.1 |" in scene_table([row])


@needs_sam2
def test_the_speed_is_that_of_the_pictures_after_the_first(model: Path) -> None:
    loaded = load_sam2(model, threads=1, device="cpu")
    cell = sam2_speed.measure(loaded, "tiny", "eager", size="720p", objects=3, pictures=4, warm_up=2)
    assert 0 < cell.ms <= cell.slow_ms
    assert cell.peak_mb == 0
    assert f"| tiny | eager | 720p | 3 | {1000 / cell.ms:.1f} |" in sam2_speed.table([cell], "cpu")
    parts = sam2_speed.where_time_goes(loaded, objects=1, pictures=3, warm_up=1)
    assert all(spent > 0 for spent in parts.values())
