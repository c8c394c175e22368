"""Samples of one subject: its pictures under the instance prompt; and the prompts it is evaluated on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oft.datasets.dreambooth import LIVE_CLASSES, read_prompts, read_subject, read_subjects
from oft.errors import DataError
from oft.prepare.extraction import Recipe, prepare_examples
from oft.prepare.geometry import geometry_of
from oft.prepare.packing import with_provenance
from oft.shards.shards import Sample, picture_size

if TYPE_CHECKING:
    from oft.settings.data import Dataset
    from oft.types import Counts


def pack_subject(
    dataset_name: str,
    settings: Dataset,
    root: Path,
    subject: str,
    caption: str,
    resolution_px: int,
    jpeg_quality: int,
    counts: Counts,
) -> Iterator[Sample]:
    """Yield a subject's pictures, each with the caption, its instance prompt.

    Those of one size come together; they are few, so all are held.
    """
    recipe = Recipe(geometry_of(settings, resolution_px, "train"), jpeg_quality, flip=settings.prepare.flip)
    prepared = prepare_examples(read_subject(root, subject, counts), recipe, counts, "shard_subject")
    for sample in sorted((sample for sample, _ in prepared), key=picture_size):
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


def fill_prompt(template: str, identifier: str, class_name: str) -> str:
    """Return a prompt template of params.yaml with the subject's token and its class in place."""
    return template.format_map({"identifier": identifier, "class": class_name})


def subject_prompts(root: Path, subject: str, identifier: str) -> dict[str, str]:
    """Return the 25 evaluation prompts of a subject by key ``p00`` to ``p24``."""
    class_name = subject_class(root, subject)
    templates = read_prompts(root, live=class_name in LIVE_CLASSES)
    return {
        f"p{index:02d}": template.format(identifier, class_name) for index, template in enumerate(templates)
    }
