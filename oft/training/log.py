"""Logging a training through DVCLive: curves as TSV, validation grids as PNG, all inside the stage's out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from oft.storage import atomic_file

if TYPE_CHECKING:
    from accelerate import Accelerator
    from dvclive.live import Live
    from PIL import Image

    from oft.settings.training import Optimization

Row = Callable[[Mapping[str, float]], None]


class TrainingLog:
    """Rows and pictures of one training; ``scratch`` keeps the pictures for a run that is resumed."""

    def __init__(self, live: Live, scratch: Path, mirrored: Row | None = None) -> None:
        self._live = live
        self._scratch = scratch
        self._mirrored = mirrored

    def row(self, values: Mapping[str, float]) -> None:
        """Log one row; ``step`` is its place on the x axis."""
        self._live.step = int(values["step"])
        for name, value in values.items():
            if name != "step":
                self._live.log_metric(name, value)
        if self._mirrored is not None:
            self._mirrored(values)

    def grid(self, step: int, image: Image.Image) -> None:
        """Log the validation grid of a step."""
        kept = self._kept(step)
        with atomic_file(kept) as partial:
            image.save(partial, format="PNG")
        self._live.log_image(kept.name, image)

    def replay_grids(self) -> None:
        """Log the grids that an interrupted run made."""
        from PIL import Image

        for kept in sorted(self._scratch.glob("validation-*.png")):
            self._live.log_image(kept.name, Image.open(kept))

    def _kept(self, step: int) -> Path:
        return self._scratch / f"validation-{step:08d}.png"


@contextmanager
def training_log(
    folder: Path, scratch: Path, mirrored: AbstractContextManager[Row | None] | None = None
) -> Iterator[TrainingLog]:
    """Yield a log that writes ``folder``; the stage's DVC out holds it, so DVCLive itself saves nothing.

    Args:
        mirrored: gives what gets each row too.
    """
    # DVCLive reports runs to a service where a token is set; a stage's results must not depend on that.
    os.environ.setdefault("DVC_STUDIO_OFFLINE", "true")
    from dvclive.live import Live

    with (
        Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False) as live,
        mirrored or nullcontext() as row,
    ):
        log = TrainingLog(live, scratch, row)
        log.replay_grids()
        yield log


@contextmanager
def mirror(accelerator: Accelerator, settings: Optimization, name: str, logs: Path) -> Iterator[Row | None]:
    """Yield what writes rows to TensorBoard and Weights & Biases, as ``log_to`` asks, or None.

    Both write under ``logs``, outside any out: what they write depends on time and host. Weights & Biases
    sends nothing unless WANDB_MODE says so; `wandb sync` does it later.
    """
    if not settings.log_to:
        yield None
        return
    os.environ.setdefault("WANDB_MODE", "offline")
    run = name.replace(" ", "-")
    # A resumed training logs its first rows again.
    shutil.rmtree(logs / run, ignore_errors=True)
    logs.mkdir(parents=True, exist_ok=True)
    wandb = {"name": run, "dir": str(logs), "config": settings.model_dump()}
    accelerator.init_trackers(run, init_kwargs={"wandb": wandb})

    def row(values: Mapping[str, float]) -> None:
        accelerator.log({key: value for key, value in values.items() if key != "step"}, int(values["step"]))

    try:
        yield row
    finally:
        accelerator.end_training()
