"""A condition and a reader from outside the tree: declared here, used like those that ship with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oft.conditions import CONDITIONS, Condition
from oft.datasets import READERS, Reader
from oft.errors import ParamsError
from oft.params import Params, parse_params
from oft.prepare.checking import check_dataset
from oft.prepare.extraction import extract_split
from oft.settings.section import Section
from oft.shards.shards import Sample, decode_condition, decode_image, decode_labels
from oft.types import Annotation, Counts, Example, Split
from tests.layouts import save_labels, save_picture

NUM_PICTURES = 12  # more than one chunk of work: processes have part in it
MASK = Annotation("mask", "labels", num_labels=2)


class PosterSettings(Section):
    levels: int


def extract_poster(image: NDArray[np.uint8], levels: int = 2) -> NDArray[np.uint8]:
    return image // (256 // levels) * (256 // levels)


def extract_silhouette(mask: NDArray[np.integer]) -> NDArray[np.uint8]:
    return np.repeat((mask * 255).astype(np.uint8)[..., None], 3, axis=2)


def read_cutouts(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    for path in sorted(root.glob(f"{split}/*.png")):
        counts.seen += 1
        mask = root / "masks" / path.name
        yield Example(path.stem, path, mask, ("a shape",), split, "CC0 1.0")


POSTER = Condition("poster", settings=PosterSettings, extract=extract_poster)
SILHOUETTE = Condition("silhouette", annotation=MASK, extract=extract_silhouette, keeps_labels=True)
CUTOUTS = Reader("cutouts", "pictures with masks", read_cutouts, brings=(MASK,))


@pytest.fixture
def cutouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of the new layout, with the new components in their registries."""
    for component, registry in ((POSTER, CONDITIONS), (SILHOUETTE, CONDITIONS), (CUTOUTS, READERS)):
        monkeypatch.setitem(registry, component.name, component)
    for index in range(NUM_PICTURES):
        save_picture(tmp_path / "train" / f"{index:02d}.png", index, height_px=32, width_px=32)
        save_labels(tmp_path / "masks" / f"{index:02d}.png", 1, 32, 32, seed=index)
    return tmp_path


def new_values(values: dict[str, Any], condition: str, reader: str = "cutouts") -> dict[str, Any]:
    values["conditions"] |= {"poster": {"levels": 4}, "silhouette": {}}
    values["datasets"]["photos"] |= {"reader": reader, "num_train_images": 0}
    values["datasets"]["photos"]["acquire"]["source"] = "/data/cutouts"
    values["tasks"]["new"] = {"dataset": "photos", "condition": condition}
    return values


def extract(root: Path, params: Params) -> list[Sample]:
    task = params.tasks["new"]
    settings, dataset = params.condition_settings(task), params.datasets[task.dataset]
    return list(extract_split(dataset, task.condition, settings, root, "train", 32, 95, Counts()))


def test_pictures_of_a_new_layout_get_a_new_condition(cutouts: Path, values: dict[str, Any]) -> None:
    samples = extract(cutouts, parse_params(new_values(values, "poster")))
    assert len(samples) == NUM_PICTURES
    for sample in samples:
        condition = decode_condition(sample)
        assert condition is not None and set(np.unique(condition)) <= {0, 64, 128, 192}
        assert np.abs(condition.astype(int) - decode_image(sample)).mean() < 64


def test_a_new_condition_is_made_from_what_a_new_reader_brings(cutouts: Path, values: dict[str, Any]) -> None:
    samples = extract(cutouts, parse_params(new_values(values, "silhouette")))
    assert len(samples) == NUM_PICTURES
    for sample in samples:
        condition, mask = decode_condition(sample), decode_labels(sample)
        assert condition is not None and mask is not None and mask.any()
        np.testing.assert_array_equal(condition[..., 0], mask * 255)


def test_settings_and_needs_of_new_components_are_checked(cutouts: Path, values: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match=r"silhouette needs maps, which reader image_folder .* cutouts"):
        parse_params(new_values(values, "silhouette", "image_folder"))
    values["conditions"]["poster"] = {"levels": "four"}
    with pytest.raises(ParamsError, match=r"conditions\.poster\.levels: .*'four'"):
        parse_params(values)


def test_a_folder_of_a_new_layout_can_be_checked(cutouts: Path) -> None:
    (cutouts / "masks" / "01.png").write_bytes(b"no picture")
    counts = check_dataset("cutouts", cutouts, condition="silhouette")["train"]
    assert (counts.seen, counts.kept, list(counts.dropped)) == (
        NUM_PICTURES,
        NUM_PICTURES - 1,
        ["annotation_unreadable"],
    )
