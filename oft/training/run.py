"""A whole training: data, objective, loop, log and validation grids, for one adapter on one task."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from oft.seeding import derive_seed
from oft.training.dataset import TrainingSet
from oft.training.distributed import ALONE, Ranks
from oft.training.log import mirror, training_log
from oft.training.loop import TrainingLoop
from oft.training.objective import Denoiser, Source, data_objective
from oft.training.setup import make_accelerator, prepare_unet

if TYPE_CHECKING:
    from torch import Tensor

    from oft.adapters.protocol import Adapter
    from oft.models.base import Base
    from oft.settings.training import Optimization

GRID_PADDING_PX = 2


def train_adapter(
    base: Base,
    adapter: Adapter,
    data: TrainingSet,
    settings: Optimization,
    *,
    prior: TrainingSet | None = None,
    prior_loss_weight: float = 0.0,
    seed: int,
    name: str,
    folder: Path | None,
    scratch: Path,
    logs: Path,
    draw_grid: Callable[[], Image.Image] | None = None,
    validate_every_steps: int = 1,
    ranks: Ranks = ALONE,
) -> list[dict[str, float]]:
    """Train the adapter's ``trained_parameters`` in place; return the log, also in ``folder``/dvclive.

    Args:
        prior: class pictures for prior preservation.
        folder: of the first of several ``ranks``, which alone writes.
        scratch: where checkpoints live.
        logs: where ``log_to`` writes.
        draw_grid: makes a validation picture with the weights as they stand, every ``validate_every_steps``.

    Raises:
        TrainingError: a setting cannot be had here, or the loss is no number.
    """
    accelerator = make_accelerator(settings, logs)
    prepare_unet(base.unet, settings)
    denoiser = accelerator.prepare(Denoiser(base.unet, adapter, settings.attention))
    sources = [Source(data, "instance")]
    if prior is not None and prior_loss_weight > 0:
        sources.append(Source(prior, "class", prior_loss_weight))
    objective = data_objective(base, denoiser, sources, settings, seed, ranks)

    def prepared_objective(step: int) -> Iterable[Tensor]:
        # Seeded by the step, so that a resumed run draws what an uninterrupted one does; before each, since a
        # validation grid puts the adapter into evaluation mode with its model.
        adapter.before_step(derive_seed(seed, "dropout", step))
        return objective(step)

    written = (
        nullcontext()
        if folder is None
        else training_log(folder / "dvclive", scratch, mirror(accelerator, settings, name, logs))
    )
    with written as log:

        def validate(step: int) -> None:
            assert log is not None and draw_grid is not None
            log.grid(step, draw_grid())

        loop = TrainingLoop(
            accelerator,
            adapter.trained_parameters(),
            prepared_objective,
            settings,
            scratch=scratch,
            name=name,
            after_step=adapter.after_step,
            ranks=ranks,
        )
        rows = loop.run(
            on_log=(lambda row: None) if log is None else log.row,
            on_validate=None if log is None or draw_grid is None else validate,
            validate_every_steps=validate_every_steps,
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
