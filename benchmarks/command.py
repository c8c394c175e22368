"""The command `python -m benchmarks` behind its options: what it measures, and the document of results."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from benchmarks.accuracy import measure_accuracy
from benchmarks.arguments import ACCURACY, DATA, DOCUMENT, FINETUNING, LOADING, PARTS, build_parser
from benchmarks.cases import all_cases
from benchmarks.data import measure_data
from benchmarks.finetuning import measure_finetuning
from benchmarks.loading import measure_loading
from benchmarks.machine import describe_machine, library_versions, matmul_tflops
from benchmarks.measuring import FAULTS, describe_fault
from benchmarks.plan import (
    BenchmarkPlan,
    LeftOut,
    describe_left_out,
    describe_plan,
    make_plan,
    match_names,
)
from benchmarks.run import measure_plan
from benchmarks.table import (
    accuracy_table,
    case_table,
    data_table,
    finetuning_table,
    loading_table,
    read_results,
    render,
)
from benchmarks.variants import all_variants
from oft.errors import ParamsError
from oft.models.device import CPU_THREADS
from oft.progress import progress
from oft.storage import atomic_file, write_json

INTERRUPTED = "the run ended before its turn"


def main(arguments: Sequence[str]) -> None:
    """Measure and write results as JSON, or write the document from such files.

    Raises:
        UserError: an option breaks its rule, or a file is none of a run.
    """
    options = build_parser().parse_args(arguments)
    # One by default, as everywhere here. With more, PEFT's exact OFT fails where torch's batched LU does.
    options.threads = CPU_THREADS if options.threads is None else options.threads
    if options.table:
        write_document(options.table, options.document)
        return
    check_options(options)
    torch.set_num_threads(options.threads)
    cases = {case.name: case for case in all_cases()}
    variants = {variant.name: variant for variant in all_variants()}
    chosen = match_names(options.cases, [*cases, *PARTS], "--cases")
    devices = [torch.device(kind) for kind in options.device or available_devices()]
    plan = make_plan(
        [cases[name] for name in chosen if name in cases],
        [variants[name] for name in match_names(options.variants, variants, "--variants")],
        devices,
        options.budget,
    )
    if FINETUNING in chosen and all(device.type != "cuda" for device in devices):
        needs = LeftOut(FINETUNING, "cpu", "Stable Diffusion 1.5 at 512 px needs a GPU")
        plan = replace(plan, left_out=(*plan.left_out, needs))
    print(describe_plan(plan, options.rounds, {device.type: matmul_tflops(device) for device in devices}))
    if options.dry_run:
        return
    measure(plan, options, chosen, devices, shlex.join(["python", "-m", "benchmarks", *arguments]))


def measure(
    plan: BenchmarkPlan,
    options: argparse.Namespace,
    chosen: Sequence[str],
    devices: Sequence[torch.device],
    command: str,
) -> None:
    """Carry out the plan; rewrite the results file after every part, so that an interrupted run keeps it."""
    results: dict[str, Any] = {
        "command": command,
        "machines": {
            device.type: {**describe_machine(device), "threads": options.threads} for device in devices
        },
        "versions": library_versions(),
        "settings": {"rounds": options.rounds, "clip_norm": options.clip_norm},
        "cases": [],
        "accuracy": [],
        "data": [],
        "loading": [],
        "finetuning": [],
        "left_out": [],
    }
    failed: list[LeftOut] = []

    def save() -> None:
        pending = plan.items[len(results["cases"]) :]
        unfinished = [LeftOut(item.case.name, item.device.type, INTERRUPTED) for item in pending]
        results["left_out"] = [vars(entry) for entry in (*plan.left_out, *failed, *unfinished)]
        write_json(options.out, results)

    for part, measured, text in chain(
        measure_parts(chosen, devices, options.rounds), measure_cases(plan, options.rounds, options.clip_norm)
    ):
        (failed if isinstance(measured, LeftOut) else results[part]).append(measured)
        print(text, flush=True)
        save()
    save()
    print(f"\nWrote {options.out}; `python -m benchmarks --table {options.out}` makes {DOCUMENT} of it.")


def measure_parts(
    chosen: Sequence[str], devices: Sequence[torch.device], rounds: int
) -> Iterator[tuple[str, Any, str]]:
    """Yield each chosen part's name, its result (of one that failed, a LeftOut) and the text to print."""
    if DATA in chosen:
        data = measure_data(rounds)
        yield DATA, data, data_table(data)
    if LOADING in chosen:
        loading = measure_loading(rounds)
        yield LOADING, loading, loading_table(loading)
    if FINETUNING in chosen and any(device.type == "cuda" for device in devices):
        try:
            finetuning = measure_finetuning()
        except FAULTS as fault:
            failure = LeftOut(FINETUNING, "cuda", describe_fault(fault))
            yield FINETUNING, failure, describe_left_out(failure)
        else:
            yield FINETUNING, finetuning, finetuning_table(finetuning)
    if ACCURACY in chosen:
        for device in devices:
            rows = measure_accuracy(device)
            yield ACCURACY, {"device": device.type, "rows": rows}, accuracy_table(rows)


def measure_cases(plan: BenchmarkPlan, rounds: int, clip_norm: float) -> Iterator[tuple[str, Any, str]]:
    """Yield "cases", each case's result and the text to print."""
    with progress(total=plan.steps(rounds), description="benchmarks", unit="step") as bar:

        def on_step(name: str) -> None:
            bar.describe(name)
            bar.advance()

        for result in measure_plan(plan, rounds, clip_norm, on_step):
            title = f"{result['title']} ({result['device']}, {result['precision']})"
            yield "cases", result, f"\n{title}\n{case_table(result)}"


def write_document(sources: Sequence[Path], target: Path) -> None:
    """Write the Markdown document of the results in ``sources``.

    Raises:
        DataError: a file is missing or none of a run.
    """
    text = render(sources, [read_results(source) for source in sources])
    with atomic_file(target) as partial:
        partial.write_text(text, encoding="utf-8")
    print(f"Wrote {target}.")


def available_devices() -> list[str]:
    """Return the processor and, where there is one, the GPU."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def check_options(options: argparse.Namespace) -> None:
    """Refuse numbers out of range and a device that is not there.

    Raises:
        ParamsError: an option breaks its rule.
    """
    for name, least in (("rounds", 1), ("threads", 1), ("clip_norm", 0), ("budget", 0)):
        value = getattr(options, name)
        if value is not None and not value >= least:
            option = name.replace("_", "-")
            raise ParamsError(
                f"--{option} must be at least {least}, got {value}; leave it out for the default"
            )
    if "cuda" in (options.device or []) and not torch.cuda.is_available():
        raise ParamsError("--device: cuda needs a GPU that torch sees, and it sees none; use cpu")
