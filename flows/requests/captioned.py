"""Collect pictures with their captions, and conditioning pictures where a request brings them.

Captions are found as the pipeline's own readers find them (docs/datasets.md): in the hub's metadata files, or
in a text file beside each picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from flows.requests.faults import shorten
from flows.requests.images import check_pictures, refuse, require_number
from flows.requests.site import Site
from flows.requests.sources import Found, Wanted, fetch_files, is_listing, is_picture_path, is_sidecar
from oft.datasets import read
from oft.datasets.splits import hashed_val, named_part
from oft.errors import DataError, UserError
from oft.prepare.drops import describe_drops
from oft.storage import sha256_file
from oft.types import SPLITS, ByteSource, Counts, Example, Split

VAL_PERCENT = 5
MAX_DROP_CHARS = 300


class Captioned(NamedTuple):
    """A sound picture of a request.

    Attributes:
        captions: possibly none.
        condition: its conditioning picture, of the same size; None where the request brings none.
        split: the one that its source puts it into; ``train`` where that holds nothing out by name.
    """

    image: Path
    captions: tuple[str, ...]
    condition: Path | None
    split: Split

    @property
    def content(self) -> tuple[str, ...]:
        """What tells it from others, whatever its files are called."""
        files = (self.image,) if self.condition is None else (self.image, self.condition)
        return (*map(sha256_file, files), *self.captions)


def collect_captioned(
    source: str, resolution_px: int, folder: Path, site: Site, wanted: Wanted, needs_captions: bool = True
) -> list[Captioned]:
    """Return the pictures of a source with all that belongs to them, in order of their content.

    Args:
        source: see `flows.requests.sources.fetch_files`.
        resolution_px: the shorter side of each must have this at least.
        folder: an empty folder of the run's own, for downloads.
        needs_captions: a picture without a caption is at fault.

    Raises:
        DataError: as `flows.requests.images.collect_images`; or captions cannot be read, a file belongs to no
            picture of the set, or a picture lacks its caption or its conditioning picture.
    """
    try:
        found = fetch_files(source, folder, site, wanted)
        examples = _read_examples(found)
        num_pictures = sum(map(is_picture_path, found.names))
        refuse([*_find_lacks(found, examples, wanted, needs_captions)], num_pictures)
        require_number(len({example.image for example in examples}), wanted)
        if len(examples) > wanted.most:
            raise DataError(
                f"there are {len(examples)} pictures, repeated ones counted as often; the most are "
                f"{wanted.most}"
            )
        holds_out = _holds_out(found, examples)
        collected = [
            Captioned(
                _path(example.image),
                example.captions,
                _path(example.annotation) if wanted.conditioned and example.annotation else None,
                example.split if holds_out else "train",
            )
            for example in examples
        ]
        _check_pictures(collected, resolution_px, folder)
    except UserError as error:
        raise DataError(f"{wanted.key}: {error}") from error
    return sorted(collected, key=lambda each: each.content)


def with_both_splits(pictures: Sequence[Captioned]) -> list[Captioned]:
    """Return pictures some of which are held out: as their source has it, else 5 % of them.

    They are chosen by a hash of what they show. Of two pictures or more neither split is empty.
    """
    if {picture.split for picture in pictures} == set(SPLITS):
        return list(pictures)
    names: list[str] = []
    for picture in pictures:
        name = sha256_file(picture.image)
        while name in names:  # the same picture again
            name += "-again"
        names.append(name)
    val = hashed_val(names, VAL_PERCENT)
    return [
        picture._replace(split="val" if name in val else "train")
        for name, picture in zip(names, pictures, strict=True)
    ]


def all_in(split: Split, pictures: Sequence[Captioned]) -> list[Captioned]:
    """Return pictures that are all of one split, whatever their source says."""
    return [picture._replace(split=split) for picture in pictures]


def _read_examples(found: Found) -> list[Example]:
    """Return the examples of both splits, by the reader of the layout that the files have."""
    listings = [name for name in found.names if is_listing(name)]
    sidecars = [name for name in found.names if is_sidecar(name)]
    if listings and sidecars:
        raise DataError(
            f"captions are in {listings[0]!r} and in {sidecars[0]!r}; give metadata or text files, not both"
        )
    tallies = {split: Counts() for split in SPLITS}
    try:
        reader = "hub" if listings else "image_folder"
        examples = [one for split, tally in tallies.items() for one in read(reader, found.top, split, tally)]
    except DataError as error:
        # The folder is the server's affair.
        raise DataError(str(error).replace(f"{found.top}/", "").replace(str(found.top), "it")) from error
    # The names in them are whatever the metadata says.
    drops = [shorten(line, MAX_DROP_CHARS) for tally in tallies.values() for line in describe_drops(tally)]
    if drops:
        raise DataError("\n    ".join(["pictures of the set cannot be used:", *drops]))
    return examples


def _holds_out(found: Found, examples: Sequence[Example]) -> bool:
    """Return whether the set itself says which pictures are held out, and not a hash of their names.

    It does so by its folders. One whose pictures repeat (kohya's) keeps those that do for training.
    """
    images = [_path(example.image) for example in examples]
    parts = {named_part(path.relative_to(found.top).parent.as_posix()) for path in images}
    return bool(parts & {"val", "test"}) or len(images) > len(set(images))


def _find_lacks(
    found: Found, examples: Sequence[Example], wanted: Wanted, needs_captions: bool
) -> Iterator[str]:
    """Yield what is wrong with the set before any picture of it is decoded."""
    used = {_path(source) for one in examples for source in (one.image, one.annotation) if source}
    for name in found.names:
        if is_picture_path(name) and found.top / name not in used:
            yield (
                f"{name}: does not belong to the set: with metadata a line must list it, with folders "
                "train/ and val/ it must lie in one of them; or leave it out"
            )
    for example in examples:
        if needs_captions and not example.captions:
            yield (
                f"{example.image.name}: has no caption; write it into {example.image.stem}.txt beside it or "
                "into metadata.jsonl"
            )
        if wanted.conditioned and example.annotation is None:
            yield f"{example.image.name}: has no conditioning_image in metadata.jsonl; name its file there"


def _check_pictures(pictures: Sequence[Captioned], resolution_px: int, folder: Path) -> None:
    files = list(
        dict.fromkeys(file for each in pictures for file in (each.image, each.condition) if file is not None)
    )
    sizes, faults = check_pictures(files, resolution_px, folder)
    for each in pictures:
        if each.image in sizes and each.condition in sizes and sizes[each.image] != sizes[each.condition]:
            (width, height), (own_width, own_height) = sizes[each.image], sizes[each.condition]
            faults.append(
                f"{each.condition.name}: has {own_width} x {own_height} pixels, its picture {width} x "
                f"{height}; save both at one size"
            )
    refuse(faults, len(files))


def _path(source: ByteSource) -> Path:
    assert isinstance(source, Path)  # of readers of plain files
    return source
