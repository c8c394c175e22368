"""Reading ahead gives what reading on demand gives, for any step, and leaves torch's generator alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oft.shards.prefetch import Feed, num_workers_beside, prefetch


def square(numbers: np.ndarray) -> list[int]:
    return [int(number) ** 2 for number in numbers]


def step_alone(step: int) -> np.ndarray:
    return np.array([step, step + 1])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_feed_is_a_function_of_the_step(num_workers: int) -> None:
    feed = Feed(square, step_alone, num_workers)
    for step in (4, 5, 6, 2, 3, 3):
        assert feed(step) == [step**2, (step + 1) ** 2]


def test_a_feed_asks_for_each_batch_once() -> None:
    asked = []

    def batch_of_step(step: int) -> np.ndarray:
        asked.append(step)
        return step_alone(step)

    feed = Feed(square, batch_of_step)
    for step in range(3, 6):
        feed(step)
    assert asked == [3, 4, 5]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_global_generator_is_left_alone(num_workers: int) -> None:
    before = torch.get_rng_state()
    list(prefetch(square, [np.array([1])], num_workers))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_fault_of_the_program_s_own_is_raised_too() -> None:
    def fail(numbers: np.ndarray) -> None:
        raise ZeroDivisionError("in the worker")

    with pytest.raises(ZeroDivisionError, match="in the worker"):
        list(prefetch(fail, [np.array([1])], 1))


def test_processors_that_train_read_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(4)))
    assert num_workers_beside("cpu") == 0
    assert num_workers_beside("cuda") == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0})
    assert num_workers_beside("cuda") == 0
