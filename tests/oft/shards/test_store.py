"""Shards in a bucket: the same samples, verified, in a local cache that keeps within its bound."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from oft.errors import DataError
from oft.shards.loader import ShardReader
from oft.shards.order import BatchOrder
from oft.shards.prefetch import prefetch
from oft.shards.shards import pack_sample, read_shards, write_shards
from oft.shards.store import RemoteShards, ShardCache, ShardFolder, ShardStore, open_shards

BUCKET = "bucket"
PREFIX = f"s3://{BUCKET}/task"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    samples = [
        pack_sample(f"k{index}", rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)) for index in range(7)
    ]
    write_shards(samples, tmp_path / "task", "train", 2)
    return tmp_path / "task"


@pytest.fixture
def uploaded(s3: Any, folder: Path) -> Path:
    for path in folder.iterdir():
        s3.upload_file(str(path), BUCKET, f"task/{path.name}")
    return folder


def kept_bytes(cache: Path) -> int:
    return sum(path.stat().st_size for path in cache.glob("*.tar"))


def test_a_bucket_gives_the_samples_of_the_folder(uploaded: Path, tmp_path: Path) -> None:
    store = RemoteShards(f"{PREFIX}/", ShardCache(tmp_path / "cache", 1 << 30))
    reader = ShardReader(store, "train")
    assert [reader.sample(number) for number in range(7)] == list(read_shards(uploaded, "train"))
    assert store.index_sha256 == ShardFolder(uploaded).index_sha256
    assert store.splits() == ["train"]


def test_a_shard_is_fetched_when_it_is_first_used_and_once(uploaded: Path, s3: Any, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    reader = ShardReader(RemoteShards(PREFIX, ShardCache(cache, 1 << 30)), "train")
    assert not cache.exists()
    reader.sample(2)
    assert kept_bytes(cache) == (uploaded / "train-000001.tar").stat().st_size
    s3.delete_object(Bucket=BUCKET, Key="task/train-000001.tar")
    assert reader.key(3) == "k3"
    later = ShardReader(RemoteShards(PREFIX, ShardCache(cache, 1 << 30)), "train")
    assert later.key(3) == "k3"


def test_the_cache_keeps_the_shards_used_last_within_its_bound(uploaded: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    size = (uploaded / "train-000000.tar").stat().st_size
    reader = ShardReader(RemoteShards(PREFIX, ShardCache(cache, 2 * size)), "train")
    for number in (0, 2, 0, 4):
        reader.sample(number)
        assert kept_bytes(cache) <= 2 * size
    hashes = {entry["sha256"]: entry["name"] for entry in ShardFolder(uploaded).entries("train")}
    assert {hashes[path.stem] for path in cache.glob("*.tar")} == {"train-000000.tar", "train-000002.tar"}
    assert reader.sample(2).key == "k2"  # fetched again


def test_a_set_larger_than_its_room_is_read_whole_and_each_shard_fetched_once_an_epoch(
    uploaded: Path, tmp_path: Path
) -> None:
    """Four shards, room for two: a window of one, and the one that is read ahead."""
    cache = tmp_path / "cache"
    room = 2 * max(path.stat().st_size for path in uploaded.glob("*.tar"))
    fetched: list[str] = []

    class Counting(ShardCache):
        def _make_room(self, arriving_bytes: int, path: Path) -> None:
            super()._make_room(arriving_bytes, path)
            assert kept_bytes(cache) + arriving_bytes <= room  # with what arrives
            fetched.append(path.stem)

    store = RemoteShards(PREFIX, Counting(cache, room))
    assert "in 4 shards" in store.plan_room("train", 1)
    reader = ShardReader(store, "train")
    order = BatchOrder(reader.shards, 1, seed=0, window=1)
    for epoch in range(3):
        del fetched[:]
        numbers = [int(order(step)[0]) for step in range(7 * epoch, 7 * (epoch + 1))]
        assert sorted(reader.sample(number).key for number in numbers) == [f"k{index}" for index in range(7)]
        assert 2 <= len(fetched) == len(set(fetched)) <= 4  # what the epoch before left may still be there
        assert kept_bytes(cache) <= room


def test_room_that_an_order_does_not_fit_into_is_refused_with_what_does(
    uploaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFT_SHARDS", f"s3://{BUCKET}")
    sizes = sorted(path.stat().st_size for path in uploaded.glob("*.tar"))

    def store(room_bytes: float) -> ShardStore:
        monkeypatch.setenv("OFT_SHARDS_GB", f"{room_bytes / 1e9:.9f}")
        return open_shards(uploaded, tmp_path / "cache")

    assert store(sum(sizes)).plan_room("train", None)
    assert store(sizes[-1] + sizes[-2]).plan_room("train", 1)
    with pytest.raises(DataError, match=r"shuffle_window_shards to 1 or less in params.yaml, or raise OFT_"):
        store(sum(sizes) - 1).plan_room("train", None)
    with pytest.raises(DataError, match=r"raise OFT_SHARDS_GB to 0\.000 or more, or make smaller shards"):
        store(sizes[-1]).plan_room("train", 2)
    monkeypatch.setenv("OFT_SHARDS_GB", "1e9")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=sum(sizes) - 1))
    with pytest.raises(DataError, match="of room are needed and the disk has"):
        open_shards(uploaded, tmp_path / "cache").plan_room("train", None)
    assert ShardFolder(uploaded).plan_room("train", None) == ""
    for wrong in ("0", "-1", "nan", "much"):
        monkeypatch.setenv("OFT_SHARDS_GB", wrong)
        with pytest.raises(DataError, match="OFT_SHARDS_GB must be a number of gigabytes above 0"):
            open_shards(uploaded, tmp_path / "cache")


def test_what_a_killed_process_had_begun_to_fetch_takes_no_room(uploaded: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / ".begun.tar.partial").write_bytes(b"x")
    ShardReader(RemoteShards(PREFIX, ShardCache(cache, 1 << 30)), "train").sample(0)
    assert not list(cache.glob(".*.partial"))


def test_a_shard_corrupted_in_the_bucket_is_named(uploaded: Path, s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket=BUCKET, Key="task/train-000001.tar", Body=b"x" * 512)
    reader = ShardReader(RemoteShards(PREFIX, ShardCache(tmp_path / "cache", 1 << 30)), "train")
    assert reader.key(0) == "k0"
    expected = ShardFolder(uploaded).entries("train")[1]["sha256"]
    with pytest.raises(
        DataError,
        match=rf"{PREFIX}/train-000001.tar is corrupted: .*[0-9a-f]{{64}}, .*{expected}; copy the folder",
    ):
        reader.sample(2)
    assert kept_bytes(tmp_path / "cache") == (uploaded / "train-000000.tar").stat().st_size


def test_a_shard_corrupted_in_the_cache_is_fetched_again(uploaded: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    ShardReader(RemoteShards(PREFIX, ShardCache(cache, 1 << 30)), "train").sample(0)
    (path,) = cache.glob("*.tar")
    path.write_bytes(b"x" * path.stat().st_size)
    reader = ShardReader(RemoteShards(PREFIX, ShardCache(cache, 1 << 30)), "train")
    assert reader.key(1) == "k1"
    assert path.read_bytes() == (uploaded / "train-000000.tar").read_bytes()


def test_workers_share_a_cache(uploaded: Path, tmp_path: Path) -> None:
    size = (uploaded / "train-000000.tar").stat().st_size
    reader = ShardReader(RemoteShards(PREFIX, ShardCache(tmp_path / "cache", 2 * size)), "train")

    def keys(numbers: np.ndarray) -> list[str]:
        return [reader.key(int(number)) for number in numbers] + [reader.sample(int(numbers[0])).key]

    order = BatchOrder(reader.shards, 3, seed=1)
    expected = [[f"k{n}" for n in [*order(step), order(step)[0]]] for step in range(6)]
    assert list(prefetch(keys, map(order, range(6)), num_workers=2)) == expected
    assert kept_bytes(tmp_path / "cache") <= 2 * size


def test_shards_are_opened_where_the_environment_says(
    uploaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_shards(uploaded, tmp_path / "cache").name == str(uploaded)
    monkeypatch.setenv("OFT_SHARDS", f"s3://{BUCKET}/")
    assert open_shards(uploaded, tmp_path / "cache").name == PREFIX
    monkeypatch.setenv("OFT_SHARDS", "https://user:secret@host")
    with pytest.raises(DataError, match="OFT_SHARDS must be s3://bucket/prefix") as caught:
        open_shards(uploaded, tmp_path / "cache")
    assert "secret" not in str(caught.value)


def test_a_damaged_index_in_a_bucket_is_named(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket=BUCKET, Key="task/index.json", Body=b"{")
    with pytest.raises(DataError, match=rf"{PREFIX}/index.json is not valid JSON"):
        RemoteShards(PREFIX, ShardCache(tmp_path, 1))
