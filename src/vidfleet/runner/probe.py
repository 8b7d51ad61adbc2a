"""What a video's header says, read in processes of their own: a hostile file can only hurt its probe.

``probe_all`` feeds paths to a few children that run this module; one that crashes or hangs on a file makes that
file ``bad_input`` and is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vidfleet.data import Probe
from vidfleet.errors import BadInputError
from vidfleet.runner.first_bytes import guess, packed
from vidfleet.worker.process import python_module

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT_S = 60.0
"""A probe that takes longer is given up."""

_BYTES_A_PICTURE = 8_000
"""Two Mbit/s at 30 pictures a second: a guess for containers that tell no length (live recordings)."""

_ONLY_THIS_FILE = {"protocol_whitelist": "file"}
"""A file that calls itself a video may be a playlist of addresses: nothing is fetched."""

_LISTS = frozenset({"concat", "dash", "hls", "imf", "rtsp", "sdp"})
"""Formats that name other files; a stage holds one."""
_PICTURES = frozenset({"image2", "ico"})
_ENCRYPTED = "encv"
"""The sample entry of encrypted pictures in MP4, ISO/IEC 23001-7."""


def probe(path: Path) -> Probe:
    """Read a video's header; raises BadInputError with a sentence."""
    import av
    from av.stream import Disposition

    if path.stat().st_size == 0:
        raise BadInputError("the file is empty")
    if what := packed(path):
        raise BadInputError(what)
    try:
        with av.open(str(path), metadata_errors="replace", options=_ONLY_THIS_FILE) as container:
            pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            if not pictures:
                sound = "there is sound in it, but no video stream" if container.streams.audio else guess(path)
                raise BadInputError(sound or "there is no video stream in it")
            stream = next((s for s in pictures if s.disposition & Disposition.default), pictures[0])
            _refuse_look_alikes(container.format.name, stream.codec_context.codec_tag)
            rate = float(stream.average_rate or stream.guessed_rate or 25)
            duration_s = _duration_s(stream, container.duration)
            frames = stream.frames or round(duration_s * rate) or path.stat().st_size // _BYTES_A_PICTURE
            if not stream.codec_context.width or not stream.codec_context.height:
                raise BadInputError("its video stream has no picture size: the file is damaged or cut off")
            return Probe(
                duration_s=duration_s,
                frames=max(frames, 1),
                width=stream.codec_context.width,
                height=stream.codec_context.height,
                codec=stream.codec_context.name,
            )
    except (av.FFmpegError, ValueError) as error:
        raise BadInputError(_in_words(error, path)) from error


def _refuse_look_alikes(container: str, codec_tag: str) -> None:
    """What FFmpeg opens, and is no video all the same."""
    if container in _LISTS:
        raise BadInputError("it is a list of other files, no video")
    if container in _PICTURES or container.endswith("_pipe"):
        raise BadInputError("it is a picture, no video")
    if codec_tag == _ENCRYPTED:
        raise BadInputError("its pictures are encrypted")


def _duration_s(stream: object, container_us: int | None) -> float:
    own, base = getattr(stream, "duration", None), getattr(stream, "time_base", None)
    if own and base:
        return max(float(own * base), 0.0)
    return max((container_us or 0) / 1e6, 0.0)


def _in_words(error: Exception, path: Path) -> str:
    if getattr(error, "errno", None) == errno.EPERM:  # FFmpeg's, of a list that leads out of its folder
        return "it is a list of other files, no video"
    what = guess(path) or "it cannot be opened as a video: it is damaged, cut off, or of an unknown format"
    return f"{what} ({getattr(error, 'strerror', None) or error})"


def probe_all(paths: Sequence[Path]) -> dict[Path, Probe | BadInputError]:
    """Probe many files at once, in child processes."""
    if not paths:
        return {}
    local = threading.local()
    children: list[_Child] = []

    def one(path: Path) -> Probe | BadInputError:
        child = getattr(local, "child", None)
        if child is None or not child.is_alive:
            child = local.child = _Child()
            children.append(child)
        return child.probe(path)

    try:
        with ThreadPoolExecutor(max(1, min(len(paths) // 4, os.cpu_count() or 1, 8))) as pool:
            return dict(zip(paths, pool.map(one, paths), strict=True))
    finally:
        for child in children:
            child.close()


class _Child:
    """One process that probes what it is told, a line a file."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            python_module("vidfleet.runner.probe"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.is_alive = True

    def probe(self, path: Path) -> Probe | BadInputError:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(str(path)).encode("ascii") + b"\n")
            self._process.stdin.flush()
            while (line := self._process.stdout.readline()) and not line.startswith(b"{"):
                pass  # what the user's sitecustomize says when a Python starts
        except BrokenPipeError:
            line = b""
        if not line:
            self.is_alive = False
            return BadInputError("reading its header crashes or never ends: the file is damaged")
        said = json.loads(line)
        return BadInputError(said["error"]) if "error" in said else Probe(**said)

    def close(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
        self._process.wait()


def main() -> None:
    """Probe what standard input names, a line a file."""
    answers = os.dup(1)
    os.dup2(2, 1)
    os.write(answers, b"\n")  # ends what a sitecustomize may have said
    for line in sys.stdin.buffer:
        # Ends this process, and so even where nobody is left to do it; a library's loop cannot hold it back.
        signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
        try:
            said: dict[str, object] = asdict(probe(Path(json.loads(line))))
        except BadInputError as error:
            said = {"error": str(error)}
        except OSError as error:
            said = {"error": f"it cannot be read ({error.strerror})"}
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.write(answers, json.dumps(said).encode("ascii") + b"\n")
