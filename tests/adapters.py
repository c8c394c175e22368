"""What tests do to adapters of any kind: move them away from the identity, train them for a few steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from oft.adapters.protocol import Adapter, AdapterSettings
from oft.models.adapted import init_adapter, save_with_base
from oft.models.base import Base, load_base
from oft.params import Params
from oft.seeding import generator_for
from oft.training.objective import TrainingSource
from oft.training.run import Workplace, train_adapter
from tests.oft.training.conftest import training_set

Saver = Callable[..., Path]
"""Saves an adapter by its name in params.yaml (the fixture ``saved``)."""


@torch.no_grad()
def move(adapter: Adapter, deviation: float) -> None:
    """Add noise of that standard deviation to what is trained, the same each time."""
    for number, value in enumerate(adapter.trained_parameters().values()):
        value.add_(deviation * torch.randn(value.shape, generator=generator_for(number)))


def save_moved(
    folder: Path,
    base_folder: Path,
    name: str,
    settings: AdapterSettings,
    *,
    with_condition: bool,
    deviation: float = 2e-2,
) -> None:
    """Save an adapter of a placed base, that far from the identity; the same for each name."""
    base = load_base(base_folder)
    adapter = init_adapter(base, settings, with_condition=with_condition, generator=generator_for(name))
    move(adapter, deviation)
    save_with_base(folder, adapter, base)


def train_briefly(
    base: Base,
    adapter: Adapter,
    params: Params,
    shards: Path,
    scratch: Path,
    *,
    steps: int,
    with_condition: bool = True,
) -> list[dict[str, float]]:
    """Train on the small shards, two pictures a step, and return the log; scratch alone is written to."""
    brief = {"max_train_steps": steps, "warmup_steps": 0, "batch_size": 2, "mixed_precision": "fp32"}
    return train_adapter(
        base,
        adapter,
        [TrainingSource(training_set(shards, with_condition=with_condition), "instance")],
        params.train.model_copy(update=brief),
        Workplace(None, scratch / "scratch", scratch / "logs"),
        seed=0,
        name="brief",
    )
