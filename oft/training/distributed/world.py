"""The processes that torchrun, `accelerate launch` or SLURM has started, and which of them this is."""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Mapping, MutableMapping
from typing import NamedTuple

from oft.errors import TrainingError
from oft.training.distributed.layout import NODES, PROCESSES, whole_number

MASTER = ("MASTER_ADDR", "MASTER_PORT")
# What torchrun and MPI tell their processes, and by its prefix what accelerate does. They are taken out of
# the environment: what else reads them, accelerate above all, is to see the one process that each rank is,
# and its settings are those of params.yaml.
MPI_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
LAUNCHER_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", *MASTER, *MPI_SIZES)
ACCELERATE = "ACCELERATE_"
SHARDING = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM")
TRUE = ("y", "yes", "t", "true", "on", "1")  # as accelerate reads them
SLURM_NODES = "SLURM_STEP_NODELIST"
SLURM_PORTS = range(15_000, 25_000)


class _Launcher(NamedTuple):
    """In which variables a launcher tells its processes who they are."""

    size: str
    rank: str
    local_rank: str
    num_here: str


_TORCHRUN = _Launcher("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_SRUN = _Launcher("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE")


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
    sharding = [name for name in SHARDING if environment.get(name, "").lower() in TRUE]
    if sharding:
        raise TrainingError(
            f"{sharding[0]} is set: a training does not shard the model, each process holds all of it (see "
            "docs/distributed.md); choose a configuration of accelerate without"
        )
    launcher = _find_launcher(environment)
    if launcher is None:
        return None
    size = whole_number(launcher.size, environment[launcher.size], 1)
    rank = whole_number(launcher.rank, environment.get(launcher.rank) or "0", 0)
    if rank >= size:
        raise TrainingError(
            f"{launcher.rank} ({rank}) must be below {launcher.size} ({size}); count processes from 0"
        )
    if size == 1:
        return None
    master = _first_node(environment) if launcher is _SRUN else {}
    master |= {name: environment[name] for name in MASTER if environment.get(name)}
    missing = [name for name in (launcher.rank, launcher.local_rank) if not environment.get(name)]
    missing += [name for name in MASTER if not master.get(name)]
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
    # Of SLURM's "2(x3),1" the largest: how many there are on this node it does not say.
    counts = re.sub(r"\(x[0-9]+\)", "", environment.get(launcher.num_here) or str(size)).split(",")
    num_here = max(whole_number(launcher.num_here, count, 1) for count in counts)
    local_rank = whole_number(launcher.local_rank, environment[launcher.local_rank], 0)
    if not local_rank < num_here <= size:
        raise TrainingError(
            f"{launcher.local_rank} ({local_rank}) must be below the number of processes on this machine "
            f"({launcher.num_here}: {num_here}), and that at most {launcher.size} ({size}); set them as "
            "torchrun does"
        )
    port = whole_number("MASTER_PORT", master["MASTER_PORT"], 1)
    return World(rank, size, local_rank, num_here, (master["MASTER_ADDR"], port))


def _find_launcher(environment: Mapping[str, str]) -> _Launcher | None:
    """Return what has started this process as one of several, or of one; None where nothing has.

    Raises:
        TrainingError: it was started as one of several by something that does not say so.
    """
    size = environment.get(_TORCHRUN.size, "")
    if size not in ("", "1"):
        return _TORCHRUN
    if environment.get(NODES):
        return None
    if environment.get(_SRUN.size, "1") != "1":
        return _SRUN
    # Each process would take itself for the only one.
    several = [name for name in MPI_SIZES if environment.get(name, "") not in ("", "1")]
    if not size and _SRUN.size not in environment:
        several += [name for name in (_TORCHRUN.rank, _TORCHRUN.local_rank, *MASTER) if environment.get(name)]
    if several:
        raise TrainingError(
            f"{', '.join(several)} must not be set without {_TORCHRUN.size}, the number of processes; start "
            "them with torchrun, accelerate launch or srun, or set or unset all that these set"
        )
    return _TORCHRUN if size else None


def _first_node(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the first node of a step of SLURM's, which listens, and a port that follows from the step."""
    # The first of "node1,node2", "node[03-05,9]" or "rack[1-2]-gpu".
    first = re.match(r"([^,\[]*)(?:\[(\w+)[^\]]*\])?([^,\[]*)", environment.get(SLURM_NODES, ""))
    # Of a heterogeneous job and a batch script they are no numbers.
    step = "{SLURM_JOB_ID}.{SLURM_STEP_ID}".format_map(defaultdict(str, environment))
    return {
        "MASTER_ADDR": "".join(part or "" for part in first.groups()) if first else "",
        "MASTER_PORT": str(SLURM_PORTS[zlib.crc32(step.encode(errors="surrogateescape")) % len(SLURM_PORTS)]),
    }


def forget_launcher(environment: MutableMapping[str, str]) -> None:
    """Take out of the environment what a launcher of processes has told this one."""
    for name in [name for name in environment if name in LAUNCHER_VARIABLES or name.startswith(ACCELERATE)]:
        del environment[name]
