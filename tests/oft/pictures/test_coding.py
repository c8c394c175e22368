"""The same pixels give the same bytes."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from oft.pictures import decode_array, encode_jpeg, encode_png


def test_encoded_bytes_depend_on_the_pixels_alone() -> None:
    values = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    bare, burdened = Image.fromarray(values), Image.fromarray(values)
    burdened.info = {"comment": b"taken on holiday", "icc_profile": b"x" * 200, "dpi": (300, 300)}
    assert encode_jpeg(bare, 95) == encode_jpeg(burdened, 95) == encode_jpeg(values, 95)
    assert encode_png(bare) == encode_png(burdened) == encode_png(values)
    assert burdened.info["dpi"] == (300, 300)


def test_png_is_lossless_and_jpeg_keeps_full_chroma_resolution() -> None:
    values = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decode_array(encode_png(values)), values)
    deep = np.random.default_rng(0).integers(0, 65536, (16, 16), dtype=np.uint16)
    np.testing.assert_array_equal(decode_array(encode_png(deep)), deep)
    with Image.open(io.BytesIO(encode_jpeg(values, 95))) as image:
        assert all(layer[1:3] == (1, 1) for layer in image.layer)  # type: ignore[attr-defined]
