"""What frozen networks say of a task's shards, computed once: posteriors of latents, embeddings of captions.

``<split>-000000.safetensors`` and so on hold the posteriors of the samples of the shard of that name,
``prompts-000000.safetensors`` the hidden states of the captions in ``captions.json``, in its order, and
``pooled-000000.safetensors`` what a second text encoder pools of them; ``manifest.json`` says which base and
which shards they belong to, and how many captions are cut.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from oft.errors import DataError
from oft.models.conditioning import picture_tensor
from oft.models.latents import encode_pictures
from oft.models.prompts import PromptEmbeds, count_cut, cut_note, encode_prompts, join_embeds
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
    prompts: KeptPrompts | None = None
    num_captions_cut: int = 0


class KeptPrompts:
    """The captions of a task encoded.

    Args:
        captions: in the order of their rows.
        hidden_states: of each.
        pooled: of each, where the base has a second text encoder.
    """

    def __init__(self, captions: Sequence[str], hidden_states: Rows, pooled: Rows | None) -> None:
        self._row_of = {caption: row for row, caption in enumerate(captions)}
        self._hidden_states, self._pooled = hidden_states, pooled

    def encode(self, base: Base, prompts: Sequence[str]) -> PromptEmbeds:
        """Return what ``encode_prompts`` does; prompts that are not kept, the empty one, are computed."""
        parts = []
        known = sorted({prompt for prompt in prompts if prompt in self._row_of})
        if known:
            rows = [self._row_of[prompt] for prompt in known]
            pooled = None if self._pooled is None else self._pooled.read(rows)
            parts.append(PromptEmbeds(self._hidden_states.read(rows), pooled))
        unknown = sorted({prompt for prompt in prompts if prompt not in self._row_of})
        if unknown:
            parts.append(encode_prompts(base, unknown).to("cpu"))
        places = {prompt: place for place, prompt in enumerate([*known, *unknown])}
        return join_embeds(parts)[[places[prompt] for prompt in prompts]].to(base.unet.device)


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
        entries = list(_write_prompts(base, captions, folder))
        manifest["prompts"] = [states for states, _ in entries]
        if base.text_encoder_2 is not None:
            manifest["pooled"] = [pooled for _, pooled in entries]
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
        pooled = Rows(folder, manifest["pooled"], remedy) if base.text_encoder_2 is not None else None
        prompts = KeptPrompts(captions, Rows(folder, manifest["prompts"], remedy), pooled)
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


def _write_prompts(
    base: Base, captions: Sequence[str], folder: Path
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Yield the entries of hidden states and of what is pooled, None where nothing is."""
    starts = range(0, len(captions), PROMPTS_A_FILE)
    for place, start in enumerate(count(starts, "embeddings of captions", "files")):
        chosen = captions[start : start + PROMPTS_A_FILE]
        batches = [
            encode_prompts(base, chosen[first : first + PROMPTS_A_BATCH])
            for first in range(0, len(chosen), PROMPTS_A_BATCH)
        ]
        embeds = join_embeds(batches).to("cpu")
        name = f"{place:06d}.safetensors"
        states = write_rows(folder, f"prompts-{name}", embeds.hidden_states)
        pooled = embeds.pooled
        yield states, None if pooled is None else write_rows(folder, f"pooled-{name}", pooled)
