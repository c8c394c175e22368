"""How many processes a training has, and where, as the environment asks for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from oft.errors import TrainingError

PROCESSES = "OFT_TRAIN_PROCESSES"
NODES = "OFT_TRAIN_NODES"
NODE_RANK = "OFT_TRAIN_NODE_RANK"
RENDEZVOUS = "OFT_TRAIN_RENDEZVOUS"
MOST = (1 << 16) - 1
"""The last port, and more processes and machines than anybody has."""

_PLACE = re.compile(r"((?:[\w-]{1,63}\.)*[\w-]{1,63}):([0-9]{1,5})", re.ASCII)


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
        per_node = whole_number(PROCESSES, processes, 1, ", or auto for one a GPU")
    nodes = whole_number(NODES, environment.get(NODES, "1"), 1)
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
    node_rank = whole_number(NODE_RANK, environment[NODE_RANK], 0)
    if node_rank >= nodes:
        raise TrainingError(
            f"{NODE_RANK} ({node_rank}) must be below {NODES} ({nodes}); count machines from 0"
        )
    place = _PLACE.fullmatch(environment[RENDEZVOUS])
    if place is None:
        raise TrainingError(
            f"{RENDEZVOUS} must be host:port of machine 0, such as 10.0.0.1:29400, the host a name or an "
            f"IPv4 address (IPv6 is not supported), got {environment[RENDEZVOUS][:80]!r}"
        )
    port = whole_number(f"the port of {RENDEZVOUS}", place[2], 1)
    return Layout(per_node, nodes, node_rank, (place[1], port))


def whole_number(name: str, value: str, least: int, otherwise: str = "") -> int:
    """Return the number that a variable has.

    Args:
        otherwise: what else the variable may be, for the message.

    Raises:
        TrainingError: it is none, below ``least`` or above `MOST`.
    """
    if not re.fullmatch("[0-9]{1,5}", value) or not least <= int(value) <= MOST:
        raise TrainingError(
            f"{name} must be a whole number from {least} to {MOST}{otherwise}, got {value[:80]!r}"
        )
    return int(value)
