"""What every group of settings is made of: the strict base class, and types with their ranges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]


PositiveInt = Annotated[int, Field(ge=1)]


NaturalInt = Annotated[int, Field(ge=0)]


BatchSize = Annotated[int, Field(ge=1, le=4096)]


Share = Annotated[float, Field(ge=0, le=1)]


PositiveFloat = Annotated[float, Field(gt=0)]


NonNegativeFloat = Annotated[float, Field(ge=0)]


ReaderName = Literal[
    "ade20k",
    "celeba_hq",
    "coco",
    "deepfashion",
    "dreambooth",
    "fill50k",
    "hub",
    "image_folder",
    "reference",
]


ConditionName = Literal[
    "canny",
    "lineart_standard",
    "depth",
    "hed",
    "lineart",
    "mlsd",
    "normal",
    "openpose",
    "scribble",
    "segmentation",
    "densepose",
    "landmarks",
    "circles",
    "given",
]


SchedulerName = Literal["ddim", "dpmsolver++", "unipc", "euler", "heun"]


def multiple_of_8(value: int) -> int:
    if value % 8:
        raise ValueError(f"must be a multiple of 8, for example {value // 8 * 8 or 8}")
    return value


def multiple_of_64(value: int) -> int:
    if value % 64:
        raise ValueError(f"must be a multiple of 64, for example {value // 64 * 64 or 64}")
    return value


def with_fields(*fields: str) -> Callable[[str], str]:
    def check(template: str) -> str:
        words = template
        for field in fields:
            words = words.replace(field, "", 1)
        missing = any(field not in template for field in fields)
        if missing or "{" in words or "}" in words or not words.isprintable():
            raise ValueError(
                f"must be one line of text with {' and '.join(fields)} once and no other brace, for example "
                f"'a {' '.join(fields)}'"
            )
        return template

    return check


class Section(BaseModel):
    """A group of settings: immutable, strict about types, closed to unknown keys, finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
