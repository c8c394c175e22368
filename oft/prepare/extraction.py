"""From a data set's pictures to samples: decoded once, brought to the run's size, given their condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oft.conditions import CONDITIONS, extract_condition
from oft.conditions.batching import extract_batches
from oft.datasets import READERS
from oft.datasets.decoding import Unusable, Wanted, decode
from oft.datasets.examples import read_dataset
from oft.keys import flipped_key
from oft.parallel import parallel_map
from oft.prepare.geometry import Geometry, geometry_of, mirror_annotation, smallest_side_px
from oft.shards.shards import Sample, encode_condition, encode_labels, pack_sample

if TYPE_CHECKING:
    from oft.conditions.condition import Settings
    from oft.settings.data import Dataset
    from oft.types import Counts, Example, Examples, Split


@dataclass(frozen=True)
class Recipe:
    """What becomes of the pictures of one split.

    Attributes:
        geometry: how they come to the run's size.
        jpeg_quality: 1 to 100.
        condition: by name; None for pictures without.
        settings: of the condition.
        by_network: the condition is made later, in batches, from the prepared pictures.
        flip: each picture's mirror image is a sample too.
    """

    geometry: Geometry
    jpeg_quality: int
    condition: str | None = None
    settings: Settings | None = None
    by_network: bool = False
    flip: bool = False


Prepared = tuple[Sample, NDArray[np.uint8]]
"""A sample without captions, and its picture where a network is yet to make the condition (else empty)."""

LANDMARK_DECIMALS = 3
"""Decimals of a landmark's pixels in the shards."""

_NO_PICTURE = np.empty((0, 0, 3), np.uint8)


def extract_split(
    settings: Dataset,
    condition_name: str,
    condition_settings: Settings,
    root: Path,
    split: Split,
    resolution_px: int,
    jpeg_quality: int,
    counts: Counts,
    *,
    device: str = "cpu",
) -> Iterator[Sample]:
    """Yield a sample of each usable picture, in the reader's order, a mirror image after its picture.

    Samples are complete but for captions: picture, conditioning image, id map where evaluation needs it,
    licence and source.

    Args:
        settings: of the data set.
        condition_name: a key of `CONDITIONS`.
        condition_settings: what its extractor takes.
        root: of the data set.
        split: ``train`` or ``val``; mirror images, random crops and buckets are for ``train`` alone.
        resolution_px: the run's size.
        jpeg_quality: 1 to 100.
        counts: pictures seen, kept and dropped; a mirror image is no further picture.
        device: where a network runs that makes conditions.
    """
    condition = CONDITIONS[condition_name]
    by_network = condition.needs_network(READERS[settings.reader].gives(condition.annotation))
    recipe = Recipe(
        geometry_of(settings, resolution_px, split),
        jpeg_quality,
        condition_name,
        condition_settings,
        by_network,
        flip=settings.prepare.flip and split == "train",
    )
    prepared = prepare_examples(read_dataset(settings, root, split, counts), recipe, counts, "extract")
    if not by_network:
        yield from (sample for sample, _ in prepared)
        return
    for sample, made in extract_batches(condition, condition_settings, device, prepared):
        if condition.extract is None:
            yield replace(sample, condition=encode_condition(made))
        else:  # the network stood in for the annotation
            drawn = encode_condition(condition.extract(made))
            labels = encode_labels(made) if condition.keeps_labels else None
            yield replace(sample, condition=drawn, labels=labels)


def prepare_examples(examples: Examples, recipe: Recipe, counts: Counts, stage: str) -> Iterator[Prepared]:
    """Yield what `prepare_example` makes of each, and count it; all cores share the work of ``stage``."""
    for prepared in parallel_map(partial(prepare_example, recipe=recipe), examples, stage):
        if isinstance(prepared, Unusable):
            counts.drop(prepared.reason, prepared.name)
            continue
        counts.kept += 1
        yield from prepared


def prepare_example(example: Example, recipe: Recipe) -> list[Prepared] | Unusable:
    """Return the samples of one picture, or why there is none."""
    min_side_px = smallest_side_px(recipe.geometry.resolution_px)
    wanted, mirrored = Wanted(min_side_px), None
    if recipe.condition is not None and not recipe.by_network:
        condition = CONDITIONS[recipe.condition]
        wanted, mirrored = Wanted.of(condition.annotation, min_side_px), condition.mirrored
    try:
        decoded = decode(example, wanted)
    except Unusable as unusable:
        return unusable
    geometry = recipe.geometry.of(example.key)
    picture, annotation = np.asarray(geometry.picture(decoded.image)), decoded.annotation
    kind = wanted.annotation
    if kind is not None and annotation is not None:
        annotation = geometry.annotation(kind, annotation, decoded.image.size)
    samples = [_sample(example, picture, annotation, recipe)]
    if recipe.flip:
        if kind is not None and annotation is not None:
            annotation = mirror_annotation(kind, annotation, picture.shape[1], mirrored)
        samples.append(_sample(example, picture[:, ::-1], annotation, recipe, is_mirror=True))
    return samples


def _sample(
    example: Example,
    picture: NDArray[np.uint8],
    annotation: NDArray[Any] | None,
    recipe: Recipe,
    is_mirror: bool = False,
) -> Prepared:
    picture = np.ascontiguousarray(picture)
    meta: dict[str, Any] = {"licence": example.licence, "source": example.image.name}
    key = example.key
    if is_mirror:
        key, meta["mirrors"] = flipped_key(key), key
    pack = partial(pack_sample, key, picture, meta=meta, jpeg_quality=recipe.jpeg_quality)
    if recipe.by_network:
        return pack(), picture
    if recipe.condition is None:
        return pack(), _NO_PICTURE
    condition = CONDITIONS[recipe.condition]
    made = extract_condition(condition, picture, annotation, **(recipe.settings or {}))
    if (
        annotation is not None
        and condition.annotation is not None
        and condition.annotation.kind == "landmarks"
    ):
        # For evaluation: the drawing does not lead back to them.
        meta["landmarks"] = annotation.round(LANDMARK_DECIMALS).tolist()
    return pack(condition=made, labels=annotation if condition.keeps_labels else None), _NO_PICTURE
