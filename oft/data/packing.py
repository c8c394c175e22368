"""Samples for shards: prepared pictures and conditions joined with their captions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from oft.data.captions import read_captions
from oft.data.shards import Sample

if TYPE_CHECKING:
    from oft.types import Counts, Split


def pack_split(
    dataset_name: str, prepared: Iterable[Sample], captions_file: Path, split: Split, counts: Counts
) -> Iterator[Sample]:
    """Yield the samples of a split: every prepared one with its captions, a mirror image with its picture's.

    A picture without a caption is dropped and counted: it could not be asked for by a prompt.
    """
    captions = read_captions(captions_file, split)
    for sample in prepared:
        counts.seen += 1
        found = captions.get(sample.meta.get("mirrors", sample.key))
        if not found:
            counts.drop("caption_missing", sample.meta["source"])
            continue
        counts.kept += 1
        yield with_provenance(sample, dataset_name, found)


def with_provenance(sample: Sample, dataset_name: str, captions: Sequence[str]) -> Sample:
    """Return a prepared sample as shards hold it: captions, data set and key beside licence and source."""
    described = {"captions": list(captions), "dataset": dataset_name, "key": sample.key}
    return replace(sample, meta={**sample.meta, **described})
