"""Conditions: one file per extractor, each from a picture or its annotation to a conditioning image."""

from oft.conditions.batching import extract_batches
from oft.conditions.condition import Condition
from oft.conditions.registry import CONDITIONS, extract_condition

__all__ = ["CONDITIONS", "Condition", "extract_batches", "extract_condition"]
