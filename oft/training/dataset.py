"""A split's samples as training takes them: read by number, batch by batch, never the whole split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from oft.errors import DataError
from oft.models.conditioning import picture_tensor, scale_conditioning
from oft.models.latents import encode_pictures
from oft.models.prompts import PromptEmbeds, encode_prompts
from oft.shards.loader import ShardReader
from oft.training.encoded import Encoded, open_encoded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from oft.models.base import Base
    from oft.shards.store import ShardSpan, ShardStore
    from oft.types import Split

PICTURE = ("jpg", "png")

Latents = Float[Tensor, "batch channels rows columns"]


@dataclass(frozen=True)
class Loaded:
    """A batch as it comes from disk, in the memory of the processor.

    Attributes:
        posteriors: of the latents, where they were computed before.
        pictures: where they were not.
        conditions: conditioning images, of a task that has any.
        captions: one or more a sample.
    """

    posteriors: Float32[Tensor, "batch 2 channels rows columns"] | None
    pictures: UInt8[Tensor, "batch 3 height width"] | None
    conditions: UInt8[Tensor, "batch 3 height width"] | None
    captions: list[tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.captions)

    def posterior(self, base: Base) -> tuple[Latents, Latents]:
        """Return means and deviations of the latents."""
        if self.posteriors is not None:
            posteriors = self.posteriors
        else:
            assert self.pictures is not None
            posteriors = encode_pictures(base, self.pictures)
        return posteriors[:, 0], posteriors[:, 1]

    def conditioning(self) -> Float32[Tensor, "batch 3 height width"] | None:
        """Return conditioning images in [0, 1], ControlNet's range; None without a condition."""
        return None if self.conditions is None else scale_conditioning(self.conditions)


class TrainingSet:
    """The samples of one split.

    Args:
        reader: their shards.
        split: which one that is.
        encoded: what was computed before.
        with_condition: every sample has a conditioning image, which is loaded.

    Attributes:
        num_captions_cut: captions of the task that the text encoder does not see the ends of.

    Raises:
        DataError: there is no sample.
    """

    def __init__(self, reader: ShardReader, split: Split, encoded: Encoded, *, with_condition: bool) -> None:
        if not len(reader):
            raise DataError(
                f"{reader.name}: there is no sample to learn from; see the counts.json beside the shards for "
                "what was dropped, and why"
            )
        self._reader = reader
        self._posteriors = encoded.posteriors.get(split)
        self._prompts = encoded.prompts
        self.num_captions_cut = encoded.num_captions_cut
        self._with_condition = with_condition
        self._members = (
            "json",
            *(("cond.png",) if with_condition else ()),
            *(() if self._posteriors is not None else PICTURE),
        )

    def __len__(self) -> int:
        return len(self._reader)

    @property
    def shards(self) -> list[ShardSpan]:
        """What batches are made from."""
        return self._reader.shards

    def load(self, numbers: NDArray[np.int64]) -> Loaded:
        """Return samples of one picture size; any process may do this, it needs no network."""
        found = [self._reader.read(int(number), self._members) for number in numbers]
        conditions = pictures = posteriors = None
        if self._with_condition:
            self._refuse_without(numbers, found, "cond.png")
            conditions = picture_tensor(members["cond.png"] for members in found)
        if self._posteriors is None:
            pictures = picture_tensor(members.get("jpg") or members["png"] for members in found)
        else:
            posteriors = self._posteriors.read(numbers.tolist())
        captions = [tuple(json.loads(members["json"])["captions"]) for members in found]
        return Loaded(posteriors, pictures, conditions, captions)

    def encode_prompts(self, base: Base, prompts: Sequence[str]) -> PromptEmbeds:
        """Return prompts encoded, read where that was done before."""
        return encode_prompts(base, prompts) if self._prompts is None else self._prompts.encode(base, prompts)

    def _refuse_without(
        self, numbers: NDArray[np.int64], found: Sequence[dict[str, bytes]], member: str
    ) -> None:
        for number, members in zip(numbers, found, strict=True):
            if member not in members:
                raise DataError(
                    f"{self._reader.name}: sample {self._reader.key(int(number))!r} has no {member}; "
                    "make the shards again"
                )


def open_training_set(
    base: Base, store: ShardStore, encoded: Path, split: Split, *, with_condition: bool
) -> TrainingSet:
    """Return a split of a task's shards with what the stage ``encode`` made of them.

    Args:
        store: the shards, in a folder called by the task.
        encoded: the folder that the stage wrote.

    Raises:
        DataError: the split has no sample, or what is encoded belongs to another base or to other shards.
    """
    # The stage's name says what kind of task it is of: encode, encode_subject, encode_style.
    remedy = f"run `dvc repro --force --glob 'encode*@{Path(store.name).name}'`"
    return TrainingSet(
        ShardReader(store, split),
        split,
        open_encoded(encoded, base, store, remedy),
        with_condition=with_condition,
    )
