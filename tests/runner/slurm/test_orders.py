"""What elements are told, and where: nothing of it may come from somebody else."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.fleet import write_video
from vidfleet.errors import SetupError, UsageError
from vidfleet.runner.ledger import LEDGER_NAME
from vidfleet.runner.lines import Reader
from vidfleet.runner.run import Prepared, prepare
from vidfleet.runner.slurm.element import main
from vidfleet.runner.slurm.follow import Follower
from vidfleet.runner.slurm.orders import Orders, read_orders, read_share, write_orders, write_share
from vidfleet.runner.slurm.place import REFUSED, ElementStart, Place
from vidfleet.runner.slurm.words import last_words
from vidfleet.settings import RunSettings
from vidfleet.workloads import Command, PythonClass, Script
from vidfleet.workloads.plain import from_plain, to_plain

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.workloads.base import Workload

SETTINGS = RunSettings(executor="slurm", devices="cpu:1", include=("*.mp4", "a,b"), timeout="5x", keep_failed=True)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "run" / "slurm")
    made.path.parent.mkdir()
    made.make()
    return made


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    """Two videos, one of whose names is no UTF-8."""
    root = tmp_path / "root"
    write_video(root / "a.mp4")
    os.rename(root / "a.mp4", os.fsencode(root) + b"/\xff.mp4")
    write_video(root / "b.mp4")
    return prepare(root, command(tmp_path), settings=replace(SETTINGS, include=()))


def command(tmp_path: Path) -> Command:
    return Command((sys.executable, "-c", "import sys; open(sys.argv[1] + '/x', 'w')", "{out}", "{video}"))


def orders_for(prepared: Prepared, tmp_path: Path, word: str = "a word") -> Orders:
    return Orders(
        word, prepared.root, prepared.base, command(tmp_path), prepared.settings, prepared.description.name,
        prepared.description.fingerprint,
    )  # fmt: skip


def element(place: Place, word: str = "a word") -> int:
    return main([str(place.path), word, "0", "0"])


def test_orders_and_shares_are_read_as_they_were_written(place: Place, prepared: Prepared, tmp_path: Path) -> None:
    orders = replace(orders_for(prepared, tmp_path), settings=SETTINGS)
    write_orders(place, orders)
    assert read_orders(place) == orders
    write_share(place, 3, prepared.plan.tasks)
    assert read_share(place, 3, orders_for(prepared, tmp_path)) == list(prepared.plan.tasks)
    assert read_share(place, 4, orders) == []


@pytest.mark.parametrize(
    "workload",
    [
        Script("/a/f.py", ("--x", "1"), expect=("y",), warm=True),
        Command(("p", "{video}"), name="n", preload=("torch",)),
        PythonClass("m:C", ("--a",), python="python3"),
    ],
)
def test_a_workload_comes_back_as_it_was(workload: Workload) -> None:
    assert from_plain(to_plain(workload)) == workload


def test_a_workload_of_the_callers_own_is_refused() -> None:
    class Mine(Command):
        pass

    with pytest.raises(UsageError, match="a Mine cannot be sent"):
        to_plain(Mine(("p", "{video}")))


def test_it_is_the_same_command_whoever_follows(prepared: Prepared, tmp_path: Path) -> None:
    """And however many elements it asks for; but not with other settings of the work itself."""
    orders = orders_for(prepared, tmp_path)
    more = replace(prepared.settings, max_jobs=3, detach=True, slurm=("partition=x",))
    assert orders.is_alike(replace(orders, word="another", settings=more))
    assert not orders.is_alike(replace(orders, settings=replace(prepared.settings, retries=5)))
    assert not orders.is_alike(replace(orders, fingerprint="another"))


def test_an_element_works_alone(place: Place, prepared: Prepared, tmp_path: Path) -> None:
    """Its ledger and its claims are its own; what it has done it has done as any runner does."""
    write_orders(place, orders_for(prepared, tmp_path))
    write_share(place, 0, prepared.plan.tasks)
    assert element(place) == 0
    assert (prepared.root / "b" / "vidfleet.json").is_file()
    assert place.starts() == [ElementStart(0, 0)]
    assert place.through(0).exists()


def test_another_folder_under_the_same_path_is_refused(
    place: Place, prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_orders(place, orders_for(prepared, tmp_path))
    assert element(place, "another word") == REFUSED
    assert "another folder here" in capsys.readouterr().err


def test_other_videos_under_the_same_path_are_refused(
    place: Place, prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_orders(place, orders_for(prepared, tmp_path))
    write_share(place, 0, prepared.plan.tasks)
    for path in list(prepared.root.glob("*.mp4")):
        path.rename(path.with_name("c" + path.name))
    begins_later(place)
    assert element(place) == REFUSED
    assert "is not here, or another folder" in capsys.readouterr().err


def begins_later(place: Place) -> None:
    """What was done to the videos so far was done before the run began."""
    later = time.time() + 10
    os.utime(place.orders, (later, later))


def test_a_video_whose_link_leads_nowhere_on_a_node_is_not_taken_for_deleted(
    place: Place, prepared: Prepared, tmp_path: Path
) -> None:
    """What it leads to is not mounted there: other nodes may see it."""
    write_orders(place, orders_for(prepared, tmp_path))
    write_share(place, 0, prepared.plan.tasks)
    for path in list(prepared.root.glob("*.mp4")):
        path.unlink()
        path.symlink_to("/not/mounted/here.mp4")
    assert element(place) == REFUSED


def test_a_video_that_was_changed_since_is_no_sign_of_another_folder(
    place: Place, prepared: Prepared, tmp_path: Path
) -> None:
    """Nor one that was taken away: each is seen to as in a local run."""
    write_orders(place, orders_for(prepared, tmp_path))
    write_share(place, 0, prepared.plan.tasks)
    first, *others = sorted(prepared.root.glob("*.mp4"))
    with first.open("ab") as file:
        file.write(b"more")
    for path in others:
        path.unlink()
    assert element(place) == 0
    assert (prepared.root / first.stem / "vidfleet.json").is_file()
    assert place.through(0).exists()


def test_an_element_that_is_started_after_the_end_of_the_run_begins_nothing(
    place: Place, prepared: Prepared, tmp_path: Path
) -> None:
    write_orders(place, orders_for(prepared, tmp_path))
    write_share(place, 0, prepared.plan.tasks)
    place.ask_to_stop(drain=False)
    assert element(place) == 0
    assert place.starts() == []
    assert not list(prepared.root.glob("*/vidfleet.json"))


@pytest.mark.timeout(60)
def test_no_pipe_in_the_folder_is_waited_for(place: Place, prepared: Prepared, tmp_path: Path) -> None:
    write_orders(place, orders_for(prepared, tmp_path))
    write_share(place, 0, prepared.plan.tasks)
    os.mkfifo(place.share(1))
    which = ElementStart(7, 0)
    place.element(which).mkdir()
    os.mkfifo(place.element(which) / LEDGER_NAME)
    os.mkfifo(place.said(7))
    assert element(place) == 0
    assert last_words(place, 7) == ""
    assert {told[0] for told in Follower(place, Reader()).poll()} == {ElementStart(0, 0)}


def test_another_script_on_a_node_is_refused(
    place: Place, prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its results would be called those of the one that was planned with."""
    write_orders(place, replace(orders_for(prepared, tmp_path), fingerprint="another"))
    write_share(place, 0, prepared.plan.tasks)
    assert element(place) == REFUSED
    assert "is another one on this node" in capsys.readouterr().err


def test_a_script_that_is_not_there_on_a_node_is_named_in_the_last_line_it_says(
    place: Place, prepared: Prepared, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That line is what the run tells of it."""
    write_orders(place, replace(orders_for(prepared, tmp_path), workload=Script("/not/there.py")))
    assert element(place) == REFUSED
    assert "there is no script /not/there.py" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_nothing_is_believed_where_others_could_have_written(
    place: Place, prepared: Prepared, tmp_path: Path, mode: int, capsys: pytest.CaptureFixture[str]
) -> None:
    write_orders(place, orders_for(prepared, tmp_path))
    place.path.chmod(mode)
    assert element(place) == REFUSED
    assert "nothing in it is believed" in capsys.readouterr().err


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_nothing_is_believed_of_another_owner(place: Place) -> None:
    os.chown(place.path, 12345, -1)
    with pytest.raises(SetupError, match="not a folder of this user's alone"):
        place.check()


def test_a_link_in_the_place_of_the_folder_is_not_followed(place: Place, tmp_path: Path) -> None:
    place.path.rename(tmp_path / "elsewhere")
    place.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SetupError):
        place.check()
