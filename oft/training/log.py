"""Logging a training through DVCLive: curves as TSV, validation grids as PNG, all inside the stage's out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from oft.storage import atomic_file

if TYPE_CHECKING:
    from dvclive.live import Live
    from PIL import Image


class TrainingLog:
    """Rows and pictures of one training; ``scratch`` keeps the pictures for a run that is resumed."""

    def __init__(self, live: Live, scratch: Path) -> None:
        self._live = live
        self._scratch = scratch

    def row(self, values: Mapping[str, float]) -> None:
        """Log one row; ``step`` is its place on the x axis."""
        self._live.step = int(values["step"])
        for name, value in values.items():
            if name != "step":
                self._live.log_metric(name, value)

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
def training_log(folder: Path, scratch: Path) -> Iterator[TrainingLog]:
    """Yield a log that writes ``folder``; the stage's DVC out holds it, so DVCLive itself saves nothing."""
    # DVCLive reports runs to a service where a token is set; a stage's results must not depend on that.
    os.environ.setdefault("DVC_STUDIO_OFFLINE", "true")
    from dvclive.live import Live

    with Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False) as live:
        log = TrainingLog(live, scratch)
        log.replay_grids()
        yield log
