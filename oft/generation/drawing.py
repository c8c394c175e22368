"""Draw what was planned: files as they come, then one sheet of all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, UInt8

from oft import __version__
from oft.errors import ParamsError
from oft.generation.combining import AdapterChoice, applied
from oft.generation.plan import Item
from oft.generation.png import DrawnPicture
from oft.report.grids import GridRow, contact_sheet
from oft.sampling import Redrawing, generate
from oft.shards.shards import encode_condition

if TYPE_CHECKING:
    from oft.models.base import Base
    from oft.settings.evaluation import Sampling

Square = UInt8[np.ndarray, "side side 3"]


@dataclass(frozen=True)
class Inputs:
    """What items are drawn from, by key.

    Attributes:
        conditions: conditioning images.
        pictures: to draw over, with ``noise`` as `oft.sampling.Redrawing` has it.
        masks: what of them is drawn anew.
    """

    conditions: dict[str, Square] = field(default_factory=dict)
    pictures: dict[str, Square] = field(default_factory=dict)
    masks: dict[str, Bool[np.ndarray, "side side"]] = field(default_factory=dict)
    noise: float | None = None


@dataclass(frozen=True)
class Drawn:
    """One picture that was asked for.

    Attributes:
        row: the key of its item.
        column: its heading on the sheet.
        name: of its file, without the suffix.
    """

    row: str
    column: str
    name: str
    picture: DrawnPicture


def draw(
    base: Base,
    choices: Sequence[AdapterChoice],
    strengths: Sequence[float],
    items: Sequence[Item],
    inputs: Inputs,
    settings: Sampling,
    *,
    resolution_px: int,
    seed: int,
    number: int,
) -> Iterator[Drawn]:
    """Yield ``number`` pictures of each item at each strength.

    Raises:
        ParamsError: the adapter takes a conditioning image and there is none, or the other way round.
    """
    requests = [request for item in items for request in item.requests(seed, number)]
    redrawing = None
    if inputs.noise is not None:
        redrawing = Redrawing(inputs.pictures, inputs.noise, inputs.masks or None)
    encoded = {key: encode_condition(image) for key, image in inputs.conditions.items()}
    sources = {item.key: item.source for item in items}
    kinds = [one.kind for one in choices]
    common: dict[str, Any] = {
        "project": f"oft-pipeline {__version__}",
        "resolution_px": resolution_px,
        "base": {"name": base.origin, "hash": base.hash},
        "noise": inputs.noise,
        **settings.model_dump(exclude={"num_samples", "num_subject_samples", "strength"}),
    }
    for strength in strengths:
        adapters = [
            {"path": str(one.path), "kind": kind, "strength": one.strength * strength}
            for one, kind in zip(choices, kinds, strict=True)
        ]
        with applied(base, choices, strength) as adapter:
            takes_condition = adapter is not None and adapter.takes_condition
            if takes_condition and not encoded:
                raise ParamsError(
                    f"{choices[0].path}: this adapter takes a conditioning image; give one with --condition "
                    "(docs/generate.md), made from a picture with --extract"
                )
            if encoded and not takes_condition:
                raise ParamsError(
                    "--condition: none of the adapters takes a conditioning image; give one that was trained "
                    "on a task with a condition, such as runs/segm_ade20k/oft/magnitude, or leave it out"
                )
            shown = encoded if takes_condition else None
            for request, pixels in generate(
                base, adapter, requests, shown, settings, resolution_px, redrawing
            ):
                column = f"seed {request.seed}"
                name = request.name
                if len(strengths) > 1:
                    column = f"strength {strength:g}" + (f", {column}" if number > 1 else "")
                    name = f"{name}-strength-{strength:g}"
                described = common | {
                    "prompt": request.prompt,
                    "seed": request.seed,
                    "adapters": adapters,
                }
                if (source := sources[request.key]) is not None:
                    described["source"] = str(source)
                if shown is not None:
                    described["condition_sha256"] = hashlib.sha256(shown[request.key]).hexdigest()
                yield Drawn(request.key, column, name, DrawnPicture(pixels, described))


def contact_sheet_of(items: Sequence[Item], inputs: Inputs, drawn: Sequence[Drawn]) -> Any:
    """Return one picture of all: a row for each item, its inputs first, its prompt beside it."""
    columns = list(dict.fromkeys(one.column for one in drawn))
    given = {
        "condition": inputs.conditions,
        "drawn over": inputs.pictures,
        "drawn anew": {
            key: np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2)
            for key, mask in inputs.masks.items()
        },
    }
    given = {name: pictures for name, pictures in given.items() if pictures}
    by_place = {(one.row, one.column): one.picture.pixels for one in drawn}
    rows = [
        GridRow(
            [
                *(pictures.get(item.key) for pictures in given.values()),
                *(by_place.get((item.key, column)) for column in columns),
            ],
            item.prompt,
        )
        for item in items
    ]
    return contact_sheet(rows, [*given, *columns])
