"""The judges of a run: networks that look at its pictures, each loaded when it is first asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from oft.evaluation.features import (
    Judge,
    extract_clip_images,
    extract_clip_texts,
    extract_features,
    extract_pyramid,
    load_clip,
    load_depth_judge,
    load_extractor,
    load_landmark_judge,
    load_segmenter,
)

if TYPE_CHECKING:
    from jaxtyping import Float32, UInt8


@dataclass(frozen=True)
class Judges:
    """The networks below a folder.

    Attributes:
        folder: holds segmenter/, part_segmenter/, landmarks/, depth/, clip/ and extractor/, or some of them.
        device: what they compute on.
        batch_size: pictures a batch.

    Raises:
        CheckpointError: on first use, a judge is missing or damaged.
    """

    folder: Path
    device: torch.device
    batch_size: int

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return which of these judges have no folder here."""
        return [name for name in names if not (self.folder / name).is_dir()]

    def segmenter(self, name: str) -> Judge:
        """Return the segmenter in a folder of this name."""
        return load_segmenter(self.folder / name, self.device)

    @property
    def landmarks(self) -> Judge:
        """Return the judge of landmarks."""
        return load_landmark_judge(self.folder / "landmarks", self.device)

    @property
    def depth(self) -> Judge:
        """Return the judge of depth."""
        return load_depth_judge(self.folder / "depth", self.device)

    @cached_property
    def _clip(self) -> Judge:
        return load_clip(self.folder / "clip", self.device)

    @cached_property
    def _extractor(self) -> Judge:
        return load_extractor(self.folder / "extractor", self.device)

    def clip_images(self, pictures: UInt8[np.ndarray, "n height width 3"]) -> Float32[np.ndarray, "n d"]:
        """Return the image-text model's embedding of each picture."""
        return extract_clip_images(pictures, self._clip, self.batch_size)

    def clip_texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "n d"]:
        """Return the image-text model's embedding of each prompt."""
        return extract_clip_texts(texts, self._clip, self.batch_size)

    def features(self, pictures: UInt8[np.ndarray, "n height width 3"]) -> Float32[np.ndarray, "n d"]:
        """Return the extractor's features of each picture."""
        return extract_features(pictures, self._extractor, self.batch_size)

    def pyramid(
        self, pictures: UInt8[np.ndarray, "n height width 3"]
    ) -> list[Float32[np.ndarray, "n _ _ _"]]:
        """Return the extractor's feature maps, one array for each level."""
        return extract_pyramid(pictures, self._extractor, self.batch_size)
