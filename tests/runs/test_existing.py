"""What stands where an output would go and is not ours: adopted, copied, or put aside, if the user says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.support.fleet import Fleet

_COUNTING = """
    with open(os.path.join(os.path.dirname(__file__), "ran"), "a") as file:
        file.write(stem + "\\n")
    there = sorted(os.listdir(out)) if os.path.isdir(out) else []
    leave("result.txt", "ours, beside " + ",".join(there))
"""


@pytest.fixture
def theirs(fleet: Fleet) -> Fleet:
    """Three videos; two have outputs that somebody made before, one of them without the result."""
    for video in fleet.videos(3)[:2]:
        (video.with_suffix("") / "deep").mkdir(parents=True)
        (video.with_suffix("") / "deep" / "precious.txt").write_text("work of weeks")
    (fleet.root / "v00" / "result.txt").write_text("theirs")
    return fleet


def _run(fleet: Fleet, *more: object, script: str = "infer.py") -> tuple[int, list[str], str]:
    """Exit status, what ran, and what was said."""
    ran = fleet.scripts / "ran"
    ran.unlink(missing_ok=True)
    result = fleet.run(
        "--script", fleet.script(_COUNTING, script), "--expect", "result.txt", "--devices", "cpu:2", *more
    )
    return result.returncode, sorted(ran.read_text().split()) if ran.exists() else [], result.stdout


def _record(fleet: Fleet, name: str) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((fleet.root / name / "vidfleet.json").read_text())
    return plain


def test_adopted_outputs_are_done_and_nothing_runs_for_them(theirs: Fleet) -> None:
    """What lacks a promised file is not adopted, and says which."""
    status, ran, said = _run(theirs, "--existing", "adopt")
    assert (status, ran) == (1, ["v02"])
    assert "v01" in said
    assert "there is no result.txt" in said
    assert (theirs.root / "v00" / "result.txt").read_text() == "theirs"
    record = _record(theirs, "v00")
    assert record["outputs"]["adopted"] is True
    assert record["attempts"] == []
    assert not (theirs.root / "v01" / "vidfleet.json").exists()
    (theirs.root / "v01" / "result.txt").write_text("late")
    assert _run(theirs, "--existing", "adopt")[:2] == (0, [])
    assert _run(theirs)[:2] == (0, []), "without the option too, from now on"


def test_an_adopted_output_is_replaced_like_one_of_ours_when_the_script_changes(theirs: Fleet) -> None:
    _run(theirs, "--existing", "adopt", "--include", "v00.mp4")
    assert _run(theirs, "--include", "v00.mp4", "--", "more")[:2] == (0, ["v00"])
    assert _record(theirs, "v00")["outputs"]["adopted"] is False


def test_another_scripts_output_may_be_adopted_and_names_it(fleet: Fleet) -> None:
    fleet.videos(1)
    assert _run(fleet, script="first.py")[:2] == (0, ["v00"])
    assert _run(fleet, "--existing", "adopt", script="second.py")[:2] == (0, [])
    record = _record(fleet, "v00")
    assert record["workload"]["name"] == "second.py"
    assert record["outputs"]["adopted_from"] == "first.py"
    assert _run(fleet, script="second.py")[:2] == (0, [])


def test_seeded_attempts_start_on_a_copy(theirs: Fleet) -> None:
    """For scripts that skip what exists; the folder itself is put aside untouched."""
    assert _run(theirs, "--existing", "seed")[:2] == (0, ["v00", "v01", "v02"])
    assert (theirs.root / "v00" / "result.txt").read_text() == "ours, beside deep,result.txt"
    assert (theirs.root / "v00.old" / "result.txt").read_text() == "theirs"
    for folder in ("v01", "v01.old"):
        assert (theirs.root / folder / "deep" / "precious.txt").read_text() == "work of weeks"
    assert _run(theirs, "--existing", "seed")[:2] == (0, [])


def test_replaced_folders_are_put_aside_and_nothing_of_them_is_lost(theirs: Fleet) -> None:
    assert _run(theirs, "--existing", "replace")[:2] == (0, ["v00", "v01", "v02"])
    assert (theirs.root / "v00" / "result.txt").read_text() == "ours, beside "
    assert (theirs.root / "v00.old" / "result.txt").read_text() == "theirs"
    assert (theirs.root / "v01.old" / "deep" / "precious.txt").read_text() == "work of weeks"
    assert not (theirs.root / "v02.old").exists()
    assert _record(theirs, "v00")["outputs"]["put_aside"] == ["v00.old"]
    assert _run(theirs)[:2] == (0, [])


def test_a_failed_attempt_leaves_somebody_elses_folder_where_it_is(theirs: Fleet) -> None:
    result = theirs.run("--script", theirs.script("leave(); sys.exit(3)"), "--existing", "replace", "--retries", "0")
    assert result.returncode != 0
    assert (theirs.root / "v00" / "result.txt").read_text() == "theirs"
    assert not (theirs.root / "v00.old").exists()


@pytest.mark.parametrize("way", ["adopt", "seed", "replace"])
def test_a_folder_of_videos_is_never_taken_for_an_output(fleet: Fleet, way: str) -> None:
    """``Frasier/`` beside ``Frasier.mp4``: replacing it would move a whole series aside."""
    fleet.video("Frasier.mp4")
    fleet.video("Frasier/e1.mp4")
    (fleet.root / "Frasier" / "result.txt").write_text("x")
    status, ran, said = _run(fleet, "--existing", way)
    assert (status, ran) == (1, ["e1"])
    assert "holds videos" in said
    assert not (fleet.root / "Frasier.old").exists()
    assert not (fleet.root / "Frasier" / "vidfleet.json").exists()


def test_the_plan_says_how_many_and_the_ways_out(theirs: Fleet) -> None:
    blocked = theirs.run("--script", theirs.script(_COUNTING), "--dry-run").stdout
    assert blocked.count("--existing adopt") == 1
    assert "2 videos, such as" in blocked
    for way, words in (("adopt", "1 folder that nobody here"), ("seed", "2 videos to run again: starts on a copy")):
        said = _run(theirs, "--existing", way, "--dry-run")[2]
        assert words in said, said
    assert not (theirs.root / ".vidfleet").exists()


def test_videos_of_one_stem_may_have_folders_of_their_own(fleet: Fleet) -> None:
    """``--on-collision suffix``, and the same folders in the next run."""
    for name in ("a.mp4", "a.mkv", "b.mp4"):
        fleet.video(name)
    assert _run(fleet, "--on-collision", "suffix")[0] == 0
    assert all((fleet.root / name / "result.txt").is_file() for name in ("a_mp4", "a_mkv", "b"))
    assert not (fleet.root / "a").exists()
    assert _run(fleet, "--on-collision", "suffix")[:2] == (0, [])
