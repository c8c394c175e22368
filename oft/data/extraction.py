"""From a data set's pictures to the conditioning images of a task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oft.data.conditions import CONDITIONS, extract_condition
from oft.data.decoding import Wanted, iterate_pictures
from oft.data.examples import read_dataset, square
from oft.data.pictures import pad_to_square, prepare_labels

if TYPE_CHECKING:
    from oft.data.conditions.store import Extracted
    from oft.params import Dataset
    from oft.types import Counts, Split


def extract_split(
    settings: Dataset,
    condition_name: str,
    condition_settings: dict[str, Any],
    root: Path,
    split: Split,
    resolution_px: int,
    counts: Counts,
) -> Iterator[Extracted]:
    """Yield key, conditioning image and id map (where evaluation needs it) of each usable picture."""
    condition, fit = CONDITIONS[condition_name], settings.prepare.fit
    wanted = Wanted(
        min_side_px=resolution_px // 2,
        annotation=condition.annotation,
        annotation_channel=condition.annotation_channel,
        num_labels=condition.num_labels,
    )
    for decoded in iterate_pictures(read_dataset(settings, root, split, counts), counts, wanted):
        labels = decoded.annotation
        if labels is not None:
            labels = prepare_labels(pad_to_square(labels) if fit == "pad" else labels, resolution_px)
        array = np.asarray(square(decoded.image, resolution_px, fit))
        condition_image = extract_condition(condition, array, labels, **condition_settings)
        yield decoded.example.key, condition_image, labels if condition.keeps_labels else None
