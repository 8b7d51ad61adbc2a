"""What many videos cost: memory, processor time and ledger of a run, an idle run, and the plan when all is done.

::

    python -m benchmarks.scale                      20,000 videos, then 100,000 done ones; minutes, 2 GB below /tmp
    python -m benchmarks.scale --videos 2000 --done 10000

Videos are hard links to one tiny file, the work is ``cp``. The 100,000 records are what a real run wrote for one
video, with the name of each. What was made is removed at the end, all at once: for minutes after much was deleted,
ext4 looks ten times longer for a free inode. ``benchmarks.own_cost`` says where a runner's own time goes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

import vidfleet
from tests.support.fleet import write_video

RESULTS = Path(__file__).parent / "results" / "scale.json"
VIDEOS, DONE = 20_000, 100_000
LINKS = 20_000
"""Hard links to one file; ext4 allows 65,000."""
IDLE_S = 20.0
BARE = 2000
"""Videos of the bare loop."""
WORK = ("--", "cp", "{video}", "{out}/x")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    value: str
    bound: str


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    status: int
    seconds: float
    cpu_s: float
    """Of its own process; its children's is apart."""
    peak_bytes: int
    """Of its own process, sampled."""
    said: str


def command(root: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "vidfleet", "run", str(root), *arguments]


def run(root: Path, *arguments: str) -> Cost:
    """Run vidfleet to its end, looking at it five times a second."""
    began, cpu_s, peak = time.monotonic(), 0.0, 0
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command(root, *arguments), stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        own = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                times = own.cpu_times()
                cpu_s, peak = times.user + times.system, max(peak, peak_memory(process.pid))
            except (psutil.Error, OSError):
                pass
            time.sleep(0.2)
        said.seek(0)
        return Cost(process.returncode, time.monotonic() - began, cpu_s, peak, said.read()[-2000:])


def peak_memory(pid: int) -> int:
    """The largest resident set that a process has had so far; 0 for one that has just ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def bare_ms(root: Path, videos: list[Path]) -> float:
    """Processor time a video, in ms, of a loop that starts the same program and knows nothing else."""
    (root / "copies").mkdir()
    began = time.process_time()
    for number, video in enumerate(videos):
        subprocess.run(("cp", str(video), str(root / "copies" / str(number))), check=True)
    return (time.process_time() - began) * 1000 / len(videos)


def make_videos(root: Path, count: int) -> list[Path]:
    """So many videos, a thousand a folder."""
    made: list[Path] = []
    for number in range(count):
        folder = root / f"{number // 1000:03d}"
        if number % 1000 == 0:
            folder.mkdir(parents=True)
        if number % LINKS == 0:
            seed = root.parent / f"seed{number}.mp4"
            write_video(seed, frames=2)
            os.utime(seed, (1_700_000_000, 1_700_000_000))
        os.link(seed, folder / f"v{number:06d}.mp4")
        made.append(folder / f"v{number:06d}.mp4")
    return made


def measure_run(top: Path, count: int) -> list[Row]:
    root = top / "run"
    bare = bare_ms(top, make_videos(root, count)[:BARE])
    base = run(root, "--dry-run", *WORK)
    cost = run(root, "--devices", "cpu:2", "--plain", *WORK)
    folder = max((root / ".vidfleet" / "runs").iterdir())
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    again = run(root, *WORK)
    own_ms = (cost.cpu_s - base.cpu_s) / count * 1000
    size = ", ".join(f"{name} {bytes_ / 2**20:.1f} MiB" for name, bytes_ in sorted(sizes.items()) if bytes_ > 1 << 16)
    return [
        Row(f"run over {count:,} videos with `cp`, two lanes", f"{cost.seconds:.0f} s, exit {cost.status}", ""),
        Row("runner's peak memory in it", f"{cost.peak_bytes / 1e6:.0f} MB", "150 MB at 20,000"),
        Row("runner's own processor time a video, without plan and probe", f"{own_ms:.2f} ms", "1 ms"),
        Row("the same of a bare loop over `Popen`, for comparison", f"{bare:.2f} ms", ""),
        Row("plan and probe (--dry-run)", f"{base.seconds:.1f} s, {base.seconds / count * 1e3:.2f} ms a video", ""),
        Row("its files", size, ""),
        Row(f"nothing to do over {count:,}", f"{again.seconds:.1f} s, exit {again.status}", ""),
        *measure_nothing_to_do(root),
    ]  # fmt: skip


def measure_nothing_to_do(root: Path) -> list[Row]:
    """One folder of a thousand, all done."""
    cost = run(root, "--include", "000/*", *WORK)
    return [Row("nothing to do over 1,000 of them", f"{cost.seconds:.1f} s, exit {cost.status}", "1 s for 1,000")]


def measure_done(top: Path, count: int) -> list[Row]:
    root = top / "done"
    videos = make_videos(root, count)
    first = run(root, "--limit", "1", *WORK)
    assert first.status == 0, first.said
    whole = videos[0].with_suffix("")
    record = (whole / "vidfleet.json").read_text()
    for video in videos[1:]:
        folder = video.with_suffix("")
        folder.mkdir()
        (folder / "x").write_text("x")
        (folder / "vidfleet.json").write_text(record.replace(videos[0].name, video.name))
    cost = run(root, *WORK)
    assert "nothing to do" in cost.said, cost.said
    return [
        Row(
            f"plan of {count:,} done videos",
            f"{cost.seconds:.1f} s ({cost.cpu_s:.1f} s of processor time), exit {cost.status}",
            "60 s for 100,000",
        ),
        Row("its peak memory", f"{cost.peak_bytes / 1e6:.0f} MB", "500 MB for 100,000"),
    ]


def measure_idle(top: Path, lanes: int) -> list[Row]:
    """Lanes that wait for programs which sleep."""
    root = top / "idle"
    make_videos(root, lanes)
    process = subprocess.Popen(
        command(root, "--devices", f"cpu:{lanes}", "--plain", "--grace", "1", "--", "sh", "-c", "sleep 999", "{video}"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(8)
    before = processor_times(process.pid)
    time.sleep(IDLE_S)
    after = processor_times(process.pid)
    process.terminate()
    process.wait()
    runner, below = ((after[i] - before[i]) / IDLE_S for i in (0, 1))
    return [
        Row(f"idle runner, {lanes} lanes busy", f"{runner:.2%} of a core", "1 %"),
        Row(f"its {lanes} workers and guards together", f"{below:.2%} of a core", ""),
    ]


def processor_times(pid: int) -> tuple[float, float]:
    """Of the runner, and of all that it started."""
    runner = psutil.Process(pid)
    below = [process.cpu_times() for process in runner.children(recursive=True)]
    own = runner.cpu_times()
    return own.user + own.system, sum(times.user + times.system for times in below)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=VIDEOS)
    parser.add_argument("--done", type=int, default=DONE)
    options = parser.parse_args()
    rows: list[Row] = []
    load = os.getloadavg()[1]
    with tempfile.TemporaryDirectory(prefix="scale") as folder:
        for measure, count in ((measure_idle, 8), (measure_run, options.videos), (measure_done, options.done)):
            part = measure(Path(folder), count)
            print(*part, sep="\n", flush=True)
            rows += part
    found = {
        "date": datetime.now(UTC).date().isoformat(),
        "version": vidfleet.__version__,
        "machine": f"{os.cpu_count()} cores, at a load of {load:.1f} from other work",
        "rows": [asdict(row) for row in rows],
    }
    if (options.videos, options.done) == (VIDEOS, DONE):  # a smaller one says nothing about scale
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
