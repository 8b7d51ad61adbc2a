"""What the pages for users show: the examples run, and the sentences of README and docs are true."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import vidfleet

TOP = Path(__file__).resolve().parents[1]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with two videos of two seconds: the first black, the second white."""
    monkeypatch.chdir(TOP)
    root = tmp_path / "video"
    for name, level in (("Frasier/black.mp4", 16), ("Frasier/white.mkv", 235)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(20):
                picture = np.full((72, 64), 128, np.uint8)
                picture[:48] = level
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
            container.mux(stream.encode())
    return root


CPU = vidfleet.RunSettings(devices="cpu:1")


def test_the_example_of_a_class_makes_a_table_beside_each_film(root: Path) -> None:
    workload = vidfleet.PythonClass("examples.brightness:Brightness", expect=("brightness.csv",))
    summary = vidfleet.run(root, workload, settings=CPU)
    assert summary.exit_status == 0, [outcome.reason for outcome in summary.outcomes]
    rows = {}
    for name in ("black", "white"):
        with (root / "Frasier" / name / "brightness.csv").open() as file:
            rows[name] = list(csv.DictReader(file))
    assert [row["second"] for row in rows["black"]] == ["0", "1"]
    assert float(rows["black"][0]["brightness"]) < 30 < 220 < float(rows["white"][0]["brightness"])
    assert vidfleet.run(root, workload, settings=CPU).count("up_to_date") == 2


def test_any_program_runs_from_a_template(root: Path) -> None:
    code = "import sys, pathlib; pathlib.Path(sys.argv[2], 'name').write_text(sys.argv[1])"
    workload = vidfleet.Command((sys.executable, "-c", code, "{stem}", "{out}"))
    assert vidfleet.run(root, workload, settings=CPU).count("done") == 2
    assert (root / "Frasier" / "white" / "name").read_text() == "white"


def test_the_python_of_the_readme_runs(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = re.findall(r"```python\n(.*?)```", (TOP / "README.md").read_text(encoding="utf-8"), re.DOTALL)[0]
    script = tmp_path / "my_inference.py"
    script.write_text(
        "import argparse, pathlib\n"
        "parser = argparse.ArgumentParser()\n"
        "parser.add_argument('--videoFolder')\n"
        "for video in pathlib.Path(parser.parse_args().videoFolder).glob('*.*'):\n"
        "    video.with_suffix('').mkdir()\n"
        "    (video.with_suffix('') / 'done').write_text(video.name)\n"
    )
    exec(code.replace('"/data/video"', repr(str(root))).replace("my_inference.py", str(script)), {})
    assert capsys.readouterr().out.split() == ["Frasier/black.mp4", "done", "Frasier/white.mkv", "done"]


def test_the_class_of_the_docs_that_shares_its_work_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the runner on two lanes; and with help from the moment that it may be had, and when it is too late."""
    page = (TOP / "docs" / "classes.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n# minutes.py\n(.*?)```", page, re.DOTALL)
    (tmp_path / "minutes.py").write_text(code)
    film = tmp_path / "root" / "film.mp4"
    film.parent.mkdir()
    with av.open(str(film), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(5 * 150):
            picture = np.full((72, 64), 128, np.uint8)
            picture[:48] = 16 + 100 * (index // 300)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode())
    monkeypatch.chdir(tmp_path)
    workload = vidfleet.PythonClass("minutes:Minutes")
    summary = vidfleet.run(film.parent, workload, settings=replace(CPU, devices="cpu:2"))
    assert summary.count("done") == 1
    minutes = json.loads((film.with_suffix("") / "minutes.json").read_text())
    assert len(minutes) == 3
    assert minutes[0] < minutes[1] < minutes[2]

    names: dict[str, Any] = {}
    exec(code, names)
    out, made = tmp_path / "out", names["Minutes"]()
    out.mkdir()
    with ThreadPoolExecutor() as pool:
        leads = pool.submit(made.process, str(film), str(out))
        while not (leads.done() or (out / "parts" / "open").exists()):
            time.sleep(0.001)
        made.help(str(film), str(out))
        leads.result(timeout=30)
    made.help(str(film), str(out))
    assert json.loads((out / "minutes.json").read_text()) == minutes


@pytest.mark.parametrize("page", ["README.md", "docs/scripts.md", "docs/quickstart.md", "docs/classes.md"])
def test_every_flag_that_a_page_shows_exists(page: str) -> None:
    """Flags of vidfleet in code, but not what stands behind a bare -- or belongs to other programs."""
    known = set(re.findall(r"--[a-z][a-z0-9-]+", (TOP / "docs" / "cli.md").read_text(encoding="utf-8")))
    text = (TOP / page).read_text(encoding="utf-8")
    code = re.findall(r"```bash\n(.*?)```", text, re.DOTALL) + re.findall(r"`(--[^`]+)`", text)
    ours = " ".join(line.split(" -- ")[0].split("#")[0] for block in code for line in block.splitlines())
    shown = {flag.replace("_", "-") for flag in re.findall(r"(?<!\S)--[A-Za-z][\w-]+", ours)}
    assert shown - known <= {"--videoFolder"}


def test_a_shell_completes_the_sentence_about_dry_run(root: Path) -> None:
    command = [sys.executable, "-m", "vidfleet", "run", str(root), "--dry-run", "--devices", "cpu:1"]
    done = subprocess.run([*command, "--", "true", "{video}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 videos" in done.stdout
    assert sorted(path.name for path in (root / "Frasier").iterdir()) == ["black.mp4", "white.mkv"]
    assert not (root / ".vidfleet").exists()
