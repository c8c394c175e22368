"""What a run will do, and what it leaves out and why, decided before anything is measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch

from benchmarks.arguments import CPU_BUDGET_TFLOP
from benchmarks.cases import Case, target_widths
from benchmarks.variants import FROZEN, Variant, variants_for
from oft.errors import ParamsError

MEMORY_STEPS = 2  # taken apart from the timed ones: one fills the caches, one is measured
# A step's FLOP exclude what adapters add, and a step never reaches the rate of one matrix product.
OVERHEAD = 2.0


@dataclass(frozen=True)
class Item:
    """A case on a device and the variants it compares."""

    case: Case
    device: torch.device
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class LeftOut:
    """A case, or one variant in it, that is not measured, and why."""

    case: str
    device: str
    reason: str
    variant: str | None = None


@dataclass(frozen=True)
class BenchmarkPlan:
    """Everything a run measures, in order, and what it does not."""

    items: tuple[Item, ...]
    left_out: tuple[LeftOut, ...]

    def steps(self, rounds: int) -> int:
        """Return the number of steps taken in all."""
        return sum(len(item.variants) for item in self.items) * (rounds + MEMORY_STEPS)

    def seconds(self, rounds: int, tflops: dict[str, float]) -> float:
        """Return about how long it takes where a plain product runs at ``tflops`` on each kind of device."""
        once = sum(
            step_tflop(item.case, variant) / tflops[item.device.type]
            for item in self.items
            for variant in item.variants
        )
        return once * (rounds + MEMORY_STEPS) * OVERHEAD


def make_plan(
    cases: Sequence[Case],
    variants: Sequence[Variant],
    devices: Sequence[torch.device],
    budget_tflop: float | None,
) -> BenchmarkPlan:
    """Return what to measure: on every device each case, and each variant in it, that the budget allows.

    The budget bounds ``step_tflop``, counted and not timed, so that equal options choose equal work on any
    machine. None stands for ``CPU_BUDGET_TFLOP`` on a processor and no bound on a GPU. The frozen base always
    takes part: ratios are to it.
    """
    items, left_out = [], []
    compared = [FROZEN, *(variant for variant in variants if variant.name != FROZEN.name)]
    for device in devices:
        budget = budget_tflop
        if budget is None:
            budget = math.inf if device.type == "cuda" else CPU_BUDGET_TFLOP
        for case in cases:
            if case.frozen_tflop > budget:
                reason = _over_budget("the frozen base's step", case.frozen_tflop, budget)
                left_out.append(LeftOut(case.name, device.type, reason))
                continue
            fitting = []
            for variant in variants_for(case.training, compared):
                needed = step_tflop(case, variant)
                if needed > budget:
                    reason = _over_budget("its step", needed, budget)
                    left_out.append(LeftOut(case.name, device.type, reason, variant.name))
                else:
                    fitting.append(variant)
            items.append(Item(case, device, tuple(fitting)))
    return BenchmarkPlan(tuple(items), tuple(left_out))


def step_tflop(case: Case, variant: Variant) -> float:
    """Return the TFLOP of a variant's step: the frozen base's, and products of dense in × in matrices."""
    if not variant.dense_products:
        return case.frozen_tflop
    product_flops = sum(2 * width**3 for width in target_widths(case.architecture))
    return case.frozen_tflop + variant.dense_products * case.passes * product_flops / 1e12


def match_names(patterns: Sequence[str] | None, names: Iterable[str], option: str) -> list[str]:
    """Return the names that match any of the shell patterns, in their own order; None matches all.

    Raises:
        ParamsError: a pattern matches nothing.
    """
    known = list(names)
    if patterns is None:
        return known
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise ParamsError(f"{option}: {pattern!r} matches none of {', '.join(known)}; give some of these")
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]


def describe_plan(plan: BenchmarkPlan, rounds: int, tflops: dict[str, float]) -> str:
    """Return the plan in words: what runs, what is left out, how long it takes about."""
    lines = [f"Steps of each variant: {rounds} timed, {MEMORY_STEPS} before them for its memory. Cases:"]
    for item in plan.items:
        lines.append(
            f"  {item.device.type:4} {item.case.name}: {item.case.title}, {len(item.variants)} variants, "
            f"{item.case.frozen_tflop:.2g} TFLOP frozen"
        )
    if plan.left_out:
        lines.append("Left out:")
        lines += [f"  {entry.device:4} {describe_left_out(entry)}" for entry in plan.left_out]
    rates = ", ".join(f"{1000 * rate:.0f} GFLOP/s on {kind}" for kind, rate in tflops.items())
    minutes = plan.seconds(rounds, tflops) / 60
    lines.append(
        f"{plan.steps(rounds)} steps in all, roughly {minutes:.1f} minutes at a plain product's {rates}; "
        "networks, start and accuracy come on top."
    )
    return "\n".join(lines)


def describe_left_out(entry: LeftOut) -> str:
    """Return what is left out, and why, in one line."""
    return f"{' '.join(filter(None, (entry.case, entry.variant)))}: {entry.reason}"


def _over_budget(what: str, needed: float, budget: float) -> str:
    return f"{what} takes {needed:.2g} TFLOP, --budget allows {budget:.2g}"
