"""Settings of each condition, and which readers bring what a condition is made from."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from oft.settings.section import NonNegativeFloat, Section, Share, multiple_of_64

# Conditions that are made from an annotation beside the picture, and the readers that find one. Those of
# NETWORK_FINDS do without: a network finds it where the reader does not.
READERS_WITH_MAPS: dict[str, tuple[str, ...]] = {
    "segmentation": ("ade20k",),
    "densepose": ("deepfashion",),
    "landmarks": ("celeba_hq",),
    "circles": ("fill50k",),
    "given": ("fill50k", "hub", "reference"),
}


NETWORK_FINDS = ("segmentation",)


class Canny(Section):
    """Thresholds of the edge detector."""

    low_threshold: Annotated[int, Field(ge=0, le=255)]
    high_threshold: Annotated[int, Field(ge=0, le=255)]

    @model_validator(mode="after")
    def _ordered(self) -> Canny:
        if self.low_threshold >= self.high_threshold:
            raise ValueError(
                f"low_threshold ({self.low_threshold}) must be below high_threshold ({self.high_threshold})"
            )
        return self


class LineartStandard(Section):
    """Line art without a network."""

    sigma_px: Annotated[float, Field(gt=0, le=64)]
    intensity_threshold: Annotated[float, Field(ge=0, le=255)]


class Predictor(Section):
    """A network in transformers' layout."""

    model: Annotated[str, Field(min_length=1)]


class Annotator(Section):
    """A network of ControlNet's annotators."""

    model: Annotated[str, Field(min_length=1)]
    resolution_px: Annotated[int, Field(ge=64, le=2048), AfterValidator(multiple_of_64)]


class Lineart(Annotator):
    """The network that draws lines."""

    coarse: bool


class Mlsd(Annotator):
    """The network that finds straight segments."""

    score_threshold: Share
    distance_threshold: NonNegativeFloat


class Openpose(Annotator):
    """The networks that find people."""

    hands_and_face: bool


class Unset(Section):
    """A condition without settings."""


class Conditions(Section):
    """Settings of each condition, under its name."""

    canny: Canny
    lineart_standard: LineartStandard
    depth: Predictor
    hed: Annotator
    lineart: Lineart
    mlsd: Mlsd
    normal: Annotator
    openpose: Openpose
    scribble: Annotator
    segmentation: Predictor
    densepose: Unset
    landmarks: Unset
    circles: Unset
    given: Unset


def gives_annotation(reader: str, condition: str) -> bool:
    """Return whether data sets with this reader bring what the condition is made from."""
    return reader in READERS_WITH_MAPS.get(condition, ())
