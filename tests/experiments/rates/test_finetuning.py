"""Short finetunings: repeatable, on a base that comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from experiments.rates.__main__ import main
from experiments.rates.finetuning import Finetuning
from oft.models.base import load_base


@pytest.fixture
def finetuning(base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Finetuning:
    """A small one, of the miniature base."""
    monkeypatch.setattr("experiments.rates.finetuning.NUM_TRAIN_IMAGES", 4)
    monkeypatch.setattr("experiments.rates.finetuning.NUM_HELD_OUT_IMAGES", 4)
    return Finetuning(load_base(base_folder), seed=0)


def test_the_script_prints_a_row_for_each_number_of_blocks(
    finetuning: Finetuning,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    base_folder: Path,
) -> None:
    monkeypatch.setattr("experiments.rates.finetuning.Finetuning", lambda base, seed: finetuning)
    small = ["--num-blocks", "4", "16", "--rates", "4e-3", "1e-3", "2e-3", "--max-train-steps", "1"]
    main(["--base", str(base_folder), *small])
    printed = capsys.readouterr().out
    assert printed.count("1.0e-03: ") == 4
    assert [line[:5] for line in printed.splitlines()[-2:]] == ["| 4 |", "| 16 "]


def test_a_training_learns_alike_each_time_and_leaves_the_base(finetuning: Finetuning) -> None:
    weights = {name: value.clone() for name, value in finetuning.base.unet.state_dict().items()}
    untrained = finetuning.held_out_loss()
    losses = [finetuning.train(4, "block_size", 2e-3, max_train_steps=8) for _ in range(2)]
    assert losses[0] == losses[1] < untrained
    after = finetuning.base.unet.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], value) for name, value in weights.items())
    assert finetuning.held_out_loss() == untrained


def test_the_first_step_moves_predictions_alike_if_parameters_are_scaled(finetuning: Finetuning) -> None:
    plain, scaled = (
        [finetuning.first_step(num_blocks, scale) for num_blocks in (1, 16)]
        for scale in ("none", "block_size")
    )
    assert plain[0] > 8 * plain[1]
    assert max(scaled) < 2 * min(scaled)
