"""Which SAM 2 models there are, and what belongs to one: a folder as transformers write it, in safetensors."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING

from vidfleet.errors import WeightsError
from vidfleet.speakers.hub import ModelFiles, ModelKind, fetch_model, find_model, model_method

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vidfleet.speakers.data import Method

GPU_DEFAULT, CPU_DEFAULT = "large", "tiny"
_META = "facebook/sam2.1-hiera-"
_WEIGHTS = "model.safetensors"
_NEEDED = ("config.json", _WEIGHTS)
_MODEL_TYPE = "sam2_video"


def find_sam2(wanted: str, *, weights: Path | None = None) -> ModelFiles | None:
    """A SAM 2 model where it is here already; see :func:`~vidfleet.speakers.hub.find_model`."""
    return find_model(SAM2, wanted, weights=weights)


def fetch_sam2(wanted: str, *, is_reachable: Callable[[str], bool] | None = None) -> ModelFiles:
    """Fetch a SAM 2 model; see :func:`~vidfleet.speakers.hub.fetch_model`."""
    return fetch_model(SAM2, wanted, is_reachable=is_reachable)


def sam2_method(files: ModelFiles) -> Method:
    """Name a model for the record; see :func:`~vidfleet.speakers.hub.model_method`."""
    called = f"SAM 2.1 hiera-{files.name}" if files.name in SAM2.repositories else f"SAM 2 {files.name}"
    return model_method(called, files, _WEIGHTS)


def _checked(folder: Path) -> Path:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"{folder} is no SAM 2 model as transformers want it: {', '.join(missing)} is missing.\n"
            "The authors' own .pt files are not read, since loading one can run any code. Name a model: --sam2 tiny"
        )
    try:
        config = json.loads((folder / "config.json").read_bytes())
        is_whole = _is_whole(folder / _WEIGHTS)
    except OSError as error:
        raise WeightsError(f"The SAM 2 model in {folder} cannot be read: {error}") from error
    except ValueError as error:
        raise WeightsError(f"{folder / 'config.json'} is damaged: {error}. Fetch the model again.") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind != _MODEL_TYPE:
        raise WeightsError(
            f"{folder} is no SAM 2 video model: its config.json says {kind!r}, not {_MODEL_TYPE!r}.\n"
            "Name one: --sam2 tiny"
        )
    if not is_whole:
        raise WeightsError(
            f"{folder / _WEIGHTS} is damaged, or was not copied as a whole.\n"
            "Fetch it again, or give another: --sam2 NAME or --sam2 DIR."
        )
    return folder


def _is_whole(weights: Path) -> bool:
    """Whether a safetensors file has all the bytes that its header tells of; no tensor is read for it."""
    size = weights.stat().st_size
    with weights.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        if not 8 < start <= size:
            return False
        try:
            header = json.loads(file.read(start - 8))
            ends = [of["data_offsets"][1] for name, of in header.items() if name != "__metadata__"]
            return bool(start + max(ends, default=0) == size)
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return False


SAM2 = ModelKind(
    title="SAM 2 model",
    option="--sam2",
    prefix="sam2-",
    form="SAM 2 video model for transformers",
    repositories=MappingProxyType({name: _META + name for name in ("tiny", "small", "base-plus", "large")}),
    patterns=("config.json", "preprocessor_config.json", _WEIGHTS),
    check=_checked,
    revisions=MappingProxyType(
        {
            # The hub was out of reach when this was written. Each commit stands in several public repositories that
            # pin it, with the size and the SHA-256 of model.safetensors, which begins with 48c14467, 0a4067b1,
            # 2012733a and dc407dce.
            f"{_META}tiny": "de431c4043854a71d8101e17995dfe596bf101a5",
            f"{_META}small": "ee5bba1d82bb8749febdf90f45e84b687142ba03",
            f"{_META}base-plus": "b7320756a13354e7530a63935656d35b2f91a290",
            f"{_META}large": "665f8e2ad61cf5f53d65644ff27c8ee525124610",
        }
    ),
    by_hand=" ".join(_NEEDED),  # a repository holds the same weights a second time, as .pt
)
