"""Colours as a screen shows them: of any mode, depth, profile and transparency to RGB of 8 bits."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

# The bulk of a floating-point picture's values, how far it may lie outside of their scale, and how far up it
# must reach on that at least, both as shares of the scale.
_BULK_PERCENT = (1, 99)
_SCALE_SLACK = 0.1
_DARKEST = 1 / 16


def fit_transparency(image: Image.Image) -> None:
    """Bring the grey or colour that a PNG has for transparent to 8 bits, as Pillow will bring its pixels."""
    key = image.info.get("transparency")
    if key is None or not isinstance(image, PngImagePlugin.PngImageFile):
        return
    match image.tile[0].args:
        case "L;2":
            image.info["transparency"] = key * 85
        case "L;4":
            image.info["transparency"] = key * 17
        case "RGB;16B":
            image.info["transparency"] = tuple(level >> 8 for level in key)


def to_rgb(image: Image.Image) -> Image.Image | None:
    """Return a picture's colours; None where its values lie on no scale of a picture's."""
    profile = image.info.get("icc_profile")
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.int64)
        if not 0 <= (highest := levels.max()) < 1 << 16:
            return None
        transparent = image.info.get("transparency")
        eight_bits = levels if highest <= 255 and image.mode == "I" else levels >> 8
        image = Image.fromarray(eight_bits.clip(0, 255).astype(np.uint8))
        if transparent is not None:
            image.putalpha(Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    elif image.mode == "F":
        values = np.asarray(image)
        scale = _float_scale(values)
        if scale is None:
            return None
        # Nothing of infinities and of what is no number is left to the cast.
        levels = np.nan_to_num(values * (255 / scale)).clip(0, 255).round()
        image = Image.fromarray(levels.astype(np.uint8))
    image = _to_srgb(image, profile)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    plain = image.convert("RGB")
    plain.info = {}
    return plain


def _float_scale(values: NDArray[np.floating]) -> int | None:
    """Return what white is in a picture of floating point, 1, 255 or 65535; None where it is none of them.

    A few values may lie outside: highlights, what a resampling rings, marks for what was not measured. A
    picture that would be all but black on its scale lies on another: linear light above 1, 10 bits.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = np.percentile(finite, _BULK_PERCENT)
    for white in (1, 255, 65535):
        if high <= white * (1 + _SCALE_SLACK):
            is_on_it = low >= -white * _SCALE_SLACK and (white == 1 or high >= white * _DARKEST)
            return white if is_on_it else None
    return None


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture's colours in sRGB, as programs show it; as stored where its profile is of no use."""
    if not profile:
        return image
    if image.mode == "P":
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode in ("L", "RGB") and image.has_transparency_data:
        image = image.convert(f"{image.mode}A")
    colours = image.mode.removesuffix("A")
    transform = _profile_transform(profile, colours)
    if transform is None:
        return image
    shown: Image.Image = transform.apply(image.convert(colours))
    if image.mode != colours:
        shown.putalpha(image.getchannel("A"))
    return shown


@lru_cache(maxsize=16)
def _profile_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what brings colours of a mode from a profile to sRGB; None for sRGB and damaged profiles."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent(ImageCms.getDefaultIntent(source)),
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # viewers show such a picture as stored
        return None
    if mode != "RGB":
        return transform
    # Profiles of sRGB differ in their last digits: what moves no level by more than rounding is one.
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    moved = np.asarray(transform.apply(Image.fromarray(colours))).astype(int)
    return None if np.abs(moved - colours).max() <= 1 else transform
