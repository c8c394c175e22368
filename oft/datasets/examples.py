"""What a data set's settings mean: which of its examples are used."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from oft.datasets import registry

if TYPE_CHECKING:
    from oft.settings.data import Dataset
    from oft.types import Counts, Examples, Split


def read_dataset(settings: Dataset, root: Path, split: Split, counts: Counts) -> Examples:
    """Yield the examples of a split, at most as many as the settings say (0 = all).

    Subjects are used whole: a few pictures each are all there are.
    """
    most = settings.num_train_images if split == "train" else settings.num_val_images
    if settings.reader == "dreambooth":
        most = 0
    examples = registry.read(settings.reader, root, split, counts)
    return islice(examples, most) if most else examples
