"""What trainings on captioned pictures share: the pictures, what stands round a caption, what is held out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from flows.requests.captioned import all_in, with_both_splits
from flows.requests.checks import Check
from flows.requests.collecting import Collector
from flows.requests.datasets import write_captioned
from flows.requests.kinds.common import DATASET, Address, CommonRequest
from flows.requests.prompts import check_plain
from flows.requests.sources import Wanted
from oft.additions import dataset_settings
from oft.settings.data import CAPTION_FIELD

IMAGES = Wanted("images", 2, 1000, captioned=True)
MAX_HELD_OUT = 25
"""Held-out pictures that are measured on and shown: each is drawn for, up to 16 times."""
VALIDATION_IMAGES = Wanted("validation_images", 1, MAX_HELD_OUT, captioned=True)
HOW = (
    "a zip or tar archive or a folder, as https:// or s3:// address or path below an allowed folder of the "
    "server"
)


def check_template(template: str) -> str:
    """Return a caption template, normalized.

    Raises:
        ValueError: it has other characters than prompts have beside one ``{caption}``.
    """
    before, field, after = template.partition(CAPTION_FIELD)
    if field and "{" not in before and "{" not in after:
        # A word in the caption's place, so that spaces beside it are single ones.
        check_plain(f"{before}x{after}")
        return check_plain(f"{before}x")[:-1] + field + check_plain(f"x{after}")[1:]
    return check_plain(template)


class CaptionedRequest(CommonRequest):
    """A training on pictures with captions."""

    section = "train"

    images: Address = Field(
        description=f"2 to 1000 pictures with captions: {HOW}. Captions stand in name.txt beside name.jpg, "
        "or in metadata.jsonl, a line of file_name and text for each picture; without either the words of a "
        "file's name are its caption."
    )
    caption_template: Annotated[str, AfterValidator(check_template)] = Field(
        default=CAPTION_FIELD,
        description="What a picture is captioned with, {caption} its caption: '{caption}, naruto style' or "
        "'TOK, {caption}' for a trigger word. Without {caption} it is every picture's caption, and none "
        "need have one.",
    )
    validation_images: Address | None = Field(
        default=None,
        description=f"1 to {MAX_HELD_OUT} pictures to measure on and not to train on, given as images "
        "are; none: those that folders of images hold out (train/ and validation/ with metadata, val/ "
        "without), else 5 % of them, at least one.",
    )

    @classmethod
    def checks(cls) -> Iterator[Check]:
        """Yield nothing: its parameters have no rule beyond their types."""
        yield from ()

    @property
    def _dataset(self) -> dict[str, Any]:
        captions = {"source": "own", "rule": "all", "template": self.caption_template}
        return dataset_settings("hub", "", num_val_images=MAX_HELD_OUT, captions=captions)

    def settings(self, dataset: str) -> dict[str, Any]:
        """Return the settings of its pictures."""
        settings = self._dataset
        settings["acquire"]["source"] = dataset
        return {"datasets": {DATASET: settings}}

    def place(self, settings: dict[str, Any], collector: Collector, root: Path) -> None:
        """Place the pictures, some of them held out."""
        needs_captions = CAPTION_FIELD in self.caption_template
        pictures = collector.captioned(self.images, self.wanted(IMAGES), needs_captions)
        if self.validation_images is None:
            pictures = with_both_splits(pictures)
        else:
            wanted = self.wanted(VALIDATION_IMAGES)
            held_out = collector.captioned(self.validation_images, wanted, needs_captions)
            pictures = [*all_in("train", pictures), *all_in("val", held_out)]
        settings["datasets"][DATASET]["acquire"]["source"] = str(write_captioned(pictures, root))

    def wanted(self, wanted: Wanted) -> Wanted:
        """Return what is wanted of a source of pictures for this request."""
        return wanted
