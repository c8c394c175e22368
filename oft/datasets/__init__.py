"""Readers: one file per data set, each from the official layout on disk to `oft.types.Example`."""

from oft.datasets.reader import Reader
from oft.datasets.registry import READERS, read

__all__ = ["READERS", "Reader", "read"]
