"""Samples for shards: prepared pictures and conditions joined with their captions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from oft.captions.rules import choose_captions
from oft.captions.store import read_captions
from oft.prepare.drops import CAPTION_MISSING
from oft.shards.shards import Sample

if TYPE_CHECKING:
    from oft.settings.data import Captioning
    from oft.types import Counts, Split


def pack_split(
    dataset_name: str,
    settings: Captioning,
    prepared: Iterable[Sample],
    captions_file: Path,
    split: Split,
    counts: Counts,
    seed: int,
) -> Iterator[Sample]:
    """Yield the samples of a split: each prepared one with the captions chosen for its picture.

    A mirror image has the captions of its picture. A picture without a caption is dropped and counted: it
    could not be asked for by a prompt.
    """
    captions = read_captions(captions_file, split)
    for sample in prepared:
        counts.seen += 1
        key = sample.meta.get("mirrors", sample.key)
        chosen = choose_captions(captions.get(key, ()), settings, seed, key)
        if not chosen:
            counts.drop(CAPTION_MISSING, sample.meta["source"])
            continue
        counts.kept += 1
        yield with_provenance(sample, dataset_name, chosen)


def with_provenance(sample: Sample, dataset_name: str, captions: Sequence[str]) -> Sample:
    """Return a prepared sample as shards hold it: captions, data set and key beside licence and source."""
    described = {"captions": list(captions), "dataset": dataset_name, "key": sample.key}
    return replace(sample, meta={**sample.meta, **described})
