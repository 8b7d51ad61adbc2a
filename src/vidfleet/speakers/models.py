"""Which models work in which stage: chosen once a run, and named in the record.

``stages`` loads them, once a lane. Nothing here imports a network library, so that asking takes no time.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import fields
from typing import Any

from vidfleet import __version__
from vidfleet.errors import SetupError
from vidfleet.speakers.settings import ModelSettings, OldSettings, SpeakersSettings
from vidfleet.speakers.weights import WEIGHTS, Models, choose_models

PACKAGES = ("av", "cv2", "faster_whisper", "numpy", "onnx", "onnxruntime", "scenedetect", "scipy")
_GRID_RATE = 25
"""As in ``data``, which brings numpy with it."""
YUNET_NAME = "YuNet"
HAAR_NAME = "heuristic: OpenCV haarcascade_frontalface_alt2"
SILERO_NAME = "Silero VAD v6"
MOUTH_NAME = "heuristic: mouth motion"


def check_installed() -> None:
    """Raise SetupError where a package is missing that the pipeline works with; none is imported for it."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"The speakers pipeline needs {', '.join(missing)}.\nInstall: pip install 'vidfleet[speakers]'"
        )


def choose(settings: SpeakersSettings) -> Models:
    """Find or fetch the weights that ``settings`` ask for; see :func:`weights.choose_models`."""
    return choose_models(settings.models, ("yunet", asd_weights(settings)), folder=settings.weights)


def methods(settings: SpeakersSettings, chosen: Models) -> dict[str, dict[str, str]]:
    """Name the model of each stage and the SHA-256 of its weights, for the record."""
    return {
        "shots": {"name": "PySceneDetect ContentDetector", "sha256": ""},
        "speech": {"name": SILERO_NAME, "sha256": _silero_sha256()},
        "faces": _method(YUNET_NAME, "yunet", chosen) if chosen.paths else {"name": HAAR_NAME, "sha256": ""},
        "active_speaker": _method("LR-ASD " + _asd_file(settings), asd_weights(settings), chosen)
        if chosen.paths
        else {"name": MOUTH_NAME, "sha256": ""},
    }


def fingerprint(settings: SpeakersSettings, chosen: Models) -> dict[str, Any]:
    """Say what the results depend on."""
    apart = {item.name for group in (ModelSettings, OldSettings) for item in fields(group)}
    numbers = {item.name: getattr(settings, item.name) for item in fields(settings) if item.name not in apart}
    return {
        "version": __version__,
        "settings": numbers | {"score_weighting": settings.score_weighting},
        "method": methods(settings, chosen),
    }


def as_arguments(chosen: Models) -> list[str]:
    """The words that make every lane choose the same; later words win over earlier ones."""
    if chosen.are_embedded:
        return ["--models", "embedded"]
    folders = {path.absolute().parent for path in chosen.paths.values()}
    return ["--models", "full", *(["--weights", str(folders.pop())] if len(folders) == 1 else [])]


def fallback(settings: SpeakersSettings, chosen: Models) -> str:
    """Say what is missing for the full models, and the ways out; empty where nobody needs to know."""
    if settings.models != "auto" or not chosen.are_embedded:
        return ""
    return (
        f"{chosen.reason.splitlines()[0]}\n"
        "--models full says how to get the weights; --models embedded does all videos again without them."
    )


def notices(settings: SpeakersSettings, chosen: Models) -> list[str]:
    """Sentences for the user, before the first video."""
    found = []
    if fallback(settings, chosen):
        found.append(
            f"{chosen.reason.splitlines()[0]}; so the embedded methods find faces and speakers, marked heuristic in "
            "all results. With --models full this says how to get the weights."
        )
    idle = [
        max(item.metadata["also"], key=len)
        for item in fields(OldSettings)
        if item.metadata["also"] and getattr(settings, item.name) != item.default
    ]
    if idle:
        found.append(f"Without effect here: {', '.join(idle)}.")
    return found


def disk_use(settings: SpeakersSettings) -> dict[str, Any]:
    """Say what the outputs take.

    Measured on 23 clips of 57,600 to 2 million pixels: the JPEGs 0.02 to 0.27 bytes a pixel and frame, mostly
    0.2; the rest 0.01 to 0.16, most of it the two annotated films.
    """
    frames = _GRID_RATE if settings.frames == "all" else 0
    bytes_a_pixel_frame = 0.01 + 0.2 * bool(frames) + 0.08 * settings.annotated + 0.02 * settings.crops
    return {
        "bytes_a_pixel_second": bytes_a_pixel_frame * _GRID_RATE,
        "files_a_second": frames,
        "less": "Less is written with --frames shot, --frames none, --no-annotated or --no-crops.",
    }


def asd_weights(settings: SpeakersSettings) -> str:
    """Our name of the weights of LR-ASD that are asked for."""
    return "lr-asd" if settings.asd_weights == "ava" else "lr-asd-talkset"


def _asd_file(settings: SpeakersSettings) -> str:
    """The publisher's name of the checkpoint: ``pretrain_AVA``."""
    return WEIGHTS[asd_weights(settings)].address.rpartition("/")[2].removesuffix(".model")


def _method(name: str, weight: str, chosen: Models) -> dict[str, str]:
    assert weight in chosen.paths  # whose SHA-256 was verified when it was found
    return {"name": name, "sha256": WEIGHTS[weight].sha256}


def _silero_sha256() -> str:
    from vidfleet.speakers.speech import _network

    return hashlib.sha256(_network().read_bytes()).hexdigest()
