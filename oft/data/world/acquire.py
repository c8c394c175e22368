"""Rendering a data set of the miniature world, in its official layout, into a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from oft.data.world.layouts import write_ade20k, write_coco, write_deepfashion, write_dreambooth
from oft.errors import ParamsError

# The readers take the first line as the pictures' licence tag, in place of the real archives'.
LICENCE_TEXT = "CC0 1.0\nRendered by the miniature world of this project; no photograph is in it.\n"

WRITERS: dict[str, Callable[..., None]] = {
    "ade20k": write_ade20k,
    "coco": write_coco,
    "deepfashion": write_deepfashion,
}


def render_dataset(
    reader: str, root: Path, *, seed: int, num_train_images: int, num_val_images: int, size_px: int
) -> None:
    """Write the rendered stand-in for the data set that ``reader`` reads.

    Raises:
        ParamsError: the world has no such data set.
    """
    if reader == "dreambooth":
        write_dreambooth(root, seed=seed, size_px=size_px, num_images=num_train_images)
    elif reader in WRITERS:
        WRITERS[reader](
            root, seed=seed, num_train_images=num_train_images, num_val_images=num_val_images, size_px=size_px
        )
    else:
        raise ParamsError(
            f"datasets: source 'world' renders {', '.join([*WRITERS, 'dreambooth'])}, not {reader!r}; "
            "set source to a folder of pictures"
        )
    (root / "LICENCE").write_text(LICENCE_TEXT, encoding="utf-8")
