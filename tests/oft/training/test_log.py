"""The log of a training: rows and grids as files, and again when it is resumed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oft.training.log import training_log


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
