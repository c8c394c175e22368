"""Curves and confusion tables as SVG that stands inside the page and takes on its colours."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from oft.report.results import ConfusionCell, Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLOURS = ("#8a8f98", "#3a86d0", "#e0762f", "#2fa36b", "#b763c4", "#b8931f", "#c94f5b")
"""Of the base alone, then of adapters in their order; told apart by most colour-blind readers, and readable
on white and on black."""

# matplotlib writes colours as numbers; this one stands for the page's own text colour.
_INK = "#010203"
_SETTINGS: dict[str, Any] = {
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "legend.frameon": False,
    "savefig.transparent": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "oft",
    "text.color": _INK,
    "text.parse_math": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_MAX_POINTS = 400
_SMOOTHING_SHARE = 0.05
_MAX_LABEL_CHARS = 18


@dataclass(frozen=True)
class Line:
    """A curve, what it is called, and the place of its colour in `COLOURS`."""

    curve: Curve
    title: str
    place: int


def draw_curves(lines: Sequence[Line], name: str, label: str, *, is_noisy: bool) -> str:
    """Return one plot of a logged value: a line for each adapter.

    Args:
        lines: one or more.
        name: unique on the page, ``[a-z0-9-]``; ids inside the SVG begin with it.
        label: of the vertical axis, and the plot's description.
        is_noisy: draw the running mean, and the values themselves faintly.
    """
    with _new_figure(5.2, 2.6) as (figure, axes):
        for line in lines:
            colour = COLOURS[line.place % len(COLOURS)]
            steps, values = np.array(line.curve.steps), np.array(line.curve.values)
            smooth = running_mean(values) if is_noisy else values
            if np.array_equal(smooth, values):
                axes.plot(*_thin(steps, values), color=colour, linewidth=1.8, label=line.title)
                if len(steps) <= 12:
                    axes.plot(steps, values, "o", color=colour, markersize=3)
            else:
                axes.plot(*_thin(steps, values), color=colour, linewidth=0.7, alpha=0.35)
                axes.plot(*_thin(steps, smooth), color=colour, linewidth=1.8, label=line.title)
        axes.set_xlabel("step")
        axes.set_ylabel(label)
        axes.grid(color=_INK, alpha=0.12, linewidth=0.6)
        if len(lines) > 1:
            axes.legend()
        return _to_svg(figure, name, label)


def draw_confusion(cells: Sequence[ConfusionCell], name: str, label: str) -> str:
    """Return a confusion table: a row for each actual class, the darker the more of its pixels.

    Args:
        cells: in the order of the classes; absent pairs count as 0.
        name: unique on the page, ``[a-z0-9-]``.
        label: the plot's description.
    """
    actual = list(dict.fromkeys(cell.actual for cell in cells))
    predicted = list(dict.fromkeys([*actual, *(cell.predicted for cell in cells)]))
    predicted = [p for p in predicted if any(cell.predicted == p for cell in cells)]
    shares = np.zeros((len(actual), len(predicted)))
    for cell in cells:
        shares[actual.index(cell.actual), predicted.index(cell.predicted)] = cell.share
    with _new_figure(1.6 + 0.34 * len(predicted), 1.3 + 0.28 * len(actual)) as (figure, axes):
        for row, column in np.ndindex(*shares.shape):
            share = float(np.clip(shares[row, column], 0, 1))
            if share >= 0.005:
                axes.fill(
                    [column, column + 1, column + 1, column],
                    [row, row, row + 1, row + 1],
                    facecolor=COLOURS[1],
                    alpha=share,
                    linewidth=0,
                )
                axes.text(column + 0.5, row + 0.5, f"{100 * share:.0f}", ha="center", va="center", fontsize=7)
        axes.set_xlim(0, len(predicted))
        axes.set_ylim(len(actual), 0)
        axes.set_xticks(
            np.arange(len(predicted)) + 0.5, [_short(p) for p in predicted], rotation=60, ha="right"
        )
        axes.set_yticks(np.arange(len(actual)) + 0.5, [_short(a) for a in actual])
        axes.tick_params(length=0, labelsize=8)
        axes.set_xlabel("found by the judge")
        axes.set_ylabel("asked for")
        return _to_svg(figure, name, label)


def running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over the last 5 % of the points up to each point; short series stay as they are."""
    window = int(len(values) * _SMOOTHING_SHARE)
    if window < 2:
        return values
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return np.asarray((sums[ends] - sums[starts]) / (ends - starts))


@contextmanager
def _new_figure(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # Labels may hold any character; that a font lacks one is no news to whoever reads the log.
    with rc_context(cast(Any, _SETTINGS)), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure, figure.add_subplot()


def _to_svg(figure: Figure, name: str, label: str) -> str:
    from html import escape

    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    FigureCanvasSVG(figure).print_svg(stream, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    width, height = (float(side) for side in re.findall(r'(?:width|height)="([\d.]+)pt"', svg)[:2])
    opening = (
        f'<svg viewBox="0 0 {width:g} {height:g}" style="max-width:{width * 4 / 3:.0f}px" role="img" '
        f'aria-label="{escape(label)}">'
    )
    svg = re.sub(r"<svg[^>]*>", lambda _: opening, svg, count=1)
    # Several SVGs share one page: their ids must differ, and ids that nothing points to are left out.
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', lambda found: f"{found[1]}{name}-", svg)
    svg = svg.replace("xlink:href", "href").replace(_INK, "currentColor")
    svg = re.sub(r"'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif", svg)
    return re.sub(r"\s*\n\s*", "\n", svg).strip()


def _thin(
    steps: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return at most `_MAX_POINTS` points: more cannot be seen and make the page heavy."""
    if len(steps) <= _MAX_POINTS:
        return steps, values
    chosen = np.unique(np.linspace(0, len(steps) - 1, _MAX_POINTS).round().astype(np.int64))
    return steps[chosen], values[chosen]


def _short(label: str) -> str:
    shown = " ".join("".join(c if c.isprintable() else " " for c in label).split())
    return shown if len(shown) <= _MAX_LABEL_CHARS else f"{shown[: _MAX_LABEL_CHARS - 1]}…"
