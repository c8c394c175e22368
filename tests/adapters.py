"""What tests do to adapters of any kind: move them away from the identity, train them, ask stock programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from oft.adapters.protocol import Adapter, AdapterSettings
from oft.models.adapted import init_adapter, save_with_base
from oft.models.base import Base, latent_shape, load_base
from oft.params import Params
from oft.sampling import plan
from oft.schedulers import make_scheduler
from oft.seeding import generator_for
from oft.training.objective import TrainingSource
from oft.training.run import Workplace, train_adapter
from tests.conftest import SIZE_PX
from tests.oft.training.conftest import training_set

Saver = Callable[..., Path]
"""Saves an adapter by its name in params.yaml (the fixture ``saved``)."""


def stock_pictures(
    pipeline: Any,
    base: Base,
    params: Params,
    prompts: Mapping[str, str],
    scheduler_config: Any = None,
    **more: Any,
) -> np.ndarray:
    """The pictures of a stock pipeline in three steps, from the noise of our seeds, uint8 [n, h, w, 3].

    Args:
        prompts: by key, as `oft.sampling.plan` takes them, each drawn once.
        scheduler_config: None for the base's.
        more: what else the pipeline is called with.
    """
    shape = latent_shape(base, SIZE_PX)
    latents = [torch.randn(shape, generator=generator_for(r.seed)) for r in plan(dict(prompts), 1, seed=0)]
    config = base.noise_scheduler.config if scheduler_config is None else scheduler_config
    pipeline.scheduler = make_scheduler(params.sample.scheduler, config)
    pipeline.set_progress_bar_config(disable=True)
    with torch.inference_mode():
        images = pipeline(
            list(prompts.values()),
            latents=torch.stack(latents),
            num_inference_steps=3,
            guidance_scale=params.sample.guidance_scale,
            output_type="np",
            **more,
        ).images
    return np.asarray((images * 255).round().astype(np.uint8))


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
