"""Processes that others have started know who they are, or are refused in words."""

from __future__ import annotations

import pytest

from oft.errors import TrainingError
from oft.training.distributed import NODE_RANK, NODES, PROCESSES, RENDEZVOUS, World, read_world

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
    assert read_world(SRUN) == World(3, 4, 1, 2, ("gpu07", 24737))
    assert read_world(SRUN | {"MASTER_ADDR": "head", "MASTER_PORT": "1"}) == World(3, 4, 1, 2, ("head", 1))
    for nodes, first in {"a,b": "a", "n[3,5-6]-ib,b": "n3-ib", "rack2-n1": "rack2-n1"}.items():
        world = read_world(SRUN | {"SLURM_STEP_NODELIST": nodes})
        assert world is not None and world.master[0] == first
    srun_of_machines = SRUN | {NODES: "4", NODE_RANK: "3", RENDEZVOUS: "h:1"}
    in_a_batch_script = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"}
    srun_of_one = SRUN | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0", "MASTER_ADDR": "h"}
    launched_alone = {"WORLD_SIZE": "1", "RANK": "0", "PMI_SIZE": "1"}
    for alone in ({}, launched_alone, srun_of_machines, srun_of_one, in_a_batch_script):
        assert read_world(alone) is None


@pytest.mark.parametrize(
    "step", [{"SLURM_JOB_ID": "12+1"}, {"SLURM_STEP_ID": "batch"}, {"SLURM_JOB_ID": "9" * 5000}]
)
def test_every_task_of_a_step_finds_the_same_port_whatever_the_step_is_called(step: dict[str, str]) -> None:
    worlds = [read_world(SRUN | step | {"SLURM_PROCID": rank}) for rank in "0123"]
    ports = {world.master[1] for world in worlds if world}
    assert len(ports) == 1 and ports < set(range(15_000, 25_000))


def test_nodes_of_slurm_may_have_unlike_numbers_of_tasks() -> None:
    told = SRUN | {"SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "2", "SLURM_STEP_TASKS_PER_NODE": "1,2"}
    world = read_world(told)
    assert world is not None and world[:4] == (2, 3, 1, 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"LOCAL_RANK": "", "MASTER_PORT": ""}, r"one of 4 and LOCAL_RANK, MASTER_PORT must be set too"),
        ({"RANK": "4"}, r"RANK \(4\) must be below WORLD_SIZE \(4\)"),
        ({"WORLD_SIZE": "four"}, "WORLD_SIZE must be a whole number from 1 to 65535, got 'four'"),
        ({"WORLD_SIZE": "9" * 5000}, "WORLD_SIZE must be a whole number from 1 to 65535"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT must be a whole number from 1 to 65535, got '70000'"),
        ({"MASTER_PORT": "0"}, "MASTER_PORT must be a whole number from 1 to 65535, got '0'"),
        ({"WORLD_SIZE": "1", "RANK": "1"}, r"RANK \(1\) must be below WORLD_SIZE \(1\)"),
        ({"LOCAL_WORLD_SIZE": "two"}, "LOCAL_WORLD_SIZE must be a whole number from 1 to 65535, got 'two'"),
        ({"LOCAL_WORLD_SIZE": "1"}, r"LOCAL_RANK \(1\) must be below .* \(LOCAL_WORLD_SIZE: 1\)"),
        ({"LOCAL_WORLD_SIZE": "5"}, r"LOCAL_WORLD_SIZE: 5\), and that at most WORLD_SIZE \(4\)"),
        ({"WORLD_SIZE": ""}, "RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT must not be set without WORLD_SIZE"),
        ({"WORLD_SIZE": "1", "RANK": "0", "PMI_SIZE": "4"}, "PMI_SIZE must not be set without WORLD_SIZE"),
        *(
            ({"ACCELERATE_USE_FSDP": value}, "ACCELERATE_USE_FSDP is set")
            for value in ("1", "yes", "ON", "t")
        ),
        ({PROCESSES: "auto"}, rf"{PROCESSES} must not be set: .* one of 4"),
        ({"ACCELERATE_USE_FSDP": "true"}, "ACCELERATE_USE_FSDP is set: .* does not shard the model"),
    ],
)
def test_a_world_that_breaks_a_rule_is_refused(changed: dict[str, str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read_world(TORCHRUN | changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"SLURM_STEP_NUM_TASKS": "two"}, "^SLURM_STEP_NUM_TASKS must be a whole number .*, got 'two'"),
        ({"SLURM_STEP_NUM_TASKS": ""}, "^SLURM_STEP_NUM_TASKS must be a whole number .*, got ''"),
        ({"SLURM_PROCID": "-1"}, "^SLURM_PROCID must be a whole number from 0 to 65535, got '-1'"),
        ({"SLURM_LOCALID": ""}, "one of 4 and SLURM_LOCALID must be set too"),
        ({"SLURM_STEP_NODELIST": ""}, "one of 4 and MASTER_ADDR must be set too"),
    ],
)
def test_a_fault_of_slurms_variables_is_blamed_on_them(changed: dict[str, str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read_world(SRUN | changed)


@pytest.mark.parametrize("size", ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"])
def test_one_of_several_processes_of_mpirun_does_not_take_itself_for_the_only_one(size: str) -> None:
    with pytest.raises(TrainingError, match=rf"{size} must not be set without WORLD_SIZE"):
        read_world({size: "2"})
    assert read_world({size: "1"}) is None
