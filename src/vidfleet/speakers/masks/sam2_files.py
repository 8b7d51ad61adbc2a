"""Where a SAM 2 model lies: a folder of the user's, the cache of the Hugging Face hub, or the hub itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vidfleet.speakers.data import Method


@dataclass(frozen=True, slots=True)
class Sam2Files:
    """A model that is here."""

    name: str
    """As it was asked for: ``tiny``, ``owner/repository``, a folder's name."""
    folder: Path
    repository: str = ""
    """On the hub; nothing for a folder of the user's."""
    revision: str = ""
    """The commit of ``repository``."""


def sam2_method(files: Sam2Files) -> Method:
    """Name a model for the record: what it is called, its revision on the hub, and the SHA-256 of its weights."""
    revision = f" ({files.repository}@{files.revision})" if files.revision else ""
    return Method(f"SAM 2.1 {files.name}{revision}", _sum(files.folder / "model.safetensors"))


@lru_cache(maxsize=4)
def _sum(path: Path) -> str:
    """The SHA-256 of a file; a second per gigabyte, once in a process."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
