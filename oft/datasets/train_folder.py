"""Any folder of pictures, to train on: as `image_folder`, but a folder without splits is not all held out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oft.datasets.image_folder import read_image_folder
from oft.datasets.reader import Reader
from oft.types import Counts, Example, Split


def read_train_folder(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    """Yield a folder's pictures, sorted by key; of one without splits 5 % are ``val``, and never none.

    Raises:
        DataError: the folder is missing, or a text file is no text.
    """
    return read_image_folder(root, split, counts, train_on_unsplit=True)


READER = Reader("train_folder", "any folder of pictures, to train on", read_train_folder)
