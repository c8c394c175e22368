from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oft.errors import DataError
from oft.shards.shards import (
    INDEX_NAME,
    Sample,
    decode_condition,
    decode_image,
    decode_labels,
    num_samples,
    pack_sample,
    read_index,
    read_shards,
    shard_entries,
    write_shards,
)
from oft.shards.tars import OWNER
from oft.storage import read_json
from oft.types import Counts


def samples(number: int, lossless: bool = False) -> Iterator[Sample]:
    rng = np.random.default_rng(0)
    for index in range(number):
        image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        labels = rng.integers(0, 151, (8, 8), dtype=np.uint8)
        meta = {
            "captions": [f"caption “{index}”"],
            "dataset": "ade20k",
            "licence": "none",
            "source": f"{index}.jpg",
        }
        yield pack_sample(f"k{index:02d}", image, 255 - image, labels, meta, lossless=lossless)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "segm_ade20k"
    write_shards(samples(7), folder, "train", 3)
    write_shards(samples(2), folder, "val", 3)
    return folder


def corrupt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[700] ^= 1
    path.write_bytes(bytes(data))


def test_samples_come_back_in_order(folder: Path) -> None:
    assert list(read_shards(folder, "train")) == list(samples(7))
    assert list(read_shards(folder, "val")) == list(samples(2))


def test_identical_input_gives_identical_bytes(folder: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_shards(samples(2), again, "val", 3)
    write_shards(samples(7), again, "train", 3)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "index.json",
        "train-000000.tar",
        "train-000001.tar",
        "train-000002.tar",
        "val-000000.tar",
        "wids-train.json",
        "wids-val.json",
    ]
    assert names == sorted(path.name for path in again.iterdir())
    for name in names:
        assert (folder / name).read_bytes() == (again / name).read_bytes(), name


def test_the_bytes_are_those_of_webdataset_s_writer(folder: Path) -> None:
    import webdataset

    buffer = io.BytesIO()
    with webdataset.TarWriter(buffer, encoder=False, mtime=0, user=OWNER, group=OWNER) as writer:
        for sample in samples(2):
            meta = json.dumps(sample.meta, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
            members = {
                "jpg": sample.image,
                "cond.png": sample.condition,
                "labels.png": sample.labels,
                "json": meta,
            }
            writer.write({"__key__": sample.key, **members})
    assert (folder / "val-000000.tar").read_bytes() == buffer.getvalue()


def test_shard_size_changes_neither_samples_nor_order(folder: Path, tmp_path: Path) -> None:
    for samples_per_shard in (1, 7, 100):
        write_shards(samples(7), tmp_path / "other", "train", samples_per_shard)
        assert list(read_shards(tmp_path / "other", "train")) == list(samples(7))
        # No shard of an earlier writing is left.
        assert len(list((tmp_path / "other").glob("*.tar"))) == -(-7 // samples_per_shard)


def test_maps_are_lossless_and_the_picture_is_when_asked(folder: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    labels = rng.integers(0, 151, (8, 8), dtype=np.uint8)
    sample = next(read_shards(folder, "train"))
    condition, ids = decode_condition(sample), decode_labels(sample)
    assert condition is not None and ids is not None
    np.testing.assert_array_equal(condition, 255 - image)
    np.testing.assert_array_equal(ids, labels)
    assert decode_image(sample).shape == image.shape
    write_shards(samples(1, lossless=True), folder, "val", 3)
    exact = next(read_shards(folder, "val"))
    assert exact.image.startswith(b"\x89PNG")
    np.testing.assert_array_equal(decode_image(exact), image)


def test_a_smooth_picture_survives_as_jpeg() -> None:
    image = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)[..., None].repeat(3, axis=2)
    decoded = decode_image(pack_sample("k", image)).astype(int)
    assert np.abs(decoded - image).max() <= 4


@pytest.mark.parametrize("highest", [255, 256, 65535])
def test_ids_of_8_and_16_bits_survive(highest: int) -> None:
    labels = np.array([[0, 1], [2, highest]], dtype=np.int64)
    decoded = decode_labels(pack_sample("k", np.zeros((2, 2, 3), np.uint8), labels=labels))
    assert decoded is not None
    np.testing.assert_array_equal(decoded, labels)


@pytest.mark.parametrize("value", [-1, 65536])
def test_ids_that_no_png_holds_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="65535"):
        pack_sample("k", np.zeros((2, 2, 3), np.uint8), labels=np.full((2, 2), value))


def test_a_picture_alone_is_a_sample(tmp_path: Path) -> None:
    alone = pack_sample("dog-00", np.zeros((8, 8, 3), np.uint8))
    write_shards([alone], tmp_path, "train", 10)
    [sample] = read_shards(tmp_path, "train")
    assert sample == alone and decode_condition(sample) is None and decode_labels(sample) is None


def test_an_empty_split_stands_in_the_index(tmp_path: Path) -> None:
    write_shards([], tmp_path, "val", 10)
    assert num_samples(tmp_path, "val") == len(shard_entries(tmp_path, "val")) == 0
    assert not list(read_shards(tmp_path, "val"))


def test_the_index_tells_what_was_written(folder: Path) -> None:
    counts = Counts()

    def counted() -> Iterator[Sample]:
        for sample in samples(4):
            counts.seen += 1
            counts.kept += 1
            yield sample

    index = write_shards(counted(), folder, "val", 3, params={"size_px": 8}, counts=counts)
    assert index == read_index(folder)
    val = index["splits"]["val"]
    assert (val["params"], val["counts"], val["num_samples"]) == ({"size_px": 8}, counts.to_json(), 4)
    assert val["counts"]["kept"] == 4
    assert [(shard["name"], shard["num_samples"]) for shard in val["shards"]] == [
        ("val-000000.tar", 3),
        ("val-000001.tar", 1),
    ]
    assert num_samples(folder, "train") == 7 and num_samples(folder, "val") == 4


def test_webdatasets_own_index_names_every_shard_and_its_samples(folder: Path) -> None:
    """The format of wids 0.1: addresses beside the file itself, and how many samples each holds."""
    for split, expected in (("train", 7), ("val", 2)):
        index = read_json(folder / f"wids-{split}.json")
        assert index["wids_version"] == 1
        keys = []
        for shard in index["shardlist"]:
            path = folder / shard["url"]
            with tarfile.open(path) as archive:
                found = list(dict.fromkeys(name.partition(".")[0] for name in archive.getnames()))
            assert len(found) == shard["nsamples"] and path.stat().st_size == shard["filesize"]
            keys += found
        assert keys == [sample.key for sample in samples(expected)]
    write_shards([], folder, "val", 3)
    assert not (folder / "wids-val.json").exists()  # the reader takes none without shards


def test_a_shard_has_pictures_of_one_size_and_the_index_names_it(tmp_path: Path) -> None:
    sizes = [(16, 8)] * 3 + [(8, 8)] * 2 + [(8, 16)]
    written = [
        pack_sample(f"k{number}", np.zeros((height, width, 3), np.uint8))
        for number, (width, height) in enumerate(sizes)
    ]
    index = write_shards(written, tmp_path, "train", 2)
    entries = [(shard["num_samples"], shard["size_px"]) for shard in index["splits"]["train"]["shards"]]
    assert entries == [(2, [16, 8]), (1, [16, 8]), (2, [8, 8]), (1, [8, 16])]
    assert list(read_shards(tmp_path, "train")) == written


def test_the_index_holds_a_hash_of_what_the_shards_were_made_with(tmp_path: Path) -> None:
    def hash_of(params: dict[str, object]) -> str:
        return str(write_shards([], tmp_path, "val", 1, params=params)["splits"]["val"]["params_sha256"])

    assert hash_of({"a": 1, "b": {"c": 2}}) == hash_of({"b": {"c": 2}, "a": 1}) != hash_of({"a": 1})


def test_conditions_are_stored_with_as_few_bits_as_they_need_and_read_as_rgb() -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (8, 8, 1), dtype=np.uint8).repeat(3, axis=2)
    coloured = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    strokes = np.uint8(255) * (grey > 99)
    assert 0 < strokes.mean() < 255
    flat = [(np.full_like(coloured, level), mode) for level, mode in ((0, "1"), (255, "1"), (254, "L"))]
    for condition, mode in ((strokes, "1"), (grey, "L"), (coloured, "RGB"), *flat):
        sample = pack_sample("k", coloured, condition)
        assert sample.condition is not None
        with Image.open(io.BytesIO(sample.condition)) as stored:
            assert stored.mode == mode
        decoded = decode_condition(sample)
        assert decoded is not None
        np.testing.assert_array_equal(decoded, condition)


def test_keys_and_shards_can_be_chosen(folder: Path) -> None:
    everything = list(read_shards(folder, "train"))
    assert list(read_shards(folder, "train", keys={"k05", "k01"})) == [everything[1], everything[5]]
    assert list(read_shards(folder, "train", shards=[1])) == everything[3:6]
    assert list(read_shards(folder, "train", shards=[1], keys={"k04", "k00"})) == [everything[4]]
    with pytest.raises(DataError, match="no sample 'k99'"):
        list(read_shards(folder, "train", keys={"k01", "k99"}))
    with pytest.raises(DataError, match="3 shards of 'train', there is no number 3"):
        list(read_shards(folder, "train", shards=[3]))


def test_reading_may_stop_early(folder: Path) -> None:
    stream = read_shards(folder, "train")
    next(stream)
    stream.close()  # type: ignore[attr-defined]


def test_a_corrupted_shard_is_named_with_hashes_and_remedy(folder: Path) -> None:
    corrupt(folder / "train-000001.tar")
    expected = read_index(folder)["splits"]["train"]["shards"][1]["sha256"]
    with pytest.raises(
        DataError,
        match=rf"train-000001.tar is corrupted: .*[0-9a-f]{{64}}, .*{expected}; delete it and run "
        rf"`dvc checkout {folder}` .*`dvc repro`",
    ):
        list(read_shards(folder, "train"))


def test_no_sample_of_a_corrupted_shard_is_yielded(folder: Path) -> None:
    corrupt(folder / "train-000000.tar")
    with pytest.raises(DataError):
        next(read_shards(folder, "train"))
    assert list(read_shards(folder, "val")) == list(samples(2))


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / "val-000000.tar").unlink()
    with pytest.raises(DataError, match=r"there is no shard .*val-000000\.tar"):
        list(read_shards(folder, "val"))


def test_index_faults_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no index"):
        num_samples(tmp_path / "nowhere", "val")
    (folder / INDEX_NAME).write_text(json.dumps({"schema": 99}))
    with pytest.raises(DataError, match="schema 99, this program reads 2"):
        num_samples(folder, "val")
    (folder / INDEX_NAME).write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        read_index(folder)
    write_shards(samples(1), tmp_path / "half", "train", 1)
    with pytest.raises(DataError, match=r"no split 'val', only \['train'\]"):
        num_samples(tmp_path / "half", "val")


@pytest.mark.parametrize("key", ["a.b", "a/b", "", "é", "x" * 90])
def test_a_key_not_fit_for_a_shard_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(DataError, match="not fit for a shard"):
        write_shards([pack_sample(key, np.zeros((8, 8, 3), np.uint8))], tmp_path, "train", 2)


def test_a_key_that_occurs_twice_is_refused_across_shards(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'k00' occurs twice"):
        write_shards([*samples(3), next(samples(1))], tmp_path, "train", 2)
