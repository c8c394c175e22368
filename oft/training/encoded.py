"""What frozen networks say of a task's shards, computed once: posteriors of latents, embeddings of captions.

``<split>-000000.safetensors`` and so on hold the posteriors of the samples of the shard of that name,
``prompts-000000.safetensors`` the embeddings of the captions in ``captions.json``, in its order;
``manifest.json`` says which base and which shards they belong to, and how many captions are cut.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from oft.errors import DataError
from oft.models.conditioning import picture_tensor
from oft.models.latents import encode_pictures
from oft.models.prompts import count_cut, cut_note, encode_prompts
from oft.progress import count
from oft.shards.loader import ShardReader
from oft.storage import read_json, write_json
from oft.training.rows import Rows, write_rows
from oft.types import Split

if TYPE_CHECKING:
    from oft.models.base import Base
    from oft.shards.store import ShardStore

SCHEMA_VERSION = 2
MANIFEST_NAME = "manifest.json"
CAPTIONS_NAME = "captions.json"
PICTURES_A_BATCH = 32
PROMPTS_A_BATCH = 32
PROMPTS_A_FILE = 256


@dataclass(frozen=True)
class Encoded:
    """What was computed before training; what was not is computed when it is needed.

    Attributes:
        posteriors: of the samples of each split, as ``encode_pictures`` returns them, where they are kept.
        prompts: the embeddings, where they are kept.
        num_captions_cut: different captions with more tokens than the text encoder takes.
    """

    posteriors: dict[Split, Rows] = field(default_factory=dict)
    prompts: PromptEmbeddings | None = None
    num_captions_cut: int = 0


class PromptEmbeddings:
    """Hidden states of the text encoder for the captions of a task."""

    def __init__(self, captions: Sequence[str], rows: Rows) -> None:
        self._row_of = {caption: row for row, caption in enumerate(captions)}
        self._rows = rows

    def encode(self, base: Base, prompts: Sequence[str]) -> Float[Tensor, "n tokens features"]:
        """Return what ``encode_prompts`` does; prompts that are not kept, the empty one, are computed."""
        unknown = sorted({prompt for prompt in prompts if prompt not in self._row_of})
        states = dict(zip(unknown, encode_prompts(base, unknown).cpu(), strict=True)) if unknown else {}
        for prompt in set(prompts) - set(unknown):
            (states[prompt],) = self._rows.read([self._row_of[prompt]])
        return torch.stack([states[prompt] for prompt in prompts]).to(base.unet.device)


def write_encoded(base: Base, store: ShardStore, folder: Path, *, latents: bool, text: bool) -> None:
    """Write what is asked for of all splits into ``folder``; memory is that of one shard and all captions.

    It says aloud how many captions are cut.
    """
    readers = {split: ShardReader(store, split) for split in store.splits()}
    manifest: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "base_hash": base.hash,
        "shards_sha256": store.index_sha256,
        "posteriors": {},
        "prompts": None,
    }
    if latents:
        manifest["posteriors"] = {
            split: list(_write_posteriors(base, reader, folder)) for split, reader in readers.items()
        }
    captions = sorted({caption for reader in readers.values() for caption in _captions(reader)})
    num_cut = count_cut(base, captions)
    if num_cut:
        print(f"{store.name}: {cut_note(base, num_cut, len(captions))}", flush=True)
    manifest |= {"num_captions": len(captions), "num_captions_cut": num_cut}
    if text:
        write_json(folder / CAPTIONS_NAME, captions)
        manifest["prompts"] = list(_write_prompts(base, captions, folder))
    write_json(folder / MANIFEST_NAME, manifest)


def open_encoded(folder: Path, base: Base, store: ShardStore, remedy: str) -> Encoded:
    """Return what is kept in ``folder`` of the shards in ``store``.

    Raises:
        DataError: the folder has no readable manifest, or that of another base or of other shards; ``remedy``
            ends the message.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = read_json(path)
    except (OSError, ValueError) as fault:
        raise DataError(f"{path}: must say what was encoded, got {fault!r}; {remedy}") from fault
    expected = {
        "schema": SCHEMA_VERSION,
        "base_hash": base.hash,
        "shards_sha256": store.index_sha256,
    }
    for name, value in expected.items():
        if manifest.get(name) != value:
            raise DataError(
                f"{path}: {name} is {manifest.get(name)} and must be {value}: it belongs to "
                f"{_FOREIGN[name]}; {remedy}"
            )
    prompts = None
    if manifest["prompts"] is not None:
        captions = read_json(folder / CAPTIONS_NAME)
        prompts = PromptEmbeddings(captions, Rows(folder, manifest["prompts"], remedy))
    posteriors = {split: Rows(folder, entries, remedy) for split, entries in manifest["posteriors"].items()}
    return Encoded(posteriors, prompts, manifest["num_captions_cut"])


_FOREIGN = {
    "schema": "another version of this program",
    "base_hash": "another base",
    "shards_sha256": "other shards",
}


def _write_posteriors(base: Base, reader: ShardReader, folder: Path) -> Iterator[dict[str, Any]]:
    for place, shard in enumerate(count(reader.shards, f"latents of {reader.name}", "shards")):
        name = f"{Path(reader.shard_name(place)).stem}.safetensors"
        numbers = shard.samples
        batches = (
            numbers[start : start + PICTURES_A_BATCH] for start in range(0, len(numbers), PICTURES_A_BATCH)
        )
        posteriors = [
            encode_pictures(base, picture_tensor(reader.sample(number).image for number in batch))
            for batch in batches
        ]
        yield write_rows(folder, name, torch.cat(posteriors))


def _captions(reader: ShardReader) -> Iterator[str]:
    for number in range(len(reader)):
        yield from json.loads(reader.read(number, ("json",))["json"])["captions"]


def _write_prompts(base: Base, captions: Sequence[str], folder: Path) -> Iterator[dict[str, Any]]:
    starts = range(0, len(captions), PROMPTS_A_FILE)
    for place, start in enumerate(count(starts, "embeddings of captions", "files")):
        chosen = captions[start : start + PROMPTS_A_FILE]
        states = [
            encode_prompts(base, chosen[first : first + PROMPTS_A_BATCH])
            for first in range(0, len(chosen), PROMPTS_A_BATCH)
        ]
        yield write_rows(folder, f"prompts-{place:06d}.safetensors", torch.cat(states).cpu())
