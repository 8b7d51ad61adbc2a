"""Scripts that nobody will change, programs told by a template, classes that stay loaded."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import vidfleet

if TYPE_CHECKING:
    import pytest

    from tests.support.fleet import Fleet

_LIKE_THE_ORIGINAL = """
import argparse, glob, os, pickle, subprocess, sys
from model.talk import Net

parser = argparse.ArgumentParser()
parser.add_argument("--videoFolder", type=str, default="demo")
parser.add_argument("--minTrack", type=int, default=10)
args, _ = parser.parse_known_args()

def one(video):
    args.savePath = os.path.join(args.videoFolder, os.path.splitext(os.path.basename(video))[0])
    for name in ("pyavi", "pyframes", "pywork", "pycrop"):
        os.makedirs(os.path.join(args.savePath, name))
    os.system("cp %s %s" % (video, os.path.join(args.savePath, "pyavi", "video.avi")))
    subprocess.call("ls %s/*.* > %s/pywork/list.txt" % (args.videoFolder, args.savePath), shell=True)
    with open(os.path.join(args.savePath, "pywork", "tracks.pckl"), "wb") as file:
        pickle.dump({"cropFile": os.path.join(args.savePath, "pycrop", "00000"), "net": Net("weight/w.bin").size,
                     "minTrack": args.minTrack, "stdin": sys.stdin.read()}, file)
    open(os.path.join(args.savePath, "pycrop", "00000.txt"), "w").write("a crop")

for video in sorted(glob.glob(os.path.join(args.videoFolder, "*.*"))):
    one(video)
"""


def _original(fleet: Fleet) -> Path:
    """Write a script with the original's habits: relative weights, local imports, shell strings, globs."""
    (fleet.scripts / "model").mkdir()
    (fleet.scripts / "model" / "talk.py").write_text(
        "class Net:\n    def __init__(self, path):\n        self.size = len(open(path, 'rb').read())\n"
    )
    (fleet.scripts / "weight").mkdir()
    (fleet.scripts / "weight" / "w.bin").write_bytes(b"1234567")
    script = fleet.scripts / "inference_folder.py"
    script.write_text(_LIKE_THE_ORIGINAL)
    return script


def test_a_script_with_the_originals_habits_runs_unmodified(fleet: Fleet) -> None:
    """Outputs beside the video, as if run by hand; its own absolute paths still lead somewhere."""
    video = fleet.video("Frasier/Frasier_02x01.mp4")
    result = fleet.run("--script", _original(fleet), "--", "--minTrack", "5", "--unknown", "flag")
    assert result.returncode == 0, result.stdout
    out = video.with_suffix("")
    assert {path.name for path in out.iterdir()} == {"pyavi", "pyframes", "pywork", "pycrop", "vidfleet.json"}
    assert (out / "pyavi" / "video.avi").read_bytes() == video.read_bytes()
    assert len((out / "pywork" / "list.txt").read_text().splitlines()) == 1
    with (out / "pywork" / "tracks.pckl").open("rb") as file:
        tracks = pickle.load(file)
    assert (tracks["net"], tracks["minTrack"], tracks["stdin"]) == (7, 5, "")
    assert Path(tracks["cropFile"] + ".txt").read_text() == "a crop"


def test_what_a_script_leaves_beside_its_folder_is_published(fleet: Fleet) -> None:
    """``<stem>_out.mp4`` lies beside the video, is no video of its own later; the rest is in ``_extra``."""
    fleet.video("a.mp4")
    script = fleet.script("""
        leave()
        import shutil
        shutil.copy(video, os.path.join(folder, stem + "_out.mp4"))
        open(os.path.join(folder, "cache.bin"), "w").write("x")
    """)
    assert fleet.run("--script", script).returncode == 0
    assert (fleet.root / "a_out.mp4").is_file()
    assert (fleet.root / "a" / "_extra" / "cache.bin").is_file()
    assert fleet.run("--script", script).returncode == 0
    assert not (fleet.root / "a_out").exists()


def test_somebodys_file_is_never_overwritten_by_what_lies_beside(fleet: Fleet) -> None:
    """A file that has the name already stays; ours goes to ``_extra``."""
    fleet.video("a.mp4")
    (fleet.root / "a_notes.txt").write_text("mine")
    script = fleet.script('leave(); open(os.path.join(folder, stem + "_notes.txt"), "w").write("theirs")')
    assert fleet.run("--script", script).returncode == 0
    assert (fleet.root / "a_notes.txt").read_text() == "mine"
    assert (fleet.root / "a" / "_extra" / "a_notes.txt").read_text() == "theirs"


def test_a_template_replaces_each_placeholder_without_a_shell(fleet: Fleet) -> None:
    """One argument stays one argument, whatever is in it."""
    fleet.video("a b.mp4")
    code = "import json, sys; json.dump(sys.argv[2:], open(sys.argv[1] + '/argv.json', 'w'))"
    words = ["{stem}", "{name}", "{dir}", "{root}", "{device}", "x{stem}y", "$(touch x)", "a b", "{print}"]
    result = fleet.run("--keep-names", "--", "python3", "-c", code, "{out}", *words)
    assert result.returncode == 0, result.stdout
    import json

    argv = json.loads((fleet.root / "a b" / "argv.json").read_text())
    root = str(fleet.root)
    assert argv == ["a b", "a b.mp4", root, root, "cpu", "xa by", "$(touch x)", "a b", "{print}"]


def test_a_template_with_stage_and_stem_is_the_talknet_way(fleet: Fleet) -> None:
    """``--videoFolder {stage} --videoName {stem}``: the program makes its folder itself."""
    fleet.video("a.mp4")
    code = "import os, sys; p = os.path.join(sys.argv[1], sys.argv[2]); os.makedirs(p); open(p + '/x', 'w').write('1')"
    result = fleet.run("--", "python3", "-c", code, "{stage}", "{stem}")
    assert result.returncode == 0, result.stdout
    assert (fleet.root / "a" / "x").is_file()


def test_a_command_that_names_no_video_is_refused(fleet: Fleet) -> None:
    """Exit 2, with the placeholders."""
    fleet.video("a.mp4")
    result = fleet.run("--", "ls", "-l")
    assert result.returncode == 2
    assert "{video}" in result.stdout


_CLASS = """
import os, sys

class Counting:
    def __init__(self, words=()):
        self.words = list(words)
        self.done = 0

    @classmethod
    def from_arguments(cls, arguments):
        return cls(arguments)

    def setup(self, device):
        self.device = device

    def process(self, video, out, report):
        report("counting", 0.5)
        self.done += 1
        with open(os.path.join(out, "n.txt"), "w") as file:
            file.write(f"{self.done} {self.device} {self.words} {os.getpid()}")
"""


def test_a_class_is_loaded_once_in_a_lane(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """``setup`` once, ``process`` for each, arguments behind ``--``, progress in the ledger."""
    fleet.videos(4)
    (fleet.scripts / "counting.py").write_text(_CLASS)
    monkeypatch.chdir(fleet.scripts)
    result = fleet.run("--worker", "counting:Counting", "--devices", "cpu:1", "--", "--size", "3")
    assert result.returncode == 0, result.stdout
    texts = sorted((fleet.root / f"v0{i}" / "n.txt").read_text() for i in range(4))
    assert [text[0] for text in texts] == ["1", "2", "3", "4"]
    assert len({text.rsplit(" ", 1)[1] for text in texts}) == 1
    assert "['--size', '3']" in texts[0]
    assert fleet.events("attempt_progress")[0]["stage"] == "counting"


def test_a_class_may_ask_where_it_really_is(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """``original`` has the video's neighbours, ``published`` is where the folder will stand."""
    fleet.video("a b.mp4")
    (fleet.root / "a b.srt").write_text("words")
    (fleet.scripts / "asking.py").write_text("""
import pathlib
class Asking:
    def process(self, video, out, original, published):
        words = pathlib.Path(original).with_suffix(".srt").read_text()
        pathlib.Path(out, "x").write_text(words + "|" + published)
""")
    monkeypatch.chdir(fleet.scripts)
    result = fleet.run("--worker", "asking:Asking", "--devices", "cpu:1")
    assert result.returncode == 0, result.stdout
    assert (fleet.root / "a b" / "x").read_text() == f"words|{fleet.root / 'a b'}"


def test_the_same_from_python(fleet: Fleet) -> None:
    """``vidfleet.run`` gives a Summary; the command line is one call of it."""
    fleet.videos(3)
    script = fleet.script("leave()")
    summary = vidfleet.run(fleet.root, vidfleet.Script(script))
    assert (summary.count("done"), summary.exit_status) == (3, 0)
    again = vidfleet.run(str(fleet.root), vidfleet.Script(script))
    assert (again.count("up_to_date"), again.run_folder) == (3, None)


def test_a_scripts_interpreter_is_the_users_choice(fleet: Fleet, tmp_path: Path) -> None:
    """``--python``: that interpreter, its folder first on PATH, and nothing of ours on its path."""
    fleet.video("a.mp4")
    wrapper = tmp_path / "bin" / "python"
    wrapper.parent.mkdir()
    import sys

    wrapper.write_text(f'#!/bin/sh\nFROM_WRAPPER=1 exec "{os.path.realpath(sys.executable)}" "$@"\n')
    wrapper.chmod(0o755)
    script = fleet.script("""
        leave("who.txt", os.environ["FROM_WRAPPER"] + os.environ["PATH"].split(":")[0] + os.getcwd())
        assert "vidfleet" not in sys.modules and "PYTHONPATH" not in os.environ
    """)
    result = fleet.run("--script", script, "--python", wrapper)
    assert result.returncode == 0, result.stdout
    assert (fleet.root / "a" / "who.txt").read_text() == f"1{wrapper.parent}{fleet.scripts}"


def test_a_promised_file_that_is_missing_or_empty_is_a_failure(fleet: Fleet) -> None:
    """``--expect``: exit status 0 proves nothing."""
    fleet.videos(1)
    script = fleet.script('leave("scores.pckl", "")')
    assert fleet.run("--script", script, "--expect", "scores.pckl").returncode == 1
    assert fleet.outcomes() == {"v00.mp4": ("failed", "missing_output")}
    assert not (fleet.root / "v00").exists()


def test_a_talkative_sitecustomize_spoils_nothing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Python that starts says it first, ours too, where it lies on PYTHONPATH."""
    (fleet.scripts / "site").mkdir()
    (fleet.scripts / "site" / "sitecustomize.py").write_text("print('Hello from the cluster', end='')")
    monkeypatch.setenv("PYTHONPATH", str(fleet.scripts / "site"))
    fleet.videos(2)
    script = fleet.script("leave()")
    for contract in ("script", "class"):
        result = fleet.run(*fleet.way(contract, script), "--name", contract, "--existing", "replace")
        assert result.returncode == 0, result.stdout
        assert [state for state, _ in fleet.outcomes().values()] == ["done"] * 2
