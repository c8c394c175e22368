"""The report: one self-contained page over all runs, and its grids as PNG."""

from oft.report.collect import collect
from oft.report.edges import Reextract, edge_reextractor
from oft.report.grids import GridRow, comparison_grid
from oft.report.page import render, render_telemetry
from oft.report.reading import read_telemetry
from oft.report.results import ReportData

__all__ = [
    "GridRow",
    "Reextract",
    "ReportData",
    "collect",
    "comparison_grid",
    "edge_reextractor",
    "read_telemetry",
    "render",
    "render_telemetry",
]
