"""SAM 2 as Hugging Face's transformers run it: objects are followed through pictures as these come.

transformers keep what was seen for as long as a video lasts, cannot let go of an object, and take the masks of all
objects for drawn by hand in a picture where one is. So each object has a session of its own here, as in the authors'
code since December 2024; they share what the picture looks like; and what no later picture asks for is dropped.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from vidfleet.errors import SetupError, WeightsError
from vidfleet.speakers.masks.sam2_files import sam2_method
from vidfleet.speakers.masks.segmenter import ObjectMask

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from vidfleet.speakers.boxes import Box
    from vidfleet.speakers.data import Method
    from vidfleet.speakers.hub import ModelFiles
    from vidfleet.speakers.nets.session import Device

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of red, green and blue, as in preprocessor_config.json of all published SAM 2 models."""
CORNERS = (2, 3)
"""The labels of a box's upper left and lower right corner among prompting points."""
KEPT_PROMPTS = 4
"""Pictures in which an object was prompted and that are kept, the first and the newest: all are attended to, and each
costs as much as a picture of memory."""
COMPILED = ("vision_encoder", "memory_attention", "memory_encoder", "mask_decoder")
"""The parts of the model that torch.compile is given."""
_VARYING = frozenset({"memory_attention"})
"""Parts whose inputs change in size: memory grows until its window is full."""


class Sam2Segmenter:
    """A SAM 2 model, ready to follow objects; see :class:`~vidfleet.speakers.masks.segmenter.Segmenter`.

    ``threads`` is what PyTorch may use in this process where it computes on the processor. Raises
    :class:`~vidfleet.errors.SetupError` where PyTorch or transformers are missing or see no GPU that was asked for,
    and :class:`~vidfleet.errors.WeightsError` where the folder holds no sound model.
    """

    def __init__(self, files: ModelFiles, *, threads: int, device: Device = "cpu", compiles: bool = False) -> None:
        self._files = files
        self.device = device
        """Where it computes."""
        self._model = load_sam2(files.folder, threads=threads, device=device)
        if compiles:
            compile_parts(self._model)

    @property
    def method(self) -> Method:
        """See :class:`~vidfleet.speakers.masks.segmenter.Segmenter`."""
        return sam2_method(self._files)

    def begin(self) -> Sam2Segmentation:
        """See :class:`~vidfleet.speakers.masks.segmenter.Segmenter`."""
        return Sam2Segmentation(self._model)


class Sam2Segmentation:
    """The objects of one shot; see :class:`~vidfleet.speakers.masks.segmenter.Segmentation`."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401 - torch has no types that are looked at
        self._model = model
        self._memories = int(model.config.num_maskmem)
        self._pointers = max(int(model.config.max_object_pointers_in_encoder), self._memories)
        self._looks = _new_session(model).cache
        self._objects: dict[int, Any] = {}
        self._number = -1

    def push(self, picture: NDArray[np.uint8], prompts: Mapping[int, Box]) -> dict[int, ObjectMask]:
        """See :class:`~vidfleet.speakers.masks.segmenter.Segmentation`."""
        self._number += 1
        if not self._objects and not prompts:
            return {}
        import torch

        with torch.inference_mode():
            for number, box in prompts.items():
                self._prompt(number, box, picture.shape[:2])
            pixels = _as_pixels(picture, self._model)
            found = [self._follow(session, pixels) for session in self._objects.values()]
            masks = _full_size(torch.cat([logits for logits, _ in found]), picture.shape[:2])
            scores = torch.cat([score.flatten() for _, score in found]).float().tolist()
        return {
            number: ObjectMask(mask, score)
            for number, mask, score in zip(self._objects, masks, scores, strict=True)
        }  # fmt: skip

    def forget(self, objects: Collection[int]) -> None:
        """See :class:`~vidfleet.speakers.masks.segmenter.Segmentation`."""
        for number in objects:
            self._objects.pop(number, None)

    def _prompt(self, number: int, box: Box, size: tuple[int, ...]) -> None:
        """Say where an object is in the picture that comes."""
        import torch

        session = self._objects.get(number)
        if session is None:
            session = self._objects[number] = _new_session(self._model)
            session.cache = self._looks
        height, width = size
        scale = torch.tensor([self._model.image_size / width, self._model.image_size / height])
        corners = {
            "point_coords": torch.tensor(box, dtype=torch.float32).reshape(1, 1, 2, 2) * scale,
            "point_labels": torch.tensor([[CORNERS]], dtype=torch.int32),
        }
        session.add_point_inputs(session.obj_id_to_idx(0), self._number, corners)
        session.obj_with_new_inputs = [0]

    def _follow(self, session: Any, pixels: Any) -> tuple[Any, Any]:  # noqa: ANN401
        """The logits (1, 1, height, width) of an object's mask, as small as the model makes them, and its score."""
        found = self._model(inference_session=session, frame=pixels, frame_idx=self._number)
        self._drop_old(session)
        return found.pred_masks, found.object_score_logits

    def _drop_old(self, session: Any) -> None:  # noqa: ANN401
        """Leave what the next picture asks for: prompts, memories of some pictures, pointers of some more."""
        session.processed_frames.clear()
        session.point_inputs_per_obj[0].clear()
        session.frames_tracked_per_obj[0].clear()
        kept = session.output_dict_per_obj[0]
        prompted, followed = kept["cond_frame_outputs"], kept["non_cond_frame_outputs"]
        for seen in (prompted, followed):
            if now := seen.get(self._number):  # of full size; what is remembered of them is encoded
                del now["high_res_masks"], now["pred_masks"]
        for number in sorted(prompted)[1 : 1 - KEPT_PROMPTS]:
            del prompted[number]
        following = self._number + 1
        for number in [number for number in followed if following - number >= self._memories]:
            if following - number >= self._pointers:
                del followed[number]
            elif "maskmem_features" in followed[number]:
                del followed[number]["maskmem_features"], followed[number]["maskmem_pos_enc"]


def load_sam2(folder: Path, *, threads: int, device: Device) -> Any:  # noqa: ANN401
    """The model of a folder, on its device: in float32 on the processor, in bfloat16 on a GPU, as its authors do.

    Raises as :class:`Sam2Segmenter`.
    """
    torch, transformers = _libraries()
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is built without CUDA"
        raise SetupError(
            f"SAM 2 was asked for on a GPU, but PyTorch {torch.__version__} sees none; it {built}.\n"
            "https://pytorch.org/get-started/locally has the command that installs one that fits the driver here."
        )
    try:
        model, told = transformers.Sam2VideoModel.from_pretrained(
            str(folder),
            dtype=torch.bfloat16 if device == "cuda" else torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (
        OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError, StrictDataclassError,
    ) as error:  # fmt: skip
        raise WeightsError(
            f"The SAM 2 model in {folder} cannot be loaded: {str(error).strip().partition(chr(10))[0]}\n"
            "Fetch it again, or give another: --sam2 NAME or --sam2 DIR."
        ) from error
    other = {name for name, *_ in told["mismatched_keys"]}
    if missing := sorted(told["missing_keys"] | other):  # transformers fill them with noise
        raise WeightsError(
            f"The SAM 2 model in {folder} lacks {len(missing)} of the weights that its config.json asks for, "
            f"such as {missing[0]}.\n"
            "Fetch it again, or give another: --sam2 NAME or --sam2 DIR."
        )
    return model.to(device).eval().requires_grad_(requires_grad=False)


def compile_parts(model: Any, parts: Sequence[str] = COMPILED) -> None:  # noqa: ANN401
    """Have parts of a model compiled when they are first used, which takes a minute and more."""
    for name in parts:
        getattr(model, name).compile(dynamic=True if name in _VARYING else None)


def _libraries() -> tuple[Any, Any]:
    """PyTorch and transformers. Raises SetupError where one is missing or broken."""
    # Read when OpenMP is loaded with PyTorch. Threads that spin while they wait take the cores of other lanes: 60 small
    # pictures on two threads of a busy machine took 90 s and 20 core-seconds, without spinning 6 and 2.2.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import torch
        import transformers
        from transformers.utils import logging

        transformers.Sam2VideoModel  # noqa: B018 - looked up, and its module loaded, only now
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise SetupError(
            f"SAM 2 needs PyTorch and transformers: {str(error).strip().partition(chr(10))[0]}\n"
            "This installs them:\n"
            "    pip install 'vidfleet[sam2]'"
        ) from error
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return torch, transformers


def _new_session(model: Any) -> Any:  # noqa: ANN401
    from transformers import Sam2VideoInferenceSession

    return Sam2VideoInferenceSession(
        inference_device=model.device,
        inference_state_device=model.device,
        video_storage_device=model.device,
        dtype=model.dtype,
    )


def _as_pixels(picture: NDArray[np.uint8], model: Any) -> Any:  # noqa: ANN401
    """A picture (height, width, 3) in BGR as the model takes it: (3, size, size), red first, normalised."""
    import torch

    whole = np.ascontiguousarray(picture)
    there = torch.from_numpy(whole if whole.flags.writeable else whole.copy()).to(model.device)
    pixels = there.permute(2, 0, 1)[None].flip(1).float()
    size = (model.image_size, model.image_size)
    small = torch.nn.functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
    mean, deviation = (torch.tensor(of, device=model.device).reshape(3, 1, 1) * 255 for of in (MEAN, STD))
    return ((small[0] - mean) / deviation).to(model.dtype)


def _full_size(logits: Any, size: tuple[int, ...]) -> NDArray[np.bool_]:  # noqa: ANN401
    """Masks (objects, height, width) from logits (objects, 1, small, small)."""
    import torch

    large = torch.nn.functional.interpolate(logits.float(), size, mode="bilinear", align_corners=False)
    masks: NDArray[np.bool_] = (large[:, 0] > 0).cpu().numpy()
    return masks
