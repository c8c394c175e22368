"""Carry out a plan: build each network once, measure the variants' memory, then time them interleaved."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import nn

from benchmarks.architectures import make_frozen
from benchmarks.measuring import FAULTS, describe_fault, interleave, summarise
from benchmarks.memory import measure_peak
from benchmarks.plan import MEMORY_STEPS, BenchmarkPlan, Item
from benchmarks.step import Step, precision_name
from benchmarks.variants import FROZEN

MIB = 1 << 20


def measure_plan(
    plan: BenchmarkPlan, rounds: int, clip_norm: float, on_step: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """Yield the result of each item as it is ready; ``on_step`` is called for every step (``Plan.steps``)."""
    for (_, device), items in groupby(
        plan.items, key=lambda item: (item.case.architecture.name, item.device)
    ):
        members = list(items)
        frozen = make_frozen(members[0].case.architecture, device)
        for item in members:
            yield measure_item(item, frozen, rounds, clip_norm, on_step)
            _free_memory()
        del frozen
        _free_memory()


def measure_item(
    item: Item,
    frozen: nn.Module,
    rounds: int,
    clip_norm: float,
    on_step: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Return one case's result: a row for each variant, with its figures or what stopped it."""
    steps: dict[str, Step] = {}
    peaks: dict[str, int] = {}
    failures: dict[str, str] = {}
    for variant in item.variants:
        try:
            step, peak = measure_peak(partial(Step, item.case, variant, frozen, clip_norm), item.device)
            steps[variant.name], peaks[variant.name] = step, peak
        except FAULTS as fault:
            failures[variant.name] = describe_fault(fault)
            _free_memory()
        for _ in range(MEMORY_STEPS if variant.name in steps else MEMORY_STEPS + rounds):
            on_step(f"{item.case.name} {variant.name}")
    seconds, stopped = interleave(steps, rounds, on_step=lambda name: on_step(f"{item.case.name} {name}"))
    failures |= stopped
    for name in seconds:
        try:
            steps[name].check_finite()
        except FloatingPointError as fault:
            failures[name] = describe_fault(fault)
    rows = []
    for variant in item.variants:
        row: dict[str, Any] = {"variant": variant.name, "title": variant.title}
        if variant.name in failures:
            row["failed"] = failures[variant.name]
        else:
            step = steps[variant.name]
            row |= summarise(seconds[variant.name], None if FROZEN.name in failures else seconds[FROZEN.name])
            row |= {
                "adapted_layers": step.layers,
                "trained_parameters": step.num_parameters,
                "peak_mib": peaks[variant.name] / MIB,
            }
        rows.append(row)
    return {
        "case": item.case.name,
        "title": item.case.title,
        "device": item.device.type,
        "precision": precision_name(item.device),
        "training": item.case.training,
        "frozen_tflop": item.case.frozen_tflop,
        "rows": rows,
    }


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
