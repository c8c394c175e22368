"""From a data set's pictures to the conditioning images of a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from oft.data.conditions import CONDITIONS, extract_batches, extract_condition
from oft.data.decoding import Wanted, iterate_pictures
from oft.data.examples import read_dataset, square
from oft.data.pictures import pad_to_square, prepare_labels
from oft.params import gives_annotation

if TYPE_CHECKING:
    from oft.data.conditions.condition import Settings
    from oft.data.conditions.store import Extracted
    from oft.params import Dataset
    from oft.types import Counts, Split


def extract_split(
    settings: Dataset,
    condition_name: str,
    condition_settings: Settings,
    root: Path,
    split: Split,
    resolution_px: int,
    counts: Counts,
    device: str = "cpu",
) -> Iterator[Extracted]:
    """Yield key, conditioning image and id map (where evaluation needs it) of each usable picture.

    Args:
        device: where the condition's network runs, if one makes it.
    """
    condition, fit = CONDITIONS[condition_name], settings.prepare.fit
    annotated = gives_annotation(settings.reader, condition_name)
    wanted = Wanted(
        min_side_px=resolution_px // 2,
        annotation=condition.annotation if annotated else None,
        annotation_channel=condition.annotation_channel,
        num_labels=condition.num_labels,
    )
    pictures = iterate_pictures(read_dataset(settings, root, split, counts), counts, wanted)
    if condition.needs_network(annotated):
        prepared = (
            (decoded.example.key, np.asarray(square(decoded.image, resolution_px, fit)))
            for decoded in pictures
        )
        for key, made in extract_batches(condition, condition_settings, device, prepared):
            if condition.extract is None:
                yield key, made, None
            else:  # the network stood in for the annotation
                yield key, condition.extract(made), made
        return
    for decoded in pictures:
        labels = decoded.annotation
        if labels is not None:
            labels = prepare_labels(pad_to_square(labels) if fit == "pad" else labels, resolution_px)
        array = np.asarray(square(decoded.image, resolution_px, fit))
        condition_image = extract_condition(condition, array, labels, **condition_settings)
        yield decoded.example.key, condition_image, labels if condition.keeps_labels else None
