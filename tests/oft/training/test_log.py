"""The log of a training: rows and grids as files, and again when it is resumed."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oft.params import Params
from oft.training.log import GRID_TITLE, GRIDS, mirror, training_log
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


def test_the_repository_is_opened_with_a_site_cache_that_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC's own is everybody's to write to, and DVC unpickles what lies there."""
    from dvclive import live

    opened: list[str | None] = []
    monkeypatch.setattr(live, "get_dvc_repo", lambda: opened.append(os.environ.get("DVC_SITE_CACHE_DIR")))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    with training_log(tmp_path / "log", tmp_path / "scratch"):
        pass
    assert opened == [str(tmp_path / "home" / "oft-dvc")]


def test_a_kill_while_a_grid_is_written_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_half(image: Image.Image, target: Path, **options: object) -> None:
        Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", save_half)
    with pytest.raises(KeyboardInterrupt), training_log(tmp_path / "log", tmp_path / "scratch") as log:
        log.grid(1, grid(1))
    assert list((tmp_path / "scratch").glob("validation-*.png")) == []


class Recorder:
    """A mirror that remembers what it got, as Weights & Biases does: by step, in order."""

    def __init__(self) -> None:
        self.got: list[tuple[int, str]] = []

    def row(self, values: Mapping[str, float]) -> None:
        self.got.append((int(values["step"]), "row"))

    def grid(self, step: int, image: Image.Image) -> None:
        self.got.append((step, f"grid {image.getpixel((0, 0))}"))

    @contextmanager
    def opened(self) -> Iterator[Recorder]:
        yield self


def test_a_grid_is_printed_with_its_step_and_lies_there_while_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with training_log(tmp_path / "log", tmp_path / "scratch", name="canny_coco oft") as log:
        log.grid(275, grid(7))
        (line,) = capsys.readouterr().out.splitlines()
        says, _, path = line.rpartition(" ")
        assert says == "canny_coco oft: validation grid of step 275:"
        assert not Path(path).is_absolute()
        np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(grid(7)))
    assert [path.name for path in (tmp_path / "log" / GRIDS).iterdir()] == ["validation-00000275.png"]


def test_a_mirror_gets_rows_and_grids_in_the_order_of_steps_also_of_a_resumed_training(
    tmp_path: Path,
) -> None:
    def train(recorder: Recorder, steps: int) -> None:
        """Log a row every 2 steps, a grid every 3; the checkpoint is that of step 2, with its row."""
        with training_log(tmp_path / "live", tmp_path / "scratch", recorder.opened()) as log:
            for step in range(1, steps + 1):
                if step % 2 == 0:
                    log.row({"step": step, "loss": 1.0})
                if step % 3 == 0 and (steps < 9 or step > 4):
                    log.grid(step, grid(step))

    train(Recorder(), steps=6)
    resumed = Recorder()
    train(resumed, steps=9)  # from step 4 on: the grid of 3 is not drawn again, that of 6 is
    assert resumed.got == [
        (2, "row"),
        (3, "grid (3, 3, 3)"),
        (4, "row"),
        (6, "row"),
        (6, "grid (6, 6, 6)"),
        (8, "row"),
        (9, "grid (9, 9, 9)"),
    ]


def test_tensorboard_gets_each_row_and_grid_once_also_of_a_resumed_training(
    params: Params, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = params.train.model_copy(update={"log_to": ["tensorboard"], "mixed_precision": "fp32"})
    logs = tmp_path / "logs"
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        accelerator = make_accelerator(settings, logs)
        mirrored = mirror(accelerator, settings, "task oft", logs)
        with training_log(tmp_path / "live", tmp_path / "scratch", mirrored) as log:
            for step in (10, 20):
                log.row({"step": step, "loss": 1 / step})
                log.grid(step, grid(step))
    events = EventAccumulator(str(logs / "task-oft"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [10, 20]
    np.testing.assert_allclose([event.value for event in events.Scalars("loss")], [0.1, 0.05], rtol=1e-6)
    drawn = events.Images(GRID_TITLE)
    assert [event.step for event in drawn] == [10, 20]
    for event in drawn:
        picture = np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))
        np.testing.assert_array_equal(picture, np.asarray(grid(event.step)))
    place = "task oft: curves and grids for TensorBoard: logs/task-oft; see `tensorboard --logdir logs`"
    assert place in capsys.readouterr().out


def test_nothing_is_mirrored_unless_asked_for(params: Params, tmp_path: Path) -> None:
    settings = params.train.model_copy(update={"mixed_precision": "fp32"})
    with mirror(make_accelerator(settings, tmp_path / "logs"), settings, "a", tmp_path / "logs") as mirrored:
        assert mirrored is None
    assert not (tmp_path / "logs").exists()
