"""What computed a video: a sentence for its log, and a word for each line of ``time_log.jsonl``.

It is said of what ran, not of what was planned: a GPU's decoder or ONNX Runtime's CUDA provider may turn out to be
missing, and then the processor does it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vidfleet.speakers.nets.session import CUDA, PROCESSOR

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from vidfleet.speakers.media.decoder import Decoding
    from vidfleet.speakers.nets.session import Device
    from vidfleet.speakers.stages import Stages


def devices_of(stages: Stages, decoding: Decoding) -> Mapping[str, Device]:
    """By the stage's name in ``time_log.jsonl``; those that are not here run on the processor alone."""
    networks = dict.fromkeys(("faces", "scores", "identity"), stages.device)
    if stages.segmenter is not None:
        networks["masks"] = stages.segmenter.device
    return {**networks, "pictures": decoding.on, "drawn_pictures": decoding.on, "words": stages.words.device}


def describe(stages: Stages, decoding: Decoding, *, threads: int, ran: Collection[str]) -> str:
    """One line; only of the stages that ran, by their names in ``time_log.jsonl``."""
    said = []
    if not {"pictures", "drawn_pictures"}.isdisjoint(ran):
        said.append(f"Pictures: {decoding}.")
    if "faces" in ran:
        said.append(f"Networks: {_networks(stages)}, {threads} {'thread' if threads == 1 else 'threads'}.")
    if "masks" in ran and stages.segmenter is not None:
        where = "the GPU" if stages.segmenter.device == "cuda" else "the processor"
        said.append(f"Masks: {stages.segmenter.method.name} on {where}.")
    if "words" in ran and stages.words.method.sha256:
        where = "the GPU" if stages.words.device == "cuda" else "the processor"
        said.append(f"Words: {stages.words.method.name} on {where}.")
    return " ".join(said)


def _networks(stages: Stages) -> str:
    methods = [stages.detector.method, stages.active_speaker.method]
    methods += [stages.embedder.method] if stages.embedder is not None else []
    names = [method.name for method in methods if not method.is_heuristic]
    if not names:
        return f"none, {' and '.join(method.name.removeprefix('heuristic: ') for method in methods)} on the processor"
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    why = f" ({stages.trouble})" if stages.trouble else ""
    return f"{listed} on {CUDA if stages.device == 'cuda' else PROCESSOR}{why}"
