"""Data cards: what a set of shards holds, where it comes from, and what became of it on the way.

``card.json`` is for programs, ``README.md`` the same for people, with the front matter of a data set on the
hub: a folder of shards can be shared as it is. Neither says anything about the machine or the day.
"""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.acquire.photos import PHOTOS
from oft.acquire.sources import SOURCES, Source
from oft.errors import DataError
from oft.prepare.card_text import CARD_NAME, render_card
from oft.shards.shards import INDEX_NAME, read_index
from oft.storage import atomic_file, read_json, sha256_file, write_json
from oft.types import Counts

if TYPE_CHECKING:
    from oft.settings.data import Blip, Dataset

README_NAME = "README.md"
SCHEMA_VERSION = 1


def write_card(folder: Path, task: str, origin: Mapping[str, Any], counts: Mapping[str, Path]) -> None:
    """Write ``card.json`` and ``README.md`` into a folder of shards; equal shards and settings, equal bytes.

    Args:
        folder: finished shards with their index.
        task: the task, subject or style that the shards are of.
        origin: see `task_origin`, `subject_origin` and `style_origin`.
        counts: by stage, the file of what it counted.

    Raises:
        DataError: a file of counts is missing or damaged.
    """
    splits = read_index(folder)["splits"]
    counted = {stage: _totals(read_counts(stage, path)) for stage, path in counts.items()}
    card = {
        "schema": SCHEMA_VERSION,
        "task": task,
        **origin,
        "splits": {name: _contents(folder, split) for name, split in splits.items()},
        "index_sha256": sha256_file(folder / INDEX_NAME),
        "counts": counted
        | {"shard": _totals({name: Counts.from_json(split["counts"]) for name, split in splits.items()})},
    }
    write_json(folder / CARD_NAME, card)
    with atomic_file(folder / README_NAME) as partial:
        partial.write_text(render_card(read_json(folder / CARD_NAME)), encoding="utf-8")


def task_origin(
    dataset_name: str,
    dataset: Dataset,
    resolution_px: int,
    condition: str,
    condition_settings: Mapping[str, Any],
    blip: Blip,
) -> dict[str, Any]:
    """Return what a card says of where a task's samples come from: data set, condition, captions."""
    return _origin(dataset_name, dataset, resolution_px) | {
        "condition": {"name": condition, **condition_settings},
        "captions": _captions(dataset, blip),
    }


def style_origin(dataset_name: str, dataset: Dataset, resolution_px: int, blip: Blip) -> dict[str, Any]:
    """Return what a card says of where a style's samples come from: data set, captions."""
    return _origin(dataset_name, dataset, resolution_px) | {"captions": _captions(dataset, blip)}


def subject_origin(
    dataset_name: str, dataset: Dataset, resolution_px: int, subject: str, identifier: str
) -> dict[str, Any]:
    """Return what a card says of where a subject's samples come from: data set, subject, identifier."""
    origin = _origin(dataset_name, dataset, resolution_px)
    return origin | {"subject": {"name": subject, "identifier": identifier}}


def _origin(dataset_name: str, dataset: Dataset, resolution_px: int) -> dict[str, Any]:
    origin: dict[str, Any] = {
        "dataset": dataset_name,
        "reader": dataset.reader,
        "source": _public(dataset.acquire.source),
        "resolution_px": resolution_px,
        "prepare": dataset.prepare.model_dump(),
    }
    if dataset.acquire.source == "download":
        origin["official"] = _official(SOURCES[dataset.reader])
    if dataset.acquire.source == "photos":
        origin["credits"] = {photo.name: photo.credit for photo in PHOTOS}
    return origin


def _captions(dataset: Dataset, blip: Blip) -> dict[str, Any]:
    captions = dataset.captions.model_dump() | {"source": _public(dataset.captions.source)}
    if dataset.captions.source == "blip":
        captions["blip"] = blip.model_dump(exclude={"batch_size"}) | {"model": _public(blip.model)}
    return captions


def _official(source: Source) -> dict[str, Any]:
    archives = [
        {"name": archive.name, "address": archive.address, "checksum": archive.checksum}
        for archive in source.archives
    ]
    return {"title": source.title, "licence": source.licence, "terms": source.terms, "archives": archives}


def _public(source: str) -> str:
    """A source without this machine's folders: of a path its last part."""
    return Path(source).name if source.startswith((".", "/", "~")) else source


def _contents(folder: Path, split: Mapping[str, Any]) -> dict[str, Any]:
    shards = [folder / shard["name"] for shard in split["shards"]]
    licences: Counter[str] = Counter()
    num_captions = 0
    for meta in _read_metas(shards):
        licences[meta["licence"]] += 1
        num_captions += len(meta["captions"])
    return {
        "licences": dict(sorted(licences.items())),
        "num_bytes": sum(path.stat().st_size for path in shards),
        "num_captions": num_captions,
        "num_samples": split["num_samples"],
        "num_shards": len(shards),
    }


def _read_metas(shards: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for path in shards:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.name.endswith(".json") else None
                if stream is not None:
                    yield json.loads(stream.read())


def read_counts(stage: str, path: Path) -> dict[str, Counts]:
    """Return what a stage counted of each split.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        return {split: Counts.from_json(tally) for split, tally in read_json(path).items()}
    except FileNotFoundError as error:
        raise DataError(
            f"there is no {path}, which the stage `{stage}` writes; run the stage (`dvc repro`)"
        ) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error!r}); delete it and run `dvc repro`") from error


def _totals(by_split: Mapping[str, Counts]) -> dict[str, Any]:
    """What a stage counted, without the names of files."""
    return {
        split: {"seen": tally.seen, "kept": tally.kept, "dropped": dict(tally.dropped)}
        for split, tally in by_split.items()
    }
