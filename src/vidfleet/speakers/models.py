"""Which models work in which stage: chosen once a run, and named in the record.

``stages`` loads them, once a lane. Nothing here imports a network library, so that asking takes no time.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import asdict, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from vidfleet import __version__
from vidfleet.errors import SetupError
from vidfleet.speakers.settings import (
    MaskSettings,
    ModelSettings,
    OldSettings,
    SpeakersSettings,
    SplitSettings,
    WordSettings,
)
from vidfleet.speakers.weights import WEIGHTS, Models, choose_models, find_weight
from vidfleet.speakers.words import choice as words_choice
from vidfleet.speakers.words.cuda import count_gpus

if TYPE_CHECKING:
    from pathlib import Path

    from vidfleet.speakers.hub import ModelFiles
    from vidfleet.speakers.words.choice import WordsChoice

SAM2_PACKAGES = ("torch", "transformers")
PACKAGES = ("PIL", "av", "cv2", "faster_whisper", "numpy", "onnx", "onnxruntime", "scenedetect", "scipy")
_GRID_RATE = 25
"""As in ``data``, which brings numpy with it."""
YUNET_NAME = "YuNet"
HAAR_NAME = "heuristic: OpenCV haarcascade_frontalface_alt2"
SILERO_NAME = "Silero VAD v6"
MOUTH_NAME = "heuristic: mouth motion"
EMBEDDERS = {"sface": "SFace 2021dec", "mobilefacenet": "MobileFaceNet"}
"""Weights that tell faces apart, the best first."""
ONE_A_TRACK = "heuristic: one person per track"


def check_installed() -> None:
    """Raise SetupError where a package is missing that the pipeline works with; none is imported for it."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"The speakers pipeline needs {', '.join(missing)}.\nInstall: pip install 'vidfleet[speakers]'"
        )


def choose(settings: SpeakersSettings) -> Models:
    """Find or fetch the weights that ``settings`` ask for; see :func:`weights.choose_models`."""
    found = choose_models(settings.models, ("yunet", asd_weights(settings)), folder=settings.weights)
    if found.are_embedded:  # such faces have no landmarks, without which they cannot be compared
        return found
    return replace(found, paths=MappingProxyType({**found.paths, **_choose_embedder(settings)}))


def _choose_embedder(settings: SpeakersSettings) -> dict[str, Path]:
    """The weights that tell faces apart; none where nobody named them and they cannot be had."""
    wanted, folder = settings.face_embedder, settings.weights
    if wanted == "none":
        return {}
    if wanted != "auto":
        return dict(choose_models("full", (wanted,), folder=folder).paths)
    for name in EMBEDDERS:
        path = find_weight(name, folder=folder)
        if path is not None:
            return {name: path}
    return dict(choose_models("auto", (next(iter(EMBEDDERS)),), folder=folder).paths)


def embedder_of(chosen: Models) -> str:
    """Our name of the weights that tell faces apart, or ``none``."""
    return next((name for name in EMBEDDERS if name in chosen.paths), "none")


def choose_words(settings: SpeakersSettings) -> WordsChoice:
    """Decide where words come from; see :func:`~vidfleet.speakers.words.choice.choose_words`.

    With ``--models embedded`` no model is looked for but where one was asked for by name.
    """
    embedded = settings.models == "embedded" and settings.words == "auto" and settings.whisper is None
    return words_choice.choose_words(
        "sidecar" if embedded else settings.words,
        whisper=settings.whisper,
        language=settings.language,
        grammar=settings.grammar,
        weights=settings.weights,
        gpu=words_choice.has_gpu(),
    )


def choose_sam2(settings: SpeakersSettings) -> ModelFiles | None:
    """Find or fetch the SAM 2 model that ``settings`` ask for; None where boxes alone make tracks.

    Raises SetupError where a package is missing that it works with, and WeightsError where it cannot be had.
    """
    if settings.sam2 is None or not settings.follows_masks:
        return None
    missing = [name for name in SAM2_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"Following faces by the masks of SAM 2 needs {', '.join(missing)}.\nInstall: pip install 'vidfleet[sam2]'"
        )
    from vidfleet.speakers.masks.sam2_files import CPU_DEFAULT, GPU_DEFAULT, fetch_sam2, find_sam2

    wanted = settings.sam2
    if wanted == "auto":
        wanted = GPU_DEFAULT if count_gpus() else CPU_DEFAULT
    return find_sam2(wanted, weights=settings.weights) or fetch_sam2(wanted)


def methods(
    settings: SpeakersSettings, chosen: Models, words: WordsChoice, sam2: ModelFiles | None = None
) -> dict[str, dict[str, str]]:
    """Name the model of each stage and the SHA-256 of its weights, for the record."""
    return {
        **_tracks_method(sam2),
        "words": {"name": words.method.name, "sha256": words.method.sha256},
        "shots": {"name": "PySceneDetect ContentDetector", "sha256": ""},
        "speech": {"name": SILERO_NAME, "sha256": _silero_sha256()},
        "faces": _method(YUNET_NAME, "yunet", chosen) if chosen.paths else {"name": HAAR_NAME, "sha256": ""},
        "active_speaker": _method("LR-ASD " + _asd_file(settings), asd_weights(settings), chosen)
        if chosen.paths
        else {"name": MOUTH_NAME, "sha256": ""},
        "identity": _method(EMBEDDERS[embedder_of(chosen)], embedder_of(chosen), chosen)
        if embedder_of(chosen) != "none"
        else {"name": ONE_A_TRACK, "sha256": ""},
    }


def _tracks_method(sam2: ModelFiles | None) -> dict[str, dict[str, str]]:
    if sam2 is None:
        return {}
    from vidfleet.speakers.masks.sam2_files import sam2_method

    return {"tracks": asdict(sam2_method(sam2))}


def fingerprint(
    settings: SpeakersSettings, chosen: Models, words: WordsChoice, sam2: ModelFiles | None = None
) -> dict[str, Any]:
    """Say what the results depend on."""
    groups = (ModelSettings, WordSettings, SplitSettings, OldSettings, MaskSettings)
    apart = {item.name for group in groups for item in fields(group)}
    apart |= {"face_embedder", "lean"}  # ``lean`` is spelt out by others
    numbers = {item.name: getattr(settings, item.name) for item in fields(settings) if item.name not in apart}
    asked = {"sam2_when": settings.sam2_when, "masks": settings.masks} if sam2 is not None else {}
    return {
        "version": __version__,
        "settings": numbers | {"score_weighting": settings.score_weighting} | asked,
        "language": settings.language,
        "method": methods(settings, chosen, words, sam2),
    }


def as_arguments(chosen: Models, words: WordsChoice, sam2: ModelFiles | None = None) -> list[str]:
    """The words that make every lane choose the same; later words win over earlier ones."""
    masks = ["--sam2", str(sam2.folder)] if sam2 is not None else []
    if chosen.are_embedded:
        return ["--models", "embedded", *words.arguments, *masks]
    folders = {path.absolute().parent for path in chosen.paths.values()}
    where = ["--weights", str(folders.pop())] if len(folders) == 1 else []
    return ["--models", "full", "--face-embedder", embedder_of(chosen), *where, *words.arguments, *masks]


def fallback(settings: SpeakersSettings, chosen: Models, words: WordsChoice) -> str:
    """Say what is missing for the full models, and the ways out; empty where nobody needs to know."""
    found = []
    if settings.models == "auto" and chosen.are_embedded:
        found.append(
            f"{chosen.reason.splitlines()[0]}\n"
            "--models full says how to get the weights; --models embedded does all videos again without them."
        )
    if words.reason:
        found.append(
            f"{words.reason.splitlines()[0]}\n"
            "--words whisper says how to get the model; --words sidecar does all videos again without it."
        )
    return "\n".join(found)


def notices(settings: SpeakersSettings, chosen: Models, words: WordsChoice) -> list[str]:
    """Sentences for the user, before the first video."""
    found = [words.notice] if words.notice else []
    if settings.models == "auto" and chosen.are_embedded:
        found.append(
            f"{chosen.reason.splitlines()[0]}; so the embedded methods find faces and speakers, marked heuristic in "
            "all results. With --models full this says how to get the weights."
        )
    if not chosen.are_embedded and settings.face_embedder == "auto" and embedder_of(chosen) == "none":
        found.append(
            "The weights that tell faces apart (sface) are not here and cannot be fetched; so each face track is a "
            "person of its own. With --face-embedder sface this says how to get them."
        )
    if settings.follows_masks and not count_gpus():
        found.append(
            "SAM 2 runs on the processor here, where a picture takes seconds; on a GPU dozens take one second. "
            "--sam2-when never goes by boxes alone."
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
        "less": "Less is written with --frames shot, --frames none, --no-annotated or --no-crops; least with --lean.",
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
