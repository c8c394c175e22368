"""Charts as Vega-Lite specifications, made with Altair; the page draws them with the Vega inside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from experiments.claims.findings import Chart, Series
from experiments.claims.numbers import choose_decimals, format_estimate, format_setting
from experiments.claims.page.styles import Style
from oft.errors import UserError

HEIGHT_PX = 260
_MAX_PLACES = 10

_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
_AXIS = {
    "domainColor": "var(--line)",
    "gridColor": "var(--line)",
    "gridOpacity": 0.6,
    "labelColor": "var(--soft)",
    "labelFont": _FONT,
    "labelFontSize": 12,
    "labelOverlap": True,
    "tickColor": "var(--line)",
    "titleColor": "var(--soft)",
    "titleFont": _FONT,
    "titleFontSize": 12,
    "titleFontWeight": "normal",
}
_SNIPPET = "window.vegaEmbed = vegaEmbed;"


def specify_chart(chart: Chart, styles: Mapping[str, Style]) -> dict[str, Any]:
    """Return a chart as a Vega-Lite specification, its colours CSS variables of the page.

    Lines have their intervals as bands, points as bars; what is nearest to the pointer says its figures.

    Args:
        styles: of each series, by name.

    Raises:
        UserError: Altair is missing.
    """
    alt = _altair()
    shown = [series for series in chart.series if series.points]
    base = alt.Chart(alt.Data(values=_rows(chart))).encode(
        x=alt.X(
            "x:Q",
            title=chart.x_title,
            scale=alt.Scale(type="log", nice=False, padding=12)
            if chart.log_x
            else alt.Scale(zero=False, nice=False, padding=12),
            axis=alt.Axis(grid=False, tickCount=6, **_x_labels(chart)),
        ),
        color=_by_series(alt.Color, alt, shown, [styles[series.name].colour for series in shown]),
    )
    # The title of this axis stands above the chart, as text of the page: turned on its side few read it.
    y_axis = {"scale": alt.Scale(zero=False), "title": None, "axis": alt.Axis(tickCount=5)}
    has_interval = alt.expr.isValid(alt.datum.low)
    whole = base.transform_filter(has_interval).encode(y=alt.Y("low:Q", **y_axis), y2="high:Q")
    nearest = alt.selection_point(
        name="nearest", on="pointerover", nearest=True, clear="pointerout", empty=False
    )
    points = (
        base.mark_point(filled=True, opacity=1, tooltip=alt.TooltipContent("data"))
        .encode(
            y=alt.Y("y:Q", **y_axis),
            shape=_by_series(alt.Shape, alt, shown, [styles[series.name].shape for series in shown]),
            size=alt.condition(nearest, alt.value(150), alt.value(55)),
        )
        .add_params(nearest)
    )
    if chart.kind == "line":
        layers = [
            whole.mark_area(opacity=0.13, line=False),
            base.mark_line(strokeWidth=2).encode(y=alt.Y("y:Q", **y_axis)),
            points,
        ]
    else:
        layers = [whole.mark_rule(strokeWidth=1.5, opacity=0.7), points]
    drawn = (
        alt.layer(*layers)
        .properties(width="container", height=HEIGHT_PX, background="transparent")
        .configure(font=_FONT, padding=2)
        .configure_view(stroke=None)
        .configure_axis(**_AXIS)
    )
    specification: dict[str, Any] = drawn.to_dict()
    del specification["$schema"]  # an address outside, which the page says it has none of
    return specification


def bundle_vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script without dependencies, which sets ``vegaEmbed``.

    Raises:
        UserError: vl-convert is missing.
    """
    try:
        from vl_convert import javascript_bundle
    except ImportError as error:
        raise _missing(error) from None
    version = ".".join(_altair().SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    script: str = javascript_bundle(_SNIPPET, vl_version=version)
    return script


def _altair() -> Any:
    try:
        import altair
    except ImportError as error:
        raise _missing(error) from None
    return altair


def _missing(error: ImportError) -> UserError:
    return UserError(
        f"{error.name}: the page's charts need this package, and it is not installed; `make evidence` "
        "installs what the page needs (requirements/evidence.txt)"
    )


def _x_labels(chart: Chart) -> dict[str, Any]:
    """Return how the x axis is labelled: lines at their points, a logarithmic axis at 1, 2, 5, 10, ..."""
    places = sorted({point.x for series in chart.series for point in series.points})
    labels: dict[str, Any] = {}
    if chart.kind == "line" and len(places) <= _MAX_PLACES:
        labels["values"] = places
    elif chart.log_x and places:
        powers = range(math.floor(math.log10(places[0])), math.ceil(math.log10(places[-1])) + 1)
        labels["values"] = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    if places and (places[0] > 0 and places[0] < 1e-2):
        labels["format"] = "~e"
    elif places and places[-1] >= 1e5:
        labels["format"] = "~s"
    return labels


def _by_series(channel: Any, alt: Any, shown: list[Series], values: list[str]) -> Any:
    """Return the encoding of a series' colour or shape; the legend is a list of the page."""
    names = [series.name for series in shown]
    return channel("name:N", scale=alt.Scale(domain=names, range=values), legend=None)


def _rows(chart: Chart) -> list[dict[str, Any]]:
    decimals = choose_decimals(point.estimate for series in chart.series for point in series.points)
    return [
        {
            "name": series.name,
            "series": series.title,
            "x": point.x,
            "y": point.estimate.value,
            "low": point.estimate.low,
            "high": point.estimate.high,
            "x_text": format_setting(point.x),
            "y_text": format_estimate(point.estimate, decimals),
        }
        for series in chart.series
        for point in series.points
    ]
