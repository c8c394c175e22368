from __future__ import annotations

from pathlib import Path

import numpy as np

from flows.requests.gallery import render_page, write_gallery
from oft.pictures import decode_rgb, encode_png
from oft.shards.samples import write_samples
from oft.storage import read_json
from oft.types import Request


def test_a_gallery_shows_every_picture_with_its_prompt_and_is_the_same_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = [
        (Request(key, index, f"prompt {key}", 7), rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        for key in ("p00", "p01")
        for index in range(2)
    ]
    write_samples(tmp_path / "samples" / "0.tar", drawn)
    previews = [
        write_gallery(tmp_path / "samples", {"b": 0.123456, "a": {"n": 2}}, "title", tmp_path / name)
        for name in ("one", "two")
    ]
    assert previews[0] == previews[1]
    files = {
        path.relative_to(tmp_path / "one"): path.read_bytes() for path in (tmp_path / "one").rglob("*.*")
    }
    assert len(files) == 4 + 3
    assert all((tmp_path / "two" / name).read_bytes() == content for name, content in files.items())
    page = (tmp_path / "one" / "index.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 4 and "0.1235" in page
    assert page.index("prompt p00") < page.index("prompt p01")
    described = read_json(tmp_path / "one" / "prompts.json")
    assert {str(tmp_path / "one" / name) for name in described} == {
        str(path) for path in (tmp_path / "one" / "pictures").iterdir()
    }


def test_a_conditioning_image_stands_before_the_pictures_drawn_for_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = {key: rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for key in ("a", "b", "unused")}
    drawn = [(Request(key, index, f"prompt {key}", 7), images["a"]) for key in "ab" for index in range(2)]
    write_samples(tmp_path / "samples" / "0.tar", drawn)
    conditions = {key: encode_png(image) for key, image in images.items()}
    for name, given in (("plain", {}), ("control", conditions)):
        write_gallery(tmp_path / "samples", {}, "title", tmp_path / name, given)
    target = tmp_path / "control"
    assert {path.name for path in (target / "conditions").iterdir()} == {"a.png", "b.png"}
    assert (decode_rgb((target / "conditions" / "b.png").read_bytes()) == images["b"]).all()
    page = (target / "index.html").read_text(encoding="utf-8")
    places = [
        page.index(f'"{name}"') for name in ("conditions/b.png", "pictures/b-0.png", "pictures/b-1.png")
    ]
    assert places == sorted(places)
    described = read_json(target / "prompts.json")
    assert described["pictures/a-1.png"] == {"prompt": "prompt a", "seed": 7, "condition": "conditions/a.png"}
    widths = [
        decode_rgb((tmp_path / name / "grid.png").read_bytes()).shape[1] for name in ("plain", "control")
    ]
    assert widths[0] < widths[1]


def test_text_in_a_page_is_text() -> None:
    page = render_page("<b>", [], {"<script>": "<img>"})
    assert "<b>" not in page and "<script>" not in page and "&lt;script&gt;" in page
