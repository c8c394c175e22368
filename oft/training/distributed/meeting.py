"""How the processes of a training meet before it, and part after it."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from oft.errors import TrainingError, first_line
from oft.training.distributed.layout import NODE_RANK, NODES, PROCESSES, Layout
from oft.training.distributed.ranks import Ranks
from oft.training.distributed.world import World, forget_launcher

ARRIVAL_SECONDS = 600.0
# A rank that fails closes its connections, and the others see that at once. The limit is for machines that
# vanish; a validation grid of many pictures, drawn by one rank while the others wait, must fit into it.
WAIT = timedelta(days=1)


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
