"""What a condition is: how one kind of conditioning image is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oft.datasets.decoding import Wanted
from oft.types import AnnotationKind

Settings = Mapping[str, Any]
BatchExtractor = Callable[[Sequence[NDArray[np.uint8]]], list[NDArray[np.uint8]]]


@dataclass(frozen=True)
class Condition:
    """How one kind of conditioning image is made: by ``extract``, or by the network that ``load`` loads.

    Attributes:
        name: its name in tasks and params.
        annotation: what it is made from beside the picture; None: from the picture itself.
        extract: a pure function of one prepared picture, uint8 [height, width, 3], or of its annotation at
            the same size (landmarks: and of that size) -> uint8 [height, width, 3]; runs in worker processes,
            without torch.
        load: settings and device -> a function of a batch of prepared pictures of one size, for conditions
            that a network makes: it gives their conditioning images or, where there is ``extract`` too, the
            annotations that the data set lacks; raises `CheckpointError` where its weights are missing.
        annotation_channel: which channel of the annotation file holds the ids; None where it has one channel.
        num_labels: ids run from 0 to this minus one; None where there are none.
        keeps_labels: the id map itself goes into the shards, lossless, for evaluation: colours need not lead
            back to ids.
        mirrored: for ids [num_labels] or landmarks [68]: which one each is in the mirror image (a left hand
            becomes a right hand); None where mirroring changes no meaning.
    """

    name: str
    annotation: AnnotationKind | None = None
    extract: Callable[..., NDArray[np.uint8]] | None = None
    load: Callable[[Settings, str], BatchExtractor] | None = None
    annotation_channel: int | None = None
    num_labels: int | None = None
    keeps_labels: bool = False
    mirrored: NDArray[np.integer] | None = None

    def needs_network(self, annotated: bool) -> bool:
        """Whether a network makes this condition, given whether the data set has its annotation."""
        return self.load is not None and not (self.annotation is not None and annotated)

    def wanted(self, min_side_px: int = 1) -> Wanted:
        """What of an example is decoded to make this condition without a network."""
        return Wanted(min_side_px, self.annotation, self.annotation_channel, self.num_labels)
