"""From stored pictures to a judge's input, as ``preprocessor_config.json`` beside its weights asks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from oft.errors import CheckpointError
from oft.evaluation.checks import check_pictures

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor

CONFIG_NAME = "preprocessor_config.json"
PROCESSOR_CONFIG_NAME = "processor_config.json"
"""Where transformers 5 puts the same keys, under ``image_processor``, when a whole processor is saved."""

INTERPOLATIONS: dict[int, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}
"""PIL's numbers, as the file gives them."""


@dataclass(frozen=True)
class Preprocessing:
    """What a judge wants of its pictures.

    Attributes:
        mean, std: per channel, of values in 0..1.
        resize_px: (height, width); or the length of the shorter edge, shape kept; or None: as they are.
        crop_px: (height, width) of a centre crop after resizing, or None.
        interpolation: of the resizing, which is antialiased.
    """

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    resize_px: tuple[int, int] | int | None = None
    crop_px: tuple[int, int] | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"


def read_preprocessing(folder: Path) -> Preprocessing:
    """Return what ``preprocessor_config.json`` in ``folder`` asks for; the defaults where there is none.

    Raises:
        CheckpointError: the file is damaged, or asks for what is not supported.
    """
    for name in (CONFIG_NAME, PROCESSOR_CONFIG_NAME):
        source = folder / name
        if not source.is_file():
            continue
        try:
            config = json.loads(source.read_text(encoding="utf-8"))
            return parse_preprocessing(config.get("image_processor", config))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"{source}: image_mean and image_std must be 3 numbers (std above 0), size and crop_size "
                f"whole pixels, resample one of {sorted(INTERPOLATIONS)}; {type(error).__name__}: {error}. "
                "Restore the file from where the weights came from"
            ) from error
    return Preprocessing()


def parse_preprocessing(config: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing that the keys of transformers' image processors describe.

    Keys: image_mean, image_std, size, resample, do_resize, do_normalize, do_center_crop, crop_size.

    Raises:
        KeyError, TypeError, ValueError: a value of another form.
    """
    default = Preprocessing()
    mean, std = default.mean, default.std
    if not config.get("do_normalize", True):
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    else:
        mean, std = _triple(config.get("image_mean", mean)), _triple(config.get("image_std", std))
    if min(std) <= 0:
        raise ValueError(f"image_std {std}")
    crops = bool(config.get("do_center_crop", False))
    resize_px: tuple[int, int] | int | None = None
    if config.get("size") is not None and config.get("do_resize", True):
        resize_px = _size(config["size"], whole_number_is_edge=crops)
    crop_px: tuple[int, int] | None = None
    if crops and config.get("crop_size") is not None:
        crop_size = _size(config["crop_size"], whole_number_is_edge=False)
        if isinstance(crop_size, int):
            raise ValueError(f"crop_size {config['crop_size']}")
        crop_px = crop_size
    resample = config.get("resample")
    interpolation = default.interpolation if resample is None else INTERPOLATIONS[resample]
    return Preprocessing(mean, std, resize_px, crop_px, interpolation)


def prepare_pictures(
    pictures: UInt8[np.ndarray, "n height width 3"], preprocessing: Preprocessing, device: torch.device
) -> Float[Tensor, "n 3 rows columns"]:
    """Return the judge's float32 input on ``device``: resized, cropped, and normalised per channel.

    Raises:
        DataError: ``pictures`` is not a uint8 RGB stack.
    """
    check_pictures(pictures)
    values = torch.tensor(np.ascontiguousarray(pictures), device=device).permute(0, 3, 1, 2).float() / 255
    height, width = values.shape[-2:]
    target = preprocessing.resize_px
    if isinstance(target, int):
        target = (round(height * target / min(height, width)), round(width * target / min(height, width)))
    if target is not None and target != (height, width):
        values = torch.nn.functional.interpolate(
            values, size=target, mode=preprocessing.interpolation, align_corners=False, antialias=True
        ).clamp(0, 1)  # bicubic overshoots
    if preprocessing.crop_px is not None:
        rows, columns = preprocessing.crop_px
        top, left = max(values.shape[-2] - rows, 0) // 2, max(values.shape[-1] - columns, 0) // 2
        values = values[..., top : top + rows, left : left + columns]
    mean = torch.tensor(preprocessing.mean, device=device).view(3, 1, 1)
    std = torch.tensor(preprocessing.std, device=device).view(3, 1, 1)
    return (values - mean) / std


def prepare_batches(
    pictures: UInt8[np.ndarray, "n height width 3"],
    preprocessing: Preprocessing,
    batch_size: int,
    device: torch.device,
) -> Iterator[Float[Tensor, "batch 3 rows columns"]]:
    """Yield the judge's input in order, ``batch_size`` pictures at a time."""
    assert batch_size > 0, batch_size
    for start in range(0, len(pictures), batch_size):
        yield prepare_pictures(pictures[start : start + batch_size], preprocessing, device)


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


def _size(size: Any, *, whole_number_is_edge: bool) -> tuple[int, int] | int:
    """(height, width), or the shorter edge: transformers has stored sizes in several forms."""
    pixels: tuple[int, int] | int
    if isinstance(size, int):
        pixels = size if whole_number_is_edge else (size, size)
    elif "shortest_edge" in size:
        pixels = int(size["shortest_edge"])
    else:
        pixels = (int(size["height"]), int(size["width"]))
    if min(pixels if isinstance(pixels, tuple) else (pixels,)) < 1:
        raise ValueError(f"size {size}")
    return pixels
