"""The networks' weights: where they are published, where they lie here, and whether they are what they claim.

None is part of the package. A weight is looked for in ``--weights DIR``, in ``$VIDFLEET_WEIGHTS`` and in the
user's cache, else fetched from its publisher into the cache. Its SHA-256 decides in all cases.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Literal

from vidfleet.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONNECT_LIMIT_S = 5.0
"""How long a publisher may take to begin to answer: name look-up, connection and redirects together."""
DOWNLOAD_LIMIT_S = 300.0
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Weight:
    """One file of weights, as published."""

    name: str
    """What we call it."""
    file_name: str
    """What it is called in a folder of weights; the publisher's own file name will do, too."""
    address: str
    """Where its publisher keeps it."""
    sha256: str
    licence: str
    size_bytes: int

    @property
    def file_names(self) -> tuple[str, ...]:
        """The names under which it is looked for."""
        return self.file_name, self.address.rpartition("/")[2]


@dataclass(frozen=True)
class Models:
    """Which models a run uses, decided once for all its videos."""

    paths: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))
    """The file of each weight by its name; empty where the embedded methods do the work."""
    reason: str = ""
    """Why the embedded methods do the work, as a sentence for people; empty where they do not."""

    @property
    def are_embedded(self) -> bool:
        """Whether the methods without weights do the work."""
        return not self.paths


_GITHUB = "https://raw.githubusercontent.com/"
WEIGHTS: Mapping[str, Weight] = MappingProxyType(
    {
        weight.name: weight
        for weight in (
            Weight(
                name="lr-asd",
                file_name="LR-ASD_pretrain_AVA.model",
                address=_GITHUB + "Junhua-Liao/LR-ASD/main/weight/pretrain_AVA.model",
                sha256="85e6c77fc981595234790d1e128ebb60352d37726b2445e0ef8891e2512fe9e3",
                licence="MIT",
                size_bytes=3_426_337,
            ),
            Weight(
                name="lr-asd-talkset",
                file_name="LR-ASD_finetuning_TalkSet.model",
                address=_GITHUB + "Junhua-Liao/LR-ASD/main/weight/finetuning_TalkSet.model",
                sha256="6b4ef53694e874e96cf630198dc479c78aebb3993bbf166aee3d926dfe7d9342",
                licence="MIT",
                size_bytes=3_426_337,
            ),
            Weight(
                name="yunet",
                file_name="libfacedetection_yunet_n_dynamic.onnx",
                address=_GITHUB + "ShiqiYu/libfacedetection.train/master/onnx/yunet_n_dynamic.onnx",
                sha256="104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
                licence="Apache-2.0",
                size_bytes=322_906,
            ),
            Weight(
                name="sface",
                file_name="face_recognition_sface_2021dec.onnx",
                # Kept in Git LFS: a raw address gives the pointer, whose oid is the SHA-256 below.
                address="https://media.githubusercontent.com/media/opencv/opencv_zoo/"
                "47534e27c9851bb1128ccc0102f1145e27f23f98/models/face_recognition_sface/"
                "face_recognition_sface_2021dec.onnx",
                sha256="0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
                licence="Apache-2.0",
                size_bytes=38_696_353,
            ),
            Weight(
                name="mobilefacenet",
                file_name="MobileFaceNet_lenchik.onnx",
                address=_GITHUB
                + "lenchik-en/facedetection/02fda47a02738bf809fe8d6ee67ead5626d441bb/models/MobileFaceNet.onnx",
                sha256="e8e15de7b894f917ecc7f068dbe12d7c00e79c9c4a7414538d8de2dcb76d6458",
                licence="Apache-2.0",
                size_bytes=3_985_710,
            ),
        )
    }
)


def choose_models(
    mode: Literal["auto", "full", "embedded"],
    names: Sequence[str],
    *,
    folder: Path | None = None,
    fetch: Callable[[str], Path] | None = None,
) -> Models:
    """The files of these weights, or why the embedded methods must do.

    ``full`` raises :class:`WeightsError`, with the command that helps, where one can neither be found nor
    fetched; ``auto`` then means the embedded methods; ``embedded`` never looks. A file that is not what it
    claims to be is an error in both. ``fetch`` stands in for :func:`fetch_weight` in tests.
    """
    if mode == "embedded":
        return Models(reason="the embedded methods were asked for")
    found = {name: find_weight(name, folder=folder) for name in names}
    try:
        paths = {name: path or (fetch or fetch_weight)(name) for name, path in found.items()}
    except WeightsError as error:
        if mode == "full":
            raise
        return Models(reason=str(error))
    return Models(paths=MappingProxyType(paths))


def find_weight(name: str, *, folder: Path | None = None) -> Path | None:
    """The weight's file in ``folder``, in ``$VIDFLEET_WEIGHTS`` or in the user's cache, or nothing.

    Raises :class:`WeightsError` where a file of its name is something else, or ``folder`` is no folder.
    """
    weight = _weight(name)
    if folder is not None and not folder.is_dir():
        raise WeightsError(f"--weights {folder}: there is no such folder")
    named = os.environ.get("VIDFLEET_WEIGHTS")
    for place in (folder, Path(named) if named else None, cache_folder()):
        for file_name in weight.file_names if place else ():
            path = Path(place or "", file_name)
            if path.is_file():
                _verify(path, weight)
                return path
    return None


def cache_folder() -> Path:
    """Where fetched weights are kept: ``$XDG_CACHE_HOME/vidfleet/weights``, by default below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vidfleet" / "weights"


def fetch_weight(
    name: str, *, cache: Path | None = None, open_address: Callable[[str], IO[bytes]] | None = None
) -> Path:
    """Fetch a weight into the user's cache and return its path; at once where it is there already.

    Processes that want the same one take turns, and the file appears whole or not at all. Raises
    :class:`WeightsError` with the command that does it by hand where that fails. ``open_address`` stands in
    for the network in tests.
    """
    weight = _weight(name)
    target = (cache or cache_folder()) / weight.file_name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _turn(target):
            if not target.is_file() or _sum_of(target) != weight.sha256:
                _download(weight, target, open_address or _open_soon)
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(_by_hand(weight, target, f"could not be fetched: {reason}")) from error
    return target


def _weight(name: str) -> Weight:
    if name not in WEIGHTS:
        raise WeightsError(f"there are no weights called {name}; known are {', '.join(WEIGHTS)}")
    return WEIGHTS[name]


def _by_hand(weight: Weight, target: Path, what: str) -> str:
    return (
        f"the weights {weight.name} {what}\n"
        f"from {weight.address}\n"
        "Where there is a network, this fetches them:\n"
        f"    curl -fL --create-dirs -o {shlex.quote(str(target))} {weight.address}\n"
        "Or put the file into a folder and give it as --weights DIR or VIDFLEET_WEIGHTS=DIR."
    )


def _verify(path: Path, weight: Weight) -> None:
    found = _sum_of(path)
    if found != weight.sha256:
        raise WeightsError(
            f"{path} is not the weights {weight.name}: its SHA-256 is {found}, not {weight.sha256}.\n"
            f"Delete it, or replace it by {weight.address}"
        )


def _sum_of(path: Path) -> str:
    status = path.stat()
    return _sum(path, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=64)
def _sum(path: Path, _size: int, _mtime_ns: int, _inode: int) -> str:
    """The file's SHA-256, computed once in a process as long as the file stays as it is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _turn(target: Path) -> Iterator[None]:
    """Hold the lock beside ``target``; it ends with the process, whatever becomes of it."""
    with target.with_name(f".{target.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(weight: Weight, target: Path, open_address: Callable[[str], IO[bytes]]) -> None:
    """Write the weight beside ``target``, verify it, rename it."""
    part = target.with_name(f".{target.name}.part")
    try:
        with open_address(weight.address) as source, part.open("wb") as copy:
            size, sha256 = _copy(source, copy, limit_bytes=weight.size_bytes)
        if sha256 != weight.sha256:
            what = f"came with another content ({size} bytes read, {weight.size_bytes} expected)"
            raise WeightsError(_by_hand(weight, target, what))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _copy(source: IO[bytes], copy: IO[bytes], *, limit_bytes: int) -> tuple[int, str]:
    """Copy to the disk, no further than just past the limit; how much it was, and its SHA-256."""
    digest, size = hashlib.sha256(), 0
    until = time.monotonic() + DOWNLOAD_LIMIT_S
    while size <= limit_bytes and (chunk := source.read(CHUNK_BYTES)):
        size += len(chunk)
        digest.update(chunk)
        copy.write(chunk)
        if time.monotonic() > until:
            raise TimeoutError(f"{size} bytes in {DOWNLOAD_LIMIT_S:.0f} s")
    copy.flush()
    os.fsync(copy.fileno())
    return size, digest.hexdigest()


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to https addresses alone."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _refuse_plain(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _refuse_plain(address: str) -> None:
    if not address.startswith("https://"):
        raise urllib.error.URLError(f"{address} is not an https address")


def _open_soon(address: str) -> IO[bytes]:
    """Open an https address; an OSError where it does not begin to answer in :data:`CONNECT_LIMIT_S`.

    In a thread of its own, since a name look-up knows no time limit.
    """
    _refuse_plain(address)
    opener = urllib.request.build_opener(_HttpsOnly)
    answers: list[IO[bytes] | OSError | HTTPException] = []

    def open_it() -> None:
        try:
            answers.append(opener.open(address, timeout=CONNECT_LIMIT_S))
        except (OSError, HTTPException) as error:
            answers.append(error)

    thread = threading.Thread(target=open_it, daemon=True)
    thread.start()
    thread.join(CONNECT_LIMIT_S)
    if not answers:
        raise TimeoutError(f"no answer within {CONNECT_LIMIT_S:.0f} s")
    if isinstance(answers[0], Exception):
        raise answers[0]
    return answers[0]
