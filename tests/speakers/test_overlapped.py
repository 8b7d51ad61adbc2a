"""One pass, side by side: the same files whatever the threads, and an orderly end in the middle of it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.speakers.films import BLUE, FAST, SIZE, face, noise, scene, two_shots, write_video
from vidfleet.errors import BadInputError
from vidfleet.speakers.pipeline import Speakers

if TYPE_CHECKING:
    from collections.abc import Mapping

TOLD = {"pywork/time_log.jsonl"}
"""Files that say how long things took."""
SCRIPT = """
import resource, sys
from vidfleet.speakers.pipeline import Speakers
film, out, most_bytes, *arguments = sys.argv[1:]
speakers = Speakers.from_arguments(arguments)
speakers.setup("cpu")
if int(most_bytes):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most_bytes), int(most_bytes)))
print("begins", flush=True)
speakers.process(film, out, lambda stage, share: None)
print("done", flush=True)
"""


def files(out: Path) -> Mapping[str, bytes]:
    """All that was written, but for marks and times."""
    found = {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name not in TOLD and ".steps/" not in name}


def run(film: Path, out: Path, threads: int, *arguments: str) -> Mapping[str, bytes]:
    """Process a film in this process with so many threads; they have ended with it."""
    before = {*threading.enumerate()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(threads))  # the lane's share
        speakers = Speakers.from_arguments([*FAST, *arguments, "--threads", str(threads)])
        speakers.setup("cpu")
        try:
            speakers.process(str(film), str(out), lambda _stage, _share: None)
        finally:
            assert {*threading.enumerate()} <= before
    return files(out)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shots, 12 pictures a second: every other grid frame is a repeat."""
    return write_video(tmp_path_factory.mktemp("film") / "a.mp4", two_shots(rate=12), rate=12, sound=noise(2.4))


@pytest.mark.parametrize("arguments", [(), ("--detect-every", "5", "--frames", "shot", "--grid-video")])
def test_what_is_written_is_the_same_whatever_the_threads(film: Path, tmp_path: Path, arguments: tuple[str]) -> None:
    one, two, four = (run(film, tmp_path / str(threads), threads, *arguments) for threads in (1, 2, 4))
    assert {"pywork/tracks.csv", "pycrop/00000.avi", "pyframes/000001.jpg", "pyavi/video_out.avi"} <= {*one}
    for other in (two, four):
        assert [name for name in one if other.get(name) != one[name]] == []
        assert {*other} == {*one}


@pytest.mark.slow
def test_networks_say_the_same_whatever_the_threads(media: Path, weights: Path, tmp_path: Path) -> None:
    film = media / "grid_2people_turns_cut.mp4"
    full = ("--models", "full", "--weights", str(weights), "--words", "none", "--lean", "--detect-every", "5")
    one, three = (run(film, tmp_path / str(threads), threads, *full) for threads in (1, 3))
    assert b"LR-ASD" in one["pywork/tracks.csv"]
    assert one == three


@pytest.mark.parametrize("threads", [1, 4])
def test_tracks_that_are_not_kept_leave_nothing_though_they_were_being_scored(tmp_path: Path, threads: int) -> None:
    film = write_video(tmp_path / "a.mp4", two_shots(rate=12, seconds=6), rate=12, sound=noise(6))
    written = run(film, tmp_path / "out", threads, "--min-face-size", "1000", "--no-annotated", "--frames", "none")
    assert [name for name in written if name.startswith("pycrop")] == []
    assert len(written["pywork/tracks.csv"].splitlines()) == 1


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_film_that_breaks_in_the_middle_is_bad_input_in_the_same_words(tmp_path: Path, threads: int) -> None:
    film = tmp_path / "jumps.mkv"
    pictures = two_shots()
    write_video(tmp_path / "part.mkv", pictures[:30])
    joined_with_a_jump(tmp_path / "part.mkv", film)
    with pytest.raises(BadInputError) as caught:
        run(film, tmp_path / "out", threads, "--lean")
    assert str(caught.value).startswith("The clock of 'jumps.mkv' jumps by 100.0 s at 1.2")
    assert "pictures.done" not in {path.name for path in (tmp_path / "out").rglob("*.done")}


def joined_with_a_jump(part: Path, target: Path) -> None:
    """A film twice, the second time 100 s later."""
    import av

    with av.open(target, "w") as joined:
        stream = None
        for turn in range(2):
            with av.open(part) as source:
                stream = stream or joined.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.dts is None or packet.pts is None:
                        continue
                    late = round((100 + 1.16) * turn / packet.time_base)
                    packet.pts, packet.dts, packet.stream = packet.pts + late, packet.dts + late, stream
                    joined.mux(packet)


def start(film: Path, out: Path, *arguments: str, most_bytes: int = 0) -> subprocess.Popen[str]:
    """Process a film with four threads in a process of its own; returns when it has begun."""
    command = [sys.executable, "-c", SCRIPT, str(film), str(out), str(most_bytes), *FAST, "--threads", "4", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "4"}
    process = subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path.cwd()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    return process


def test_a_full_disk_ends_the_film_and_the_next_run_makes_it_whole(film: Path, tmp_path: Path) -> None:
    expected = run(film, tmp_path / "whole", 1)
    size = max(len(data) for name, data in expected.items() if name.startswith("pycrop") and name.endswith("avi"))
    with start(film, tmp_path / "out", most_bytes=max(size // 2, 80_000)) as process:
        said, trace = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, "")
    assert "File too large" in trace
    assert "exception calling callback" not in trace
    assert run(film, tmp_path / "out", 4) == expected


FULL = """
import os, resource, sys
from vidfleet.speakers.pipeline import Speakers
film, out, most_bytes, *arguments = sys.argv[1:]
speakers = Speakers.from_arguments(arguments)
speakers.setup("cpu")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(most_bytes), int(most_bytes)))
try:
    speakers.process(film, out, lambda stage, share: None)
except OSError as error:
    links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    print(error.errno, sorted(os.path.basename(at) for at in map(os.path.realpath, links) if at.startswith(out)))
"""


@pytest.mark.parametrize("threads", ["1", "4"])
def test_on_a_full_disk_the_files_of_all_tracks_are_closed(tmp_path: Path, threads: str) -> None:
    """Two faces side by side: neither's film of crops can be brought to an end."""
    pictures = [scene(5, BLUE) for _ in range(60)]
    for number, picture in enumerate(pictures):
        picture[60:210, 165:315] = face()
        picture[::2, number % 2 :: 2] //= 2  # so that crops take some room
    film = write_video(tmp_path / "a.mp4", pictures)
    arguments = [*FAST, "--threads", threads, "--frames", "none", "--no-annotated"]
    said = subprocess.run(
        [sys.executable, "-c", FULL, str(film), str(tmp_path / "out"), "40000", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "4"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == f"{errno.EFBIG} []\n"


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_at_any_moment_a_signal_ends_it_soon_and_leaves_nothing_half_that_counts(
    film: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    expected = run(film, tmp_path / "whole", 1, "--detect-every", "3")
    for number in range(6):
        out = tmp_path / f"out{number}"
        with start(film, out, "--detect-every", "3") as process:
            time.sleep(0.1 + 0.25 * number)
            process.send_signal(sent)
            sent_at = time.monotonic()
            said, trace = process.communicate(timeout=60)
        # A second on a machine that does nothing else; tests run beside each other.
        assert time.monotonic() - sent_at < 5
        assert said == "done\n" or process.returncode in {-sent, 128 + sent}
        assert "exception calling callback" not in trace
        assert run(film, out, 4, "--detect-every", "3") == expected


def test_pictures_that_are_kept_do_not_grow_with_the_film(tmp_path: Path) -> None:
    """A film five times as long takes no more memory: five times as many of its pictures would be 60 MB."""
    peaks = []
    for times in (1, 5):
        film = write_video(tmp_path / f"{times}.mp4", two_shots() * times, sound=noise(2.4 * times))
        with start(film, tmp_path / f"out{times}", "--lean") as process:
            peaks.append(peak_kib(process))
        assert process.returncode == 0
    assert peaks[1] < peaks[0] + 25_000
    assert SIZE[0] * SIZE[1] * 3 * 4 * 60 > 50e6  # what it would grow by, if all were kept


def peak_kib(process: subprocess.Popen[str]) -> int:
    """The most that a process held, as it says at its end."""
    most = 0
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                most = max(most, int(line.split()[1]))
        time.sleep(0.02)
    return most
