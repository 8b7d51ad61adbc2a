"""SAM 2: objects followed as transformers follow them, in memory that does not grow; with a model of random weights."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.speakers.sam2_models import MEMORIES, POINTERS, SIZE, has_sam2, save_tiny
from vidfleet.errors import WeightsError
from vidfleet.speakers.hub import ModelFiles
from vidfleet.speakers.nets.sam2 import CORNERS, KEPT_PROMPTS, MEAN, STD, Sam2Segmenter, _as_pixels

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from vidfleet.speakers.boxes import Box

HEIGHT, WIDTH = 90, 160
needs_sam2 = pytest.mark.skipif(not has_sam2(), reason="PyTorch and transformers are not installed (extra sam2)")


def picture(number: int) -> NDArray[np.uint8]:
    """Colours that flow into each other, others in each picture."""
    import cv2

    coarse = np.random.default_rng(number).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT)), np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("sam2") / "tiny")


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> Sam2Segmenter:
    return Sam2Segmenter(ModelFiles("tiny", folder), threads=1)


class Alone:
    """One object followed by transformers alone, in a session that keeps everything; as their processor fills it."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        from transformers import Sam2VideoInferenceSession

        self.model, self.session = model, Sam2VideoInferenceSession(dtype=model.dtype)

    def push(self, number: int, box: Box | None) -> tuple[NDArray[np.bool_], float]:
        import torch

        if box is not None:
            corners = torch.tensor(box).float().reshape(1, 1, 2, 2) * torch.tensor([SIZE / WIDTH, SIZE / HEIGHT])
            given = {"point_coords": corners, "point_labels": torch.tensor([[CORNERS]], dtype=torch.int32)}
            self.session.add_point_inputs(self.session.obj_id_to_idx(7), number, given)
            self.session.obj_with_new_inputs = [7]
        pixels = _as_pixels(picture(number), self.model)
        found = self.model(inference_session=self.session, frame=pixels, frame_idx=number)
        large = torch.nn.functional.interpolate(found.pred_masks, (HEIGHT, WIDTH), mode="bilinear")
        return (large[0, 0] > 0).numpy(), float(found.object_score_logits)


@needs_sam2
def test_each_object_is_followed_as_by_transformers_alone(segmenter: Sam2Segmenter) -> None:
    """New ones begin at any picture, known ones are told again, and the others know nothing of either."""
    prompts: dict[int, dict[int, Box]] = {
        0: {1: (10, 10, 40, 50)},
        5: {2: (90, 20, 130, 70)},
        20: {1: (20, 12, 50, 52)},
    }
    following, alone = segmenter.begin(), {1: Alone(segmenter._model), 2: Alone(segmenter._model)}
    areas = set()
    for number in range(40):
        told = prompts.get(number, {})
        found = following.push(picture(number), told)
        assert set(found) == ({1, 2} if number >= 5 else {1})
        for name, mask in found.items():
            pixels, score = alone[name].push(number, told.get(name))
            assert mask.pixels.dtype == np.bool_
            assert mask.pixels.shape == (HEIGHT, WIDTH)
            np.testing.assert_array_equal(mask.pixels, pixels)
            assert mask.score == pytest.approx(score, abs=1e-5)
            areas.add(int(mask.pixels.sum()))
    assert len(areas) > 20, "masks that never change prove nothing"


@needs_sam2
def test_memory_does_not_grow_with_the_number_of_pictures(segmenter: Sam2Segmenter) -> None:
    """Not even where an object is told again and again."""
    following = segmenter.begin()
    sizes = []
    for number in range(320):
        boxes: dict[int, Box] = {1: (10, 10, 40, 50)} if number % 8 == 0 else {}
        if number == 3:
            boxes |= {2: (90, 20, 130, 70)}
        following.push(picture(number % 16), boxes)
        if number % 8 == 7:
            sizes.append(held(following))
    settled = sizes[(8 * KEPT_PROMPTS + POINTERS) // 8 :]
    assert min(settled, key=lambda size: size[0])[0] > 100_000
    assert len(set(settled)) == 1


@needs_sam2
def test_only_the_window_is_kept(segmenter: Sam2Segmenter) -> None:
    following = segmenter.begin()
    for number in range(30):
        following.push(picture(number), {1: (10, 10, 40, 50)} if number in {0, 2, 4, 6, 8, 20} else {})
    kept = following._objects[1].output_dict_per_obj[0]
    assert list(kept["cond_frame_outputs"]) == [0, 6, 8, 20]
    assert list(kept["non_cond_frame_outputs"]) == list(range(30 - POINTERS + 1, 30))
    remembered = [number for number, seen in kept["non_cond_frame_outputs"].items() if "maskmem_features" in seen]
    assert remembered == list(range(30 - MEMORIES + 1, 30))


@needs_sam2
def test_what_is_forgotten_leaves_no_trace(segmenter: Sam2Segmenter) -> None:
    both, one = segmenter.begin(), segmenter.begin()
    for number in range(12):
        told: dict[int, Box] = {1: (10, 10, 40, 50)} if number == 0 else {}
        first = both.push(picture(number), {**told, **({2: (90, 20, 130, 70)} if number == 2 else {})})
        second = one.push(picture(number), told)
        np.testing.assert_array_equal(first[1].pixels, second[1].pixels)
        assert set(first) == ({1, 2} if 2 <= number <= 6 else {1})
        if number == 6:
            both.forget([2, 99])
    assert held(both) == held(one)
    both.forget([1])
    assert both.push(picture(12), {}) == {}


@needs_sam2
def test_a_forgotten_number_begins_a_new_object(segmenter: Sam2Segmenter) -> None:
    again, fresh = segmenter.begin(), segmenter.begin()
    for number in range(4):
        again.push(picture(number), {1: (10, 10, 40, 50)} if number == 0 else {})
        assert fresh.push(picture(number), {}) == {}
    again.forget([1])
    for number in range(4, 8):
        told: dict[int, Box] = {1: (90, 20, 130, 70)} if number == 4 else {}
        first, second = again.push(picture(number), told), fresh.push(picture(number), told)
        np.testing.assert_array_equal(first[1].pixels, second[1].pixels)


@needs_sam2
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_compiled_parts_are_those_of_the_model(folder: Path, segmenter: Sam2Segmenter) -> None:
    """Compiling takes a minute, so here PyTorch is told to run what it would compile; benchmarks.sam2_speed does."""
    import torch

    compiled = Sam2Segmenter(ModelFiles("tiny", folder), threads=1, compiles=True)
    first, second = compiled.begin(), segmenter.begin()
    with torch.compiler.set_stance("force_eager"):
        for number in range(3):
            told: dict[int, Box] = {1: (10, 10, 40, 50)} if number == 0 else {}
            one, other = first.push(picture(number), told), second.push(picture(number), told)
            np.testing.assert_array_equal(one[1].pixels, other[1].pixels)


@needs_sam2
def test_pictures_are_seen_as_the_published_processor_shows_them(segmenter: Sam2Segmenter) -> None:
    from PIL import Image

    shown = picture(1)
    shown.flags.writeable = False  # as decoders give them
    small = Image.fromarray(np.ascontiguousarray(shown[..., ::-1])).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    expected = (np.asarray(small, np.float32) / 255 - MEAN) / STD
    seen = _as_pixels(shown, segmenter._model).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(seen, expected, atol=1.01 / 255 / min(STD))


@needs_sam2
def test_the_record_names_the_model_and_its_weights(folder: Path, segmenter: Sam2Segmenter) -> None:
    import hashlib

    assert segmenter.method.name == "SAM 2.1 hiera-tiny"
    assert segmenter.method.sha256 == hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


@needs_sam2
@pytest.mark.parametrize(
    "damage", ["cut short", "no weights", "a weight is missing", "other sizes", "no config", "no number"]
)
def test_a_damaged_model_is_named_with_what_mends_it(folder: Path, tmp_path: Path, damage: str) -> None:
    from safetensors.numpy import load_file, save_file

    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    weights.write_bytes((folder / "model.safetensors").read_bytes())
    config.write_bytes((folder / "config.json").read_bytes())
    if damage == "cut short":
        weights.write_bytes(weights.read_bytes()[:10_000])
    elif damage == "no weights":
        weights.unlink()
    elif damage == "a weight is missing":
        save_file({name: of for name, of in load_file(weights).items() if "no_memory" not in name}, weights)
    elif damage == "no number":
        config.write_text(json.dumps(json.loads(config.read_bytes()) | {"num_maskmem": "seven"}))
    elif damage == "other sizes":
        config.write_text(json.dumps(json.loads(config.read_bytes()) | {"mask_downsampler_embed_dim": 64}))
    else:
        config.unlink()
    with pytest.raises(WeightsError, match=r"(?s)model in .*--sam2 NAME"):
        Sam2Segmenter(ModelFiles("tiny", tmp_path), threads=1)


LOAD = """
import sys
sys.modules["torch"] = None  # what Python does for a module that is not there
from pathlib import Path
from vidfleet.errors import SetupError
from vidfleet.speakers.hub import ModelFiles
from vidfleet.speakers.nets.sam2 import Sam2Segmenter
try:
    Sam2Segmenter(ModelFiles("tiny", Path("nowhere")), threads=1)
except SetupError as error:
    print(error)
"""


def test_without_pytorch_the_message_has_the_command_that_installs_it() -> None:
    said = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True).stdout
    assert "pip install 'vidfleet[sam2]'" in said


def held(following: Any) -> tuple[int, int]:  # noqa: ANN401
    """Bytes of tensors that a segmentation holds, and how many tensors."""
    import torch

    storages, seen, rest = {}, set(), [following._objects]
    while rest:
        thing = rest.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, torch.Tensor):
            storages[thing.untyped_storage().data_ptr()] = thing.untyped_storage().nbytes()
        elif isinstance(thing, dict):
            rest += thing.values()
        elif isinstance(thing, list | tuple | set):
            rest += thing
        elif hasattr(thing, "__dict__"):
            rest += vars(thing).values()
    return sum(storages.values()), len(storages)
