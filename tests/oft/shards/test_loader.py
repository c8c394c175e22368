"""Random access to shards: the same samples as webdataset's own reader, from a folder and by any worker."""

from __future__ import annotations

import gc
import json
import os
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from oft.errors import DataError
from oft.shards.loader import ShardReader
from oft.shards.order import BatchOrder
from oft.shards.prefetch import prefetch
from oft.shards.shards import Sample, pack_sample, read_shards, write_shards
from oft.shards.store import ShardFolder, ShardSpan
from oft.storage import read_json, write_json


def pictures(number: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    return [
        pack_sample(
            f"k{index:02d}",
            rng.integers(0, 256, (8, 8, 3), dtype=np.uint8),
            rng.integers(0, 256, (8, 8, 3), dtype=np.uint8),
            rng.integers(0, 9, (8, 8), dtype=np.uint8) if index % 2 else None,
            {"captions": [f"“{index}”"]},
            lossless=index % 3 == 0,
        )
        for index in range(number)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(pictures(7), tmp_path / "task", "train", 3)
    return tmp_path / "task"


@pytest.fixture
def reader(folder: Path) -> ShardReader:
    return ShardReader(ShardFolder(folder), "train")


def test_samples_are_those_that_are_read_in_order(reader: ShardReader, folder: Path) -> None:
    expected = list(read_shards(folder, "train"))
    for number in (6, 0, 3, 2, 5, 1, 4):
        assert reader.sample(number) == expected[number]
        assert reader.key(number) == expected[number].key
    assert len(reader) == 7
    assert reader.shards == [ShardSpan(range(*span), (8, 8)) for span in ((0, 3), (3, 6), (6, 7))]


# It leaves the files it opened to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_webdataset_reads_the_same_samples(reader: ShardReader, folder: Path) -> None:
    from webdataset import WebDataset

    urls = [str(path) for path in sorted(folder.glob("train-*.tar"))]
    dataset = WebDataset(urls, shardshuffle=False)
    raw = list(dataset)
    gc.collect()
    assert [sample["__key__"] for sample in raw] == [reader.key(number) for number in range(7)]
    for number, sample in enumerate(raw):
        assert {name: data for name, data in sample.items() if name[0] != "_"} == reader.read(number)


def test_only_the_members_asked_for_are_read(reader: ShardReader) -> None:
    assert list(reader.read(1, ("json", "cond.png"))) == ["cond.png", "json"]
    assert "labels.png" in reader.read(1) and "labels.png" not in reader.read(0)


def test_no_file_stays_open(reader: ShardReader) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(7):
        reader.sample(number)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_index_gives_sizes_of_pictures(folder: Path) -> None:
    index = read_json(folder / "index.json")
    for entry, size in zip(index["splits"]["train"]["shards"], ([96, 64], [64, 96], [96, 64]), strict=True):
        entry["size_px"] = size
    write_json(folder / "index.json", index)
    shards = ShardReader(ShardFolder(folder), "train").shards
    assert [shard.size_px for shard in shards] == [(96, 64), (64, 96), (96, 64)]


def test_a_corrupted_shard_is_named_and_the_others_are_read(folder: Path) -> None:
    path = folder / "train-000001.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    reader = ShardReader(ShardFolder(folder), "train")
    assert reader.key(0) == "k00" and reader.key(6) == "k06"
    with pytest.raises(DataError, match=r"train-000001.tar is corrupted: .*; delete it and run `dvc"):
        reader.sample(4)


def test_a_shard_is_verified_once(reader: ShardReader, folder: Path) -> None:
    first = reader.read(0)
    path = folder / "train-000000.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"x")  # hashing it again would notice
    assert reader.read(0) == first


def test_an_index_that_miscounts_is_named(folder: Path) -> None:
    index = read_json(folder / "index.json")
    index["splits"]["train"]["shards"][1]["num_samples"] = 2
    write_json(folder / "index.json", index)
    reader = ShardReader(ShardFolder(folder), "train")
    with pytest.raises(DataError, match=r"train-000001.tar holds 3 samples and its index says 2"):
        reader.sample(4)


@pytest.mark.parametrize("number", [-1, 7])
def test_numbers_beyond_the_split_are_refused(reader: ShardReader, number: int) -> None:
    with pytest.raises(IndexError, match="7 samples"):
        reader.key(number)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_workers_change_no_batch_and_a_resumed_run_goes_on_with_the_next(
    reader: ShardReader, num_workers: int
) -> None:
    order = BatchOrder(reader.shards, 2, seed=3)

    def captions(numbers: np.ndarray) -> list[str]:
        return [json.loads(reader.read(int(n), ("json",))["json"])["captions"][0] for n in numbers]

    expected = [captions(order(step)) for step in range(8)]
    for start in (0, 5):
        batches = map(order, range(start, 8))
        assert list(prefetch(captions, batches, num_workers)) == expected[start:]
    assert list(islice(prefetch(captions, map(order, range(10**9)), num_workers), 2)) == expected[:2]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_fault_in_a_worker_keeps_its_message(folder: Path, num_workers: int) -> None:
    path = folder / "train-000001.tar"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    reader = ShardReader(ShardFolder(folder), "train")
    batches = [np.array([0]), np.array([4]), np.array([6])]
    keys = prefetch(lambda numbers: reader.key(int(numbers[0])), batches, num_workers)
    assert next(keys) == "k00"
    with pytest.raises(DataError, match=r"^shard .*train-000001.tar is corrupted"):
        next(keys)
