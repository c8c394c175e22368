"""Colours of any mode, profile, depth and transparency as a screen shows them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from oft.pictures import load_picture

from .conftest import PNG_START, png_chunk, reason_of


def colour_profile(kind: bytes, **tags: bytes) -> bytes:
    """An ICC profile (version 2.4) of a display with these tags; see ICC.1:2001-04."""
    body, table = b"", struct.pack(">I", len(tags))
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name.encode() + struct.pack(">II", start + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    illuminant = xyz(0.9642, 1.0, 0.8249)[8:]
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"none", 0x02400000, b"mntr", kind, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + illuminant
    return header.ljust(128, b"\0") + table + body


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * value) for value in values))


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * value))


# sRGB's primaries, adapted to the profile's white.
RED, GREEN, BLUE = xyz(0.4361, 0.2225, 0.0139), xyz(0.3851, 0.7169, 0.0971), xyz(0.1431, 0.0606, 0.7141)
WHITE = xyz(0.9642, 1.0, 0.8249)


def display(red: bytes, green: bytes, blue: bytes, curve: float) -> bytes:
    curves = {f"{channel}TRC": gamma(curve) for channel in "rgb"}
    return colour_profile(b"RGB ", wtpt=WHITE, rXYZ=red, gXYZ=green, bXYZ=blue, **curves)


COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [128, 128, 128]]], dtype=np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_colours_are_those_that_the_profile_means(tmp_path: Path, name: str) -> None:
    options: dict[str, Any] = {"lossless": True} if name == "a.webp" else {}
    swapped = display(BLUE, GREEN, RED, 2.2)
    Image.fromarray(COLOURS).save(tmp_path / name, icc_profile=swapped, **options)
    shown = np.asarray(load_picture(tmp_path / name)).astype(int)
    expected = COLOURS[..., ::-1].astype(int)
    assert np.abs(shown - expected).max() <= 2
    assert not load_picture(tmp_path / name).info


def test_light_that_is_stored_linearly_is_shown_as_srgb_shows_it(tmp_path: Path) -> None:
    """IEC 61966-2-1: 1.055 x^(1/2.4) - 0.055."""
    grey = np.full((2, 2), 64, dtype=np.uint8)
    expected = 255 * (1.055 * (64 / 255) ** (1 / 2.4) - 0.055)
    linear = display(RED, GREEN, BLUE, 1.0)
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(tmp_path / "rgb.png", icc_profile=linear)
    Image.fromarray(grey).save(
        tmp_path / "grey.png", icc_profile=colour_profile(b"GRAY", wtpt=WHITE, kTRC=gamma(1))
    )
    for name in ("rgb.png", "grey.png"):
        assert np.abs(np.asarray(load_picture(tmp_path / name)) - expected).max() <= 1.5, name


def test_what_is_transparent_is_white_under_a_profile_too(tmp_path: Path) -> None:
    swapped = display(BLUE, GREEN, RED, 2.2)
    opaque = Image.fromarray(COLOURS)
    cut = opaque.copy()
    cut.putalpha(Image.fromarray(np.array([[0, 255], [255, 255]], dtype=np.uint8)))
    palette = opaque.quantize(4)
    cut.save(tmp_path / "rgba.png", icc_profile=swapped)
    palette.save(tmp_path / "palette.png", icc_profile=swapped)
    shown = np.asarray(load_picture(tmp_path / "rgba.png"))
    assert shown[0, 0].tolist() == [255, 255, 255] and shown[1, 0].tolist() == [255, 0, 0]
    assert np.abs(np.asarray(load_picture(tmp_path / "palette.png"))[1, 0] - [255.0, 0, 0]).max() <= 2


def test_a_profile_of_srgb_or_a_damaged_one_changes_no_value(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    of_greys = colour_profile(b"GRAY", wtpt=WHITE, kTRC=gamma(1))
    for profile in (srgb, b"no profile", srgb[:200], of_greys):
        Image.fromarray(values).save(tmp_path / "a.png", icc_profile=profile)
        np.testing.assert_array_equal(np.asarray(load_picture(tmp_path / "a.png")), values)


def test_transparency_becomes_white(tmp_path: Path) -> None:
    Image.new("RGBA", (3, 3), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("LA", (3, 3), (0, 0)).save(tmp_path / "grey.png")
    palette = Image.new("P", (3, 3), 0)
    palette.save(tmp_path / "palette.png", transparency=0)
    for name in ("clear", "grey", "palette"):
        assert (np.asarray(load_picture(tmp_path / f"{name}.png")) == 255).all(), name


def test_greyscale_cmyk_bitmap_and_16_bits_become_rgb(tmp_path: Path) -> None:
    Image.new("L", (3, 3), 77).save(tmp_path / "grey.png")
    Image.new("1", (3, 3), 1).save(tmp_path / "bits.png")
    Image.new("CMYK", (16, 16), (0, 0, 0, 0)).save(tmp_path / "cmyk.jpg")
    Image.fromarray(np.full((3, 3), 0x4D4D, dtype=np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.full((3, 3), 77 / 255 + 1e-4, dtype=np.float32)).save(tmp_path / "float.tif")
    expected = {"grey.png": 77, "bits.png": 255, "cmyk.jpg": 255, "deep.png": 77, "float.tif": 77}
    for name, value in expected.items():
        image = load_picture(tmp_path / name)
        assert image.mode == "RGB" and (np.asarray(image) == value).all(), name


GREYS = np.arange(256, dtype=np.uint8).reshape(8, 32)


def greys_of(path: Path, values: np.ndarray) -> np.ndarray:
    Image.fromarray(values).save(path)
    loaded = np.asarray(load_picture(path))
    assert (loaded == loaded[..., :1]).all()
    return loaded[..., 0]


@pytest.mark.parametrize("white", [1, 255, 65535])
@pytest.mark.parametrize("outlier", [None, 1.02, 9.0, -3.0, np.inf, -np.inf, np.nan])
def test_floating_point_is_shown_on_the_scale_of_nearly_all_values(
    tmp_path: Path, white: int, outlier: float | None
) -> None:
    values = (GREYS / 255 * white).astype(np.float32)
    expected = GREYS.copy()
    if outlier is not None:
        values[3, 4] = outlier * white
        expected[3, 4] = 255 if outlier > 0 else 0
    np.testing.assert_array_equal(greys_of(tmp_path / "a.tif", values), expected)


@pytest.mark.parametrize(
    "values",
    [
        GREYS / np.float32(127.5) - 1,
        GREYS.astype(np.float32) * 1000,
        GREYS / np.float32(100),
        np.full((4, 4), np.nan, np.float32),
        GREYS.astype(np.int32) << 20,
        GREYS.astype(np.int32) - 300,
    ],
    ids=["around zero", "beyond 16 bits", "light above 1", "no number", "32 bits", "negative"],
)
def test_values_on_no_scale_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    Image.fromarray(values.astype(values.dtype)).save(tmp_path / "a.tif")
    assert reason_of(lambda: load_picture(tmp_path / "a.tif")) == "wrong_mode"


def test_whole_numbers_are_shown_as_those_of_8_or_16_bits(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 1 << 16, (8, 32))
    deep[0, :2] = 0, 65535
    np.testing.assert_array_equal(greys_of(tmp_path / "a.png", deep.astype(np.uint16)), deep >> 8)
    np.testing.assert_array_equal(greys_of(tmp_path / "b.tif", deep.astype(np.int32)), deep >> 8)
    np.testing.assert_array_equal(greys_of(tmp_path / "c.tif", GREYS.astype(np.int32)), GREYS)
    np.testing.assert_array_equal(greys_of(tmp_path / "d.png", GREYS.astype(np.uint16)), GREYS >> 8)


@pytest.mark.parametrize(
    ("depth", "colour", "pixels", "key", "expected"),
    [
        (16, 0, ">2H 60000 600", ">H 60000", [255, 2]),
        (16, 0, ">2H 60000 60001", ">H 60001", [234, 255]),
        (16, 2, ">6H 60000 1000 300 600 600 600", ">3H 60000 1000 300", [255, 2]),
        (8, 0, ">2B 100 10", ">H 100", [255, 10]),
        (4, 0, ">B 163", ">H 10", [255, 51]),
        (2, 0, ">B 144", ">H 2", [255, 85]),
    ],
)
def test_the_grey_or_colour_that_a_png_has_for_transparent_becomes_white(
    tmp_path: Path, depth: int, colour: int, pixels: str, key: str, expected: list[int]
) -> None:
    """PNG's specification, 11.3.2: the key has the depth that pixels are stored with."""

    def packed(text: str) -> bytes:
        form, *values = text.split()
        return struct.pack(form, *map(int, values))

    header = struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0)
    chunks = {
        b"IHDR": header,
        b"tRNS": packed(key),
        b"IDAT": zlib.compress(b"\0" + packed(pixels)),
        b"IEND": b"",
    }
    (tmp_path / "a.png").write_bytes(PNG_START + b"".join(png_chunk(*chunk) for chunk in chunks.items()))
    assert np.asarray(load_picture(tmp_path / "a.png"))[0].tolist() == [[grey] * 3 for grey in expected]
