"""Where a Whisper model lies: a folder of the user's, the cache of the Hugging Face hub, or the hub itself.

A model is a folder as CTranslate2's converter writes it. The hub's client is asked in a process of its own, which
can be ended when its time is up.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError

from vidfleet.errors import UsageError, WeightsError
from vidfleet.speakers.weights import CONNECT_LIMIT_S, _open_soon

if TYPE_CHECKING:
    from collections.abc import Callable

GPU_DEFAULT, CPU_DEFAULT = "large-v3-turbo", "small"
HUB = "https://huggingface.co"
FETCH_LIMIT_S = 1500.0
"""A model of 3 GB in this time needs 2 MB/s; what was fetched by then is kept for the next time."""
LOOK_LIMIT_S = 60.0
"""For a look into the cache, most of which goes into starting Python."""
_SYSTRAN = "Systran/faster-whisper-"
_DISTILLED = "Systran/faster-distil-whisper-"
REPOSITORIES = {
    **{
        name: _SYSTRAN + name
        for size in ("tiny", "base", "small", "medium")
        for name in (size, f"{size}.en")
    },
    **{name: _SYSTRAN + name for name in ("large-v1", "large-v2", "large-v3")},
    **{f"distil-{name}": _DISTILLED + name for name in ("small.en", "medium.en", "large-v2", "large-v3")},
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
}  # fmt: skip
"""The names that faster-whisper has for models on the hub."""
_PREFIX = "whisper-"
"""How a model's folder begins, among other weights."""
_NEEDED = ("config.json", "model.bin", "tokenizer.json")
_PATTERNS = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")


@dataclass(frozen=True, slots=True)
class WhisperFiles:
    """A model that is here."""

    name: str
    """As it was asked for: ``small``, ``owner/repository``, a folder's name."""
    folder: Path
    repository: str = ""
    """On the hub; nothing for a folder of the user's."""
    revision: str = ""
    """The commit of ``repository``."""


def find_whisper(wanted: str, *, weights: Path | None = None) -> WhisperFiles | None:
    """The model ``NAME``, ``NAME@REVISION``, ``OWNER/REPOSITORY`` or ``FOLDER`` where it is here already.

    A name is looked for as ``whisper-NAME`` in ``weights`` and in ``$VIDFLEET_WEIGHTS``, then in the hub's cache.
    Raises :class:`UsageError` for a name that means no model, and :class:`WeightsError` for a folder that holds none.
    """
    path = Path(wanted).expanduser()
    if path.is_dir():
        return _in_folder(_checked(path.resolve()))
    name, _, _ = wanted.partition("@")
    repository(wanted)
    named = os.environ.get("VIDFLEET_WEIGHTS")
    for place in (weights, Path(named) if named else None):
        folder = Path(place or "", _PREFIX + name)
        if place is not None and "/" not in name and folder.is_dir():
            return WhisperFiles(name, _checked(folder.absolute()))
    try:
        return _from_hub(wanted, limit_s=LOOK_LIMIT_S, offline=True)
    except _NotFoundError:
        return None


def _in_folder(folder: Path) -> WhisperFiles:
    """A model by its folder; one in the hub's cache is known for what it is: lanes are given folders."""
    found = re.fullmatch(r"models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{40})", "/".join(folder.parts[-3:]))
    if found is None:
        return WhisperFiles(folder.name.removeprefix(_PREFIX), folder)
    whole, revision = f"{found[1]}/{found[2]}", found[3]
    names = {repository: name for name, repository in REPOSITORIES.items()}
    return WhisperFiles(names.get(whole, whole), folder, whole, revision)


def fetch_whisper(wanted: str, *, is_reachable: Callable[[str], bool] | None = None) -> WhisperFiles:
    """Fetch a model from the hub into the hub's cache.

    Raises :class:`WeightsError`, with the command that does it by hand, where that fails. ``is_reachable`` stands
    in for the network in tests.
    """
    hub = os.environ.get("HF_ENDPOINT", HUB)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise WeightsError(_by_hand(wanted, "is not here, and HF_HUB_OFFLINE is set"))
    if not (is_reachable or _is_reachable)(hub):
        raise WeightsError(_by_hand(wanted, f"is not here, and {hub} did not answer in {CONNECT_LIMIT_S:.0f} s"))
    sys.stderr.write(f"Fetching the Whisper model {wanted} from {hub} into its cache; this is done once.\n")
    try:
        return _from_hub(wanted, limit_s=FETCH_LIMIT_S, offline=False)
    except _NotFoundError as error:
        raise WeightsError(_by_hand(wanted, f"could not be fetched from {hub}: {error}")) from error


def repository(wanted: str) -> tuple[str, str]:
    """The hub's repository of a model and the revision asked for. Raises UsageError for an unknown name."""
    name, _, revision = wanted.partition("@")
    known = REPOSITORIES.get(name, name if name.count("/") == 1 and not name.startswith((".", "/", "~")) else "")
    if not known:
        raise UsageError(
            f"--whisper {wanted}: neither a folder nor a model that is known.\n"
            f"Known are {', '.join(REPOSITORIES)}; and OWNER/REPOSITORY of a CTranslate2 model on the hub."
        )
    return known, revision


def _checked(folder: Path) -> Path:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if not missing and not any(folder.glob("vocabulary.*")):
        missing = ["vocabulary.json"]
    if missing:
        raise WeightsError(
            f"{folder} is no Whisper model as CTranslate2 wants it: {', '.join(missing)} is missing.\n"
            "Convert one with ct2-transformers-converter --copy_files tokenizer.json preprocessor_config.json, "
            "or name one: --whisper small"
        )
    for name in ("config.json", "tokenizer.json"):
        try:
            json.loads((folder / name).read_bytes())
        except ValueError as error:  # the tokenizer's own reader raises nothing narrower than Exception
            raise WeightsError(f"{folder / name} is damaged: {error}. Fetch the model again.") from error
    return folder


def _by_hand(wanted: str, what: str) -> str:
    name, revision = repository(wanted)
    at = f" --revision {shlex.quote(revision)}" if revision else ""
    return (
        f"the Whisper model {wanted} {what}.\n"
        "Where there is a network, this fetches it into the cache:\n"
        f"    hf download {name}{at}\n"
        "Or fetch it elsewhere, carry the folder here, and give it as --whisper DIR:\n"
        f"    hf download {name}{at} --local-dir DIR"
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


def _from_hub(wanted: str, *, limit_s: float, offline: bool) -> WhisperFiles:
    """Ask the hub's client. Raises :class:`_NotFoundError` where it does not have, or get, the whole model."""
    name, revision = repository(wanted)
    environment = {**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    argv = [sys.executable, "-P", "-m", __name__, name, revision, "offline" if offline else ""]
    try:
        answer = subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit_s, check=True
        )
        return _in_folder(_checked(Path(json.loads(answer.stdout))))
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip().splitlines()
        raise _NotFoundError(said[-1] if said else f"exit status {error.returncode}") from error
    except (subprocess.TimeoutExpired, ValueError, WeightsError) as error:
        raise _NotFoundError(str(error).partition("\n")[0]) from error


def main(arguments: list[str]) -> int:
    """Print the folder of a model as JSON: ``REPOSITORY REVISION [offline]``; exit status 1 where there is none."""
    from huggingface_hub import snapshot_download

    name, revision, offline = arguments
    try:
        folder = snapshot_download(
            name,
            revision=revision or None,
            local_files_only=bool(offline),
            allow_patterns=list(_PATTERNS),
            etag_timeout=CONNECT_LIMIT_S,
        )
    except OSError as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return 1
    sys.stdout.write(json.dumps(folder) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
