"""Rendering a data set of the miniature world, in its official layout, into a folder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from miniature.world.layouts import (
    write_ade20k,
    write_celeba_hq,
    write_coco,
    write_deepfashion,
    write_depth,
    write_dreambooth,
    write_fill50k,
    write_style,
)

# The readers take the first line as the pictures' licence tag, in place of the real archives'.
LICENCE_TEXT = "CC0 1.0\nRendered by the miniature world of this project; no photograph is in it.\n"

WRITERS: dict[str, Callable[..., None]] = {
    "ade20k": write_ade20k,
    "celeba_hq": write_celeba_hq,
    "coco": write_coco,
    "deepfashion": write_deepfashion,
    "fill50k": write_fill50k,
    "hub_depth": write_depth,
}


def render_dataset(
    source: str,
    reader: str,
    root: Path,
    *,
    seed: int,
    num_train_images: int,
    num_val_images: int,
    size_px: int,
) -> None:
    """Write a rendered data set.

    Args:
        source: ``world``, or ``world-`` and one of `miniature.world.styles.STYLES`.
        reader: the layout: a key of `WRITERS` or dreambooth; hub for a style.
        root: the folder to write.
        seed: what the pictures are drawn from.
        num_train_images, num_val_images: pictures; of dreambooth the first is for each subject.
        size_px: side of a picture.
    """
    if reader == "dreambooth":
        write_dreambooth(root, seed=seed, size_px=size_px, num_images=num_train_images)
    else:
        style = source.removeprefix("world").removeprefix("-")
        write = partial(write_style, style=style) if style else WRITERS[reader]
        write(
            root, seed=seed, num_train_images=num_train_images, num_val_images=num_val_images, size_px=size_px
        )
    (root / "LICENCE").write_text(LICENCE_TEXT, encoding="utf-8")
