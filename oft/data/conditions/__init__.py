"""Conditions: one file per extractor, each from a picture or its annotation to a conditioning image."""

from oft.data.conditions.registry import CONDITIONS, Condition, extract_condition

__all__ = ["CONDITIONS", "Condition", "extract_condition"]
