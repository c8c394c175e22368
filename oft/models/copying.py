"""Files of other people's model folders: named ones alone, plain, and never from outside the folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from oft.errors import CheckpointError

CONFIG = r"config\.json"
INDEX_NAME = "model_index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
TOKENIZERS = ("tokenizer", "tokenizer_2")
WEIGHTS_NAMES = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
"""Weights of each network in diffusers' layout, without the ending."""

IN_DVC_CACHE = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")


def part_files(variant: str | None = None) -> Mapping[str, re.Pattern[str]]:
    """Return, for each part of a checkpoint in diffusers' layout, the files that are taken of it.

    Args:
        variant: take the weights ``*.<variant>.safetensors`` and not the plain ones.
    """
    weights = {
        part: rf"{name}\.{variant}\.safetensors"
        if variant
        else rf"{name}(-\d+-of-\d+)?\.safetensors|{name}\.safetensors\.index\.json"
        for part, name in WEIGHTS_NAMES.items()
    }
    return {
        **{part: re.compile(rf"{CONFIG}|{names}") for part, names in weights.items()},
        **dict.fromkeys(TOKENIZERS, re.compile("|".join(map(re.escape, TOKENIZER_FILES)))),
        "scheduler": re.compile(r"scheduler_config\.json"),
    }


def listed_files(folder: Path, names: re.Pattern[str]) -> Iterator[Path]:
    """Yield the files of a folder whose whole name a pattern allows, sorted."""
    return (path for path in sorted(folder.iterdir()) if names.fullmatch(path.name))


def copy_plain(path: Path, target: Path, root: Path) -> None:
    """Copy a plain file of the model folder ``root`` to the file ``target``.

    Links are followed within ``root``, into huggingface_hub's store of the same repository where ``root`` is
    a snapshot in its cache, and to what DVC keeps under its hash, as it may link outs to its cache. Anywhere
    else a link could bring a file into the results, and with them to whoever reads those, that is no part of
    the model.

    Raises:
        CheckpointError: it is no plain file, or a link that leads out of ``root``.
    """
    lies_at = path.resolve()
    own = any(lies_at.is_relative_to(folder) for folder in _own_folders(root))
    if not own and not IN_DVC_CACHE.search(lies_at.as_posix()):
        raise CheckpointError(
            f"{path}: a model's files must lie in its folder, and this is a link to {lies_at}; put the file "
            "itself there where you trust it (cp -L)"
        )
    if not lies_at.is_file():
        raise CheckpointError(
            f"{path}: must be a plain file, and is {'a folder' if path.is_dir() else 'none'}; copy the model "
            "again"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(lies_at, target)


def _own_folders(root: Path) -> list[Path]:
    root = root.resolve()
    # <cache>/models--owner--name/snapshots/<commit>, whose files are links into ../../blobs.
    in_cache = root.parent.name == "snapshots" and root.parent.parent.name.startswith("models--")
    return [root, *([root.parent.parent / "blobs"] if in_cache else [])]
