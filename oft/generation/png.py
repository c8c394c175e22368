"""PNG files that say how they were drawn, to people, to readers of AUTOMATIC1111's form and to programs."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from oft.errors import DataError
from oft.schedulers import SCHEDULERS
from oft.storage import atomic_file

READABLE, WHOLE = "parameters", "oft"
"""Text chunks: what AUTOMATIC1111's page and others show, and all settings as JSON."""

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class DrawnPicture:
    """A picture and the settings that gave it.

    Attributes:
        pixels: uint8 [height, width, 3].
        settings: ``prompt``, ``negative_prompt``, ``scheduler``, ``num_inference_steps``, ``guidance_scale``,
            ``seed``, ``base`` (name and hash), ``adapters`` and more, see ``oft.generation.drawing``.
    """

    pixels: UInt8[np.ndarray, "h w 3"]
    settings: Settings

    def write(self, target: Path) -> None:
        """Write the PNG, whole or not at all; equal pictures and settings give equal bytes."""
        chunks = PngInfo()
        chunks.add_text(READABLE, readable(self.settings, self.pixels.shape))
        chunks.add_text(WHOLE, json.dumps(self.settings, sort_keys=True))
        buffer = io.BytesIO()
        # As oft.pictures.encode_png has it: small, quick, the same however zlib was built.
        image = Image.fromarray(self.pixels)
        image.save(buffer, "PNG", pnginfo=chunks, compress_level=1, compress_type=zlib.Z_RLE)
        with atomic_file(target) as partial:
            partial.write_bytes(buffer.getvalue())


def readable(settings: Settings, shape: tuple[int, ...]) -> str:
    """Return settings in the form that AUTOMATIC1111 writes and many programs read back."""
    lines = [settings["prompt"]]
    if settings["negative_prompt"]:
        lines.append(f"Negative prompt: {settings['negative_prompt']}")
    fields: dict[str, Any] = {
        "Steps": settings["num_inference_steps"],
        "Sampler": SCHEDULERS[settings["scheduler"]].title,
        "CFG scale": settings["guidance_scale"],
        "Seed": settings["seed"],
        "Size": f"{shape[1]}x{shape[0]}",
        "Model hash": settings["base"]["hash"][:10],
        "Model": settings["base"]["name"],
    }
    if settings.get("noise") is not None:
        fields["Denoising strength"] = settings["noise"]
    for adapter in settings["adapters"]:
        fields[f"Adapter {adapter['path']}"] = adapter["strength"]
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in fields.items())])


def read_settings(source: Path) -> dict[str, Any]:
    """Return the settings that a picture of `DrawnPicture` was drawn with.

    Raises:
        DataError: it has none.
    """
    try:
        with Image.open(source, formats=["PNG"]) as image:
            image.load()
            settings: dict[str, Any] = json.loads(image.text[WHOLE])  # type: ignore[attr-defined]
    except (OSError, LookupError, ValueError) as fault:
        raise DataError(f"{source}: must be a PNG that `oft generate` wrote, with its settings") from fault
    return settings
