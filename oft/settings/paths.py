"""Which settings may name a file or a folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Settings that may name a file or a folder: of one section, and of each entry of one.
NAMED_BY = (
    "base.source",
    "base.config",
    "base.tokenizer",
    "blip.model",
    "evaluate.controlnetpp.depth",
    "evaluate.controlnetpp.segmenter",
    "evaluate.judges",
)
NAMED_BY_EACH = (
    "conditions.*.model",
    "datasets.*.acquire.source",
    "datasets.*.captions.source",
    "subjects.*.prompts",
    "subjects.*.class_pictures",
)


def named_paths(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the text of each setting that may name a file or a folder, by its key.

    Args:
        values: of params.yaml.
    """
    found: dict[str, Any] = {}
    for pattern in (*NAMED_BY, *NAMED_BY_EACH):
        places: dict[str, Any] = {"": values}
        for part in pattern.split("."):
            places = {
                f"{key}.{name}".lstrip("."): place[name]
                for key, place in places.items()
                if isinstance(place, Mapping)
                for name in (place if part == "*" else [part])
                if name in place
            }
        found |= places
    return {key: text for key, text in found.items() if isinstance(text, str)}
