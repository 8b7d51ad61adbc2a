"""What a file is by its first bytes, where it is no video: FFmpeg only says that it found invalid data.

Nothing here opens more than the file itself, and of that it reads a few KiB.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEAD_BYTES = 4096
_TAR_AT = 257
_MOST_BOXES = 1000

_ARCHIVES = (
    (b"PK\x03\x04", "a zip archive"), (b"Rar!\x1a\x07", "a rar archive"), (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b", "a compressed file (gzip)"), (b"BZh", "a compressed file (bzip2)"),
    (b"\xfd7zXZ\0", "a compressed file (xz)"), (b"\x28\xb5\x2f\xfd", "a compressed file (zstd)"),
    (b"%PDF-", "a PDF document"), (b"\x7fELF", "a program"), (b"MZ", "a Windows program"),
)  # fmt: skip
_LISTS = (b"#EXTM3U", b"ffconcat", b"v=0\r\n", b"v=0\n")
_PAGES = (b"<!doctype html", b"<html")
_BOXES = frozenset((b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"moof", b"uuid", b"pnot", b"sidx", b"styp"))
"""What may stand at the top of an MP4 or QuickTime file, ISO/IEC 14496-12."""


def packed(path: Path) -> str:
    """``it is a zip archive, no video``; empty where it is no archive. Raises OSError where it cannot be read.

    Asked before anything is opened as a video: an archive that stores a film as it is would pass for that film.
    """
    head = _head(path)
    if head[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return "it is a tar archive, no video"
    return next((f"it is {what}, no video" for magic, what in _ARCHIVES if head.startswith(magic)), "")


def guess(path: Path) -> str:
    """Why a file is no video, where its first bytes tell; empty where they do not."""
    try:
        head = _head(path)
        if not head.strip(b"\0"):
            return "there is nothing but zeros in it: a copy or a download that did not come to its end"
        if _is_text(head):
            return _sort_of_text(head)
        return _of_boxes(path)
    except OSError:
        return ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16
        return True
    whole = head if len(head) < _HEAD_BYTES else head[:-4]  # the last character may be cut
    try:
        return all(char.isprintable() or char in "\t\r\n\f\ufeff" for char in whole.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _sort_of_text(head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.lower().startswith(_PAGES):
        return "it is a web page, no video: a download that went wrong"
    if start.startswith(_LISTS) or b"<MPD" in start:
        return "it is a list of other files, no video"
    return "it is a text, no video"


def _of_boxes(path: Path) -> str:
    """What lacks in an MP4 or QuickTime file: its index (``moov``) stands behind the pictures where nobody moved it."""
    with path.open("rb") as file:
        size, at, seen = os.fstat(file.fileno()).st_size, 0, list[bytes]()
        while at < size and len(seen) < _MOST_BOXES:
            file.seek(at)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if kind not in _BOXES:
                break
            seen.append(kind)
            at = at + length if length >= 8 else size
    if not seen:
        return ""
    if b"moov" not in seen:
        return "its index, moov, is missing: the file is cut off, or its recording did not come to its end"
    return "the file is cut off in its index, moov" if at > size else ""
