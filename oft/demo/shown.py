"""The conditioning image of a draw: sketched on the page, uploaded, or extracted from an uploaded picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from oft.conditions.registry import CONDITIONS
from oft.demo.catalogue import Column
from oft.errors import ParamsError
from oft.generation.inputs import extractable
from oft.pictures import prepare

if TYPE_CHECKING:
    from oft.params import Params

Square = UInt8[np.ndarray, "side side 3"]

NOTHING, SKETCH, UPLOAD = "none", "sketch", "picture"
SOURCES = (NOTHING, SKETCH, UPLOAD)

AS_IT_IS = "nothing: it is the conditioning image"
OF_THE_TASK = "what each adapter was trained with"


def extractions() -> list[str]:
    """Return what can be made of an uploaded picture: itself, each task's own condition, or one by name."""
    return [AS_IT_IS, OF_THE_TASK, *extractable()]


@dataclass(frozen=True)
class Given:
    """What the page was given to make conditioning images of.

    Attributes:
        source: one of `SOURCES`.
        sketch: the canvas, white or coloured lines on black, of any size.
        upload: a file that somebody sent.
        extraction: what is made of it, one of `extractions`.
    """

    source: str
    sketch: UInt8[np.ndarray, "h w 3"] | None = None
    upload: Path | None = None
    extraction: str = AS_IT_IS


def conditions_of(
    columns: Sequence[Column], given: Given, params: Params, side_px: int, device: str
) -> dict[str, Square]:
    """Return the conditioning image of each column that takes one, by label, at the size that is drawn.

    Raises:
        ParamsError: a column takes one and there is none, or the other way round; or an adapter's own
            condition is made from maps that a data set has.
        PictureError: the upload is no picture, is damaged or too large.
        CheckpointError: the weights of an extractor's network are missing.
    """
    if given.source not in SOURCES:
        raise ParamsError(f"condition ({given.source}): must be one of {', '.join(SOURCES)}")
    takers = [column for column in columns if column.takes_condition]
    if given.source == NOTHING:
        if takers:
            raise ParamsError(
                f"{takers[0].label}: this adapter takes a conditioning image; sketch or upload one under "
                "Condition, or leave the adapter out"
            )
        return {}
    if not takers:
        raise ParamsError(
            "condition: none of the chosen adapters takes a conditioning image; choose one that does, or set "
            f"the condition to {NOTHING}"
        )
    if given.source == SKETCH:
        square = fit_sketch(given.sketch, side_px)
        return {column.label: square for column in takers}
    names = {column.label: _extraction_for(column, given.extraction) for column in takers}
    made = {
        name: _from_upload(given.upload, name, params, side_px, device)
        for name in dict.fromkeys(names.values())
    }
    return {label: made[name] for label, name in names.items()}


def fit_sketch(canvas: UInt8[np.ndarray, "h w 3"] | None, side_px: int) -> Square:
    """Return the centre square of a canvas at the size that is drawn; thin lines survive being made smaller.

    Raises:
        ParamsError: nothing has been sketched.
    """
    if canvas is None or not canvas.any():
        raise ParamsError("condition: the sketch is empty; draw lines on it")
    return np.asarray(prepare(Image.fromarray(canvas), side_px, "area"))


def _extraction_for(column: Column, extraction: str) -> str | None:
    """Return the condition that is extracted for a column; None where the picture is the condition itself."""
    if extraction == AS_IT_IS:
        return None
    if extraction != OF_THE_TASK:
        if extraction not in (possible := extractions()):
            raise ParamsError(f"extract ({extraction}): must be one of {', '.join(possible)}")
        return extraction
    condition = CONDITIONS.get(column.condition or "")
    if condition is None or condition.needs_annotation():
        what = (
            f"its condition, {condition.name}, is made from a data set's maps"
            if condition
            else ("params.yaml does not say what its task was trained with")
        )
        raise ParamsError(
            f"{column.label}: {what}; upload a conditioning image itself and extract {AS_IT_IS}, or leave "
            "the adapter out"
        )
    return condition.name


def _from_upload(
    upload: Path | None, extraction: str | None, params: Params, side_px: int, device: str
) -> Square:
    from oft.generation.inputs import extract_conditions, read_condition, read_square

    if upload is None:
        raise ParamsError("condition: there is no picture; upload one")
    if extraction is None:
        return read_condition(upload, side_px)
    settings = getattr(params.conditions, extraction).model_dump()
    (made,) = extract_conditions(extraction, settings, [read_square(upload, side_px)], device)
    return made
