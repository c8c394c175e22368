"""Settings of data: where a set comes from, how it is prepared, captioned and packed."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, ValidationInfo, model_validator

from oft.settings.section import ConditionName, Name, NaturalInt, ReaderName, Section

# Where a template takes a picture's caption.
CAPTION_FIELD = "{caption}"


S3_ADDRESS = re.compile(r"s3://[a-z0-9][a-z0-9.-]+(/[^\s@?#]*)?")


_MIRROR = re.compile(
    rf"https?://[^/\s@?#]+(/[^\s@?#]*)?|file:///[^\s?#]*|{S3_ADDRESS.pattern}"
    r"|hf://datasets/[\w.-]+/[\w.-]+@[0-9a-f]{40}(/[^\s@?#]*)?"
)


class Acquisition(Section):
    """Where a data set comes from."""

    source: Annotated[str, Field(min_length=1)]
    mirror: str | None
    accept_licence: bool

    @model_validator(mode="after")
    def _addresses_can_be_read(self) -> Acquisition:
        # A fault never repeats the address: it may hold a password.
        if "://" in self.source and not S3_ADDRESS.fullmatch(self.source):
            raise ValueError(
                "source must be world, photos, download, a folder or s3://bucket/prefix; other addresses "
                "belong in mirror, without user name, password or query"
            )
        if self.mirror is not None and self.source != "download":
            raise ValueError(
                f"mirror is read with source download alone and source is {self.source!r}; set mirror null"
            )
        if self.mirror is not None and not _MIRROR.fullmatch(self.mirror):
            raise ValueError(
                "mirror must be null, http(s)://host/prefix, file:///folder, s3://bucket/prefix or "
                "hf://datasets/OWNER/NAME@COMMIT (40 hexadecimal digits), without user name, password or "
                "query"
            )
        return self


class Preparation(Section):
    """How pictures are brought to the run's size."""

    fit: Literal["crop", "random_crop", "pad", "buckets"]
    flip: bool


class Captioning(Section):
    """Where captions come from and what becomes of them."""

    source: Annotated[str, Field(min_length=1)]
    rule: Literal["all", "first", "random"]
    template: str

    @model_validator(mode="after")
    def _template_is_sound(self) -> Captioning:
        words = self.template.replace(CAPTION_FIELD, "", 1)
        if not self.template.strip() or "{" in words or "}" in words or not words.isprintable():
            raise ValueError(
                f"template must be one line of text with {CAPTION_FIELD} at most once and no other brace; it "
                f"is {self.template!r}"
            )
        if CAPTION_FIELD not in self.template and self.source != "own":
            raise ValueError(
                f"template {self.template!r} has no {CAPTION_FIELD}, so captions from {self.source!r} would "
                f"go unused; add {CAPTION_FIELD} or set source to own"
            )
        return self


class Dataset(Section):
    """A data set: its layout, its size, and what each stage does with it."""

    reader: ReaderName
    num_train_images: NaturalInt
    num_val_images: NaturalInt
    acquire: Acquisition
    prepare: Preparation
    captions: Captioning

    @model_validator(mode="after")
    def _source_gives_the_layout(self, info: ValidationInfo) -> Dataset:
        source = self.acquire.source
        readers = (info.context or {}).get("readers_of_sources", {}).get(source, (self.reader,))
        if self.reader not in readers:
            raise ValueError(
                f"acquire.source {source!r} gives the layout of reader {' or '.join(readers)}, and reader is "
                f"{self.reader}; set source to a folder (docs/datasets.md says where to get the data)"
            )
        return self


class Blip(Section):
    """How BLIP describes pictures."""

    model: str
    batch_size: Annotated[int, Field(ge=1, le=1024)]
    num_beams: Annotated[int, Field(ge=1, le=16)]
    max_new_tokens: Annotated[int, Field(ge=1, le=128)]


class Task(Section):
    """A data set paired with a condition."""

    dataset: Name
    condition: ConditionName


class Subject(Section):
    """One subject: one of a data set in the DreamBooth layout, or all that a folder of pictures shows."""

    model_config = ConfigDict(serialize_by_alias=True)

    dataset: Name
    subject: str | None = None
    class_name: Annotated[str | None, Field(alias="class", pattern=r"^[^\s{}]+( [^\s{}]+)*$")] = None
    prompts: str | None = None
    class_pictures: str | None = None

    @property
    def title(self) -> str:
        """Its name, or the class of what the folder shows."""
        return self.subject or self.class_name or ""


class Style(Section):
    """The manner of a data set's pictures, learned from them and their captions."""

    dataset: Name


class Shards(Section):
    """How samples are packed."""

    samples_per_shard: Annotated[int, Field(ge=1, le=100_000)]
    jpeg_quality: Annotated[int, Field(ge=1, le=100)]


class Encoding(Section):
    """What is computed once before training."""

    latents: bool
    text: bool
