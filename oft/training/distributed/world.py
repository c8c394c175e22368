"""The processes that torchrun, `accelerate launch` or SLURM has started, and which of them this is."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import NamedTuple

from oft.errors import TrainingError
from oft.training.distributed.layout import NODES, PROCESSES, whole_number

# What torchrun and MPI tell their processes, and by its prefix what accelerate does. They are taken out of
# the environment: what else reads them, accelerate above all, is to see the one process that each rank is,
# and its settings are those of params.yaml.
LAUNCHER_VARIABLES = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"),
)
ACCELERATE = "ACCELERATE_"
SHARDING = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM")
# What SLURM tells each task of a step that srun started.
SLURM_TASKS = "SLURM_STEP_NUM_TASKS"
SLURM_NODES = "SLURM_STEP_NODELIST"
SLURM_PORTS = range(15_000, 25_000)


class World(NamedTuple):
    """The processes that somebody else has started, and which of them this is.

    Attributes:
        rank: of this process, from 0.
        size: of all.
        local_rank: of this process among those of its machine.
        num_here: of those on this machine.
        master: host and port at which the first process listens.
    """

    rank: int
    size: int
    local_rank: int
    num_here: int
    master: tuple[str, int]


def read_world(environment: Mapping[str, str]) -> World | None:
    """Return the processes that this one was started with; None where it was started alone.

    torchrun and `accelerate launch` tell it by RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT,
    srun by SLURM's variables, to which MASTER_ADDR and MASTER_PORT may be added. A SLURM task that
    OFT_TRAIN_NODES makes one machine of a training starts its processes itself.

    Raises:
        TrainingError: a variable is missing or breaks its rule, or sharding is asked for.
    """
    sharding = [name for name in SHARDING if environment.get(name, "").lower() == "true"]
    if sharding:
        raise TrainingError(
            f"{sharding[0]} is set: a training does not shard the model, each process holds all of it (see "
            "docs/distributed.md); choose a configuration of accelerate without"
        )
    told = {name: environment.get(name, "") for name in LAUNCHER_VARIABLES}
    if told["WORLD_SIZE"] in ("", "1"):
        if environment.get(SLURM_TASKS, "1") == "1" or environment.get(NODES):
            return None
        told |= _slurm_world(environment) | {
            name: told[name] for name in ("MASTER_ADDR", "MASTER_PORT") if told[name]
        }
    size = whole_number("WORLD_SIZE", told["WORLD_SIZE"], 1)
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if not told[name]]
    if missing:
        raise TrainingError(
            f"this process was started as one of {size} and {', '.join(missing)} must be set too; start them "
            "with torchrun, accelerate launch or srun, or set them as these do"
        )
    both = [name for name in (PROCESSES, NODES) if environment.get(name)]
    if both:
        raise TrainingError(
            f"{' and '.join(both)} must not be set: this process was started as one of {size}, and starts no "
            f"others; unset it, or start the stage once on each machine"
        )
    rank, local_rank = (whole_number(name, told[name], 0) for name in ("RANK", "LOCAL_RANK"))
    if rank >= size:
        raise TrainingError(f"RANK ({rank}) must be below WORLD_SIZE ({size}); count processes from 0")
    num_here = whole_number("LOCAL_WORLD_SIZE", told["LOCAL_WORLD_SIZE"] or str(size), 1)
    port = whole_number("MASTER_PORT", told["MASTER_PORT"], 1)
    return World(rank, size, local_rank, num_here, (told["MASTER_ADDR"], port))


def _slurm_world(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what torchrun would tell a task of SLURM's; the first node listens, at a port of the step's."""
    tasks_per_node = re.match(r"\d+", environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    # The first of "node1,node2", "node[03-05,9]" or "rack[1-2]-gpu".
    first = re.match(r"([^,\[]*)(?:\[(\w+)[^\]]*\])?([^,\[]*)", environment.get(SLURM_NODES, ""))
    step = sum(int(environment.get(name) or 0) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    return {
        "RANK": environment.get("SLURM_PROCID", ""),
        "WORLD_SIZE": environment[SLURM_TASKS],
        "LOCAL_RANK": environment.get("SLURM_LOCALID", ""),
        "LOCAL_WORLD_SIZE": tasks_per_node[0] if tasks_per_node else "",
        "MASTER_ADDR": "".join(part or "" for part in first.groups()) if first else "",
        "MASTER_PORT": str(SLURM_PORTS[step % len(SLURM_PORTS)]),
    }


def forget_launcher(environment: MutableMapping[str, str]) -> None:
    """Take out of the environment what a launcher of processes has told this one."""
    for name in [name for name in environment if name in LAUNCHER_VARIABLES or name.startswith(ACCELERATE)]:
        del environment[name]
