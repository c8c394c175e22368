"""The UNet's layers under the names of the original Latent Diffusion code, and under diffusers'.

Stable Diffusion 1 and 2. Both count the same blocks: LDM in one list that ends each resolution with a
down- or upsampler, diffusers in a list for each resolution.
"""

from __future__ import annotations

import re

PREFIX = re.compile(r"^(model\.)?diffusion_model\.")


def diffusers_name(name: str, layers_per_block: int) -> str | None:
    """Return diffusers' name of a layer inside a transformer, given LDM's; None for any other layer.

    ``input_blocks.4.1.transformer_blocks.0.attn1.to_q`` is
    ``down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q`` where a resolution has two blocks.

    Args:
        name: with or without the prefix ``model.diffusion_model.``.
        layers_per_block: of the UNet's configuration in diffusers.
    """
    name = PREFIX.sub("", name)
    match = re.match(r"^(input_blocks|output_blocks)\.(\d+)\.1\.(transformer_blocks\..+)$", name)
    if match is None:
        middle = re.match(r"^middle_block\.1\.(transformer_blocks\..+)$", name)
        return f"mid_block.attentions.0.{middle[1]}" if middle else None
    side, index, rest = match[1], int(match[2]), match[3]
    # The input side counts conv_in as its block 0 and a downsampler as the last of a resolution; a resolution
    # of the output side has one block more than layers_per_block.
    counted = index - 1 if side == "input_blocks" else index
    block, layer = divmod(counted, layers_per_block + 1)
    if counted < 0 or (side == "input_blocks" and layer == layers_per_block):
        return None
    return f"{'down' if side == 'input_blocks' else 'up'}_blocks.{block}.attentions.{layer}.{rest}"
