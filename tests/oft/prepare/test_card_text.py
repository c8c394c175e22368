from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard

from oft.prepare.card_text import describe_card, render_card

Card = dict[str, Any]


@pytest.fixture
def card() -> Card:
    def split(num_samples: int, licences: dict[str, int]) -> Card:
        num_shards = -(-num_samples // 1000)
        return {
            "licences": licences,
            "num_bytes": 10240 * num_shards,
            "num_captions": 5 * num_samples,
            "num_samples": num_samples,
            "num_shards": num_shards,
        }

    return {
        "task": "canny_coco",
        "dataset": "coco",
        "reader": "coco",
        "source": "photos of mine",
        "resolution_px": 512,
        "prepare": {"fit": "crop", "flip": True},
        "condition": {"name": "canny", "low_threshold": 100},
        "captions": {"rule": "all", "template": "{caption}, naruto style"},
        "splits": {"train": split(1200, {"CC BY 4.0": 1200}), "val": split(0, {})},
        "index_sha256": "0" * 64,
        "counts": {"shard": {"train": {"seen": 1201, "kept": 1200, "dropped": {"caption_missing": 1}}}},
    }


def test_the_readme_is_a_card_of_the_hub(card: Card, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(render_card(card), encoding="utf-8")
    readme = DatasetCard.load(tmp_path / "README.md")
    front = readme.data.to_dict()
    assert (front["pretty_name"], front["size_categories"]) == (
        "canny_coco: own folder “coco”, in COCO's layout",
        ["1K<n<10K"],
    )
    # A split without a shard is no split of the hub.
    assert front["configs"][0]["data_files"] == [{"split": "train", "path": "train-*.tar"}]
    assert "| shard | train | 1,201 | 1,200 | 1 caption missing |" in readme.text


@pytest.mark.parametrize(
    ("licences", "known"),
    [
        ({"CC0 1.0": 3}, "cc0-1.0"),
        ({"CC-BY-4.0": 3}, "cc-by-4.0"),
        ({"my own": 3}, "other"),
        ({"mit": 1, "CC0-1.0": 1}, "other"),
        ({"mit": 1, "my own": 1}, "other"),
        ({}, "other"),
    ],
)
def test_a_licence_is_the_hub_s_where_there_is_one_that_it_knows(
    card: Card, licences: dict[str, int], known: str
) -> None:
    card["splits"]["train"]["licences"] = licences
    assert DatasetCard(render_card(card)).data.to_dict()["license"] == known


def test_words_of_a_card(card: Card) -> None:
    assert describe_card(card) == {
        "Data set": "own folder “coco”, in COCO's layout (copied from “photos of mine”; coco in the "
        "settings, read as coco)",
        "Condition": "canny (low_threshold 100)",
        "Pictures": "resolution_px 512, fit crop, flip yes",
        "Captions": "rule all, template “{caption}, naruto style”",
        "Split train": "samples 1,200, captions 6,000, shards 2, bytes 20,480",
        "Split val": "samples 0, captions 0, shards 0, bytes 0",
        "Licences": "CC BY 4.0 (1,200)",
        "Index, SHA-256": "0" * 64,
    }


def test_a_rendered_data_set_is_never_called_by_the_name_of_its_layout(card: Card) -> None:
    readme = DatasetCard(render_card(card | {"source": "world"}))
    assert readme.data.to_dict()["pretty_name"] == "canny_coco: miniature world, in COCO's layout"
    assert "# canny_coco: miniature world, in COCO's layout" in readme.text
    assert "no picture of the published data set is in it" in readme.text
    assert describe_card(card | {"source": "download"})["Data set"].startswith("COCO (the official archives")


def test_other_people_s_words_stay_in_their_cell(card: Card) -> None:
    card["splits"]["train"]["licences"] = {"a | b\n\n<script>": 1200}
    assert "| Licences | a \\| b  &lt;script> (1,200) |" in render_card(card).splitlines()
