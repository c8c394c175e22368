"""From a data set and a condition to samples: the steps of the stages extract, caption and shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from oft.data.captions import CaptionRecord, caption_with_blip, read_captions
from oft.data.conditions import CONDITIONS, extract_condition
from oft.data.conditions.store import Extracted, read_conditions
from oft.data.decoding import iterate_pictures
from oft.data.pictures import load_picture, pad_to_square, prepare, prepare_labels
from oft.data.readers import read
from oft.data.readers.dreambooth import LIVE_CLASSES, read_prompts, read_subject, read_subjects
from oft.data.readers.prompt_files import read_prompt_file
from oft.data.shards import Sample, pack_sample
from oft.errors import DataError
from oft.types import Counts

if TYPE_CHECKING:
    from oft.params import Blip, Dataset
    from oft.types import Example, Examples, Split


def read_dataset(settings: Dataset, root: Path, split: Split, counts: Counts) -> Examples:
    """Yield the examples of a split, at most as many as the settings say (0 = all)."""
    most = settings.num_train_images if split == "train" else settings.num_val_images
    examples = read(settings.reader, root, split, counts)
    return islice(examples, most) if most else examples


def square(image: Image.Image, resolution_px: int, fit: str) -> Image.Image:
    """Return a picture at the run's size: its centre square, or the whole padded to a square."""
    return prepare(
        Image.fromarray(pad_to_square(np.asarray(image))) if fit == "pad" else image, resolution_px
    )


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
    condition = CONDITIONS[condition_name]
    pictures = iterate_pictures(
        read_dataset(settings, root, split, counts),
        counts,
        min_side_px=resolution_px // 2,
        with_annotations=condition.source == "annotation",
        annotation_channel=condition.annotation_channel,
        num_labels=condition.num_labels,
    )
    for example, image, labels in pictures:
        if labels is not None:
            labels = prepare_labels(pad_to_square(labels) if settings.fit == "pad" else labels, resolution_px)
        array = np.asarray(square(image, resolution_px, settings.fit))
        condition_image = extract_condition(condition, array, labels, **condition_settings)
        yield example.key, condition_image, labels if condition.keeps_labels else None


def caption_dataset(
    settings: Dataset, blip: Blip, root: Path, counts: dict[Split, Counts], device: str
) -> Iterator[CaptionRecord]:
    """Yield the captions of a data set from where its settings say: its own, BLIP, or a prompt file."""
    given = None if settings.captions in ("own", "blip") else read_prompt_file(Path(settings.captions))
    for split, tally in counts.items():
        examples = read_dataset(settings, root, split, tally)
        if settings.captions == "blip":
            decoded = iterate_pictures(examples, tally, 1, with_annotations=False)
            captions = caption_with_blip(
                ((example.key, image) for example, image, _ in decoded),
                blip.model,
                blip.batch_size,
                blip.num_beams,
                device,
                max_new_tokens=blip.max_new_tokens,
            )
            for key, caption in captions:
                yield CaptionRecord(key, split, (caption,))
            continue
        for example in examples:
            found = example.captions if given is None else _given_caption(given, example)
            tally.kept += 1
            yield CaptionRecord(example.key, split, found)


def _given_caption(given: dict[str, str], example: Example) -> tuple[str, ...]:
    caption = given.get(example.image.stem)
    return (caption,) if caption else ()


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
) -> Iterator[Sample]:
    """Yield the samples of a split: every extracted condition with its picture and captions.

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
        if not captions.get(key):
            counts.drop("caption_missing", example.image.name)
            continue
        counts.kept += 1
        image = square(load_picture(example.image), resolution_px, settings.fit)
        packed = pack_sample(
            key, image, meta=_provenance(dataset_name, example, captions[key]), jpeg_quality=jpeg_quality
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
    for example, image, _ in iterate_pictures(
        read_subject(root, subject, counts), counts, resolution_px // 2, with_annotations=False
    ):
        prepared = square(image, resolution_px, settings.fit)
        yield pack_sample(
            example.key,
            prepared,
            meta=_provenance(dataset_name, example, (caption,)),
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
