"""Conditions: one file per extractor, each from a picture or its annotation to a conditioning image."""

from oft.data.conditions.batching import extract_batches
from oft.data.conditions.condition import Condition
from oft.data.conditions.registry import CONDITIONS, extract_condition

__all__ = ["CONDITIONS", "Condition", "extract_batches", "extract_condition"]
