"""How many processes there are, the environment says; what breaks a rule is refused in words."""

from __future__ import annotations

import pytest

from oft.errors import TrainingError
from oft.training.distributed import NODE_RANK, NODES, PROCESSES, RENDEZVOUS, Layout, read_layout


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
        ({PROCESSES: "0"}, rf"{PROCESSES} must be a whole number from 1 to 65535.*auto.*got '0'"),
        ({PROCESSES: "9" * 5000}, rf"{PROCESSES} must be a whole number .*, got '9{{80}}'"),
        ({NODES: "٢"}, rf"{NODES} must be a whole number .*, got '٢'"),
        ({PROCESSES: "two"}, rf"{PROCESSES} must be a whole number.*'two'"),
        ({NODES: "-1"}, rf"{NODES} must be a whole number from 1 to 65535, got '-1'"),
        ({NODE_RANK: "1"}, rf"{NODE_RANK} must be set beside {NODES} alone"),
        ({NODES: "2"}, rf"{NODES} is 2: each machine needs {NODE_RANK} .0 to 1. and .*set here: neither"),
        ({NODES: "2", NODE_RANK: "0"}, rf"set here: {NODE_RANK}$"),
        ({NODES: "2", NODE_RANK: "2", RENDEZVOUS: "h:1"}, rf"{NODE_RANK} .2. must be below {NODES} .2."),
        ({NODES: "2", NODE_RANK: "0", RENDEZVOUS: "host"}, rf"{RENDEZVOUS} must be host:port.*got 'host'"),
        ({NODES: "2", NODE_RANK: "0", RENDEZVOUS: ":70000"}, rf"{RENDEZVOUS} must be host:port"),
        *(
            ({NODES: "2", NODE_RANK: "0", RENDEZVOUS: place}, rf"{RENDEZVOUS} must be host:port of machine 0")
            for place in ("http://h:80", "me@h:80", "h\n:80", "h:80\n", "[]:80", "h..x:80", f"{'a' * 64}:80")
        ),
        ({NODES: "2", NODE_RANK: "0", RENDEZVOUS: "[::1]:80"}, r"IPv6 is not supported.*got '\[::1\]:80'"),
        ({NODES: "2", NODE_RANK: "0", RENDEZVOUS: "h:70000"}, rf"the port of {RENDEZVOUS} must .* to 65535"),
        ({NODES: "2", NODE_RANK: "0", RENDEZVOUS: "h:0"}, rf"the port of {RENDEZVOUS} must .* from 1 to"),
    ],
)
def test_an_environment_that_breaks_a_rule_is_refused(environment: dict[str, str], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read(environment)
