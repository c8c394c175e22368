"""Samples of one subject: its pictures under the instance prompt; and the prompts it is evaluated on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oft.data.extraction import Recipe, prepare_examples
from oft.data.geometry import geometry_of
from oft.data.packing import with_provenance
from oft.data.readers.dreambooth import LIVE_CLASSES, read_prompts, read_subject, read_subjects
from oft.data.shards import Sample
from oft.errors import DataError

if TYPE_CHECKING:
    from oft.params import Dataset
    from oft.types import Counts


def pack_subject(
    dataset_name: str,
    settings: Dataset,
    root: Path,
    subject: str,
    identifier: str,
    resolution_px: int,
    jpeg_quality: int,
    counts: Counts,
) -> Iterator[Sample]:
    """Yield a subject's pictures, captioned with the instance prompt "a <identifier> <class>"."""
    caption = f"a {identifier} {subject_class(root, subject)}"
    recipe = Recipe(geometry_of(settings, resolution_px, "train"), jpeg_quality, flip=settings.prepare.flip)
    for sample, _ in prepare_examples(read_subject(root, subject, counts), recipe, counts, "shard_subject"):
        yield with_provenance(sample, dataset_name, (caption,))


def subject_class(root: Path, subject: str) -> str:
    """Return the class word of a subject.

    Raises:
        DataError: the data set does not list it.
    """
    classes = read_subjects(root)
    if subject not in classes:
        raise DataError(
            f"{root}: subject {subject!r} is not listed; its subjects: {', '.join(sorted(classes))}"
        )
    return classes[subject]


def subject_prompts(root: Path, subject: str, identifier: str) -> dict[str, str]:
    """Return the 25 evaluation prompts of a subject by key ``p00`` to ``p24``."""
    class_name = subject_class(root, subject)
    templates = read_prompts(root, live=class_name in LIVE_CLASSES)
    return {
        f"p{index:02d}": template.format(identifier, class_name) for index, template in enumerate(templates)
    }
