"""Where a model of the Hugging Face hub lies: a folder of the user's, the hub's cache, or the hub itself.

The hub's client is asked in a process of its own, which can be ended when its time is up.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from urllib.error import HTTPError

from vidfleet.errors import UsageError, WeightsError
from vidfleet.speakers.data import Method
from vidfleet.speakers.weights import CONNECT_LIMIT_S, _open_soon

HUB = "https://huggingface.co"
FETCH_LIMIT_S = 1500.0
"""A model of 3 GB in this time needs 2 MB/s; what was fetched by then is kept for the next time."""
LOOK_LIMIT_S = 60.0
"""For a look into the cache, most of which goes into starting Python."""


@dataclass(frozen=True)
class ModelKind:
    """Models that are asked for by one option."""

    title: str
    """What one is called: ``Whisper model``."""
    option: str
    """What names one on the command line: ``--whisper``."""
    prefix: str
    """How a model's folder begins, among other weights: ``whisper-``."""
    form: str
    """What others that are known by OWNER/REPOSITORY must be: ``CTranslate2 model``."""
    repositories: Mapping[str, str]
    """OWNER/REPOSITORY on the hub by the name that we have for it."""
    patterns: tuple[str, ...]
    """Which files of a repository are fetched."""
    check: Callable[[Path], Path]
    """Gives a folder back that holds a whole model, else raises WeightsError."""
    revisions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The commit of a repository that is taken where none is asked for; nothing: what is newest."""
    by_hand: str = ""
    """Which files ``hf download`` is to be told to fetch; nothing: all."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that is here."""

    name: str
    """As it was asked for: ``small``, ``owner/repository``, a folder's name."""
    folder: Path
    repository: str = ""
    """On the hub; nothing for a folder of the user's."""
    revision: str = ""
    """The commit of ``repository``."""


def find_model(kind: ModelKind, wanted: str, *, weights: Path | None = None) -> ModelFiles | None:
    """The model ``NAME``, ``NAME@REVISION``, ``OWNER/REPOSITORY`` or ``FOLDER`` where it is here already.

    A name is looked for as the kind's prefix and NAME in ``weights`` and in ``$VIDFLEET_WEIGHTS``, then in the hub's
    cache. Raises :class:`UsageError` for a name that means no model, and :class:`WeightsError` for a folder that
    holds none.
    """
    path = Path(os.path.expanduser(wanted))  # noqa: PTH111 - pathlib's raises RuntimeError where it knows no home
    if wanted and path.is_dir():
        return _in_folder(kind, kind.check(path.resolve()))
    if path.is_file():
        raise UsageError(f"{kind.option} {wanted} is a file; a {kind.form} is a folder.")
    name, _, _ = wanted.partition("@")
    repository(kind, wanted)
    named = os.environ.get("VIDFLEET_WEIGHTS")
    for place in (weights, Path(named) if named else None):
        folder = Path(place or "", kind.prefix + name)
        if place is not None and "/" not in name and folder.is_dir():
            return ModelFiles(name, kind.check(folder.absolute()))
    try:
        return _from_hub(kind, wanted, limit_s=LOOK_LIMIT_S, offline=True)
    except _NotFoundError:
        return None


def fetch_model(kind: ModelKind, wanted: str, *, is_reachable: Callable[[str], bool] | None = None) -> ModelFiles:
    """Fetch a model from the hub into the hub's cache.

    Raises :class:`WeightsError`, with the command that does it by hand, where that fails. ``is_reachable`` stands
    in for the network in tests.
    """
    hub = os.environ.get("HF_ENDPOINT", HUB)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise WeightsError(_by_hand(kind, wanted, "is not here, and HF_HUB_OFFLINE is set"))
    if not (is_reachable or _is_reachable)(hub):
        why = f"is not here, and {hub} did not answer in {CONNECT_LIMIT_S:.0f} s"
        raise WeightsError(_by_hand(kind, wanted, why))
    sys.stderr.write(f"Fetching the {kind.title} {wanted} from {hub} into its cache; this is done once.\n")
    try:
        return _from_hub(kind, wanted, limit_s=FETCH_LIMIT_S, offline=False)
    except _NotFoundError as error:
        raise WeightsError(_by_hand(kind, wanted, f"could not be fetched from {hub}: {error}")) from error


def repository(kind: ModelKind, wanted: str) -> tuple[str, str]:
    """The hub's repository of a model and the revision asked for. Raises UsageError for an unknown name."""
    name, _, revision = wanted.partition("@")
    is_whole = name.count("/") == 1 and not name.startswith((".", "/", "~"))
    known = kind.repositories.get(name, name if is_whole else "")
    if not known:
        raise UsageError(
            f"{kind.option} {wanted}: neither a folder nor a model that is known.\n"
            f"Known are {', '.join(kind.repositories)}; and OWNER/REPOSITORY of a {kind.form} on the hub."
        )
    return known, revision or kind.revisions.get(known, "")


def model_method(called: str, files: ModelFiles, weights: str) -> Method:
    """Name a model for the record: what it is called, its revision on the hub, and the SHA-256 of its weights' file."""
    revision = f" ({files.repository}@{files.revision})" if files.revision else ""
    return Method(f"{called}{revision}", _sum(files.folder / weights))


@lru_cache(maxsize=4)
def _sum(path: Path) -> str:
    """The SHA-256 of a file; a second per gigabyte, once in a process."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in_folder(kind: ModelKind, folder: Path) -> ModelFiles:
    """A model by its folder; one in the hub's cache is known for what it is: lanes are given folders."""
    found = re.fullmatch(r"models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{40})", "/".join(folder.parts[-3:]))
    if found is None:
        return ModelFiles(folder.name.removeprefix(kind.prefix), folder)
    whole, revision = f"{found[1]}/{found[2]}", found[3]
    names = {repository: name for name, repository in kind.repositories.items()}
    return ModelFiles(names.get(whole, whole), folder, whole, revision)


def _by_hand(kind: ModelKind, wanted: str, what: str) -> str:
    name, revision = repository(kind, wanted)
    rest = f" {kind.by_hand}" if kind.by_hand else ""
    rest += f" --revision {shlex.quote(revision)}" if revision else ""
    return (
        f"the {kind.title} {wanted} {what}.\n"
        "Where there is a network, this fetches it into the cache:\n"
        f"    hf download {name}{rest}\n"
        f"Or fetch it elsewhere, carry the folder here, and give it as {kind.option} DIR:\n"
        f"    hf download {name}{rest} --local-dir DIR"
    )


def _is_reachable(address: str) -> bool:
    if not address.startswith("https://"):
        return True  # a mirror on this machine or in this house; the hub's client says what is wrong with it
    try:
        _open_soon(address).close()
    except HTTPError:
        return True  # it answers
    except OSError:
        return False
    return True


class _NotFoundError(Exception):
    """The hub's client has no whole model; in its own last words."""


def _from_hub(kind: ModelKind, wanted: str, *, limit_s: float, offline: bool) -> ModelFiles:
    """Ask the hub's client. Raises :class:`_NotFoundError` where it does not have, or get, the whole model."""
    name, revision = repository(kind, wanted)
    environment = {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    how = [name, revision, "offline" if offline else "", *kind.patterns]
    try:
        answer = subprocess.run(
            [sys.executable, "-P", "-m", __name__, *how],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=True,
        )
        return _in_folder(kind, kind.check(Path(json.loads(answer.stdout))))
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise _NotFoundError(said[-1] if said else f"exit status {error.returncode}") from error
    except (subprocess.TimeoutExpired, ValueError, WeightsError) as error:
        raise _NotFoundError(str(error).partition("\n")[0]) from error


def main(arguments: list[str]) -> int:
    """Print the folder of a model as JSON: ``REPOSITORY REVISION OFFLINE PATTERN...``; status 1 where there is none."""
    from huggingface_hub import snapshot_download

    name, revision, offline, *patterns = arguments
    try:
        folder = snapshot_download(
            name,
            revision=revision or None,
            local_files_only=bool(offline),
            allow_patterns=patterns,
            etag_timeout=CONNECT_LIMIT_S,
        )
    except OSError as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return 1
    sys.stdout.write(json.dumps(folder) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
