"""Several processes train what one does, to rounding; what would not be the same training is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from oft.errors import TrainingError
from oft.params import Params
from oft.settings.training import Training
from oft.shards.shards import pack_sample, write_shards
from oft.training.distributed import LostRank
from oft.training.distributed.meeting import _own_gpu
from tests.conftest import SIZE_PX
from tests.oft.training import rank_jobs
from tests.oft.training.processes import run_ranks


def test_a_process_takes_the_gpu_of_its_place_or_the_only_one_it_is_shown() -> None:
    assert [_own_gpu(place, 2) for place in range(2)] == [0, 1]
    assert [_own_gpu(place, 1) for place in range(2)] == [0, 0]
    with pytest.raises(TrainingError, match="process 2 of this machine has no GPU of its own: 2 are visible"):
        _own_gpu(2, 2)


def test_ranks_tell_each_other_what_they_mean_to(tmp_path: Path) -> None:
    (alone,) = run_ranks(tmp_path, 1, rank_jobs.talk)
    told = run_ranks(tmp_path, 3, rank_jobs.talk)
    for answers in told:
        assert answers["gathered"] == alone["gathered"] == [0, 10, 20, 30, 40, 50]
        assert answers["sum"] == pytest.approx(0.3, abs=1e-15)
        assert answers["gradients"] == [[1.0], [1.0], None]
        assert torch.equal(answers["state"]["values"]["a"], torch.arange(3.0))
        assert {**answers["state"], "values": 0} == {**alone["state"], "values": 0}
        assert answers["nothing"] is None


@pytest.fixture(scope="session")
def shards_of_two_sizes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six square samples and six that are higher, with one to three captions each."""
    folder = tmp_path_factory.mktemp("sizes")
    rng = np.random.default_rng(1)
    samples = [
        pack_sample(
            f"{name}{number}",
            rng.integers(0, 256, (height, SIZE_PX, 3), dtype=np.uint8),
            meta={"captions": ["a red house", "a house", "a barn"][: 1 + number % 3]},
        )
        for name, height in (("square", SIZE_PX), ("high", SIZE_PX + 32))
        for number in range(6)
    ]
    write_shards(samples, folder, "train", 4)
    return folder


@pytest.fixture
def settings(params: Params) -> Training:
    """Everything that is random, or that makes parts of a batch unlike, at once."""
    changes: dict[str, Any] = {
        "max_train_steps": 4,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "warmup_steps": 1,
        "gradient_accumulation_steps": 2,
        "mixed_precision": "fp32",
        "prompt_dropout": 0.3,
        "offset_noise": 0.1,
        "snr_gamma": 5.0,
        "ema_decay": 0.5,
        "checkpoint_every_steps": 1,
        "validate_every_steps": 1,
        "log_to": [],
    }
    return params.train.model_copy(update=changes)


def test_loss_and_gradients_are_those_of_one_process(
    base_folder: Path, shards_of_two_sizes: Path, params: Params, settings: Training, tmp_path: Path
) -> None:
    given = (base_folder, shards_of_two_sizes, params.adapters["oft"], settings)
    ((loss, gradients, held_out),) = run_ranks(tmp_path, 1, rank_jobs.measure, *given)
    for loss_of_ranks, gradients_of_ranks, held_out_of_ranks in run_ranks(
        tmp_path, 4, rank_jobs.measure, *given
    ):
        assert loss_of_ranks == pytest.approx(loss, rel=1e-5)
        assert held_out_of_ranks == pytest.approx(held_out, rel=1e-5)
        assert gradients_of_ranks.keys() == gradients.keys()
        for name, gradient in gradients.items():
            limit = 3e-5 * float(gradient.abs().max())
            torch.testing.assert_close(gradients_of_ranks[name], gradient, rtol=0, atol=limit)


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """How far apart two trainings have ended, as a share of how far the first has come."""
    whole, apart = (
        torch.cat([value.flatten() for value in values])
        for values in (one.values(), [one[name] - other[name] for name in one])
    )
    return float(apart.norm() / whole.norm())


def test_two_processes_end_where_one_does(
    base_folder: Path, shards_of_two_sizes: Path, params: Params, settings: Training, tmp_path: Path
) -> None:
    """A subject in buckets, with prior preservation and dropped blocks."""
    rotation = params.adapters["oft"].model_copy(update={"dropout": 0.3})

    def train(num_ranks: int) -> list[Any]:
        scratch = tmp_path / str(num_ranks)
        given = (base_folder, shards_of_two_sizes, rotation, settings, scratch, False)
        return run_ranks(tmp_path, num_ranks, rank_jobs.train, *given)

    ((alone, log),) = train(1)
    (first, log_of_two), (second, _) = train(2)
    assert all(torch.equal(first[name], second[name]) for name in first)  # ranks do not drift apart
    assert distance(alone, first) < 1e-4
    for row, same in zip(log, log_of_two, strict=True):
        assert row == pytest.approx(same, abs=2e-6)
    assert not (tmp_path / "2" / "logs").exists()


def test_a_training_goes_on_with_another_number_of_processes(
    base_folder: Path, shards_folder: Path, params: Params, settings: Training, tmp_path: Path
) -> None:
    def train(num_ranks: int, scratch: str, stop_at: int | None = None) -> list[Any]:
        given = (
            base_folder,
            shards_folder,
            params.adapters["oft"],
            settings,
            tmp_path / scratch,
            True,
            stop_at,
        )
        return run_ranks(tmp_path, num_ranks, rank_jobs.train, *given)

    ((alone, log),) = train(1, "whole")
    (stopped,) = train(1, "broken", stop_at=2)
    assert isinstance(stopped, KeyboardInterrupt)
    # Validation comes before the checkpoint of a step, so each goes on after the step before.
    stopped, lost = train(2, "broken", stop_at=2)
    assert isinstance(stopped, KeyboardInterrupt)
    assert isinstance(lost, LostRank) and "another of its processes" in str(lost)
    ((resumed, log_of_all),) = train(1, "broken")
    assert distance(alone, resumed) < 1e-4
    for row, same in zip(log, log_of_all, strict=True):
        assert row == pytest.approx(same, abs=2e-6)


def test_a_loss_that_is_no_number_on_one_rank_ends_all_alike(settings: Training, tmp_path: Path) -> None:
    faults = run_ranks(tmp_path, 2, rank_jobs.lose_a_number, settings, tmp_path)
    assert all(isinstance(fault, TrainingError) for fault in faults)
    assert {str(fault) for fault in faults} == {
        "line: the loss is nan at step 0; lower learning_rate (0.001) in params.yaml"
    }


@pytest.mark.parametrize(
    ("num_here", "message"),
    [
        (1, "machine 1 has other settings, inputs or code than machine 0"),
        (2, "changed while the processes began"),
    ],
)
def test_ranks_with_other_inputs_are_refused(tmp_path: Path, num_here: int, message: str) -> None:
    keys = ["a1" * 10, "a1" * 10], ["a1" * 10, "b2" * 10]
    assert run_ranks(tmp_path, 2, rank_jobs.compare, keys[0], num_here) == [None, None]
    for fault in run_ranks(tmp_path, 2, rank_jobs.compare, keys[1], num_here):
        assert isinstance(fault, TrainingError) and message in str(fault)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ([{"WORLD_SIZE": "3"}] * 2, "2 processes were asked for here (2 on each of 1 machines) and 3 came"),
        (
            [{"LOCAL_RANK": "0"}] * 2,
            "must be another number on each machine (process), and machine 0 came twice",
        ),
    ],
    ids=["another world", "one rank twice"],
)
def test_what_was_not_asked_for_is_refused(tmp_path: Path, told: list[dict[str, str]], message: str) -> None:
    for fault in run_ranks(tmp_path, 2, rank_jobs.talk, told=told):
        assert isinstance(fault, TrainingError) and message in str(fault)
