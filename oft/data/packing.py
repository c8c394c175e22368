"""Samples for shards: the pictures of a task with conditions and captions, or those of a subject."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.data.caption_rules import choose_captions
from oft.data.captions import read_captions
from oft.data.conditions.store import read_conditions
from oft.data.decoding import Wanted, iterate_pictures
from oft.data.examples import read_dataset, square
from oft.data.pictures import load_picture
from oft.data.readers.dreambooth import LIVE_CLASSES, read_prompts, read_subject, read_subjects
from oft.data.shards import Sample, pack_sample
from oft.errors import DataError
from oft.types import Counts

if TYPE_CHECKING:
    from oft.params import Dataset
    from oft.types import Example, Split


def pack_split(
    dataset_name: str,
    settings: Dataset,
    root: Path,
    conditions: Path,
    captions_file: Path,
    split: Split,
    resolution_px: int,
    jpeg_quality: int,
    counts: Counts,
    seed: int,
) -> Iterator[Sample]:
    """Yield the samples of a split: every extracted condition with its picture and the captions chosen.

    A picture without a caption is dropped and counted: it could not be asked for by a prompt.
    """
    captions = read_captions(captions_file, split)
    # Only the tally of this stage goes into its counts: what the reader drops was counted when extracting.
    examples = {example.key: example for example in read_dataset(settings, root, split, Counts())}
    for key, condition, labels in read_conditions(conditions):
        counts.seen += 1
        example = examples.get(key)
        if example is None:
            raise DataError(
                f"{conditions}: {key} is no picture of data set {dataset_name}; "
                "run `dvc repro` to extract again"
            )
        chosen = choose_captions(captions.get(key, ()), settings.captions, seed, key)
        if not chosen:
            counts.drop("caption_missing", example.image.name)
            continue
        counts.kept += 1
        image = square(load_picture(example.image), resolution_px, settings.prepare.fit)
        packed = pack_sample(
            key, image, meta=_provenance(dataset_name, example, chosen), jpeg_quality=jpeg_quality
        )
        yield replace(packed, condition=condition, labels=labels)


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
    wanted = Wanted(min_side_px=resolution_px // 2)
    for decoded in iterate_pictures(read_subject(root, subject, counts), counts, wanted):
        yield pack_sample(
            decoded.example.key,
            square(decoded.image, resolution_px, settings.prepare.fit),
            meta=_provenance(dataset_name, decoded.example, (caption,)),
            jpeg_quality=jpeg_quality,
        )


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


def _provenance(dataset_name: str, example: Example, captions: tuple[str, ...]) -> dict[str, Any]:
    return {
        "captions": list(captions),
        "dataset": dataset_name,
        "key": example.key,
        "licence": example.licence,
        "source": example.image.name,
    }
