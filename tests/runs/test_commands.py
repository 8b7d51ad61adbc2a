"""The commands around a run, as a person types them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fleet import Fleet


def vidfleet(*words: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, its two streams apart."""
    return subprocess.run(
        [sys.executable, "-m", "vidfleet", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        cwd=folder, check=False, timeout=120,
    )  # fmt: skip


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON document that a command printed."""
    plain: dict[str, Any] = json.loads(done.stdout)
    assert plain["schema"] >= 1
    return plain


def test_a_run_can_be_looked_at_and_cleaned_up_after(fleet: Fleet) -> None:
    good, bad = fleet.video("s/good.mp4"), fleet.video("s/bad <b>.mp4")
    script = fleet.script("print('hello'); leave() if b'good' in video.encode() else sys.exit('<script>no</script>')")
    words = ("run", fleet.root, "--script", script, "--devices", "cpu:1", "--retries", "0")
    plan = document(vidfleet(*words, "--dry-run", "--json"))
    assert {task["video"] for task in plan["tasks"]} == {"s/good.mp4", "s/bad <b>.mp4"}
    assert not (fleet.root / ".vidfleet").exists()
    ran = vidfleet(*words, "--json")
    assert ran.returncode == 1
    assert document(ran)["counts"] == {"done": 1, "failed": 1}
    (folder,) = (fleet.root / ".vidfleet" / "runs").iterdir()
    assert {"plan.json", "report.json", "report.html", "events.jsonl"} <= {path.name for path in folder.iterdir()}
    assert "<script>no" not in (folder / "report.html").read_text()
    assert document(vidfleet("status", fleet.root, "--json"))["standing"] == "ended"
    assert document(vidfleet("report", fleet.root, "--json")) == document(ran)
    assert str(folder / "report.html") in vidfleet("report", fleet.root).stdout
    assert "<script>no</script>" in vidfleet("logs", fleet.root, bad).stdout
    assert vidfleet("logs", fleet.root, "good").stdout == "hello\n"
    assert vidfleet("logs", fleet.root, "nobody").returncode == 2
    assert "2 x stage with links" in vidfleet("clean", fleet.root).stdout
    assert fleet.whole(good)
    again = vidfleet(*words, "--only", "failed", "--json")
    assert document(again)["counts"] == {"failed": 1}


def test_a_killed_run_still_gets_its_report(fleet: Fleet) -> None:
    fleet.videos(3)
    script = fleet.script("leave(); time.sleep(0 if 'v00' in video else 60)")
    process = fleet.start("--script", script, "--devices", "cpu:1", "--schedule", "name")
    fleet.wait_for(lambda: (fleet.root / ".vidfleet/runs").exists() and len(fleet.events("attempt_started")) == 2)
    goes_on = document(vidfleet("report", fleet.root, "--json"))
    assert goes_on["standing"] == "running"
    process.kill()
    process.wait()
    killed = document(vidfleet("report", fleet.root, "--json"))
    assert killed["standing"] == "killed"
    assert [video["state"] for video in killed["videos"]] == ["done", "interrupted", "not_started"]
    page = next((fleet.root / ".vidfleet/runs").iterdir()) / "report.html"
    assert "Its runner was killed" in page.read_text()
    assert "Its runner was killed" in vidfleet("report", fleet.root).stdout


def test_stop_ends_a_run_in_order_and_drain_lets_it_finish(fleet: Fleet) -> None:
    fleet.videos(3)
    script = fleet.script("open(video + '.begun', 'w'); time.sleep(3); leave()")
    process = fleet.start("--script", script, "--devices", "cpu:1", "--schedule", "name")
    fleet.wait_for(lambda: (fleet.root / ".vidfleet/runs").exists() and fleet.events("attempt_started"))
    asked = vidfleet("stop", fleet.root, "--drain")
    assert asked.returncode == 0, asked.stdout
    process.communicate(timeout=60)
    assert sorted(state for state, _ in fleet.outcomes().values()) == ["done", "not_started", "not_started"]
    process = fleet.start("--script", script, "--devices", "cpu:1", "--schedule", "name")
    fleet.wait_for(
        lambda: len(list((fleet.root / ".vidfleet/runs").iterdir())) == 2 and fleet.events("attempt_started")
    )
    assert vidfleet("stop", fleet.root).returncode == 0
    process.communicate(timeout=60)
    assert process.returncode in (130, 143)
    assert vidfleet("stop", fleet.root).returncode == 1


def test_settings_come_from_files_and_the_plan_says_so(fleet: Fleet, tmp_path: Path) -> None:
    fleet.videos(3)
    (fleet.root / "vidfleet.toml").write_text('[run]\nlimit = 2\nretries = 0\ndevices = "cpu:1"\n')
    words = ("run", fleet.root, "--script", fleet.script("leave()"), "--dry-run")
    text = vidfleet(*words, "--retries", "3", folder=tmp_path).stdout
    assert f"limit = 2 (from {fleet.root}/vidfleet.toml)" in text
    assert "retries" not in text
    plan = document(vidfleet(*words, "--json", "--retries", "3", folder=tmp_path))
    assert (plan["settings"]["retries"], len(plan["tasks"])) == (3, 2)
    assert len(document(vidfleet(*words, "--json", "--no-config", folder=tmp_path))["tasks"]) == 3
    (fleet.root / "vidfleet.toml").write_text("[run]\nlimt = 2\n")
    refused = vidfleet(*words, folder=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "did you mean limit?" in refused.stderr


def test_the_built_in_takes_its_settings_from_the_file(fleet: Fleet, tmp_path: Path) -> None:
    fleet.videos(1)
    (fleet.root / "vidfleet.toml").write_text('[speakers]\nmodels = "embedded"\nmin-track = 7\n')
    done = vidfleet("speakers", fleet.root, "--dry-run", "--devices", "cpu:1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "min_track = 7 (from" in done.stdout


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("run", "ROOT", "--json", "--retries", "many", "--", "true", "{video}"), 2),
        (("run", "ROOT", "--json"), 2),
        (("run", "ROOT/nowhere", "--json", "--", "true", "{video}"), 2),
        (("run", "ROOT", "--json", "--", "no-such-program-anywhere", "{video}"), 3),
        (("report", "ROOT", "--json"), 2),
    ],
)
def test_with_json_an_error_is_a_document_too(fleet: Fleet, words: tuple[str, ...], status: int) -> None:
    """On standard output, with the exit status; as text it stands on the other stream."""
    fleet.video("a.mp4")
    done = vidfleet(*(word.replace("ROOT", str(fleet.root)) for word in words))
    said = document(done)
    assert done.returncode == said["exit_status"] == status
    assert said["error"] in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_status_knows_what_was_said_a_moment_ago(fleet: Fleet) -> None:
    """Also where the ledger, which takes a line in ten seconds, will never hear of it."""
    fleet.video("a.mp4")
    (fleet.scripts / "tells.py").write_text(
        "import os, time\n"
        "class Tells:\n"
        "    def process(self, video, out, report):\n"
        "        for share in (0.25, 0.5):\n"
        "            report('looking', share)\n"
        "            time.sleep(0.5)\n"
        "        while not os.path.exists('go'):\n"
        "            time.sleep(0.05)\n"
        "        open(os.path.join(out, 'x'), 'w').write('x')\n"
    )
    process = fleet.start("--worker", "tells:Tells", "--devices", "cpu:1")
    running: list[dict[str, Any]] = []

    def has_said_half() -> bool:
        running[:] = document(vidfleet("status", fleet.root, "--json")).get("running", [])
        return bool(running) and running[0]["share_done"] == 0.5

    fleet.wait_for(has_said_half)
    assert running[0]["stage"] == "looking"
    assert {event["share_done"] for event in fleet.events("attempt_progress")} == {0.25}
    (fleet.scripts / "go").touch()
    assert process.wait(30) == 0
    assert not list((fleet.root / ".vidfleet/runs").glob("*/live.*"))
