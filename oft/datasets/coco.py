"""COCO 2017: pictures with about five captions each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from oft.datasets.layout import (
    captions_in,
    licence_tag,
    list_pictures,
    read_json_file,
    require_folder,
)
from oft.datasets.reader import WORLD, Reader
from oft.errors import DataError
from oft.keys import sorted_keys
from oft.types import Counts, Example, Split

LAYOUT = "COCO's layout: train2017/*.jpg, val2017/*.jpg and annotations/captions_{train,val}2017.json"
LICENCE = "COCO terms (Flickr)"


def read_coco(root: Path, split: Split, counts: Counts) -> Iterator[Example]:
    """Yield the pictures that the split's caption file lists, sorted by key, with all their captions.

    The licence tag is the one that the caption file gives for the picture. The file is read whole: half a
    gigabyte of memory, for some seconds, with the 118,287 pictures of ``train2017``.

    Args:
        root: the folder that holds ``train2017``, ``val2017`` and ``annotations``.
        split: ``train`` or ``val``.
        counts: listed pictures without a file are dropped as ``missing``.

    Raises:
        DataError: a folder or the caption file is missing, or the file is not COCO's.
    """
    images = require_folder(root / f"{split}2017", LAYOUT)
    listing = root / "annotations" / f"captions_{split}2017.json"
    listed = _listed(listing)
    default = licence_tag(root, LICENCE)
    present = set(list_pictures(images))
    for key, name in sorted_keys(listed):
        counts.seen += 1
        if name not in present:
            counts.drop("missing", name)
            continue
        own, licence = listed[name]
        yield Example(key, images / name, None, own, split, licence or default)


def _listed(listing: Path) -> dict[str, tuple[tuple[str, ...], str | None]]:
    """Return captions and licence of each picture that a caption file lists."""
    content = read_json_file(listing, LAYOUT)
    try:
        entries = {
            str(entry["file_name"]): (entry["id"], entry.get("license")) for entry in content["images"]
        }
        licences = {entry["id"]: str(entry["name"]) for entry in content.get("licenses", [])}
        captions: defaultdict[object, list[str]] = defaultdict(list)
        for entry in sorted(content["annotations"], key=lambda entry: entry.get("id", 0)):
            captions[entry["image_id"]].append(entry["caption"])
        return {
            name: (captions_in(captions[ident]), licences.get(licence))
            for name, (ident, licence) in entries.items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"{listing} lacks what COCO's caption files hold (images with id and file_name, annotations with "
            f"image_id and caption): {error!r}; take the file of annotations_trainval2017.zip"
        ) from error


READER = Reader("coco", "COCO 2017", read_coco, sources=(WORLD, "download"), official="COCO")
