"""Samples of a style: its pictures with their captions; and the captions that pictures are drawn for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

from oft.captions.rules import choose_captions
from oft.captions.store import read_captions
from oft.datasets.examples import read_dataset
from oft.prepare.drops import CAPTION_MISSING
from oft.prepare.extraction import Recipe, prepare_examples
from oft.prepare.geometry import geometry_of
from oft.prepare.packing import with_provenance
from oft.seeding import derive_seed

if TYPE_CHECKING:
    from oft.settings.data import Dataset
    from oft.shards.shards import Sample
    from oft.types import Counts, Example, Split


def pack_style(
    dataset_name: str,
    settings: Dataset,
    root: Path,
    captions_file: Path,
    split: Split,
    resolution_px: int,
    jpeg_quality: int,
    counts: Counts,
    seed: int,
    prompts: MutableMapping[str, str],
) -> Iterator[Sample]:
    """Yield the pictures of a split, each with the captions chosen for it, a mirror image with its picture's.

    A picture without a caption is dropped and counted.

    Args:
        settings: of the data set.
        root: of the data set.
        captions_file: what the stage ``caption`` wrote.
        counts: pictures seen, kept and dropped; a mirror image is no further picture.
        seed: decides which caption the rule "random" draws.
        prompts: gets the first caption of each picture by its key.
    """
    captions = read_captions(captions_file, split)
    chosen: dict[str, tuple[str, ...]] = {}

    def with_captions(examples: Iterable[Example]) -> Iterator[Example]:
        for example in examples:
            chosen[example.key] = choose_captions(
                captions.get(example.key, ()), settings.captions, seed, example.key
            )
            if chosen[example.key]:
                yield example
            else:
                counts.drop(CAPTION_MISSING, example.image.name)

    recipe = Recipe(
        geometry_of(settings, resolution_px, split),
        jpeg_quality,
        flip=settings.prepare.flip and split == "train",
    )
    examples = with_captions(read_dataset(settings, root, split, counts))
    for sample, _ in prepare_examples(examples, recipe, counts, "shard_style"):
        key = sample.meta.get("mirrors", sample.key)
        prompts[key] = chosen[key][0]
        yield with_provenance(sample, dataset_name, chosen[key])


def style_prompts(seen: Mapping[str, str], unseen: Mapping[str, str], seed: int) -> dict[str, str]:
    """Return the captions to draw for by key, sorted: all unseen ones, and as many seen ones, drawn by seed.

    Args:
        seen: captions of training pictures by key.
        unseen: captions of validation pictures by key.
    """
    drawn = sorted(seen, key=lambda key: (derive_seed(seed, "seen prompt", key), key))[: len(unseen)]
    return dict(sorted({**{key: seen[key] for key in drawn}, **unseen}.items()))
