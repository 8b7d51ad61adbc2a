"""Whether a video is the one that a record speaks of: by name, size and time, and by content where it must be."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vidfleet.workloads.base import hash_file

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.data import Video

_MIB = 1 << 20


def identify(video: Video, *, content: bool, sidecars: tuple[str, ...]) -> dict[str, Any]:
    """What a record keeps of a video, as plain JSON values.

    ``content`` asks for the hash of all of it; ``sidecars`` are endings of files beside it that belong to it. The
    hashes are empty where the video was changed while we worked: no content matches that.
    """
    return {
        "name": video.path.name,
        "size_bytes": video.size_bytes,
        "mtime_ns": video.mtime_ns,
        **_hashes_as_found(video, content=content),
        "sidecars": {ending: _sidecar(video, ending) for ending in sidecars},
    }


def _hashes_as_found(video: Video, *, content: bool) -> dict[str, Any]:
    try:
        status = video.path.stat()
        if (status.st_size, status.st_mtime_ns) == (video.size_bytes, video.mtime_ns):
            ends = hash_ends(video.path)
            whole = hash_file(video.path) if content else None
            # With these two nobody has written to the file since, whatever its modification time was set to.
            return {
                "ends_sha256": ends,
                "content_sha256": whole,
                "ctime_ns": status.st_ctime_ns,
                "inode": status.st_ino,
            }
    except OSError:
        pass
    return {"ends_sha256": "", "content_sha256": "" if content else None, "ctime_ns": 0, "inode": 0}


def input_difference(recorded: Mapping[str, Any], video: Video, *, content: bool, sidecars: tuple[str, ...]) -> str:
    """How today's video differs from the recorded one, in words; empty where it does not."""
    if recorded["name"] != video.path.name:
        return "the video has another name"
    if recorded["size_bytes"] != video.size_bytes:
        return "the video has another size"
    if content and recorded.get("content_sha256") is not None:
        is_same = _has_content(video.path, recorded)
    else:
        is_same = recorded["mtime_ns"] == video.mtime_ns or recorded["ends_sha256"] == _ends_now(video.path)
    if not is_same:
        return "the video has another content"
    before: Mapping[str, Any] = recorded.get("sidecars", {})
    return next(filter(None, (_sidecar_difference(before, video, ending) for ending in sidecars)), "")


def _has_content(path: Path, recorded: Mapping[str, Any]) -> bool:
    try:
        status = path.stat()
        untouched = (status.st_ctime_ns, status.st_ino) == (recorded.get("ctime_ns"), recorded.get("inode"))
        return untouched or hash_file(path) == recorded["content_sha256"]
    except OSError:
        return False


def _ends_now(path: Path) -> str:
    try:
        return hash_ends(path)
    except OSError:  # the probe says what is wrong with it
        return "unreadable"


def _sidecar(video: Video, ending: str) -> dict[str, Any] | None:
    """A file beside the video that belongs to it, such as ``film.srt``; nothing where there is none."""
    path = _sidecar_path(video, ending)
    try:
        status = path.stat()
        return {"size_bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": hash_file(path)}
    except OSError:
        return None


def _sidecar_path(video: Video, ending: str) -> Path:
    return video.path.with_name(video.stem + ending)


def _sidecar_difference(before: Mapping[str, Any], video: Video, ending: str) -> str:
    path, old = _sidecar_path(video, ending), before.get(ending)
    try:
        status = path.stat()
        if not isinstance(old, Mapping):
            return f"{path.name} is new beside it"
        if (status.st_size, status.st_mtime_ns) == (old.get("size_bytes"), old.get("mtime_ns")):
            return ""
        return "" if hash_file(path) == old.get("sha256") else f"{path.name} beside it has changed"
    except OSError:
        return f"{path.name} beside it is gone" if old else ""


def hash_ends(path: Path) -> str:
    """SHA-256 of a file's first and last MiB (of all of it up to 2 MiB)."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:  # a buffer would look at the file three times more
        size = os.fstat(file.fileno()).st_size
        _feed(digest, file.fileno(), 0, min(size, _MIB))
        if size > _MIB:
            start = max(size - _MIB, _MIB)
            _feed(digest, file.fileno(), start, size)
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, descriptor: int, start: int, end: int) -> None:
    """Add the bytes from ``start`` up to ``end``, or to the file's end if that comes first."""
    while start < end and (data := os.pread(descriptor, end - start, start)):
        digest.update(data)
        start += len(data)
