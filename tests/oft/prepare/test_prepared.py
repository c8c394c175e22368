from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oft.errors import DataError
from oft.prepare.prepared import read_prepared, write_prepared
from oft.shards.shards import Sample, pack_sample, picture_size


def samples(sizes: tuple[tuple[int, int], ...] = ((16, 12),) * 3, with_labels: bool = True) -> list[Sample]:
    rng = np.random.default_rng(0)
    return [
        pack_sample(
            key,
            rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
            rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
            rng.integers(0, 151, (height, width), dtype=np.uint8) if with_labels else None,
            {"licence": "none", "source": f"{key}.jpg"},
        )
        for key, (width, height) in zip(("b", "a", "c-1"), sizes, strict=True)
    ]


@pytest.mark.parametrize("with_labels", [True, False])
def test_what_is_written_is_read_back_in_order(tmp_path: Path, with_labels: bool) -> None:
    written = samples(with_labels=with_labels)
    write_prepared(tmp_path, "train", iter(written), {"resolution_px": 12})
    found = read_prepared(tmp_path, "train")
    assert found.made_with == {"resolution_px": 12}
    assert list(found.samples) == written


def test_samples_with_and_without_labels_may_be_mixed(tmp_path: Path) -> None:
    first, second, third = samples()
    mixed = [replace(first, labels=None), second, replace(third, labels=None)]
    write_prepared(tmp_path, "train", mixed, {})
    assert list(read_prepared(tmp_path, "train").samples) == mixed


def test_samples_of_one_size_come_together(tmp_path: Path) -> None:
    first, second, third = samples(sizes=((16, 12), (8, 12), (16, 12)))
    write_prepared(tmp_path, "train", [first, second, third], {})
    found = list(read_prepared(tmp_path, "train").samples)
    assert found == [second, first, third]
    assert [picture_size(sample) for sample in found] == [(8, 12), (16, 12), (16, 12)]


def test_splits_lie_side_by_side_and_equal_samples_give_equal_bytes(tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        write_prepared(folder, "val", samples()[:1], {})
        write_prepared(folder, "train", samples(), {})
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["train-16x12.tar", "train.json", "val-16x12.tar", "val.json"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert len(list(read_prepared(tmp_path / "one", "val").samples)) == 1


def test_no_picture_at_all_is_an_empty_split(tmp_path: Path) -> None:
    write_prepared(tmp_path, "val", [], {})
    assert list(read_prepared(tmp_path, "val").samples) == []


@pytest.mark.parametrize(
    "damage", ["no index", "no tar", "in a member", "between members", "between samples"]
)
def test_a_missing_or_damaged_file_names_itself_and_the_stage(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "canny_coco"
    folder.mkdir()
    write_prepared(folder, "train", samples(), {})
    source = folder / ("train.json" if damage == "no index" else "train-16x12.tar")
    if damage.startswith("no "):
        source.unlink()
    else:
        with tarfile.open(source) as archive:
            starts = [member.offset for member in archive]
        # Four files a sample: the second sample begins with the fifth.
        ends = {"in a member": 700, "between members": starts[6], "between samples": starts[4]}
        source.write_bytes(source.read_bytes()[: ends[damage]])
    with pytest.raises(
        DataError, match=rf"(?s){source.name}: cannot be read .*dvc repro --force extract@canny_coco"
    ):
        list(read_prepared(folder, "train").samples)
