from __future__ import annotations

from pathlib import Path

import pytest

from flows.executors import open_executor
from flows.executors.cluster import Capacity, cluster_pool, connect, ray_options, read_capacities
from flows.resources import ResourceRequest
from oft.errors import UserError
from tests.flows.executors.clones import make_clone
from tests.flows.executors.conftest import free_port

SMALL, LARGE, GPU = Capacity(2, 0, 8.0), Capacity(16, 0, 64.0), Capacity(8, 2, 32.0)


def test_capacities_are_those_of_living_nodes() -> None:
    nodes = [
        {"Alive": True, "Resources": {"CPU": 2.0, "memory": 8e9, "node:10.0.0.1": 1.0}},
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0, "memory": 32e9}},
        {"Alive": True, "Resources": {"memory": 1e9}},
        {"Alive": False, "Resources": {"CPU": 64.0}},
    ]
    found = read_capacities(nodes)
    assert found == [SMALL, GPU, Capacity(0, 0, 1.0)]
    pool = cluster_pool(found)
    assert (pool.cpus, pool.gpus) == (10, ("0", "1"))


def test_a_cluster_without_a_core_is_refused() -> None:
    with pytest.raises(UserError, match="no node with a core"):
        cluster_pool([Capacity(0, 0, 1.0)])


def test_ray_options_fit_some_node() -> None:
    assert ray_options("s", ResourceRequest(4, 1, 16.0), [SMALL, GPU]) == {
        "num_cpus": 4,
        "num_gpus": 1,
        "memory": 16e9,
    }
    assert ray_options("s", ResourceRequest(32, 0), [SMALL, LARGE])["num_cpus"] == LARGE.cpus
    assert ray_options("s", ResourceRequest(32, 1), [LARGE, GPU])["num_cpus"] == GPU.cpus
    assert ray_options("s", ResourceRequest(1, 1), [SMALL, LARGE])["num_gpus"] == 0


@pytest.mark.parametrize(
    "request_", [ResourceRequest(memory_gb=128.0), ResourceRequest(gpus=1, memory_gb=48.0)]
)
def test_a_memory_request_beyond_every_node_is_refused(request_: ResourceRequest) -> None:
    with pytest.raises(UserError, match=r"stage big: no node .* memory_gb (128|48)"):
        ray_options("big", request_, [SMALL, LARGE, GPU])


@pytest.mark.parametrize("address", ["", "ray://10.0.0.1:10001"])
def test_an_address_that_leads_to_no_cluster_is_refused(address: str) -> None:
    with pytest.raises(UserError, match="RAY_ADDRESS must be HOST:PORT"):
        connect({"RAY_ADDRESS": address})


def test_a_head_that_does_not_answer_is_told_at_once() -> None:
    with pytest.raises(UserError, match="no Ray cluster answers at RAY_ADDRESS=127"):
        connect({"RAY_ADDRESS": f"127.0.0.1:{free_port()}"})
    with pytest.raises(UserError, match="HOST:PORT or auto, got 'here'"):
        connect({"RAY_ADDRESS": "here"})


def test_ray_is_chosen_by_the_environment_and_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = "stages:\n  it: {cmd: cp code.py a, deps: [code.py], outs: [a]}\n"
    root = make_clone(tmp_path / "head", str(tmp_path / "remote"), dvc_yaml=stages, code_py="one\n")
    monkeypatch.setenv("OFT_EXECUTOR", "ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(UserError, match=r"^RAY_ADDRESS must be HOST:PORT"), open_executor(root, {}):
        pass
    (root / "code.py").write_text("two\n")
    with pytest.raises(UserError, match=r"^nodes run the committed code.*code.py"), open_executor(root, {}):
        pass
