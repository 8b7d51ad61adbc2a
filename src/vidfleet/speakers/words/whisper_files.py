"""Which Whisper models there are, and what belongs to one: a folder as CTranslate2's converter writes it."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING

from vidfleet.errors import WeightsError
from vidfleet.speakers.hub import ModelFiles, ModelKind, fetch_model, find_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GPU_DEFAULT, CPU_DEFAULT = "large-v3-turbo", "small"
_SYSTRAN = "Systran/faster-whisper-"
_DISTILLED = "Systran/faster-distil-whisper-"
_NEEDED = ("config.json", "model.bin", "tokenizer.json")


def find_whisper(wanted: str, *, weights: Path | None = None) -> ModelFiles | None:
    """A Whisper model where it is here already; see :func:`~vidfleet.speakers.hub.find_model`."""
    return find_model(WHISPER, wanted, weights=weights)


def fetch_whisper(wanted: str, *, is_reachable: Callable[[str], bool] | None = None) -> ModelFiles:
    """Fetch a Whisper model; see :func:`~vidfleet.speakers.hub.fetch_model`."""
    return fetch_model(WHISPER, wanted, is_reachable=is_reachable)


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


WHISPER = ModelKind(
    title="Whisper model",
    option="--whisper",
    prefix="whisper-",
    form="CTranslate2 model",
    repositories=MappingProxyType(  # the names that faster-whisper has for models on the hub
        {
            **{
                name: _SYSTRAN + name
                for size in ("tiny", "base", "small", "medium")
                for name in (size, f"{size}.en")
            },
            **{name: _SYSTRAN + name for name in ("large-v1", "large-v2", "large-v3")},
            **{f"distil-{name}": _DISTILLED + name for name in ("small.en", "medium.en", "large-v2", "large-v3")},
            "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
        }
    ),
    patterns=("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*"),
    check=_checked,
)  # fmt: skip
