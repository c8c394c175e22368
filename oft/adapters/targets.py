"""The layers that finetuning adapts in the UNet of Stable Diffusion unless settings name others."""

from __future__ import annotations

# Subject-driven generation: the eight attention linears of each transformer block.
UNET_SUBJECT_TARGETS = (
    "attn1.to_q",
    "attn1.to_k",
    "attn1.to_v",
    "attn1.to_out.0",
    "attn2.to_q",
    "attn2.to_k",
    "attn2.to_v",
    "attn2.to_out.0",
)

# Controllable generation: the first linear of the feed-forward (GEGLU) as well, nine in each block.
UNET_CONTROL_TARGETS = (*UNET_SUBJECT_TARGETS, "ff.net.0.proj")

# The attention of CLIP's text encoder, where it is trained too.
TEXT_ENCODER_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj")


def default_targets(*, with_condition: bool) -> tuple[str, ...]:
    """Return the endings of the adapted layers' names (arXiv 2306.07280, appendix A)."""
    return UNET_CONTROL_TARGETS if with_condition else UNET_SUBJECT_TARGETS
