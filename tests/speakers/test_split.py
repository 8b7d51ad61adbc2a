"""A film that is seen in parts gives, byte for byte, what one pass gives; or it is seen in one pass, and says why."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from tests.speakers.films import FAST, process
from tests.speakers.split_films import ONE_SECOND, X264, contents, even_shots, shots, write_film
from vidfleet.errors import RecordError, SplitError
from vidfleet.speakers.hearing import Hearing
from vidfleet.speakers.kept import read_spans
from vidfleet.speakers.layout import PARTS, SHARES, SPEECH, Layout
from vidfleet.speakers.media import Sound, VideoSource
from vidfleet.speakers.parts.board import PLAN, Board
from vidfleet.speakers.parts.leader import remove
from vidfleet.speakers.parts.part_file import PartFindings
from vidfleet.speakers.parts.plan import Plan
from vidfleet.speakers.parts.taker import Taker, Tools
from vidfleet.speakers.pipeline import Speakers
from vidfleet.speakers.tables import StageClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


WRITES = ("--frames", "shot", "--no-annotated", "--no-preview", *ONE_SECOND[3:])
"""All that comes out of the pass over the pictures."""
SPLIT = ("--frames", "shot", "--no-annotated", "--no-preview", *ONE_SECOND)
ARGUMENTS = (*FAST, *SPLIT)
_CHILD = """
import sys
from vidfleet.speakers.pipeline import Speakers
does, video, out, *arguments = sys.argv[1:]
speakers = Speakers.from_arguments(arguments)
speakers.setup("cpu")
print("ready", flush=True)
sys.stdin.readline()
getattr(speakers, does)(video, out, lambda stage, share: None)
"""


class Child:
    """A lane's worker, in a process of its own, through the class contract."""

    def __init__(self, does: str, video: Path, out: Path, *arguments: str) -> None:
        argv = (sys.executable, "-c", _CHILD, does, str(video), str(out), *(arguments or ARGUMENTS))
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str]:
        said = self.process.communicate(timeout=120)[1]
        return self.process.returncode, said.decode()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def start(*arguments: object) -> Child:
        children.append(Child(*arguments))  # type: ignore[arg-type]
        return children[-1]

    yield start
    for one in children:
        if one.process.poll() is None:
            one.kill()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6.5 s with five cuts and a key frame about every half second, none of them at a cut."""
    return write_film(tmp_path_factory.mktemp("film") / "a.mp4", even_shots())


@pytest.fixture(scope="module")
def whole(film: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one pass makes of it."""
    return contents(process(film, tmp_path_factory.mktemp("whole") / "out", *WRITES).out)


@pytest.fixture(scope="module")
def lane() -> Speakers:
    """What is loaded in a lane."""
    speakers = Speakers.from_arguments(ARGUMENTS)
    speakers.setup("cpu")
    return speakers


def wait_for(is_there: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not is_there():
        assert time.monotonic() < end
        time.sleep(0.01)


class _EndedError(Exception):
    """An attempt was ended."""


def damage(video: Path, *, key: int) -> None:
    """Write over 20 bytes in the middle of a key frame."""
    with av.open(video) as container:
        keys = [packet for packet in container.demux(video=0) if packet.is_keyframe]
        place, size = keys[key].pos, keys[key].size
    assert place is not None
    data = bytearray(video.read_bytes())
    middle = place + size // 2
    data[middle : middle + 20] = np.random.default_rng(2).bytes(20)
    video.write_bytes(data)


def begin_and_die(video: Path, out: Path, lane: Speakers) -> Plan:
    """Leave what an attempt leaves that ended when it had just opened the shares."""

    def report(stage: str, share: float) -> None:
        if (out / SHARES).exists():
            raise _EndedError(stage, share)

    with pytest.raises(_EndedError):
        lane.process(str(video), str(out), report)
    assert not (out / SHARES).exists()
    return Plan.read(out / PARTS / PLAN)


def backwards(video: Path, out: Path, plan: Plan, lane: Speakers) -> list[str]:
    """Make the parts from the last one to the first, so that all begin at their key frame; return their names."""
    folder = out / PARTS
    for path in folder.glob("*.taken"):
        path.unlink()
    layout = Layout(out)
    hearing = Hearing(Sound.open(layout.sound), read_spans(out / SPEECH))
    tools = Tools(VideoSource.open(video), lane.settings, hearing, lane.stages, StageClock(), plan.writes)
    board = Board(folder, len(plan.segments))
    taker = Taker(plan, board, tools, on_frame=lambda _: None, stops_when_dropped=False)
    for segment in reversed(range(len(plan.segments))):
        claim = board.claim(segment)
        if claim is not None:
            taker.work_on(claim)
    return sorted(path.name for path in folder.glob("*.part"))


def test_a_film_in_parts_without_help_gives_what_one_pass_gives(
    film: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    run = process(film, tmp_path / "out", *SPLIT)
    assert contents(run.out) == whole
    assert not (run.out / PARTS).exists()


_VFR = list(np.cumsum(np.random.default_rng(3).integers(3, 9, 162)))


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("a.mp4", {}),
        ("a.mkv", {}),
        ("a.mov", {"options": {**X264, "x264-params": "open-gop=1:keyint=12:min-keyint=12:scenecut=0:bframes=3"}}),
        ("a.mp4", {"codec": "mpeg4", "options": {"g": "12", "bf": "2", "qscale": "3"}}),
        ("a.mp4", {"rate": 150, "ticks": _VFR}),
        ("a.mkv", {"rate": 40, "ticks": list(range(162))}),
        ("a.webm", {"codec": "libvpx", "options": {"g": "12", "deadline": "realtime", "cpu-used": "8", "b": "1M"}}),
        ("a.mkv", {"options": {**X264, "x264-params": "tff=1:keyint=12:scenecut=0"}}),
    ],
    ids=["mp4", "mkv", "open-gop", "mpeg4", "vfr", "40fps", "webm", "interlaced"],
)
def test_every_seam_is_invisible(name: str, more: dict[str, object], tmp_path: Path, lane: Speakers) -> None:
    """Each part begins at its own key frame, none goes on into the next; then the next attempt joins them."""
    video = write_film(tmp_path / name, even_shots(), **more)  # type: ignore[arg-type]
    out = tmp_path / "split"
    plan = begin_and_die(video, out, lane)
    parts = backwards(video, out, plan, lane)
    assert len([part for part in parts if "none" not in part]) >= 3
    before = {path.name: path.stat().st_mtime_ns for path in (out / PARTS).glob("*.part")}
    assert before
    run = process(video, out, *SPLIT)
    assert "faces" not in {row["stage"] for row in run.log()}  # all parts were used
    assert contents(out) == contents(process(video, tmp_path / "whole", *WRITES).out)


def test_no_more_than_one_part_is_held_in_memory(film: Path, tmp_path: Path, lane: Speakers) -> None:
    alive: list[int] = []

    def report(stage: str, share: float) -> None:
        gc.collect()
        alive.append(sum(type(item) is PartFindings for item in gc.get_objects()))

    lane.process(str(film), str(tmp_path / "out"), report)
    assert max(alive) == 1


def test_a_burst_of_cuts_at_a_seam_is_one_shot_as_in_one_pass(tmp_path: Path, lane: Speakers) -> None:
    video = write_film(tmp_path / "a.mp4", shots(40, 4, 3, 5, 4, 30, 4, 4, 22, 3, 3, 30, 5, 5, 40, 4, 20))
    out = tmp_path / "split"
    backwards(video, out, begin_and_die(video, out, lane), lane)
    assert contents(process(video, out, *SPLIT).out) == contents(process(video, tmp_path / "whole", *WRITES).out)


def test_a_film_without_a_cut_is_not_split(tmp_path: Path, lane: Speakers) -> None:
    video = write_film(tmp_path / "a.mp4", shots(130))
    out = tmp_path / "split"
    plan = begin_and_die(video, out, lane)
    parts = backwards(video, out, plan, lane)
    assert parts == ["00000-end.part", *(f"{segment:05d}-none.part" for segment in range(1, len(plan.segments)))]
    assert contents(process(video, out, *SPLIT).out) == contents(process(video, tmp_path / "whole", *WRITES).out)


@pytest.mark.parametrize(
    ("name", "length", "more", "why"),
    [
        ("a.avi", 162, {"codec": "mpeg4", "options": {"g": "12"}}, "container"),
        ("a.mp4", 60, {}, "shorter than 3 parts"),
        ("a.mp4", 162, {"options": {**X264, "g": "500"}}, "only 1 key frames"),
    ],
)
def test_what_cannot_be_divided_is_seen_in_one_pass_and_says_why(
    name: str, length: int, more: dict[str, object], why: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    video = write_film(tmp_path / name, even_shots()[:length], **more)  # type: ignore[arg-type]
    one = process(video, tmp_path / "one", *WRITES)
    capfd.readouterr()
    split = process(video, tmp_path / "split", *SPLIT)
    assert why in capfd.readouterr().err
    assert contents(split.out) == contents(one.out)


def test_false_key_frames_are_noticed_and_the_film_is_seen_in_one_pass(
    tmp_path: Path, lane: Speakers, capfd: pytest.CaptureFixture[str]
) -> None:
    """Above and below the picture never changes, so it is stored but once: who begins later does not have it."""
    pictures = even_shots(6, 40)
    pattern = np.random.default_rng(5).integers(0, 255, (16, 320, 3), np.uint8).repeat(6, axis=0)
    for picture in pictures:
        picture[:60], picture[210:] = pattern[:60], pattern[:46]
    options = {"g": "500", "qscale": "3", "bf": "0", "sc_threshold": "1000000000"}
    video = write_film(tmp_path / "a.mp4", pictures, codec="mpeg4", options=options, false_key_every=13)
    out = tmp_path / "split"
    backwards(video, out, begin_and_die(video, out, lane), lane)
    capfd.readouterr()
    split = process(video, out, *SPLIT)
    assert "seen again, in one pass" in capfd.readouterr().err
    assert contents(split.out) == contents(process(video, tmp_path / "one", *WRITES).out)


def test_a_damaged_picture_behind_a_key_frame_is_not_taken_for_that_of_one_pass(tmp_path: Path, lane: Speakers) -> None:
    """A decoder fills in a key picture that it cannot read from pictures long ago, if it has decoded those."""
    video = write_film(tmp_path / "a.mkv", even_shots())
    damage(video, key=12)
    out = tmp_path / "split"
    plan = begin_and_die(video, out, lane)
    with suppress(SplitError):
        backwards(video, out, plan, lane)
    assert contents(process(video, out, *SPLIT).out) == contents(process(video, tmp_path / "one", *WRITES).out)


def test_two_helpers_in_processes_of_their_own(
    film: Path, whole: dict[str, bytes], tmp_path: Path, child: Callable[..., Child]
) -> None:
    out = tmp_path / "out"
    lane = (film, out, *ARGUMENTS, "--threads", "2")
    leader, *helpers = child("process", *lane), child("help", *lane), child("help", *lane)
    leader.go()
    wait_for((out / SHARES).exists)
    for helper in helpers:
        helper.go()
    assert leader.end()[0] == 0
    for helper in helpers:
        helper.end()  # it may come too late, or find the folder gone: that is nobody's failure
    assert contents(out) == whole


@pytest.mark.slow
def test_the_share_of_a_killed_helper_is_taken_again(
    film: Path, whole: dict[str, bytes], tmp_path: Path, child: Callable[..., Child]
) -> None:
    out = tmp_path / "out"
    helper, leader = child("help", film, out), child("process", film, out)
    leader.go()
    wait_for((out / SHARES).exists)
    leader.process.send_signal(signal.SIGSTOP)  # so that it leaves something to the other
    before = set((out / PARTS).glob("*.taken"))
    helper.go()
    wait_for(lambda: bool(set((out / PARTS).glob("*.taken")) - before))
    helper.kill()
    left = set((out / PARTS).glob("*.taken")) - before
    leader.process.send_signal(signal.SIGCONT)
    assert leader.end()[0] == 0
    assert left
    assert contents(out) == whole


@pytest.mark.parametrize("harm", ["link", "garbage", "plan", "pipe", "part", "claims", "file"])
def test_what_lies_in_the_parts_folder_is_not_trusted(
    harm: str, film: Path, whole: dict[str, bytes], tmp_path: Path, lane: Speakers
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").write_text("mine")
    plan = begin_and_die(film, out, lane)
    folder = out / PARTS
    match harm:
        case "link":
            folder.rename(tmp_path / "moved")
            folder.symlink_to(elsewhere)
        case "garbage":
            backwards(film, out, plan, lane)
            for path in folder.glob("*.part/part.npz"):
                path.write_bytes(b"PK no such thing")
        case "plan":
            (folder / PLAN).write_text('{"key": "other"}')
        case "pipe":
            (folder / PLAN).unlink()
            os.mkfifo(folder / PLAN)
        case "part":
            (folder / "00001-00000.part").mkdir()
            (folder / "00000-end.part").symlink_to(elsewhere)
            (folder / "00002-none.part").mkdir()
        case "claims":
            (folder / "00000.3.taken").symlink_to(elsewhere / "mine")
            (folder / "00001.9.taken").mkdir()
            os.mkfifo(folder / "00002.1.taken")
        case "file":
            for path in sorted(folder.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            folder.rmdir()
            folder.write_text("a file")
    assert contents(process(film, out, *SPLIT).out) == whole
    assert [path.read_text() for path in elsewhere.iterdir()] == ["mine"]


def test_a_plan_as_large_as_the_disk_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / PLAN
    with path.open("wb") as file:
        file.truncate(100_000_000)
    tracemalloc.start()
    with pytest.raises(RecordError):
        Plan.read(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("other", [("--min-track", "12"), ("--crop-scale", "0.5"), ("--facedetScale", "0.5")])
def test_a_lane_with_other_settings_refuses_to_help(
    other: tuple[str, ...], film: Path, tmp_path: Path, lane: Speakers
) -> None:
    out = tmp_path / "out"
    begin_and_die(film, out, lane)
    before = sorted((out / PARTS).iterdir())
    speakers = Speakers.from_arguments([*ARGUMENTS, *other])
    speakers.setup("cpu")
    with pytest.raises(SplitError, match="cannot help"):
        speakers.help(str(film), str(out), lambda stage, share: None)
    assert sorted((out / PARTS).iterdir()) == before


def test_a_helper_that_comes_too_late_has_nothing_to_do_and_does_not_fail(
    film: Path, tmp_path: Path, lane: Speakers
) -> None:
    """The other lane has joined the parts while this one loaded its models, and draws now."""
    out = tmp_path / "out"
    begin_and_die(film, out, lane)
    remove(out / PARTS)
    lane.help(str(film), str(out), lambda stage, share: None)
    assert not (out / PARTS).exists()


def test_a_helper_does_not_fail_when_the_parts_go_in_the_middle_of_its_share(
    film: Path, tmp_path: Path, lane: Speakers
) -> None:
    out = tmp_path / "out"
    begin_and_die(film, out, lane)
    said: list[float] = []

    def report(stage: str, share: float) -> None:
        said.append(share)
        if len(said) == 3:
            remove(out / PARTS)

    lane.help(str(film), str(out), report)
    assert len(said) > 3
    assert not (out / PARTS).exists()


def test_parts_go_when_the_film_is_seen_in_one_pass_after_all(
    film: Path, whole: dict[str, bytes], tmp_path: Path, lane: Speakers
) -> None:
    out = tmp_path / "out"
    begin_and_die(film, out, lane)
    assert contents(process(film, out, *WRITES).out) == whole


def test_split_says_where_shares_are_and_changes_no_result() -> None:
    one, split = (Speakers.describe([*FAST, *more]) for more in ((), ("--split",)))
    assert "shares" not in one
    assert split["shares"] == SHARES
    assert split["fingerprint"] == one["fingerprint"]


@pytest.mark.slow
def test_with_the_networks_the_parts_are_exact_too(
    film: Path, weights: Path, tmp_path: Path, child: Callable[..., Child]
) -> None:
    networks = ("--models", "full", "--weights", str(weights), "--threads", "1", "--words", "none", "--keep-embeddings")
    start = partial(child, "help", film, tmp_path / "split", *networks, *SPLIT)
    helpers = [start(), start()]
    leader = child("process", film, tmp_path / "split", *networks, *SPLIT)
    leader.go()
    wait_for((tmp_path / "split" / SHARES).exists)
    for helper in helpers:
        helper.go()
    assert leader.end()[0] == 0
    for helper in helpers:
        helper.end()
    one = child("process", film, tmp_path / "one", *networks, *WRITES)
    one.go()
    assert one.end()[0] == 0
    assert contents(tmp_path / "split") == contents(tmp_path / "one")
