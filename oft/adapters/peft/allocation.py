"""What AdaLoRA remembers between steps (arXiv 2303.10512): how important each of its parameters has been."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_AVERAGES = ("ipt", "exp_avg_ipt", "exp_avg_unc")
_PATTERN = "rank_pattern"


def allocation_state(tuner: Any) -> dict[str, Tensor]:
    """Return the allocator's averages and the ranks that it has kept; empty for other tuners."""
    allocator = getattr(tuner, "rankallocator", None)
    if allocator is None:
        return {}
    state = {
        f"{kind}/{name}": value for kind in _AVERAGES for name, value in getattr(allocator, kind).items()
    }
    kept = tuner.peft_config[allocator.adapter_name].rank_pattern or {}
    return state | {f"{_PATTERN}/{name}": torch.tensor(ranks) for name, ranks in kept.items()}


def load_allocation_state(tuner: Any, state: Mapping[str, Tensor]) -> None:
    """Put back what ``allocation_state`` returned."""
    allocator = getattr(tuner, "rankallocator", None)
    if allocator is None:
        return
    parts: dict[str, dict[str, Tensor]] = {kind: {} for kind in (*_AVERAGES, _PATTERN)}
    for key, value in state.items():
        kind, name = key.split("/", 1)
        parts[kind][name] = value
    for kind in _AVERAGES:
        setattr(allocator, kind, parts[kind])
    pattern = {name: ranks.tolist() for name, ranks in parts[_PATTERN].items()}
    tuner.peft_config[allocator.adapter_name].rank_pattern = pattern or None
