"""What is said of a video names what really computed it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vidfleet.speakers.media.decoder import Decoding
from vidfleet.speakers.ran_on import describe, devices_of
from vidfleet.speakers.settings import SpeakersSettings
from vidfleet.speakers.stages import Stages, load

if TYPE_CHECKING:
    from pathlib import Path

ALL = ("sound", "words", "pictures", "faces", "scores")


@pytest.fixture(scope="module")
def embedded() -> Stages:
    return load(SpeakersSettings(models="embedded", words="none"), threads=1, device="cpu")


def test_networks_decoder_and_threads_are_named(weights: Path) -> None:
    stages = load(SpeakersSettings(models="full", weights=weights, words="none"), threads=2, device="cpu")
    said = describe(stages, Decoding(codec="h264"), threads=2, ran=ALL)
    assert said.startswith("Pictures: h264 decoded on the processor. Networks: YuNet, LR-ASD pretrain_AVA and ")
    assert said.endswith(" on CPUExecutionProvider, 2 threads.")
    stages = replace(stages, device="cuda")
    assert " on CUDAExecutionProvider, 1 thread." in describe(stages, Decoding(), threads=1, ran=ALL)
    stages = replace(stages, device="cpu", trouble="no GPU here")
    assert " on CPUExecutionProvider (no GPU here), 1 thread." in describe(stages, Decoding(), threads=1, ran=ALL)


def test_without_networks_that_is_said(embedded: Stages) -> None:
    said = describe(embedded, Decoding("cuda", codec="h264"), threads=1, ran=ALL)
    assert said == (
        "Pictures: h264 decoded on the GPU. "
        "Networks: none, OpenCV haarcascade_frontalface_alt2 and mouth motion on the processor, 1 thread."
    )


def test_what_was_not_done_is_not_said(embedded: Stages) -> None:
    assert describe(embedded, Decoding(), threads=1, ran=("telling",)) == ""
    said = describe(embedded, Decoding(codec="vp9"), threads=1, ran=("telling", "drawn_pictures"))
    assert said == "Pictures: vp9 decoded on the processor."


def test_each_stage_has_the_device_that_ran_it(embedded: Stages) -> None:
    devices = devices_of(replace(embedded, device="cuda"), Decoding("cuda", codec="mpeg4"))
    assert (devices["faces"], devices["pictures"], devices["words"]) == ("cuda", "cpu", "cpu")
