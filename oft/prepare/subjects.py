"""Samples of one subject: its pictures under the instance prompt; and the prompts it is evaluated on.

The pictures are one subject's in DreamBooth's layout, or all of a folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from oft.datasets import read
from oft.datasets.dreambooth import LIVE_CLASSES, read_prompts, read_subject, read_subjects
from oft.datasets.image_folder import read_image_folder
from oft.errors import DataError
from oft.prepare.extraction import Recipe, prepare_examples
from oft.prepare.geometry import geometry_of
from oft.prepare.packing import with_provenance
from oft.prepare.prompt_list import read_prompt_list
from oft.shards.shards import Sample, picture_size
from oft.types import SPLITS

if TYPE_CHECKING:
    from oft.settings.data import Dataset, Subject
    from oft.types import Counts, Example

PLACES = (
    "in the snow",
    "on the grass",
    "on a table",
    "in front of a brick wall",
    "under an orange evening sky",
)
"""Where the subject is asked for, beside by itself, when nobody chose prompts."""


def pack_subject(
    dataset_name: str,
    settings: Dataset,
    root: Path,
    subject: str | None,
    caption: str,
    resolution_px: int,
    jpeg_quality: int,
    counts: Counts,
) -> Iterator[Sample]:
    """Yield a subject's pictures, each with the caption, its instance prompt.

    Those of one size come together; they are few, so all are held.

    Args:
        subject: its name in DreamBooth's layout; None takes all pictures of the data set.
    """
    if subject is not None:
        examples = read_subject(root, subject, counts)
    else:
        examples = (example for split in SPLITS for example in read(settings.reader, root, split, counts))
    recipe = Recipe(geometry_of(settings, resolution_px, "train"), jpeg_quality, flip=settings.prepare.flip)
    yield from _pack(examples, recipe, dataset_name, caption, counts, "shard_subject")


def pack_class_pictures(
    folder: Path, settings: Dataset, caption: str, resolution_px: int, jpeg_quality: int, counts: Counts
) -> Iterator[Sample]:
    """Yield all pictures of a user's folder, each with the caption, the class prompt.

    Args:
        settings: of the subject's data set: class pictures are brought to size as its own are.

    Raises:
        DataError: the folder is missing.
    """
    examples = (example for split in SPLITS for example in read_image_folder(folder, split, counts))
    recipe = Recipe(geometry_of(settings, resolution_px, "train"), jpeg_quality)
    yield from _pack(examples, recipe, folder.name, caption, counts, "prior")


def _pack(
    examples: Iterable[Example], recipe: Recipe, dataset_name: str, caption: str, counts: Counts, stage: str
) -> Iterator[Sample]:
    prepared = prepare_examples(iter(examples), recipe, counts, stage)
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
    return _by_key([template.format(identifier, class_name) for template in templates])


def evaluation_prompts(
    root: Path, subject: Subject, instance_prompt: str, class_name: str, identifier: str
) -> dict[str, str]:
    """Return the prompts that a subject is drawn for by key: the user's, its data set's, or a few places.

    Args:
        root: of the data set.
        instance_prompt: with the subject's token and class in place.

    Raises:
        DataError: the user's file is missing or breaks a rule.
    """
    if subject.prompts is not None:
        templates = read_prompt_list(Path(subject.prompts))
        return _by_key([fill_prompt(template, identifier, class_name) for template in templates])
    if subject.subject is not None:
        return subject_prompts(root, subject.subject, identifier)
    return _by_key(place_prompts(instance_prompt))


def place_prompts(instance_prompt: str) -> list[str]:
    """Return the prompts of a subject that nobody chose: the instance prompt, and the subject in `PLACES`."""
    return [instance_prompt, *(f"{instance_prompt} {place}" for place in PLACES)]


def _by_key(prompts: Sequence[str]) -> dict[str, str]:
    num_digits = max(2, len(str(len(prompts) - 1)))
    return {f"p{index:0{num_digits}d}": prompt for index, prompt in enumerate(prompts)}
