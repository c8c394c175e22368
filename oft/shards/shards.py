"""webdataset shards: tar files of samples, byte-identical for identical input, with an index of their hashes.

``<split>-000000.tar`` and so on hold for each key ``<key>.jpg`` or ``<key>.png`` (picture),
``<key>.cond.png`` (conditioning image), ``<key>.labels.png`` (id map, lossless) and ``<key>.json`` (captions,
provenance).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image

from oft.errors import DataError
from oft.keys import KEY_PATTERN
from oft.pictures import Size, decode_array, decode_rgb, encode_jpeg, encode_png
from oft.shards.tars import add_member
from oft.storage import sha256_file, write_json
from oft.types import Counts, Split

SCHEMA_VERSION = 2
INDEX_NAME = "index.json"
JPEG_QUALITY = 95

_JPEG_MAGIC = b"\xff\xd8\xff"


@dataclass(frozen=True)
class Sample:
    """One sample of a shard, still encoded.

    Attributes:
        key: unique in its split, ``[A-Za-z0-9_-]``.
        image: the picture, JPEG or PNG bytes.
        condition: the conditioning image, PNG bytes, RGB, grey or black and white (see `encode_condition`).
        labels: the id map, PNG bytes of 8 or 16 bits.
        meta: JSON values: captions, data set, licence, source name.
    """

    key: str
    image: bytes
    condition: bytes | None = None
    labels: bytes | None = None
    meta: dict[str, Any] = field(default_factory=dict)


def pack_sample(
    key: str,
    image: Image.Image | UInt8[np.ndarray, "h w 3"],
    condition: UInt8[np.ndarray, "h w 3"] | None = None,
    labels: Integer[np.ndarray, "h w"] | None = None,
    meta: Mapping[str, Any] | None = None,
    *,
    lossless: bool = False,
    jpeg_quality: int = JPEG_QUALITY,
) -> Sample:
    """Encode one sample: the picture as JPEG (4:4:4), or as PNG when ``lossless``; maps as PNG.

    Args:
        key: see `Sample`.
        image: RGB, at the run's size.
        condition: uint8 [height, width, 3].
        labels: ids [height, width], 0 to 65,535.
        meta: JSON values.
        lossless: keep the picture's exact values.
    """
    return Sample(
        key=key,
        image=encode_png(image) if lossless else encode_jpeg(image, jpeg_quality),
        condition=None if condition is None else encode_condition(condition),
        labels=None if labels is None else encode_labels(labels),
        meta=dict(meta or {}),
    )


def encode_condition(condition: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Return a conditioning image uint8 [height, width, 3] as PNG bytes: coloured, grey or black and white.

    Most have no colour (depth), many nothing between black and white (edges, strokes), and the fewer bits a
    pixel has, the faster it is written and read, and the smaller the file.
    """
    grey = condition[..., 0]
    colourless = np.array_equal(grey, condition[..., 1]) and np.array_equal(grey, condition[..., 2])
    if not colourless:
        return encode_png(condition)
    black, white = grey == 0, grey == 255
    return encode_png(white if (black | white).all() else np.ascontiguousarray(grey))


def encode_labels(labels: Integer[np.ndarray, "h w"]) -> bytes:
    """Return an id map [height, width] as PNG bytes of 8 or, where an id needs them, 16 bits.

    Raises:
        ValueError: an id is below 0 or above 65,535.
    """
    if labels.min(initial=0) < 0 or labels.max(initial=0) > np.iinfo(np.uint16).max:
        raise ValueError(f"ids must lie in 0 .. 65535, got {labels.min()} .. {labels.max()}")
    small = labels.max(initial=0) <= np.iinfo(np.uint8).max
    return encode_png(labels.astype(np.uint8) if small else labels.astype(np.uint16))


def picture_size(sample: Sample) -> Size:
    """Return width and height of a sample's picture, from its header."""
    with Image.open(io.BytesIO(sample.image)) as image:
        return image.size


def decode_image(sample: Sample) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture, uint8 [height, width, 3]."""
    return decode_array(sample.image).astype(np.uint8, copy=False)


def decode_condition(sample: Sample) -> UInt8[np.ndarray, "h w 3"] | None:
    """Return the conditioning image, uint8 [height, width, 3], where there is one."""
    return None if sample.condition is None else decode_rgb(sample.condition)


def decode_labels(sample: Sample) -> Integer[np.ndarray, "h w"] | None:
    """Return the id map [height, width], where there is one."""
    return None if sample.labels is None else decode_array(sample.labels)


def write_shards(
    samples: Iterable[Sample],
    folder: Path,
    split: Split,
    samples_per_shard: int,
    *,
    params: Mapping[str, Any] | None = None,
    counts: Counts | None = None,
) -> dict[str, Any]:
    """Write the shards of one split, enter them in the folder's index and return the whole index.

    Older shards of the split are removed; those of the other split stay. Bytes depend on the samples and
    their order alone. A split without samples has no shard and stands in the index with 0 samples. The
    pictures of a shard have one size, which the index gives as ``size_px``, width and height.

    Args:
        samples: streamed; one at a time is held. Wherever the size changes, a shard ends: give those of one
            size together.
        folder: where the tars, ``index.json`` and ``wids-<split>.json``, webdataset's own index, go.
        split: ``train`` or ``val``.
        samples_per_shard: samples in every shard but the last of a size.
        params: what the shards were made with, kept in the index with its hash.
        counts: what was seen, kept and dropped, kept in the index as it stands after the last sample.

    Raises:
        DataError: a key is not fit for a shard or occurs twice.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(f"{split}-*.tar"):
        stale.unlink()
    entries: list[dict[str, Any]] = []
    keys: set[str] = set()
    for size, shard in _split_into_shards(samples, samples_per_shard):
        path = folder / f"{split}-{len(entries):06d}.tar"
        entry = {"name": path.name, "num_samples": _write_tar(path, shard, keys), "size_px": list(size)}
        entries.append(entry | {"sha256": sha256_file(path), "size_bytes": path.stat().st_size})
    _write_wids_index(folder, split, entries)
    index_path = folder / INDEX_NAME
    index: dict[str, Any] = {"schema": SCHEMA_VERSION, "splits": {}}
    if index_path.is_file():
        index = read_index(folder)
    index["splits"][split] = {
        "counts": counts.to_json() if counts else {},
        "num_samples": len(keys),
        "params": dict(params or {}),
        "params_sha256": _hash_of(params or {}),
        "shards": entries,
    }
    write_json(index_path, index)
    return index


def _write_wids_index(folder: Path, split: Split, entries: Iterable[Mapping[str, Any]]) -> None:
    """Write the index by which webdataset's ``wids.ShardListDataset`` reads a split, if it has shards."""
    shards = [
        {"url": entry["name"], "nsamples": entry["num_samples"], "filesize": entry["size_bytes"]}
        for entry in entries
    ]
    path = folder / f"wids-{split}.json"
    if shards:
        write_json(path, {"wids_version": 1, "name": split, "shardlist": shards})
    else:
        path.unlink(missing_ok=True)


def read_index(folder: Path) -> dict[str, Any]:
    """Return the index of a folder of shards.

    Raises:
        DataError: there is none, it is damaged, or another version of this program wrote it.
    """
    path = Path(folder) / INDEX_NAME
    if not path.is_file():
        raise DataError(f"there is no index {path}; {_remedy(folder)}")
    return parse_index(path.read_bytes(), str(path), _remedy(folder))


def parse_index(content: bytes, name: str, remedy: str) -> dict[str, Any]:
    """Return the index in the bytes of a file; ``name`` and ``remedy`` are for the message.

    Raises:
        DataError: it is damaged, or another version of this program wrote it.
    """
    try:
        index = json.loads(content)
    except ValueError as error:
        raise DataError(f"{name} is not valid JSON ({error}); {remedy}") from error
    version = index.get("schema") if isinstance(index, dict) else None
    if version != SCHEMA_VERSION:
        raise DataError(f"{name} has schema {version}, this program reads {SCHEMA_VERSION}; {remedy}")
    return dict(index)


def shard_entries(folder: Path, split: Split) -> list[dict[str, Any]]:
    """Return what the index says of each shard of a split: name, num_samples, size_px, sha256, size_bytes.

    Raises:
        DataError: the index is missing or damaged, or has no such split.
    """
    return split_entries(read_index(folder), split, str(Path(folder) / INDEX_NAME), _remedy(folder))


def split_entries(index: Mapping[str, Any], split: Split, name: str, remedy: str) -> list[dict[str, Any]]:
    """Return ``shard_entries`` of an index that was read; ``name`` and ``remedy`` are for the message."""
    splits = index["splits"]
    if split not in splits:
        raise DataError(f"{name} has no split {split!r}, only {sorted(splits)}; {remedy}")
    return list(splits[split]["shards"])


def num_samples(folder: Path, split: Split) -> int:
    """Return how many samples a split has, by the index."""
    return sum(int(entry["num_samples"]) for entry in shard_entries(folder, split))


def read_shards(
    folder: Path,
    split: Split,
    *,
    keys: Collection[str] | None = None,
    shards: Collection[int] | None = None,
) -> Iterator[Sample]:
    """Yield the samples of a split in the order they were written; each shard is verified before it is read.

    Every process that calls this gets every sample: dividing them among ranks and workers is the caller's
    part.

    Args:
        folder: the folder of the shards and their index.
        split: ``train`` or ``val``.
        keys: yield these alone.
        shards: read the shards with these numbers alone (0 is the first).

    Raises:
        DataError: a shard is missing or corrupted, a number or (with all shards read) a key does not exist.
    """
    from webdataset.tariterators import group_by_keys, tar_file_expander

    folder = Path(folder)
    entries = shard_entries(folder, split)
    unknown = sorted(set(shards or ()) - set(range(len(entries))))
    if unknown:
        raise DataError(f"{folder} has {len(entries)} shards of {split!r}, there is no number {unknown[0]}")
    chosen = [entry for number, entry in enumerate(entries) if shards is None or number in shards]
    wanted = None if keys is None else set(keys)
    found: set[str] = set()
    # webdataset.WebDataset leaves the files it opens to the garbage collector; its two stages over streams
    # that are closed here do the same work.
    with closing(_open_shards(folder, chosen)) as streams:
        for raw in group_by_keys(tar_file_expander(streams)):
            if wanted is None or raw["__key__"] in wanted:
                found.add(raw["__key__"])
                yield to_sample(str(folder / raw["__url__"]), raw["__key__"], raw)
    missing = sorted((wanted or set()) - found)
    if missing and shards is None:
        raise DataError(
            f"{folder} has no sample {missing[0]!r} in {split!r} (of {len(missing)} keys not found)"
        )


def _split_into_shards(
    samples: Iterable[Sample], samples_per_shard: int
) -> Iterator[tuple[Size, Iterator[Sample]]]:
    for size, group in groupby(samples, picture_size):
        remaining = iter(group)
        for first in remaining:
            yield size, islice(chain([first], remaining), samples_per_shard)


def _hash_of(params: Mapping[str, Any]) -> str:
    text = json.dumps(params, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def add_sample(archive: tarfile.TarFile, sample: Sample) -> None:
    """Append a sample's files."""
    for extension, data in _members(sample):
        add_member(archive, f"{sample.key}.{extension}", data)


def _members(sample: Sample) -> list[tuple[str, bytes]]:
    """The files of a sample, by extension, in the order that webdataset's writer would give them."""
    meta = json.dumps(sample.meta, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    members: dict[str, bytes | None] = {
        "jpg" if sample.image.startswith(_JPEG_MAGIC) else "png": sample.image,
        "cond.png": sample.condition,
        "labels.png": sample.labels,
        "json": meta,
    }
    return [(extension, data) for extension, data in sorted(members.items()) if data is not None]


def _write_tar(path: Path, samples: Iterable[Sample], keys: set[str]) -> int:
    """Write one shard, add its keys to ``keys`` and return how many samples it holds.

    The same bytes as webdataset's TarWriter(mtime=0, user="oft", group="oft"), without importing torch, which
    importing webdataset does: this stage needs no model and should start in no time.
    """
    num_written = 0
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for sample in samples:
            if not KEY_PATTERN.fullmatch(sample.key):
                raise DataError(
                    f"key {sample.key!r} is not fit for a shard: it must match {KEY_PATTERN.pattern}"
                )
            if sample.key in keys:
                raise DataError(f"key {sample.key!r} occurs twice; keys must be unique in a split")
            keys.add(sample.key)
            add_sample(archive, sample)
            num_written += 1
    return num_written


def _open_shards(folder: Path, entries: Iterable[dict[str, Any]]) -> Generator[dict[str, Any], None, None]:
    for entry in entries:
        verify_shard(folder, entry)
        with (folder / entry["name"]).open("rb") as stream:
            yield {"url": entry["name"], "stream": stream}


def verify_shard(folder: Path, entry: Mapping[str, Any]) -> None:
    """Compare a shard with its hash in the index.

    Raises:
        DataError: it is missing or corrupted; the message names it, both hashes and the remedy.
    """
    path = folder / entry["name"]
    if not path.is_file():
        raise DataError(f"there is no shard {path}, which {INDEX_NAME} lists; {_remedy(folder)}")
    found = sha256_file(path)
    if found != entry["sha256"]:
        raise corrupted_shard(str(path), found, entry["sha256"], f"delete it and {_remedy(folder)}")


def corrupted_shard(name: str, found: str, expected: str, remedy: str) -> DataError:
    """Return the error about a shard whose hash is not the one in its index."""
    return DataError(
        f"shard {name} is corrupted: its SHA-256 is {found}, {INDEX_NAME} says {expected}; {remedy}"
    )


def _remedy(folder: Path) -> str:
    # Which stage made it cannot be told from here: tasks, subjects and class pictures each have their own.
    return f"run `dvc checkout {folder}` to take the folder from the cache, or `dvc repro` to make it anew"


def to_sample(where: str, key: str, members: Mapping[str, Any]) -> Sample:
    """Return the sample with these files by extension; ``where`` is for the message.

    Raises:
        DataError: it lacks its picture or its json file.
    """
    image = members.get("jpg", members.get("png"))
    if image is None or "json" not in members:
        raise DataError(f"{where}: sample {key!r} lacks its picture or its json file")
    return Sample(key, image, members.get("cond.png"), members.get("labels.png"), json.loads(members["json"]))
