"""What a condition is: how one kind of conditioning image is made, and what it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from oft.settings.section import Section, multiple_of
from oft.types import Annotation

Settings = Mapping[str, Any]
BatchExtractor = Callable[[Sequence[NDArray[np.uint8]]], list[NDArray[np.uint8]]]


class NoSettings(Section):
    """A condition without settings."""


class PretrainedSettings(Section):
    """A network in transformers' layout."""

    model: Annotated[str, Field(min_length=1)]


class AnnotatorSettings(Section):
    """A network of ControlNet's annotators."""

    model: Annotated[str, Field(min_length=1)]
    resolution_px: Annotated[int, Field(ge=64, le=2048), multiple_of(64)]


@dataclass(frozen=True)
class Condition:
    """How one kind of conditioning image is made: by ``extract``, or by the network that ``load`` loads.

    A module of this folder declares one by the name ``CONDITION``; `oft.conditions.registry` finds it there.

    Attributes:
        name: its name in tasks and params.
        shows: what the conditioning image shows, in a few words.
        title: of its tasks in the report.
        explanation: what the model is given and what it must do, for a reader who knows neither.
        settings: the model of its settings in params.
        annotation: what it is made from beside the picture; None: from the picture itself.
        extract: a pure function of one prepared picture, uint8 [height, width, 3], or of its annotation at
            the same size (landmarks: and of that size) -> uint8 [height, width, 3]; runs in worker processes,
            without torch.
        load: settings and device -> a function of a batch of prepared pictures of one size, for conditions
            that a network makes: it gives their conditioning images or, where there is ``extract`` too, the
            annotations that the data set lacks; raises `CheckpointError` where its weights are missing.
        keeps_labels: the id map itself goes into the shards, lossless, for evaluation: colours need not lead
            back to ids.
        mirrored: for ids [num_labels] or landmarks [68]: which one each is in the mirror image (a left hand
            becomes a right hand); None where mirroring changes no meaning.
    """

    name: str
    shows: str = ""
    title: str = "Condition to picture"
    explanation: str = "The model must draw a picture that follows the condition."
    settings: type[Section] = NoSettings
    annotation: Annotation | None = None
    extract: Callable[..., NDArray[np.uint8]] | None = None
    load: Callable[[Settings, str], BatchExtractor] | None = None
    keeps_labels: bool = False
    mirrored: NDArray[np.integer] | None = None

    def needs_network(self, annotated: bool) -> bool:
        """Whether a network makes this condition, given whether the data set has its annotation."""
        return self.load is not None and not (self.annotation is not None and annotated)

    def needs_annotation(self) -> bool:
        """Whether it can only be made for data sets that have its annotation."""
        return self.annotation is not None and self.load is None
