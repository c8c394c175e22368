from __future__ import annotations

import io
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from oft import pictures
from oft.conditions.ade20k_classes import colourise
from oft.errors import DataError
from oft.pictures import (
    PictureError,
    decode_array,
    encode_jpeg,
    encode_png,
    load_labels,
    load_picture,
    pad_to_square,
    prepare,
    prepare_labels,
)

SIZES = [(24, 32), (33, 17), (64, 64), (8, 8), (101, 150)]


PNG_START = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width_px: int, height_px: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return PNG_START + b"".join(png_chunk(*chunk) for chunk in chunks)


def reason_of(call: Callable[[], object]) -> str:
    with pytest.raises(PictureError) as caught:
        call()
    assert isinstance(caught.value, DataError) and caught.value.name in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    "form", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI"]
)
@pytest.mark.parametrize("suffix", [".jfif", ".heic", ""])
def test_a_picture_is_told_by_its_content(tmp_path: Path, form: str, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    Image.new("RGB", (16, 8), "red").save(path, form)
    loaded = np.asarray(load_picture(path)).astype(int)
    assert loaded.shape == (8, 16, 3) and np.abs(loaded - (255, 0, 0)).max() < 10


@pytest.mark.parametrize(
    "start",
    [
        b"\0\0\0\x18ftypheic\0\0\0\0",
        b"\0\0\0\x0cJXL \r\n\x87\n",
        b"8BPS\0\1",
        b"%PDF-1.7",
        b"<svg/>",
        b"%!PS-Adobe",
    ],
)
def test_a_format_that_is_not_read_is_told_from_a_broken_file(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(start + bytes(64))
    assert reason_of(lambda: load_picture(tmp_path / "a.jpg")) == "unsupported"


def test_a_colour_picture_is_loaded_as_stored(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(load_picture(tmp_path / "a.png")), values)


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


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored))
    np.testing.assert_array_equal(np.asarray(load_picture(tmp_path / "a.png")), expected)


def test_damaged_exif_leaves_a_sound_picture(tmp_path: Path) -> None:
    image = Image.new("RGB", (9, 9), "red")
    image.save(tmp_path / "a.jpg", exif=b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xffgarbage")
    assert load_picture(tmp_path / "a.jpg").size == (9, 9)


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


def test_a_damaged_picture_of_a_container_that_is_read_is_unreadable(tmp_path: Path) -> None:
    Image.fromarray(GREYS).save(tmp_path / "a.avif")
    for share in (0.1, 0.3):
        data = (tmp_path / "a.avif").read_bytes()
        (tmp_path / "b.avif").write_bytes(data[: int(len(data) * share)])
        assert reason_of(lambda: load_picture(tmp_path / "b.avif")) == "unreadable"


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tif"])
def test_damaged_files_give_a_reason_and_no_bare_error(
    tmp_path: Path, save_picture: Callable[..., Path], truncate: Callable[..., Path], suffix: str
) -> None:
    for share in (0.02, 0.3, 0.6, 0.95):
        path = truncate(save_picture(tmp_path / f"a.{suffix}", height_px=64, width_px=64), share)
        try:
            load_picture(path)
        except PictureError as error:
            assert error.reason in ("truncated", "unreadable")
        else:  # the cut may fall into padding or an optional trailer
            assert share == 0.95


def test_reasons(tmp_path: Path, save_picture: Callable[..., Path], truncate: Callable[..., Path]) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not a picture")
    cut = truncate(save_picture(tmp_path / "cut.jpg", height_px=200, width_px=200))
    assert reason_of(lambda: load_picture(tmp_path / "nowhere.jpg")) == "missing"
    assert reason_of(lambda: load_picture(tmp_path)) == "missing"
    assert reason_of(lambda: load_picture(tmp_path / "empty.jpg")) == "unreadable"
    assert reason_of(lambda: load_picture(tmp_path / "text.jpg")) == "unreadable"
    assert reason_of(lambda: load_picture(cut)) == "truncated"


@pytest.mark.parametrize("side_px", [15_000, 21_000, 60_000])
def test_a_bomb_is_refused_from_its_header(tmp_path: Path, side_px: int) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(side_px, side_px))
    assert reason_of(lambda: load_picture(tmp_path / "bomb.png")) == "too_large"


def test_the_bound_is_inclusive(
    tmp_path: Path, save_picture: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_picture(tmp_path / "a.png", height_px=10, width_px=10)
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    assert load_picture(path).size == (10, 10)
    monkeypatch.setattr(pictures, "MAX_PIXELS", 99)
    assert reason_of(lambda: load_picture(path)) == "too_large"


def test_the_error_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(PictureError("truncated", "a.jpg")))
    assert (error.reason, error.name, str(error)) == (
        "truncated",
        "a.jpg",
        str(PictureError("truncated", "a.jpg")),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_id_maps_are_loaded_exactly(tmp_path: Path, dtype: type) -> None:
    ids: np.ndarray = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (5, 7)).astype(dtype)
    Image.fromarray(ids).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_labels(tmp_path / "a.png"), ids)


def test_a_palette_map_gives_ids_not_colours(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 151, (5, 7), dtype=np.uint8)
    image = Image.fromarray(ids).convert("P")
    image.putpalette(list(range(255, -1, -1)) * 3)
    image.putdata(ids.ravel().tolist())
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_labels(tmp_path / "a.png"), ids)


def test_a_channel_of_an_rgb_map_is_picked(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 25, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_labels(tmp_path / "a.png", channel=2), values[..., 2])
    assert reason_of(lambda: load_labels(tmp_path / "a.png")) == "wrong_mode"
    assert reason_of(lambda: load_labels(tmp_path / "a.png", channel=3)) == "wrong_mode"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resolution_px", [8, 33, 64])
def test_prepare_and_prepare_labels_commute_with_colourise(size: tuple[int, int], resolution_px: int) -> None:
    labels = np.random.default_rng(0).integers(0, 151, size, dtype=np.uint8)
    coloured = prepare(Image.fromarray(colourise(labels)), resolution_px, "nearest")
    prepared = prepare_labels(labels, resolution_px).astype(np.uint8)
    np.testing.assert_array_equal(colourise(prepared), np.asarray(coloured))


@pytest.mark.parametrize("size", SIZES)
def test_padding_commutes_with_colourise_and_keeps_the_picture(size: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(0, 151, size, dtype=np.uint8)
    padded = pad_to_square(labels)
    assert padded.shape == (max(size), max(size))
    np.testing.assert_array_equal(colourise(padded), pad_to_square(colourise(labels)))
    top, left = ((max(size) - length) // 2 for length in size)
    np.testing.assert_array_equal(padded[top : top + size[0], left : left + size[1]], labels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_prepared_labels_keep_their_type_and_make_no_new_id(dtype: type) -> None:
    labels: np.ndarray = np.random.default_rng(0).choice([0, 3, 120, 127], (40, 50)).astype(dtype)
    prepared = prepare_labels(labels, 16)
    assert prepared.dtype == dtype and prepared.shape == (16, 16)
    assert set(np.unique(prepared)) <= {0, 3, 120, 127}


def test_16_bit_ids_survive_preparation() -> None:
    labels = np.random.default_rng(0).integers(0, 65536, (30, 30), dtype=np.uint16)
    np.testing.assert_array_equal(prepare_labels(labels, 30), labels)


@pytest.mark.parametrize("resample", ["lanczos", "area", "nearest", Image.Resampling.BICUBIC])
def test_prepare_takes_the_centre_square(resample: Image.Resampling) -> None:
    values = np.zeros((20, 60, 3), dtype=np.uint8)
    values[:, 20:40] = (10, 200, 30)
    prepared = prepare(Image.fromarray(values), 10, resample)
    assert prepared.size == (10, 10)
    assert (np.asarray(prepared) == (10, 200, 30)).all()


def test_area_resampling_averages() -> None:
    values = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    means = values.reshape(8, 4, 8, 4, 3).mean(axis=(1, 3))
    prepared = np.asarray(prepare(Image.fromarray(values), 8, "area"))
    np.testing.assert_allclose(prepared, means, atol=1.01)  # rounded after each of two passes


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
