"""Every layout goes through the data stages, from a folder of the user's own to shards."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oft.errors import DataError
from oft.shards.shards import decode_condition, decode_image, decode_labels, read_shards
from oft.storage import dump_yaml, read_json
from oft.types import SPLITS
from stages import acquire, caption, extract, shard, shard_subject
from stages.launch import paths
from tests.layouts import ROOTS
from tests.oft.prepare.test_checking import KEPT

SIZE_PX = 16
CONDITIONS = {
    "ade20k_root": "segmentation",
    "celeba_hq_root": "landmarks",
    "deepfashion_root": "densepose",
    "fill50k_root": "circles",
    "hub_root": "given",
    "parquet_root": "given",
    "reference_root": "given",
}
"""Made from what lies beside the pictures; of the others, from the pictures themselves."""

STYLES = {"ade20k": "a scene", "dreambooth": "a toy"}
"""One caption of all pictures, where the layout has none."""

WITHOUT_CAPTION = {"celeba_hq_root": 2, "coco_root": 1}
"""Usable pictures that the layout has no caption of, though of others."""


UNSAMPLED = {"celeba_hq_root", "deepfashion_root", "dreambooth_root", "picture_folder"}
"""Data sets without a usable picture for validation, or a caption of one."""


@pytest.fixture
def settle(values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that writes params.yaml with a data set ``mine`` of a reader, from a folder."""
    monkeypatch.chdir(tmp_path)

    def write(reader: str, source: Path, condition: str) -> None:
        values["datasets"]["mine"] = {
            **values["datasets"]["photos"],
            "reader": reader,
            "acquire": {"source": str(source), "mirror": None, "accept_licence": False},
            "captions": {"source": "own", "rule": "all", "template": STYLES.get(reader, "{caption}")},
        }
        values["tasks"]["mine"] = {"dataset": "mine", "condition": condition}
        if reader == "dreambooth":
            values["subjects"]["subject_mine"] = {"dataset": "mine", "subject": "dog"}
        values["resolution_px"] = SIZE_PX
        Path("params.yaml").write_text(dump_yaml(values))

    return write


@pytest.mark.parametrize("fixture", sorted(ROOTS))
def test_a_folder_in_each_layout_becomes_shards(
    fixture: str, request: pytest.FixtureRequest, settle: Any
) -> None:
    settle(ROOTS[fixture], request.getfixturevalue(fixture), CONDITIONS.get(fixture, "canny"))
    acquire.main(["--dataset", "mine"])
    extract.main(["--task", "mine"])
    caption.main(["--dataset", "mine"])
    refused = pytest.raises(DataError, match="mine: val has no sample, so nothing can be sampled")
    with refused if fixture in UNSAMPLED else nullcontext():
        shard.main(["--task", "mine"])

    listed = read_json(paths.counts(paths.raw("mine")))
    extracted = read_json(paths.counts(paths.conditions("mine")))
    assert sum(tally["kept"] for tally in extracted.values()) == KEPT[fixture]
    assert all(listed[split]["seen"] == extracted[split]["seen"] for split in SPLITS)
    packed = read_json(paths.counts(paths.shards("mine")))
    num_kept = KEPT[fixture] - WITHOUT_CAPTION.get(fixture, 0)
    assert sum(tally["seen"] for tally in packed.values()) == KEPT[fixture]
    assert sum(tally["kept"] for tally in packed.values()) == num_kept

    if fixture in UNSAMPLED:
        return
    samples = [sample for split in SPLITS for sample in read_shards(paths.shards("mine"), split)]
    assert len({sample.key for sample in samples}) == len(samples) == num_kept
    for sample in samples:
        condition = decode_condition(sample)
        assert condition is not None and condition.shape == decode_image(sample).shape == (
            SIZE_PX,
            SIZE_PX,
            3,
        )
        assert fixture not in CONDITIONS or np.ptp(condition) > 0
        assert (decode_labels(sample) is not None) == (ROOTS[fixture] in ("ade20k", "deepfashion"))
        assert all(sample.meta["captions"]) and sample.meta["licence"] and sample.meta["source"]


def test_a_subject_of_a_folder_becomes_shards(dreambooth_root: Path, settle: Any) -> None:
    settle("dreambooth", dreambooth_root, "canny")
    acquire.main(["--dataset", "mine"])
    shard_subject.main(["--task", "subject_mine"])
    folder = paths.shards("subject_mine")
    samples = list(read_shards(folder, "train"))
    assert [sample.key for sample in samples] == ["dog-00", "dog-03"]
    assert all(decode_image(sample).shape == (SIZE_PX, SIZE_PX, 3) for sample in samples)
    prompts = read_json(folder / "prompts.json")
    assert (prompts["class"], len(prompts["prompts"])) == ("dog", 3)
