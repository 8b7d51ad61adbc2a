"""SAM 2.1 models of the published shapes, with random weights: how fast a network is does not depend on their values.

The shapes are those that ``facebook/sam2.1-hiera-*`` were made with, ``get_config`` in transformers'
``models/sam2_video/convert_sam2_video_to_hf.py`` (huggingface/transformers, commit 09cb93d8); what is not named here is
transformers' default, of which that file makes use, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_HEADS = [2, 4, 8, 16]
BACKBONES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "small": {"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]},
    "base-plus": {
        "hidden_size": 112,
        "embed_dim_per_stage": [112, 224, 448, 896],
        "num_attention_heads_per_stage": _HEADS,
        "blocks_per_stage": [2, 3, 16, 3],
        "global_attention_blocks": [12, 16, 20],
        "window_positional_embedding_background_size": [14, 14],
    },
    "large": {
        "hidden_size": 144,
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "num_attention_heads_per_stage": _HEADS,
        "blocks_per_stage": [2, 6, 36, 4],
        "global_attention_blocks": [23, 33, 43],
        "window_positional_embedding_background_size": [7, 7],
        "window_size_per_stage": [8, 4, 16, 8],
    },
}
"""What differs between the four, by name."""
PUBLISHED_BYTES = {"tiny": 155_908_064, "small": 184_305_280, "base-plus": 323_476_296, "large": 897_897_416}
"""Of model.safetensors as published; what is made here must be as large to the byte."""


def save_random(name: str, folder: Path) -> Path:
    """Make the model of that shape with random weights and save it as the published ones are."""
    import torch
    from transformers import Sam2HieraDetConfig, Sam2VideoConfig, Sam2VideoModel, Sam2VisionConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    backbone = Sam2HieraDetConfig(**BACKBONES[name])
    widths = list(reversed(BACKBONES[name].get("embed_dim_per_stage", [96, 192, 384, 768])))
    vision = Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=widths)
    torch.manual_seed(0)
    Sam2VideoModel(Sam2VideoConfig(vision_config=vision)).save_pretrained(folder)
    return folder
