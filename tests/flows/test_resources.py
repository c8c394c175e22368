from __future__ import annotations

import pytest

from flows.resources import (
    TRAIN_PROCESSES,
    VISIBLE_GPUS,
    ResourcePool,
    ResourceRequest,
    find_gpus,
    parse_resource_request,
)
from oft.errors import UserError


def test_a_pool_never_exceeds_its_capacity_and_reuses_released_resources() -> None:
    pool = ResourcePool(2)
    first, second = pool.reserve(ResourceRequest()), pool.reserve(ResourceRequest())
    assert first is not None and second is not None
    assert pool.reserve(ResourceRequest()) is None
    pool.release(first)
    assert pool.reserve(ResourceRequest()) is not None


def test_a_gpu_serves_one_stage_and_no_other_stage_sees_it() -> None:
    pool = ResourcePool(4, ["GPU-a", "GPU-b"])
    first, second = pool.reserve(ResourceRequest(gpus=1)), pool.reserve(ResourceRequest(gpus=1))
    assert first is not None and second is not None
    assert {first.environment[VISIBLE_GPUS], second.environment[VISIBLE_GPUS]} == {"GPU-a", "GPU-b"}
    assert pool.reserve(ResourceRequest(gpus=1)) is None
    without = pool.reserve(ResourceRequest())
    assert without is not None and without.environment == {VISIBLE_GPUS: ""}
    pool.release(second)
    again = pool.reserve(ResourceRequest(gpus=1))
    assert again is not None and again.gpus == second.gpus


def test_without_gpus_a_stage_that_asks_for_one_takes_a_core_and_its_environment_is_left_alone() -> None:
    pool = ResourcePool(1)
    lease = pool.reserve(ResourceRequest(gpus=1))
    assert lease is not None and lease.environment == {}
    assert pool.reserve(ResourceRequest()) is None


def test_a_stage_that_asks_for_more_cores_than_there_are_takes_them_all() -> None:
    pool = ResourcePool(2)
    lease = pool.reserve(ResourceRequest(cpus=16))
    assert lease is not None and pool.reserve(ResourceRequest()) is None
    pool.release(lease)
    assert pool.reserve(ResourceRequest(cpus=2)) is not None


def test_a_training_of_several_processes_has_a_gpu_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    training = ResourceRequest(gpus=1, ranks=True)
    pool = ResourcePool(8, ["0", "1", "2"])
    monkeypatch.setenv(TRAIN_PROCESSES, "2")
    lease = pool.reserve(training)
    assert lease is not None and lease.environment == {VISIBLE_GPUS: "0,1"} and lease.cpus == 2
    assert pool.reserve(training) is None
    other = pool.reserve(ResourceRequest(gpus=1))
    assert other is not None and other.gpus == ("2",)
    pool.release(lease)
    pool.release(other)
    for asked in ("auto", "gpus", "9"):
        monkeypatch.setenv(TRAIN_PROCESSES, asked)
        everything = pool.reserve(training)
        assert everything is not None and everything.gpus == ("0", "1", "2")
        pool.release(everything)
    monkeypatch.setenv(TRAIN_PROCESSES, "many")  # the training says what is wrong with it
    one = pool.reserve(training)
    assert one is not None and one.gpus == ("0",)


def test_meta_is_read_strictly() -> None:
    assert parse_resource_request("train", None) == ResourceRequest(1, 0, 0.0)
    assert parse_resource_request("train", {"gpus": 1, "memory_gb": 4}) == ResourceRequest(1, 1, 4)
    assert parse_resource_request("train", {"ranks": True}).ranks
    for wrong in (
        {"gpu": 1},
        {"gpus": 2},
        {"cpus": 0},
        {"cpus": "2"},
        {"memory_gb": -1},
        [1],
        {"cpus": 1.5},
        {"ranks": 1},
    ):
        with pytest.raises(UserError, match=r"dvc\.yaml, stage train: meta may have cpus"):
            parse_resource_request("train", wrong)


def test_the_environment_says_which_gpus_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE_GPUS, "2, GPU-5")
    assert find_gpus() == ("2", "GPU-5")
    monkeypatch.setenv(VISIBLE_GPUS, "")
    assert find_gpus() == ()
    monkeypatch.delenv(VISIBLE_GPUS)
    monkeypatch.setenv("PATH", "")
    assert find_gpus() == ()
