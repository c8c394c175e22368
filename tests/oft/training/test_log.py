"""The log of a training: rows and grids as files, and again when it is resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oft.params import Params
from oft.training.log import mirror, training_log
from oft.training.setup import make_accelerator


def grid(value: int) -> Image.Image:
    return Image.fromarray(np.full((4, 4, 3), value, np.uint8))


def grids(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("validation-*.png")}


def test_a_resumed_log_is_the_log_of_one_run(tmp_path: Path) -> None:
    with training_log(tmp_path / "whole", tmp_path / "scratch1") as log:
        for step in (1, 2):
            log.row({"step": step, "loss": 1 / step})
            log.grid(step, grid(step))
    with training_log(tmp_path / "killed", tmp_path / "scratch2") as log:
        log.row({"step": 1, "loss": 1.0})
        log.grid(1, grid(1))
    with training_log(tmp_path / "resumed", tmp_path / "scratch2") as log:
        log.row({"step": 1, "loss": 1.0})
        log.row({"step": 2, "loss": 0.5})
        log.grid(2, grid(2))
    assert len(grids(tmp_path / "whole")) == 2
    assert grids(tmp_path / "resumed") == grids(tmp_path / "whole")
    curve = "plots/metrics/loss.tsv"
    resumed = (tmp_path / "resumed" / curve).read_text("utf-8")
    assert resumed == (tmp_path / "whole" / curve).read_text("utf-8")


def test_a_kill_while_a_grid_is_written_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_half(image: Image.Image, target: Path, **options: object) -> None:
        Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", save_half)
    with pytest.raises(KeyboardInterrupt), training_log(tmp_path / "log", tmp_path / "scratch") as log:
        log.grid(1, grid(1))
    assert list((tmp_path / "scratch").glob("validation-*.png")) == []


def test_tensorboard_gets_each_row_once_also_of_a_resumed_training(params: Params, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = params.train.model_copy(update={"log_to": ["tensorboard"], "mixed_precision": "fp32"})
    logs = tmp_path / "logs"
    for _ in range(2):
        accelerator = make_accelerator(settings, logs)
        mirrored = mirror(accelerator, settings, "task oft", logs)
        with training_log(tmp_path / "live", tmp_path / "scratch", mirrored) as log:
            for step in (10, 20):
                log.row({"step": step, "loss": 1 / step})
    events = EventAccumulator(str(logs / "task-oft"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [10, 20]
    np.testing.assert_allclose([event.value for event in events.Scalars("loss")], [0.1, 0.05], rtol=1e-6)


def test_nothing_is_mirrored_unless_asked_for(params: Params, tmp_path: Path) -> None:
    settings = params.train.model_copy(update={"mixed_precision": "fp32"})
    with mirror(make_accelerator(settings, tmp_path / "logs"), settings, "a", tmp_path / "logs") as row:
        assert row is None
    assert not (tmp_path / "logs").exists()
