"""Pictures as bytes, the same bytes every time, and back."""

from __future__ import annotations

import base64
import io
import zlib
from typing import Literal

import numpy as np
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray
from PIL import Image

from oft.pictures.geometry import Resample, prepare

Encodable = Image.Image | NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.bool_]


def encode_jpeg(image: Image.Image | UInt8[np.ndarray, "h w 3"], quality: int) -> bytes:
    """Return JPEG bytes at full chroma resolution (4:4:4), without metadata."""
    return _encode(image, "JPEG", quality=quality, subsampling=0)


def encode_png(image: Encodable) -> bytes:
    """Return PNG bytes without metadata: RGB, or one channel of 16, 8 (id maps, grey pictures) or 1 bit."""
    # Run lengths: for maps and drawings smaller files than zlib's search gives, and twice as fast; for
    # photographs the same size, four times as fast. Nor do they depend on how zlib was built.
    return _encode(image, "PNG", compress_level=1, compress_type=zlib.Z_RLE)


def decode_array(data: bytes) -> Shaped[np.ndarray, "h w *channels"]:
    """Return encoded bytes as an array: uint8 [height, width, 3], or [height, width] for one channel."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image).copy()


def decode_rgb(data: bytes) -> UInt8[np.ndarray, "h w 3"]:
    """Return an encoded picture of colours or greys, uint8 [height, width, 3]."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB")).copy()


def decode_square(
    data: bytes, side_px: int, resample: Resample = "lanczos"
) -> UInt8[np.ndarray, "{side_px} {side_px} 3"]:
    """Return the centre square of an encoded picture, uint8 [side, side, 3]; one of that size as it is."""
    return np.asarray(prepare(Image.fromarray(decode_rgb(data)), side_px, resample))


def data_uri(data: bytes, kind: Literal["png", "jpeg"]) -> str:
    """Return an encoded picture as an address that holds its bytes."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _encode(image: Encodable, file_format: str, **options: int) -> bytes:
    plain = image.copy() if isinstance(image, Image.Image) else Image.fromarray(image)
    plain.info = {}  # PIL would carry comments and colour profiles over
    buffer = io.BytesIO()
    plain.save(buffer, file_format, **options)
    return buffer.getvalue()
