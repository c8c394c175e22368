"""Formats that adapters are exported to: one file each, which imports torch when it writes."""

from oft.exchange.formats.format import Export, ExportOptions, Format, Precision
from oft.exchange.formats.registry import FORMATS, describe_formats, markdown_table, takers

__all__ = [
    "FORMATS",
    "Export",
    "ExportOptions",
    "Format",
    "Precision",
    "describe_formats",
    "markdown_table",
    "takers",
]
