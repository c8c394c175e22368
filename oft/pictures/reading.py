"""Pictures and id maps from files of any kind, decoded safely."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from jaxtyping import Integer
from PIL import Image, UnidentifiedImageError

from oft.pictures.colours import fit_transparency, to_rgb
from oft.pictures.errors import MAX_PIXELS, PictureError, PictureReason
from oft.types import ByteSource

# PIL, which may decode elsewhere too, has the same bound.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI", "HEIF")
"""What is decoded, whatever a file's suffix says, as far as Pillow was built for it; HEIF, which phones
write, with the package pillow-heif. PIL would hand others to programs outside (EPS)."""

# How formats begin that are not decoded: containers of ISO (films, and pictures of the brands below where
# they cannot be decoded here), JPEG XL, Photoshop, PostScript, PDF, OpenEXR, SVG.
_FOREIGN = re.compile(
    rb"....ftyp(?P<brand>....)|\xff\x0a|\0\0\0\x0cJXL |8BPS|%!PS|%PDF|v/1\x01|\s*<(?:\?xml|svg)", re.DOTALL
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIF", b"heix": "HEIF", b"hevc": "HEIF"}

_Value = TypeVar("_Value")

_ORIENTATION_TAG = 0x0112
_UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_source(source: ByteSource) -> IO[bytes]:
    """Return a readable stream of the bytes.

    Raises:
        FileNotFoundError: there is no such file.
        Exception: whatever reading a damaged Parquet file raises.
    """
    # Nothing but a plain file: opening a pipe would wait for ever.
    if isinstance(source, Path) and not os.path.isfile(source):
        raise FileNotFoundError(source)
    return source.open("rb")


def load_picture(source: ByteSource) -> Image.Image:
    """Return a picture as RGB, upright, without metadata; what is transparent becomes white.

    Colours are those that its colour profile means, in sRGB. Greyscale, palette, CMYK and 16-bit pictures are
    converted, pictures of floating point by the scale that nearly all of their values lie on; of an animation
    the first frame counts.

    Raises:
        PictureError: the file is missing, unreadable, truncated, too large or of values on no such scale.
    """
    image, turn = load_stored(source)
    return image if turn is None else image.transpose(turn)


def load_stored(source: ByteSource) -> tuple[Image.Image, Image.Transpose | None]:
    """Return what `load_picture` does, not yet upright, and the turn its EXIF asks for, if it does.

    Raises:
        PictureError: as `load_picture`.
    """

    def to_stored(image: Image.Image) -> tuple[Image.Image, Image.Transpose | None] | None:
        rgb = to_rgb(image)
        return None if rgb is None else (rgb, _UPRIGHT.get(_orientation(image)))

    return _decode(source, to_stored)


def load_labels(source: ByteSource, channel: int | None = None) -> Integer[np.ndarray, "h w"]:
    """Return an id map as whole numbers [height, width], exactly as stored.

    Args:
        source: a palette or greyscale picture, 8 or 16 bits deep; or an RGB one with ``channel`` given.
        channel: which channel holds the ids (2, the third, in DensePose's part maps); None for a map of one
            channel.

    Raises:
        PictureError: the file is missing, unreadable, truncated, too large or of another mode.
    """

    def to_labels(image: Image.Image) -> Integer[np.ndarray, "h w"] | None:
        array = np.asarray(image)
        if channel is not None:
            return array[..., channel].copy() if array.ndim == 3 and channel < array.shape[2] else None
        return array.copy() if array.ndim == 2 and np.issubdtype(array.dtype, np.integer) else None

    return _decode(source, to_labels)


def _decode(source: ByteSource, convert: Callable[[Image.Image], _Value | None]) -> _Value:
    """Return what a picture is converted to; one that gives None is of the wrong mode."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with open_source(source) as stream, Image.open(stream, formats=known_formats()) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise PictureError("too_large", source.name)
                fit_transparency(image)
                image.load()
                value = convert(image)
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise PictureError("missing", source.name) from error
    except UnidentifiedImageError as error:
        raise PictureError("unsupported" if _is_foreign(source) else "unreadable", source.name) from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise PictureError("too_large", source.name) from error
    except Exception as error:  # decoders raise anything on damaged data: OSError, SyntaxError, ...
        raise PictureError(_damage(str(error)), source.name) from error
    # Most warnings (odd EXIF entries, many in COCO) leave the picture whole; one about missing data does not.
    if any(_damage(str(warning.message)) == "truncated" for warning in caught):
        raise PictureError("truncated", source.name)
    if value is None:
        raise PictureError("wrong_mode", source.name)
    return value


@cache
def known_formats() -> tuple[str, ...]:
    """Return those of ``FORMATS`` that Pillow can decode here."""
    # Those that Pillow registers late; it knows none of a name before.
    from PIL import (  # noqa: F401
        AvifImagePlugin,
        Jpeg2KImagePlugin,
        QoiImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )

    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.preinit()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _is_foreign(source: ByteSource) -> bool:
    with open_source(source) as stream:
        match = _FOREIGN.match(stream.read(64))
    return match is not None and _BRANDS.get(match["brand"]) not in known_formats()


def _damage(message: str) -> PictureReason:
    return "truncated" if "truncated" in message.lower() else "unreadable"


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # damaged EXIF in a sound picture: it is shown as stored, as viewers do
        return 1
