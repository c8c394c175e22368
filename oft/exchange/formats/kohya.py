"""sd-scripts' ``networks.oft_v2``, which kohya's tools and what is built on them load."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oft.exchange.formats.format import Export, Format

if TYPE_CHECKING:
    from torch import nn

# The blocks of a UNet whose linear layers and convolutions it adapts (networks/orthogonal_common.py).
ADAPTED_BLOCKS = ("Transformer2DModel", "ResnetBlock2D", "Downsample2D", "Upsample2D")


def _reads(unet: nn.Module, name: str) -> bool:
    parts = name.split(".")
    above = (unet.get_submodule(".".join(parts[:depth])) for depth in range(1, len(parts)))
    return any(type(module).__name__ in ADAPTED_BLOCKS for module in above)


def _write(export: Export) -> list[str]:
    from oft.exchange.series import write_series

    return write_series(export, "sd-scripts", _reads, {"ss_network_module": "networks.oft_v2"})


FORMAT = Format(
    name="kohya",
    program="kohya's sd-scripts (networks.oft_v2)",
    loads="`--network_module networks.oft_v2 --network_weights out.safetensors`",
    exactness="its series of five terms, fitted; refused above 1e-3 of the effect; no magnitudes",
    makes="file",
    precisions=("fp32", "fp16"),
    takes=("strength", "allow_error"),
    write=_write,
)
