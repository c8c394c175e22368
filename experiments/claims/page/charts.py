"""Charts as Vega-Lite specifications, made with Altair; the page draws them with the Vega inside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from experiments.claims.findings import Chart, Series
from experiments.claims.numbers import (
    choose_decimals,
    choose_digits,
    format_estimate,
    format_setting,
    has_few_digits,
)
from experiments.claims.page.scales import round_numbers
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
    "labelSeparation": 8,
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
            axis=alt.Axis(grid=False, **_x_labels(chart)),
        ),
        color=_by_series(alt.Color, alt, shown, [styles[series.name].colour for series in shown]),
    )
    # The title of this axis stands above the chart, as text of the page: turned on its side few read it.
    y_axis = {"scale": alt.Scale(zero=False), "title": None, "axis": alt.Axis(tickCount=5)}
    nearest = alt.selection_point(
        name="nearest", on="pointerover", nearest=True, clear="pointerout", empty=False
    )
    points = (
        base.mark_point(filled=True, opacity=1, tooltip=alt.TooltipContent("data"))
        .encode(
            y=alt.Y("y:Q", **y_axis),
            shape=_by_series(alt.Shape, alt, shown, [styles[series.name].shape for series in shown]),
            size=alt.condition(nearest, alt.value(150), alt.value(70)),
        )
        .add_params(nearest)
    )
    is_line = chart.kind == "line"
    layers = [base.mark_line(strokeWidth=2).encode(y=alt.Y("y:Q", **y_axis)), points] if is_line else [points]
    # Without any interval the layer would be empty, and Vega warns of that in the console.
    if any(point.estimate.low is not None for series in shown for point in series.points):
        whole = base.transform_filter(alt.expr.isValid(alt.datum.low)).encode(
            y=alt.Y("low:Q", **y_axis), y2="high:Q"
        )
        band, bars = whole.mark_area(opacity=0.13, line=False), whole.mark_rule(strokeWidth=1.5, opacity=0.7)
        layers.insert(0, band if is_line else bars)
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
    """Return where the x axis has labels, at settings or at round numbers, and their words."""
    places = sorted({point.x for series in chart.series for point in series.points})
    if not places:
        return {}
    is_set = chart.kind == "line" and len(places) <= _MAX_PLACES and all(map(has_few_digits, places))
    values = places if is_set else round_numbers(places[0], places[-1], log=chart.log_x)
    # Vega's own formats know one number at a time: they label one axis "0e+0" and "230.292k".
    words = json.dumps([format_setting(value) for value in values], ensure_ascii=False)
    return {"values": values, "labelExpr": f"{words}[indexof({json.dumps(values)}, datum.value)]"}


def _by_series(channel: Any, alt: Any, shown: list[Series], values: list[str]) -> Any:
    """Return the encoding of a series' colour or shape; the legend is a list of the page."""
    names = [series.name for series in shown]
    return channel("name:N", scale=alt.Scale(domain=names, range=values), legend=None)


def _rows(chart: Chart) -> list[dict[str, Any]]:
    decimals = choose_decimals(point.estimate for series in chart.series for point in series.points)
    digits = choose_digits(point.x for series in chart.series for point in series.points)
    return [
        {
            "name": series.name,
            "series": series.title,
            "x": point.x,
            "y": point.estimate.value,
            "low": point.estimate.low,
            "high": point.estimate.high,
            "x_text": format_setting(point.x, digits),
            "y_text": format_estimate(point.estimate, decimals),
        }
        for series in chart.series
        for point in series.points
    ]
