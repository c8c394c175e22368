"""Logging a training through DVCLive: curves as TSV, validation grids as PNG, all inside the stage's out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from oft.progress import print_line
from oft.storage import atomic_file
from oft.storage.private import use_private_site_cache

if TYPE_CHECKING:
    from accelerate import Accelerator
    from dvclive.live import Live
    from PIL import Image

    from oft.settings.training import Optimization

GRIDS = Path("plots/images")
"""Where DVCLive keeps the grids, below its folder."""
_PREFIX = "validation-"
GRID_TITLE = "validation"
"""What TensorBoard and Weights & Biases call the grids."""


@runtime_checkable
class Mirror(Protocol):
    """Gets what a training logs too, in the order of steps: Weights & Biases drops what is older."""

    def row(self, values: Mapping[str, float]) -> None:
        """Log one row; ``step`` is its place on the x axis."""

    def grid(self, step: int, image: Image.Image) -> None:
        """Log the validation grid of a step."""


class TrainingLog:
    """Rows and pictures of one training; ``scratch`` keeps the pictures for a run that is resumed.

    Args:
        name: what printed lines call the training.
    """

    def __init__(
        self, live: Live, scratch: Path, mirrored: Mirror | None = None, name: str = "training"
    ) -> None:
        self._live = live
        self._scratch = scratch
        self._mirrored = mirrored
        self._name = name
        self._replayed: dict[int, Path] = {}  # grids of an interrupted run that the mirror has not yet

    def row(self, values: Mapping[str, float]) -> None:
        """Log one row; ``step`` is its place on the x axis."""
        self._live.step = int(values["step"])
        for name, value in values.items():
            if name != "step":
                self._live.log_metric(name, value)
        if self._mirrored is not None:
            self._mirror_replayed(self._mirrored, int(values["step"]))
            self._mirrored.row(values)

    def grid(self, step: int, image: Image.Image) -> None:
        """Log the validation grid of a step and print where it lies while the training goes on."""
        kept = self._kept(step)
        with atomic_file(kept) as partial:
            image.save(partial, format="PNG")
        self._live.log_image(kept.name, image)
        if self._mirrored is not None:
            self._mirror_replayed(self._mirrored, step)
            self._replayed.pop(step, None)
            self._mirrored.grid(step, image)
        print_line(f"{self._name}: validation grid of step {step}: {_relative(kept)}")

    def replay_grids(self) -> None:
        """Log the grids that an interrupted run made."""
        from PIL import Image

        for kept in sorted(self._scratch.glob(f"{_PREFIX}*.png")):
            self._live.log_image(kept.name, Image.open(kept))
            self._replayed[int(kept.stem.removeprefix(_PREFIX))] = kept

    def _mirror_replayed(self, mirrored: Mirror, before_step: int) -> None:
        from PIL import Image

        for step in sorted(step for step in self._replayed if step < before_step):
            with Image.open(self._replayed.pop(step)) as image:
                mirrored.grid(step, image)

    def _kept(self, step: int) -> Path:
        return self._scratch / f"{_PREFIX}{step:08d}.png"


@contextmanager
def training_log(
    folder: Path,
    scratch: Path,
    mirrored: AbstractContextManager[Mirror | None] | None = None,
    name: str = "training",
) -> Iterator[TrainingLog]:
    """Yield a log that writes ``folder``; the stage's DVC out holds it, so DVCLive itself saves nothing.

    Args:
        mirrored: gives what gets each row and grid too.
        name: what printed lines call the training.

    Raises:
        UserError: DVC's site cache is not this user's alone.
    """
    # DVCLive reports runs to a service where a token is set; a stage's results must not depend on that.
    os.environ.setdefault("DVC_STUDIO_OFFLINE", "true")
    use_private_site_cache()  # it opens the repository of DVC around the working folder
    from dvclive.live import Live

    with (
        Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False) as live,
        mirrored or nullcontext() as opened,
    ):
        log = TrainingLog(live, scratch, opened, name)
        log.replay_grids()
        yield log


@contextmanager
def mirror(
    accelerator: Accelerator, settings: Optimization, name: str, logs: Path
) -> Iterator[Mirror | None]:
    """Yield what writes to TensorBoard and Weights & Biases, as ``log_to`` asks, or None; print where.

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
    for tracker in settings.log_to:
        print_line(f"{name}: {_describe_place(tracker, run, logs)}")
    try:
        yield _Trackers(accelerator)
    finally:
        accelerator.end_training()


class _Trackers:
    """Accelerate's trackers of a run as a `Mirror`."""

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator

    def row(self, values: Mapping[str, float]) -> None:
        named = {key: value for key, value in values.items() if key != "step"}
        self._accelerator.log(named, int(values["step"]))

    def grid(self, step: int, image: Image.Image) -> None:
        import numpy as np

        pictures = np.asarray(image.convert("RGB"))[None]
        for tracker in self._accelerator.trackers:
            # TensorBoard expects channels first unless told so; the other would log the option itself.
            options = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
            tracker.log_images({GRID_TITLE: pictures}, step=step, **options)


def _describe_place(tracker: str, run: str, logs: Path) -> str:
    folder = _relative(logs)
    if tracker == "tensorboard":
        return f"curves and grids for TensorBoard: {folder / run}; see `tensorboard --logdir {folder}`"
    if os.environ["WANDB_MODE"] == "online":
        return f"curves and grids go to Weights & Biases, project {run}"
    place = folder / "wandb"
    return (
        f"curves and grids for Weights & Biases: {place}; send them with `wandb sync {place}/offline-run-*`"
    )


def _relative(path: Path) -> Path:
    """Return a path as seen from the working folder, as it is where it lies elsewhere."""
    path = path.absolute()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
