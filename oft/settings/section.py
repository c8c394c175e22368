"""What every group of settings is made of: the strict base class, and types with their ranges."""

from __future__ import annotations

import difflib
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]


PositiveInt = Annotated[int, Field(ge=1)]


NaturalInt = Annotated[int, Field(ge=0)]


BatchSize = Annotated[int, Field(ge=1, le=4096)]


Share = Annotated[float, Field(ge=0, le=1)]


PositiveFloat = Annotated[float, Field(gt=0)]


NonNegativeFloat = Annotated[float, Field(ge=0)]


def one_of(registry: str) -> AfterValidator:
    """Return the check that a name is one of a registry's.

    Settings know no component: whoever validates them gives the names by ``context={registry: names}``
    (`oft.params` does); without, any name passes.
    """

    def check(name: str, info: ValidationInfo) -> str:
        names = (info.context or {}).get(registry, (name,))
        if name in names:
            return name
        near = difflib.get_close_matches(name, names, n=1)
        raise ValueError(
            f"must be one of {', '.join(names)}{f' (did you mean {near[0]!r}?)' if near else ''}"
        )

    return AfterValidator(check)


ReaderName = Annotated[str, one_of("readers")]


ConditionName = Annotated[str, one_of("conditions")]


SchedulerName = Annotated[str, one_of("schedulers")]


def multiple_of(step: int) -> AfterValidator:
    """Return the check that a number is a multiple of ``step``."""

    def check(value: int) -> int:
        if value % step:
            raise ValueError(f"must be a multiple of {step}, for example {value // step * step or step}")
        return value

    return AfterValidator(check)


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of text, without line breaks, tabs or other control characters")
    return text


OneLine = Annotated[str, AfterValidator(_one_line)]


def with_fields(*fields: str) -> AfterValidator:
    """Return the check that a template has each of these fields once and no other brace."""

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

    return AfterValidator(check)


class Section(BaseModel):
    """A group of settings: immutable, strict about types, closed to unknown keys, finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
