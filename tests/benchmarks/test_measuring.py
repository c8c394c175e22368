"""Rounds are interleaved, failures stay with those that failed, and figures are those of the steps."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest

from benchmarks.measuring import describe_fault, interleave, round_order, seconds_of, summarise


def ticking(*times: float) -> Callable[[], float]:
    ticks: Iterator[float] = iter(times)
    return lambda: next(ticks)


def test_every_round_runs_each_once_every_second_one_reversed() -> None:
    taken: list[str] = []
    actions = {name: (lambda name=name: taken.append(name)) for name in "abc"}
    seconds, failures = interleave(actions, rounds=3)
    assert "".join(taken) == "abccbaabc"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3, "c": 3}
    assert failures == {}


def test_consecutive_rounds_have_different_orders() -> None:
    assert round_order(["a", "b"], 0) != round_order(["a", "b"], 1)
    assert sorted(round_order(["a", "b"], 1)) == ["a", "b"]


def test_seconds_are_those_of_the_clock() -> None:
    seconds, _ = interleave(
        {"a": lambda: None, "b": lambda: None}, 2, clock=ticking(0, 1, 10, 12, 20, 23, 30, 34)
    )
    assert seconds == {"a": [1, 4], "b": [2, 3]}


def test_a_failed_action_is_not_run_again_and_has_its_message() -> None:
    calls = []

    def fail_on_second_call() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("pivots\nare wrong")

    steps: list[str] = []
    seconds, failures = interleave(
        {"good": lambda: None, "bad": fail_on_second_call}, 4, on_step=steps.append
    )
    assert failures == {"bad": "RuntimeError: pivots"}
    assert list(seconds) == ["good"] and len(seconds["good"]) == 4
    assert len(calls) == 2
    assert len(steps) == 8  # a bar that counts steps still arrives


def test_other_exceptions_propagate() -> None:
    def broken() -> None:
        raise TypeError("ours")

    with pytest.raises(TypeError):
        interleave({"a": broken}, 1)


def test_the_garbage_collector_is_off_while_a_step_is_timed() -> None:
    seen = []
    seconds_of(lambda: seen.append(gc.isenabled()))
    assert seen == [False]
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_figures_are_minimum_median_and_ratio_of_minima() -> None:
    figures = summarise([0.004, 0.002, 0.009], frozen=[0.003, 0.001])
    assert figures["min_ms"] == pytest.approx(2.0)
    assert figures["median_ms"] == pytest.approx(4.0)
    assert figures["times_frozen"] == pytest.approx(2.0)
    assert figures["step_ms"] == pytest.approx([4.0, 2.0, 9.0])


def test_without_a_frozen_base_there_is_no_ratio() -> None:
    assert summarise([0.004], frozen=None)["times_frozen"] is None


def test_a_fault_is_one_line() -> None:
    assert describe_fault(ValueError("first\nsecond")) == "ValueError: first"
    assert describe_fault(MemoryError()) == "MemoryError"
