"""A whole training: data, objective, loop, log and validation grids, for one adapter on one task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from oft.seeding import derive_seed
from oft.training.distributed import ALONE, Ranks
from oft.training.log import mirror, training_log
from oft.training.loop import Hooks, TrainingLoop
from oft.training.objective import Denoiser, TrainingSource, data_objective
from oft.training.setup import make_accelerator, prepare_unet

if TYPE_CHECKING:
    from torch import Tensor

    from oft.adapters.protocol import Adapter
    from oft.models.base import Base
    from oft.settings.training import Optimization

GRID_PADDING_PX = 2


@dataclass(frozen=True)
class Workplace:
    """Where a training keeps what it makes.

    Attributes:
        folder: its results; None on all but the first of several ranks, which alone writes.
        scratch: its checkpoints, until it has ended.
        logs: the curves that ``log_to`` asks for.
    """

    folder: Path | None
    scratch: Path
    logs: Path


@dataclass(frozen=True)
class Validation:
    """A picture of the weights as they stand, made now and then while training."""

    draw_grid: Callable[[], Image.Image]
    every_steps: int


def train_adapter(
    base: Base,
    adapter: Adapter,
    sources: Sequence[TrainingSource],
    settings: Optimization,
    workplace: Workplace,
    *,
    seed: int,
    name: str,
    validation: Validation | None = None,
    ranks: Ranks = ALONE,
) -> list[dict[str, float]]:
    """Train the adapter's ``trained_parameters`` in place; return the log, also in the folder's dvclive/.

    Args:
        sources: what is trained on; class pictures beside a subject's are prior preservation.

    Raises:
        TrainingError: a setting cannot be had here, or the loss is no number.
    """
    accelerator = make_accelerator(settings, workplace.logs)
    prepare_unet(base.unet, settings)
    denoiser = accelerator.prepare(Denoiser(base.unet, adapter, settings.attention))
    objective = data_objective(
        base, denoiser, sources, settings, seed, ranks, text_is_trained=adapter.text_encoder is not None
    )

    def prepared_objective(step: int) -> Iterable[Tensor]:
        # Seeded by the step, so that a resumed run draws what an uninterrupted one does; before each, since a
        # validation grid puts the adapter into evaluation mode with its model.
        adapter.before_step(derive_seed(seed, "dropout", step))
        return objective(step)

    loop = TrainingLoop(
        accelerator,
        adapter.trained_parameters(),
        prepared_objective,
        settings,
        scratch=workplace.scratch,
        name=name,
        hooks=Hooks(adapter.after_step, adapter.training_state, adapter.load_training_state),
        ranks=ranks,
    )
    if workplace.folder is None:
        rows = loop.run(on_log=lambda row: None)
    else:
        mirrors = mirror(accelerator, settings, name, workplace.logs)
        with training_log(workplace.folder / "dvclive", workplace.scratch, mirrors, name) as log:
            rows = loop.run(
                on_log=log.row,
                on_validate=(lambda step: log.grid(step, validation.draw_grid())) if validation else None,
                validate_every_steps=validation.every_steps if validation else 1,
            )
    adapter.after_training()
    return rows


def tile(rows: Iterable[Iterable[np.ndarray]]) -> Image.Image:
    """Return pictures uint8 [h, w, 3] of one size as one grid on white; rows may differ in length."""
    padded = [
        [
            np.pad(cell, ((GRID_PADDING_PX,) * 2, (GRID_PADDING_PX,) * 2, (0, 0)), constant_values=255)
            for cell in row
        ]
        for row in rows
    ]
    longest = max(len(row) for row in padded)
    for row in padded:
        row.extend([np.full_like(padded[0][0], 255)] * (longest - len(row)))
    return Image.fromarray(np.concatenate([np.concatenate(row, axis=1) for row in padded], axis=0))
