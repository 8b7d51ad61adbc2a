"""What `make demo` says and finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools import demo

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_folder_of_ones_own_is_taken_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOS", str(tmp_path / "my $films"))
    assert demo.find_videos() == (tmp_path / "my $films").resolve()


def test_every_finished_folder_is_found_and_the_first_ten_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(12):
        folder = tmp_path / "Frasier" / f"Frasier_{number:02}"
        (folder / "pyframes").mkdir(parents=True)
        (folder / "vidfleet.json").write_text("{}")
    found = sorted(demo.find_results(tmp_path))
    assert len(found) == 12
    demo.show(found)
    said = capsys.readouterr().out
    assert "Frasier_09" in said
    assert "Frasier_10" not in said
    assert "and 2 more" in said
    assert "video_out.avi" in said


def test_no_results_are_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    demo.show([])
    assert "No results" in capsys.readouterr().out
