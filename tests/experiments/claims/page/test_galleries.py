from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.claims.findings import Cell, Findings, Gallery, GalleryRow
from experiments.claims.page.galleries import view_gallery
from oft.errors import DataError
from oft.pictures import decode_rgb


def gallery_of(cell: Cell) -> Gallery:
    row = GalleryRow("000", "a red house", {"oft": cell})
    return Gallery("one", "One", "samples", (("oft", "OFT"), ("lora", "LoRA")), (row,))


@pytest.mark.parametrize(
    ("size", "shown", "is_enlarged"),
    [((64, 64), (128, 128), True), ((24, 16), (120, 80), True), ((128, 96), (128, 96), False),
     ((200, 100), (200, 100), False), ((512, 300), (256, 150), False)],
)  # fmt: skip
def test_pictures_are_enlarged_by_whole_factors(
    size: tuple[int, int], shown: tuple[int, int], is_enlarged: bool, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    cell, missing = view_gallery(gallery_of(Cell("a.png", score=0.5)), tmp_path).rows[0][1]
    assert cell is not None and missing is None
    picture = cell.picture
    assert ((picture.width, picture.height), picture.is_enlarged) == (shown, is_enlarged)
    assert (picture.alt, cell.found, cell.score) == ("OFT: a red house", None, "0.50")
    held = decode_rgb(base64.b64decode(picture.src.partition(",")[2]))
    if max(size) <= 128:
        assert np.array_equal(held, pixels)  # the very pixels
    else:
        assert held.shape[:2] == shown[::-1]


def test_lossless_webp_is_kept_as_it_is(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.webp", lossless=True)
    [[cell, _]] = [cells for _, cells in view_gallery(gallery_of(Cell("a.webp")), tmp_path).rows]
    assert cell is not None
    kind, _, data = cell.picture.src.partition(";base64,")
    assert kind == "data:image/webp"
    assert base64.b64decode(data) == (tmp_path / "a.webp").read_bytes()


def test_what_is_no_picture_of_the_findings_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "findings"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    with pytest.raises(DataError, match="in their folder"):
        view_gallery(gallery_of(Cell("../secret.png")), folder)
    with pytest.raises(DataError, match=r"none\.png: missing"):
        view_gallery(gallery_of(Cell("none.png")), folder)


def test_conditions_found_again_say_in_what(findings: Findings, folder: Path) -> None:
    [gallery] = [one for one in findings.galleries if one.name == "canny_coco"]
    view = view_gallery(replace(gallery, rows=gallery.rows[:1]), folder)
    assert view.has_found
    for (_, title), cell in zip(gallery.columns, view.rows[0][1], strict=True):
        assert cell is not None and cell.picture.alt.startswith(f"{title}: ")
        assert (cell.found is not None) == (title not in ("condition", "target"))
        assert cell.found is None or cell.found.alt == f"Found again in it, {cell.picture.alt}"
