"""Files of any kind and any damage: a picture, or a reason why not."""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oft.pictures import PictureError, load_labels, load_picture

from .conftest import PNG_START, png_chunk, reason_of


def png_header(width_px: int, height_px: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return PNG_START + b"".join(png_chunk(*chunk) for chunk in chunks)


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


def test_a_damaged_picture_of_a_container_that_is_read_is_unreadable(tmp_path: Path) -> None:
    greys = np.arange(256, dtype=np.uint8).reshape(8, 32)
    Image.fromarray(greys).save(tmp_path / "a.avif")
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
    monkeypatch.setattr("oft.pictures.reading.MAX_PIXELS", 100)
    assert load_picture(path).size == (10, 10)
    monkeypatch.setattr("oft.pictures.reading.MAX_PIXELS", 99)
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
