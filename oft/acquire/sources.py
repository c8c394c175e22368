"""The official data sets: addresses, sizes, checksums, licences. No other file knows an address."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """A file of an official data set.

    Attributes:
        name: its own name, under which a mirror and a download made by hand have it. ``.zip``, ``.tar``,
            ``.tar.gz`` and ``.tgz`` are unpacked, anything else is placed as it is.
        address: ``https://``, ``http://`` or ``hf://datasets/OWNER/NAME@COMMIT/PATH``.
        size_bytes: its size.
        size_is_exact: whether the size was published to the byte, and any other is refused.
        checksum: ``sha256:...`` or ``sha1:...``; None where none is published. (The hub states the SHA-256 of
            a large file when asked for it, and that is checked.)
        top: the folder in the archive whose content is taken; empty takes all.
    """

    name: str
    address: str
    size_bytes: int
    size_is_exact: bool = True
    checksum: str | None = None
    top: str = ""


@dataclass(frozen=True)
class Source:
    """An official data set: its licence, the page with its terms, and its files."""

    title: str
    licence: str
    terms: str
    archives: tuple[Archive, ...]


_DREAMBOOTH_COMMIT = "e9b8c013ef2e30ab3d5d9018808513e9093e3bc4"
_FILL50K = "hf://datasets/fusing/fill50k@e0e154240f34ec12d8dd592323d2f2080de4e3e8"

SOURCES: dict[str, Source] = {
    "ade20k": Source(
        "ADE20K (scene parsing benchmark)",
        "non-commercial research and education",
        "https://groups.csail.mit.edu/vision/datasets/ADE20K/terms/",
        (
            Archive(
                "ADEChallengeData2016.zip",
                "http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
                size_bytes=923_000_000,
                size_is_exact=False,
                checksum="sha1:219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
            ),
        ),
    ),
    "coco": Source(
        "COCO 2017",
        "annotations CC-BY-4.0, pictures under the terms of Flickr",
        "https://cocodataset.org/#termsofuse",
        (
            Archive(
                "annotations_trainval2017.zip",
                "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
                size_bytes=252_907_541,
                checksum="sha256:113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
            ),
            Archive(
                "val2017.zip",
                "http://images.cocodataset.org/zips/val2017.zip",
                size_bytes=815_585_330,
                checksum="sha256:4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
            ),
            Archive(
                "train2017.zip",
                "http://images.cocodataset.org/zips/train2017.zip",
                size_bytes=19_336_861_798,
                checksum="sha256:69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
            ),
        ),
    ),
    "dreambooth": Source(
        "google/dreambooth",
        "CC-BY-4.0, pictures from Unsplash under its licence",
        "https://github.com/google/dreambooth",
        (
            # GitHub packs a commit anew when asked: neither size nor checksum of the archive is published.
            Archive(
                f"dreambooth-{_DREAMBOOTH_COMMIT}.zip",
                f"https://github.com/google/dreambooth/archive/{_DREAMBOOTH_COMMIT}.zip",
                size_bytes=60_000_000,
                size_is_exact=False,
                top=f"dreambooth-{_DREAMBOOTH_COMMIT}",
            ),
        ),
    ),
    "fill50k": Source(
        "fill50k",
        "none is stated by its publisher",
        "https://huggingface.co/datasets/fusing/fill50k",
        (
            Archive("train.jsonl", f"{_FILL50K}/train.jsonl", size_bytes=7_000_000, size_is_exact=False),
            Archive("images.zip", f"{_FILL50K}/images.zip", size_bytes=109_000_000, size_is_exact=False),
            Archive(
                "conditioning_images.zip",
                f"{_FILL50K}/conditioning_images.zip",
                size_bytes=123_000_000,
                size_is_exact=False,
            ),
        ),
    ),
}
"""By the reader of the layout. What is not here comes by hand: docs/datasets.md says from where."""
