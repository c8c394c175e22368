from __future__ import annotations

from pathlib import Path

import pytest

from miniature.world.acquire import WRITERS, render_dataset
from miniature.world.styles import STYLES
from oft.datasets import read
from oft.datasets.reader import RENDERED_SOURCES
from oft.datasets.registry import readers_of_sources
from oft.pictures import load_picture
from oft.types import Counts, Split


def render(reader: str, root: Path, seed: int = 3) -> dict[str, bytes]:
    render_dataset("world", reader, root, seed=seed, num_train_images=2, num_val_images=1, size_px=32)
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("reader", WRITERS)
def test_its_reader_finds_every_rendered_picture_with_caption_and_licence(
    reader: str, tmp_path: Path
) -> None:
    render(reader, tmp_path)
    sizes: dict[Split, int] = {"train": 2, "val": 1}
    for split, size in sizes.items():
        counts = Counts()
        examples = list(read(reader, tmp_path, split, counts))
        assert (len(examples), counts.seen, counts.dropped) == (size, size, {})
        assert all(example.captions and load_picture(example.image) for example in examples)
        # COCO's own caption file names a licence for each picture, in its own words.
        assert {example.licence for example in examples} == {"CC0 1.0"}
        assert all(example.annotation is not None for example in examples) == (reader != "coco")


def test_every_subject_has_the_asked_number_of_pictures(tmp_path: Path) -> None:
    render("dreambooth", tmp_path)
    examples = list(read("dreambooth", tmp_path, "train", Counts()))
    subjects = [example.key.rsplit("-", 1)[0] for example in examples]
    assert subjects and all(subjects.count(subject) == 2 for subject in subjects)
    assert {example.licence for example in examples} == {"CC0 1.0"}


@pytest.mark.parametrize("reader", [*WRITERS, "dreambooth"])
def test_files_follow_from_the_seed(reader: str, tmp_path: Path) -> None:
    once = render(reader, tmp_path / "once")
    assert render(reader, tmp_path / "again") == once
    assert render(reader, tmp_path / "other", seed=4) != once


@pytest.mark.parametrize("style", STYLES)
def test_a_style_is_read_back_with_captions_that_do_not_name_it(style: str, tmp_path: Path) -> None:
    render_dataset(
        f"world-{style}", "hub", tmp_path, seed=3, num_train_images=3, num_val_images=2, size_px=32
    )
    sizes: dict[Split, int] = {"train": 3, "val": 2}
    for split, size in sizes.items():
        examples = list(read("hub", tmp_path, split, Counts()))
        assert len(examples) == size
        assert all(example.captions and style not in example.captions[0] for example in examples)
        assert {example.licence for example in examples} == {"CC0 1.0"}


def test_params_know_what_the_world_renders() -> None:
    sources = readers_of_sources()
    assert set(sources["world"]) == {*WRITERS, "dreambooth"}
    assert {f"world-{style}" for style in STYLES} == set(RENDERED_SOURCES) - {"world"}
    assert all(sources[f"world-{style}"] == ("hub",) for style in STYLES)
