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

from oft.training.distributed.batches import micro_batches
from oft.training.distributed.layout import NODE_RANK, NODES, PROCESSES, RENDEZVOUS, Layout, read_layout
from oft.training.distributed.meeting import ARRIVAL_SECONDS, join, join_world, leave
from oft.training.distributed.ranks import ALONE, LostRank, Ranks
from oft.training.distributed.world import LAUNCHER_VARIABLES, World, forget_launcher, read_world

__all__ = [
    "ALONE",
    "ARRIVAL_SECONDS",
    "LAUNCHER_VARIABLES",
    "NODES",
    "NODE_RANK",
    "PROCESSES",
    "RENDEZVOUS",
    "Layout",
    "LostRank",
    "Ranks",
    "World",
    "forget_launcher",
    "join",
    "join_world",
    "leave",
    "micro_batches",
    "read_layout",
    "read_world",
]
