from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oft.acquire.sources import SOURCES
from oft.errors import DataError
from oft.params import parse_params
from oft.prepare.card_text import CARD_NAME, describe_card, render_card
from oft.prepare.cards import README_NAME, write_card
from oft.shards.shards import pack_sample, write_shards
from oft.storage import sha256_file, write_json
from oft.types import Counts
from tests.cards import origin_of

LICENCES = ("CC-BY-4.0", "CC-BY-4.0", "own | <b>")
Values = dict[str, Any]


def build(root: Path, values: Values, task: str = "canny_coco", licences: tuple[str, ...] = LICENCES) -> Path:
    """Write shards of three samples, what earlier stages counted, and the card; return the shards' folder."""
    tally = Counts(seen=4, kept=3)
    tally.drop("caption_missing", "/somewhere/of/someone/a.jpg")
    samples = [
        pack_sample(
            f"k{number}",
            np.full((8, 8, 3), 40 * number, np.uint8),
            meta={"captions": ["a house", "a home"], "licence": licence},
        )
        for number, licence in enumerate(licences)
    ]
    write_shards(samples, root / "shards", "train", 2, counts=tally)
    counts = {}
    for stage in ("acquire", "extract"):
        counts[stage] = root / f"{stage}.counts.json"
        write_json(counts[stage], {"train": tally.to_json()})
    write_card(root / "shards", task, origin_of(parse_params(values), task), counts)
    return root / "shards"


def read_card(folder: Path) -> Values:
    card: Values = json.loads((folder / CARD_NAME).read_text(encoding="utf-8"))
    return card


def test_photographers_are_named_with_their_licences_and_what_was_changed(
    tmp_path: Path, values: Values
) -> None:
    folder = build(tmp_path, values, "canny_photos")
    text = (folder / README_NAME).read_text(encoding="utf-8")
    for author in ("vultilion (Flickr)", "danielbuechele (Flickr)"):
        assert f"{author}, CC-BY-2.0 (https://creativecommons.org/licenses/by/2.0/)" in text
    assert "Stefan van der Walt, CC0-1.0" in text and "cropped and made smaller here" in text
    assert "Photographs by" not in describe_card(read_card(build(tmp_path / "other", values)))


def test_a_card_says_what_the_shards_hold_and_how_they_were_made(tmp_path: Path, values: Values) -> None:
    folder = build(tmp_path, values)
    card = read_card(folder)
    assert card["splits"]["train"] == {
        "licences": {"CC-BY-4.0": 2, "own | <b>": 1},
        "num_bytes": sum(path.stat().st_size for path in folder.glob("*.tar")),
        "num_captions": 6,
        "num_samples": 3,
        "num_shards": 2,
    }
    assert card["condition"] == {"name": "canny", "low_threshold": 100, "high_threshold": 200}
    assert card["captions"] == {"source": "own", "rule": "all", "template": "{caption}"}
    assert (card["dataset"], card["reader"], card["source"]) == ("coco", "coco", "world")
    assert card["index_sha256"] == sha256_file(folder / "index.json")
    assert list(card["counts"]) == ["acquire", "extract", "shard"]
    assert card["counts"]["shard"]["train"] == {"seen": 4, "kept": 3, "dropped": {"caption_missing": 1}}


def test_cards_of_equal_shards_are_equal_and_a_changed_picture_changes_them(
    tmp_path: Path, values: Values
) -> None:
    one, two = build(tmp_path / "one", values), build(tmp_path / "elsewhere" / "two", values)
    for name in (CARD_NAME, README_NAME):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    other = build(tmp_path / "three", values, licences=LICENCES[:2])
    assert read_card(one)["index_sha256"] != read_card(other)["index_sha256"]


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/somewhere/of/someone/pictures/flowers", "flowers"),
        ("~/flowers", "flowers"),
        ("../flowers", "flowers"),
        ("s3://bucket/flowers", "s3://bucket/flowers"),
    ],
)
def test_a_card_names_no_folder_of_this_machine(
    tmp_path: Path, values: Values, source: str, shown: str
) -> None:
    values["datasets"]["coco"]["acquire"]["source"] = source
    values["datasets"]["coco"]["captions"]["source"] = "/somewhere/of/someone/prompts.json"
    folder = build(tmp_path, values)
    card = read_card(folder)
    assert (card["source"], card["captions"]["source"]) == (shown, "prompts.json")
    for name in (CARD_NAME, README_NAME):
        text = (folder / name).read_text(encoding="utf-8")
        assert "someone" not in text and str(tmp_path) not in text


def test_a_card_names_a_network_only_where_it_made_the_condition(tmp_path: Path, values: Values) -> None:
    values["tasks"]["segm_coco"] = {"dataset": "coco", "condition": "segmentation"}
    given, found = (build(tmp_path / task, values, task) for task in ("segm_ade20k", "segm_coco"))
    assert read_card(given)["condition"] == {"name": "segmentation"}
    assert read_card(found)["condition"] == {"name": "segmentation", **values["conditions"]["segmentation"]}


def test_a_card_of_a_download_names_archives_checksums_and_terms_but_no_mirror(
    tmp_path: Path, values: Values
) -> None:
    values["datasets"]["coco"]["acquire"] |= {"source": "download", "mirror": "file:///home/someone"}
    folder = build(tmp_path, values)
    official = read_card(folder)["official"]
    text = (folder / README_NAME).read_text(encoding="utf-8")
    assert len(official["archives"]) == len(SOURCES["coco"].archives)
    for archive in SOURCES["coco"].archives:
        assert f"{archive.name} from {archive.address} ({archive.checksum})" in text
    assert SOURCES["coco"].terms in text and SOURCES["coco"].licence in text and "someone" not in text


def test_captions_by_a_network_name_it(tmp_path: Path, values: Values) -> None:
    values["datasets"]["coco"]["captions"]["source"] = "blip"
    values["blip"]["model"] = "/models/blip"
    assert read_card(build(tmp_path, values))["captions"]["blip"]["model"] == "blip"


def test_a_subject_has_neither_condition_nor_captions_of_its_data_set(tmp_path: Path, values: Values) -> None:
    folder = build(tmp_path, values, "subject_robot_toy")
    card = read_card(folder)
    assert card["subject"] == {"name": "robot_toy", "identifier": "sks"}
    assert not {"condition", "captions"} & card.keys()
    assert "robot_toy (identifier sks)" in (folder / README_NAME).read_text(encoding="utf-8")


def test_the_readme_says_what_the_card_does(tmp_path: Path, values: Values) -> None:
    folder = build(tmp_path, values)
    assert (folder / README_NAME).read_text(encoding="utf-8") == render_card(read_card(folder))


def test_missing_or_damaged_counts_are_named(tmp_path: Path, values: Values) -> None:
    folder = build(tmp_path, values)
    origin = origin_of(parse_params(values), "canny_coco")
    counts = {"acquire": tmp_path / "acquire.counts.json"}
    for content in ("[]", "{", '{"train": {"seen": 3}}'):
        counts["acquire"].write_text(content)
        with pytest.raises(DataError, match=r"acquire\.counts\.json is damaged"):
            write_card(folder, "canny_coco", origin, counts)
    counts["acquire"].unlink()
    with pytest.raises(DataError, match=r"no .*acquire\.counts\.json.*stage `acquire`"):
        write_card(folder, "canny_coco", origin, counts)
