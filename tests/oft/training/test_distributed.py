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
from oft.training.distributed import (
    NODE_RANK,
    NODES,
    PROCESSES,
    RENDEZVOUS,
    Layout,
    LostRank,
    World,
    micro_batches,
    read_layout,
    read_world,
)
from oft.training.distributed.meeting import _own_gpu
from tests.conftest import SIZE_PX
from tests.oft.training import rank_jobs
from tests.oft.training.processes import run_ranks


def read(environment: dict[str, str], num_gpus: int = 0) -> Layout:
    return read_layout(environment, lambda: num_gpus)


def test_the_environment_says_how_many_processes_there_are() -> None:
    assert read({"PATH": "/bin"}) == Layout() and Layout().num_ranks == 1
    assert read({PROCESSES: "3"}) == Layout(3)
    assert read({PROCESSES: "auto"}, 4) == read({PROCESSES: "gpus"}, 4) == Layout(4)
    assert read({PROCESSES: "auto"}) == Layout(1)
    several = {PROCESSES: "2", NODES: "3", NODE_RANK: "1", RENDEZVOUS: "10.0.0.1:29400"}
    assert read(several) == Layout(2, 3, 1, ("10.0.0.1", 29400))
    assert read(several).num_ranks == 6 and [read(several).rank_of(place) for place in (0, 1)] == [2, 3]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({PROCESSES: "0"}, rf"{PROCESSES} must be a whole number of 1 or more.*auto.*got '0'"),
        ({PROCESSES: "two"}, rf"{PROCESSES} must be a whole number.*'two'"),
        ({NODES: "-1"}, rf"{NODES} must be a whole number of 1 or more, got '-1'"),
        ({NODE_RANK: "1"}, rf"{NODE_RANK} must be set beside {NODES} alone"),
        ({NODES: "2"}, rf"{NODES} is 2: each machine needs {NODE_RANK} .0 to 1. and .*set here: neither"),
        ({NODES: "2", NODE_RANK: "0"}, rf"set here: {NODE_RANK}$"),
        ({NODES: "2", NODE_RANK: "2", RENDEZVOUS: "h:1"}, rf"{NODE_RANK} .2. must be below {NODES} .2."),
        ({NODES: "2", NODE_RANK: "0", RENDEZVOUS: "host"}, rf"{RENDEZVOUS} must be host:port.*got 'host'"),
        ({NODES: "2", NODE_RANK: "0", RENDEZVOUS: ":70000"}, rf"{RENDEZVOUS} must be host:port"),
    ],
)
def test_an_environment_that_breaks_a_rule_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read(environment)


TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "10.0.0.1",
    "MASTER_PORT": "29500",
}
SRUN = {
    "SLURM_JOB_ID": "70012",
    "SLURM_STEP_ID": "3",
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
}


def test_a_process_knows_the_world_that_others_started_it_in() -> None:
    assert read_world(TORCHRUN) == World(3, 4, 1, 2, ("10.0.0.1", 29500))
    assert read_world(SRUN) == World(3, 4, 1, 2, ("gpu07", 15015))
    assert read_world(SRUN | {"MASTER_ADDR": "head", "MASTER_PORT": "1"}) == World(3, 4, 1, 2, ("head", 1))
    for nodes, first in {"a,b": "a", "n[3,5-6]-ib,b": "n3-ib", "rack2-n1": "rack2-n1"}.items():
        world = read_world(SRUN | {"SLURM_STEP_NODELIST": nodes})
        assert world is not None and world.master[0] == first
    srun_of_machines = SRUN | {NODES: "4", NODE_RANK: "3", RENDEZVOUS: "h:1"}
    in_a_batch_script = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"}
    for alone in ({}, {"WORLD_SIZE": "1", "RANK": "0"}, srun_of_machines, in_a_batch_script):
        assert read_world(alone) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"LOCAL_RANK": "", "MASTER_PORT": ""}, r"one of 4 and LOCAL_RANK, MASTER_PORT must be set too"),
        ({"RANK": "4"}, r"RANK \(4\) must be below WORLD_SIZE \(4\)"),
        ({"WORLD_SIZE": "four"}, "WORLD_SIZE must be a whole number of 1 or more, got 'four'"),
        ({PROCESSES: "auto"}, rf"{PROCESSES} must not be set: .* one of 4"),
        ({"ACCELERATE_USE_FSDP": "true"}, "ACCELERATE_USE_FSDP is set: .* does not shard the model"),
    ],
)
def test_a_world_that_breaks_a_rule_is_refused(changed: dict[str, str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read_world(TORCHRUN | changed)


def test_a_process_takes_the_gpu_of_its_place_or_the_only_one_it_is_shown() -> None:
    assert [_own_gpu(place, 2) for place in range(2)] == [0, 1]
    assert [_own_gpu(place, 1) for place in range(2)] == [0, 0]
    with pytest.raises(TrainingError, match="process 2 of this machine has no GPU of its own: 2 are visible"):
        _own_gpu(2, 2)


def test_a_batch_is_cut_into_equal_parts_no_larger_than_those_of_one_process() -> None:
    for batch_size, steps, ranks in [(8, 1, 4), (8, 4, 2), (8, 2, 4), (12, 4, 6), (6, 3, 1)]:
        parts = micro_batches(batch_size, steps, ranks)
        samples, remainder = divmod(batch_size, ranks * parts)
        assert remainder == 0 and samples <= batch_size // steps
    assert micro_batches(8, 4, 2) == 2 and micro_batches(8, 2, 4) == 1


@pytest.mark.parametrize(("batch_size", "steps", "ranks", "near"), [(12, 1, 5, "4, 6"), (4, 2, 3, "1, 2, 4")])
def test_ranks_that_do_not_divide_a_batch_are_refused_with_numbers_that_do(
    batch_size: int, steps: int, ranks: int, near: str
) -> None:
    with pytest.raises(TrainingError, match=rf"{ranks} processes .* batch_size .{batch_size}. .*: .*{near}"):
        micro_batches(batch_size, steps, ranks)


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
