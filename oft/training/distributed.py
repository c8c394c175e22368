"""One training as several processes (ranks): which they are, and what they tell each other.

The environment alone says how many there are, since hardware must change no result:

- ``OFT_TRAIN_PROCESSES``: on this machine; ``auto`` or ``gpus`` is one for each visible GPU;
- ``OFT_TRAIN_NODES``, ``OFT_TRAIN_NODE_RANK``, ``OFT_TRAIN_RENDEZVOUS=host:port``: how many machines there
  are, which of them this is, counted from 0, and where machine 0 listens.

Or somebody else has started the processes, `torchrun`, `accelerate launch` or SLURM's `srun`, and says so in
the environment: then they join as they are (``read_world``).

The global batch stays what params.yaml says. Each rank computes its share of it and all step by the same
averaged gradient, so that ranks change a result by rounding and no more. What is trained is small: one
all-reduce of its gradients a step does what wrapping the model would, and a rank computes what one process
does.
"""

from __future__ import annotations

import io
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from oft.errors import TrainingError, first_line

if TYPE_CHECKING:
    from torch import nn

PROCESSES = "OFT_TRAIN_PROCESSES"
NODES = "OFT_TRAIN_NODES"
NODE_RANK = "OFT_TRAIN_NODE_RANK"
RENDEZVOUS = "OFT_TRAIN_RENDEZVOUS"

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

ARRIVAL_SECONDS = 600.0
# A rank that fails closes its connections, and the others see that at once. The limit is for machines that
# vanish; a validation grid of many pictures, drawn by one rank while the others wait, must fit into it.
WAIT = timedelta(days=1)


class LostRank(Exception):
    """Another process of the training has ended, so nothing it says will come; the cause is there."""


class Layout(NamedTuple):
    """How many processes a training has, and where.

    Attributes:
        per_node: processes on each machine.
        nodes: machines.
        node_rank: which of them this is, from 0.
        rendezvous: host and port where the first machine listens, of several.
    """

    per_node: int = 1
    nodes: int = 1
    node_rank: int = 0
    rendezvous: tuple[str, int] | None = None

    @property
    def num_ranks(self) -> int:
        """Return the number of all processes."""
        return self.per_node * self.nodes

    def rank_of(self, place: int) -> int:
        """Return the rank of a process of this machine; torchrun numbers machines as they come."""
        return self.node_rank * self.per_node + place


def read_layout(environment: Mapping[str, str], count_gpus: Callable[[], int]) -> Layout:
    """Return what the environment asks for: one process where it says nothing.

    Args:
        count_gpus: asked where it says ``auto``.

    Raises:
        TrainingError: a variable breaks its rule, or one is missing beside the others.
    """
    processes = environment.get(PROCESSES, "1")
    if processes in ("auto", "gpus"):
        per_node = max(1, count_gpus())
    else:
        per_node = _whole_number(PROCESSES, processes, 1, ", or auto for one a GPU")
    nodes = _whole_number(NODES, environment.get(NODES, "1"), 1)
    given = [name for name in (NODE_RANK, RENDEZVOUS) if environment.get(name)]
    if nodes == 1:
        if given:
            raise TrainingError(
                f"{' and '.join(given)} must be set beside {NODES} alone, the number of machines, which is "
                "1 here; set or unset all of them"
            )
        return Layout(per_node)
    if len(given) < 2:
        raise TrainingError(
            f"{NODES} is {nodes}: each machine needs {NODE_RANK} (0 to {nodes - 1}) and {RENDEZVOUS} "
            f"(host:port of machine 0, the same everywhere); set here: {', '.join(given) or 'neither'}"
        )
    node_rank = _whole_number(NODE_RANK, environment[NODE_RANK], 0)
    if node_rank >= nodes:
        raise TrainingError(
            f"{NODE_RANK} ({node_rank}) must be below {NODES} ({nodes}); count machines from 0"
        )
    host, _, port = environment[RENDEZVOUS].rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise TrainingError(
            f"{RENDEZVOUS} must be host:port of machine 0, such as 10.0.0.1:29400, got "
            f"{environment[RENDEZVOUS]!r}"
        )
    return Layout(per_node, nodes, node_rank, (host.strip("[]"), int(port)))


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
    size = _whole_number("WORLD_SIZE", told["WORLD_SIZE"], 1)
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
    rank, local_rank = (_whole_number(name, told[name], 0) for name in ("RANK", "LOCAL_RANK"))
    if rank >= size:
        raise TrainingError(f"RANK ({rank}) must be below WORLD_SIZE ({size}); count processes from 0")
    num_here = _whole_number("LOCAL_WORLD_SIZE", told["LOCAL_WORLD_SIZE"] or str(size), 1)
    port = _whole_number("MASTER_PORT", told["MASTER_PORT"], 1)
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


def _whole_number(name: str, value: str, least: int, otherwise: str = "") -> int:
    if not value.isdecimal() or int(value) < least:
        raise TrainingError(f"{name} must be a whole number of {least} or more{otherwise}, got {value!r}")
    return int(value)


def micro_batches(batch_size: int, gradient_accumulation_steps: int, num_ranks: int) -> int:
    """Return how many micro-batches each rank computes of a batch, none larger than those of one process.

    Raises:
        TrainingError: the ranks' shares would not be equal.
    """

    def parts(ranks: int) -> int:
        return gradient_accumulation_steps // math.gcd(gradient_accumulation_steps, ranks)

    def fits(ranks: int) -> bool:
        return batch_size % (ranks * parts(ranks)) == 0

    if not fits(num_ranks):
        fitting = sorted(filter(fits, range(1, batch_size + 1)), key=lambda ranks: abs(ranks - num_ranks))
        raise TrainingError(
            f"{num_ranks} processes ({PROCESSES} times {NODES}) must divide batch_size ({batch_size}) "
            f"evenly, with gradient_accumulation_steps ({gradient_accumulation_steps}); "
            f"numbers near it that do: {', '.join(map(str, sorted(fitting[:3])))}"
        )
    return parts(num_ranks)


@dataclass(frozen=True)
class Ranks:
    """The processes of a training and which of them this is; one that is alone tells nobody anything.

    Every rank must call the same methods in the same order; where another has ended they raise ``LostRank``.

    Attributes:
        rank: of this process, from 0.
        num: of all processes.
        num_here: of those on this machine.
    """

    rank: int = 0
    num: int = 1
    num_here: int = 1

    @property
    def first(self) -> bool:
        """Return whether this is the rank that writes."""
        return self.rank == 0

    @property
    def mine(self) -> slice:
        """Return which places of a whole batch this rank has (see ``BatchOrder``)."""
        return slice(self.rank, None, self.num)

    def gather(self, values: Sequence[int]) -> list[int]:
        """Return a number for each place of the whole batch, of which each rank gives those of its own."""
        if self.num == 1:
            return list(values)
        import torch
        from torch import distributed

        own = torch.tensor(values, dtype=torch.int64)
        parts = [torch.empty_like(own) for _ in range(self.num)]
        with _contact():
            distributed.all_gather(parts, own)
        gathered: list[int] = torch.stack(parts, dim=1).flatten().tolist()
        return gathered

    def sum(self, value: float) -> float:
        """Return the sum of all ranks' values, in double precision."""
        if self.num == 1:
            return value
        import torch
        from torch import distributed

        total = torch.tensor([value], dtype=torch.float64)
        with _contact():
            distributed.all_reduce(total)
        return float(total)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the mean of all ranks' gradients in place of each rank's own."""
        if self.num == 1:
            return
        import torch
        from torch import distributed

        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        together = torch.cat([gradient.flatten() for gradient in gradients])
        with _contact():
            distributed.all_reduce(together)
        means = (together / self.num).split([gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def from_first(self, value: Any) -> Any:
        """Return the first rank's value: tensors (in the processor's memory), numbers, text, collections."""
        if self.num == 1:
            return value
        import torch
        from torch import distributed

        written = io.BytesIO()
        torch.save(value if self.first else None, written)
        # Not broadcast_object_list, which would unpickle whatever comes.
        content = torch.frombuffer(bytearray(written.getvalue()), dtype=torch.uint8)
        num_bytes = torch.tensor([len(content)])
        with _contact():
            distributed.broadcast(num_bytes, src=0)
            if not self.first:
                content = torch.empty(int(num_bytes), dtype=torch.uint8)
            distributed.broadcast(content, src=0)
        return torch.load(io.BytesIO(content.numpy().tobytes()), map_location="cpu", weights_only=True)

    def refuse_unequal(self, key: str) -> None:
        """Refuse ranks that would train something else than the first.

        Args:
            key: hexadecimal, a hash of settings, inputs and code.

        Raises:
            TrainingError: on all ranks, with the machines whose key differs.
        """
        keys = self.gather([int(key[:15], 16)])
        odd = sorted({rank // self.num_here for rank, other in enumerate(keys) if other != keys[0]})
        if odd == [0]:
            raise TrainingError(
                "settings, inputs or code changed while the processes began; run the stage again"
            )
        if odd:
            raise TrainingError(
                f"machine {', '.join(map(str, odd))} has other settings, inputs or code than machine 0; "
                "check the same revision out everywhere and run `dvc pull` for the inputs of the stage"
            )


ALONE = Ranks()


@contextmanager
def _contact() -> Iterator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as fault:
        raise LostRank(
            "the training ended because another of its processes did, which says why where it ran "
            f"(here: {first_line(fault)})"
        ) from fault


def join(layout: Layout, meeting_place: Path) -> Ranks:
    """Meet the other processes of the training that torchrun started this one for.

    Args:
        layout: what was asked for; what is found must be that.
        meeting_place: a file for the processes of one machine; those of several meet where the layout says.

    Raises:
        TrainingError: there are more processes, or fewer, or two of the same rank.
    """
    local_rank, found = int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])
    forget_launcher(os.environ)
    if found != layout.num_ranks:
        raise TrainingError(
            f"{layout.num_ranks} processes were asked for here ({layout.per_node} on each of {layout.nodes} "
            f"machines) and {found} came; set {PROCESSES} and {NODES} to the same values on all machines"
        )
    from torch._C._distributed_c10d import FileStore, Store, TCPStore

    if layout.rendezvous is None:
        meeting: Store = FileStore(str(meeting_place), layout.num_ranks)
    else:
        meeting = TCPStore(*layout.rendezvous, is_master=False)
    return _begin(meeting, Ranks(layout.rank_of(local_rank), layout.num_ranks, layout.per_node), local_rank)


def join_world(world: World) -> Ranks:
    """Meet the other processes that somebody else has started, where they said.

    Raises:
        TrainingError: they do not all come, or their environments do not agree.
    """
    from torch.distributed.rendezvous import rendezvous

    host, port = world.master
    if world.num_here == world.size and host in ("localhost", "127.0.0.1"):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the host's own name may lead nowhere
    os.environ |= {"MASTER_ADDR": host, "MASTER_PORT": str(port)}
    try:
        # Under torchrun the store is there already, which this knows by the two variables.
        arrival = timedelta(seconds=ARRIVAL_SECONDS)
        store, *_ = next(rendezvous("env://", world.rank, world.size, timeout=arrival))
    except (RuntimeError, OSError) as fault:
        raise TrainingError(
            f"process {world.rank} of {world.size} cannot reach the first at {host}:{port}, which "
            f"MASTER_ADDR and MASTER_PORT name ({first_line(fault)}); give an address and a free port of its "
            "machine"
        ) from fault
    forget_launcher(os.environ)
    return _begin(store, Ranks(world.rank, world.size, world.num_here), world.local_rank)


def _begin(meeting: Any, ranks: Ranks, local_rank: int) -> Ranks:
    """Return ``ranks`` once all of them are there and can tell each other things."""
    import torch
    from torch import distributed
    from torch._C._distributed_c10d import PrefixStore

    store = PrefixStore("oft", meeting)
    _meet(store, ranks)
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(_own_gpu(local_rank, torch.cuda.device_count()))
    backend = "cpu:gloo,cuda:nccl" if has_gpu else "gloo"
    distributed.init_process_group(backend, store=store, rank=ranks.rank, world_size=ranks.num, timeout=WAIT)
    counted = ranks.sum(1)
    if counted != ranks.num:
        raise TrainingError(f"{ranks.num} processes were asked for, and {counted:.0f} answer")
    if ranks.sum(has_gpu) not in (0, ranks.num):
        raise TrainingError(
            "all processes must have a GPU, or none; hide those there are: CUDA_VISIBLE_DEVICES="
        )
    return ranks


def _own_gpu(local_rank: int, num_visible: int) -> int:
    """Return which of the visible GPUs a process takes; SLURM may show each task its own alone.

    Raises:
        TrainingError: there are fewer than processes.
    """
    if local_rank >= num_visible > 1:
        raise TrainingError(
            f"process {local_rank} of this machine has no GPU of its own: {num_visible} are visible; start "
            "no more processes than there are GPUs"
        )
    return local_rank if num_visible > 1 else 0


def _meet(store: Any, ranks: Ranks) -> None:
    """Return once all ranks are there, each once: what counts on others must not begin to wait for nobody."""
    store.add(f"rank {ranks.rank}", 1)
    store.add("arrived", 1)
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while (arrived := store.add("arrived", 0)) < ranks.num:
        if time.monotonic() > deadline:
            raise TrainingError(
                f"{arrived} of {ranks.num} processes came within {ARRIVAL_SECONDS / 60:.0f} minutes; see "
                "what the others say, and start all of them again"
            )
        time.sleep(0.05)
    counts = {rank: store.add(f"rank {rank}", 0) for rank in range(ranks.num)}
    if any(count != 1 for count in counts.values()):
        twice = sorted({rank // ranks.num_here for rank, count in counts.items() if count > 1})
        raise TrainingError(
            f"{NODE_RANK} (or RANK) must be another number on each machine (process), and machine "
            f"{', '.join(map(str, twice))} came twice"
        )


def leave() -> None:
    """Wait until every rank has done its part, and part; nothing where this process is alone."""
    from torch import distributed

    if distributed.is_initialized():
        Ranks(distributed.get_rank(), distributed.get_world_size()).sum(1)
        distributed.destroy_process_group()
