"""A SAM 2 model of random weights, small enough for tests: the same code as the real ones run."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 128
"""Of its pictures; the real ones see 1024."""
HIDDEN = 128
"""More than the 64 channels of a memory, which transformers take for granted."""
MEMORIES, POINTERS = 3, 5
"""Pictures that it remembers; the real ones remember 7 and 16."""


def tiny_config() -> Any:  # noqa: ANN401
    """Three levels, one or two layers of everything."""
    from transformers import (
        Sam2HieraDetConfig,
        Sam2VideoConfig,
        Sam2VideoMaskDecoderConfig,
        Sam2VideoPromptEncoderConfig,
        Sam2VisionConfig,
    )

    seen = SIZE // 4
    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[SIZE, SIZE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[8, 4, 4, 4],
        global_attention_blocks=[3],
    )
    vision = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[seen, seen], [seen // 2, seen // 2], [seen // 4, seen // 4]],
        fpn_hidden_size=HIDDEN,
    )
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(hidden_size=HIDDEN, image_size=SIZE),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=HIDDEN, mlp_dim=64, num_hidden_layers=2, num_attention_heads=2, iou_head_hidden_dim=32
        ),
        image_size=SIZE,
        num_maskmem=MEMORIES,
        max_object_pointers_in_encoder=POINTERS,
        memory_attention_hidden_size=HIDDEN,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=64,
        memory_attention_rope_feat_sizes=[seen // 4, seen // 4],
        memory_encoder_hidden_size=HIDDEN,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=HIDDEN,
        memory_fuser_embed_dim=HIDDEN,
        memory_fuser_intermediate_dim=64,
    )


def tiny_model() -> Any:  # noqa: ANN401
    """The model, always the same. Its masks differ from picture to picture, and by what it remembers."""
    import torch
    from transformers import Sam2VideoModel

    torch.manual_seed(3)
    model = Sam2VideoModel(tiny_config())
    for weights in model.parameters():  # made anew, some are zero, and memory would count for nothing
        torch.nn.init.normal_(weights, std=0.3)
    return model.eval()


def save_tiny(folder: Path) -> Path:
    """Save the model as the published ones are."""
    tiny_model().save_pretrained(folder)
    return folder


def has_sam2() -> bool:
    """Whether PyTorch and transformers are here."""
    return all(find_spec(name) is not None for name in ("torch", "transformers"))
