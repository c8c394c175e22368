"""Write the gallery of a training: pictures, one grid of them, prompts, metrics and a page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.reproduce.pages import format_value, scalars
from oft.pictures import decode_rgb, encode_jpeg, encode_png
from oft.report.grids import GridRow, comparison_grid
from oft.shards.samples import read_samples
from oft.storage import write_json
from oft.types import Request

TEMPLATE = Path(__file__).with_name("gallery.html")
PREVIEW_JPEG_QUALITY = 80


class PromptPictures(NamedTuple):
    """One prompt and the names of its pictures, and of the conditioning image they are drawn for, if any."""

    prompt: str
    pictures: list[str]
    condition: str | None = None


def write_gallery(
    samples: Path,
    metrics: Mapping[str, Any],
    title: str,
    target: Path,
    conditions: Mapping[str, bytes] = MappingProxyType({}),
) -> bytes:
    """Write index.html, grid.png, prompts.json and pictures/*.png to ``target``; return the grid as JPEG.

    With conditioning images there is a folder conditions/ too, and each stands before its pictures.

    Args:
        samples: the folder of the run's tars of generated pictures.
        metrics: those of the run.
        conditions: the encoded conditioning image of each key; empty where there are none.

    Raises:
        DataError: a tar is missing or damaged.
    """
    found: dict[str, list[tuple[Request, NDArray[np.uint8]]]] = {}
    for request, picture in read_samples(samples, 1):
        found.setdefault(request.key, []).append((request, picture))
    (target / "pictures").mkdir(parents=True)
    rows = []
    for key, drawn in found.items():
        names = [f"pictures/{request.name}.png" for request, _ in drawn]
        for name, (_, picture) in zip(names, drawn, strict=True):
            (target / name).write_bytes(encode_png(picture))
        rows.append(PromptPictures(drawn[0][0].prompt, names, _write_condition(key, conditions, target)))
    numbers = [str(number + 1) for number in range(max(map(len, found.values())))]
    grid = comparison_grid(
        [
            GridRow(
                [*([decode_rgb(conditions[key])] if conditions else []), *(picture for _, picture in drawn)],
                drawn[0][0].prompt,
            )
            for key, drawn in found.items()
        ],
        [*(["condition"] if conditions else []), *numbers],
        title,
    )
    (target / "grid.png").write_bytes(encode_png(grid))
    write_json(
        target / "prompts.json",
        {
            name: {"prompt": request.prompt, "seed": request.seed}
            | ({"condition": row.condition} if row.condition else {})
            for row, drawn in zip(rows, found.values(), strict=True)
            for name, (request, _) in zip(row.pictures, drawn, strict=True)
        },
    )
    (target / "index.html").write_text(render_page(title, rows, metrics), encoding="utf-8")
    return encode_jpeg(grid, PREVIEW_JPEG_QUALITY)


def _write_condition(key: str, conditions: Mapping[str, bytes], target: Path) -> str | None:
    if not conditions:
        return None
    name = f"conditions/{key}.png"
    (target / "conditions").mkdir(exist_ok=True)
    (target / name).write_bytes(encode_png(decode_rgb(conditions[key])))
    return name


def render_page(title: str, rows: list[PromptPictures], metrics: Mapping[str, Any]) -> str:
    """Return the page; every text in it is escaped."""
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    values = [(name, format_value(value)) for name, value in sorted(scalars(metrics).items())]
    return template.render(title=title, rows=rows, metrics=values)
