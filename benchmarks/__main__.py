"""Compare speed, memory and accuracy of this project's OFT with the frozen base and with PEFT's adapters, and
the speed of its data stages with a plain loop; on a GPU, measure how Stable Diffusion 1.5 is finetuned.

All variants of a case run in one process, interleaved. Machines are noisy: compare minima and ratios rather
than seconds, and leave the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.accuracy import measure_accuracy
from benchmarks.cases import all_cases
from benchmarks.data import measure_data
from benchmarks.finetuning import measure_finetuning
from benchmarks.loading import measure_loading
from benchmarks.machine import describe_machine, library_versions, matmul_tflops
from benchmarks.measuring import FAULTS, describe_fault
from benchmarks.plan import CPU_BUDGET_TFLOP, LeftOut, Plan, choose, describe_plan, make_plan
from benchmarks.run import measure_plan
from benchmarks.table import (
    accuracy_table,
    case_table,
    data_table,
    document,
    finetuning_table,
    loading_table,
    read_results,
)
from benchmarks.variants import all_variants
from oft.errors import ParamsError, UserError
from oft.models.device import CPU_THREADS
from oft.progress import progress
from oft.storage import atomic_file, write_json

ACCURACY = "accuracy"
DATA = "data"
LOADING = "loading"
FINETUNING = "finetuning"
PARTS = (ACCURACY, DATA, LOADING, FINETUNING)
RESULTS = Path(".benchmarks/results.json")
DOCUMENT = Path("docs/benchmarks.md")
INTERRUPTED = "the run ended before its turn"


def main(arguments: Sequence[str]) -> None:
    """Measure and write results as JSON, or write the document from such files.

    Raises:
        UserError: an option breaks its rule, or a file is none of a run.
    """
    options = build_parser().parse_args(arguments)
    if options.table:
        write_document(options.table, options.document)
        return
    check_options(options)
    torch.set_num_threads(options.threads)
    cases = {case.name: case for case in all_cases()}
    variants = {variant.name: variant for variant in all_variants()}
    chosen = choose(options.cases, [*cases, *PARTS], "--cases")
    devices = [torch.device(kind) for kind in options.device or available_devices()]
    plan = make_plan(
        [cases[name] for name in chosen if name in cases],
        [variants[name] for name in choose(options.variants, variants, "--variants")],
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
    plan: Plan,
    options: argparse.Namespace,
    chosen: Sequence[str],
    devices: Sequence[torch.device],
    command: str,
) -> None:
    """Carry out the plan; the results file is written anew after every part, so that none is lost."""
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

    if DATA in chosen:
        results["data"].append(measure_data(options.rounds))
        print(data_table(results["data"][-1]), flush=True)
        save()
    if LOADING in chosen:
        results["loading"].append(measure_loading(options.rounds))
        print(loading_table(results["loading"][-1]), flush=True)
        save()
    if FINETUNING in chosen and any(device.type == "cuda" for device in devices):
        try:
            results["finetuning"].append(measure_finetuning())
            print(finetuning_table(results["finetuning"][-1]), flush=True)
        except FAULTS as fault:
            failed.append(LeftOut(FINETUNING, "cuda", describe_fault(fault)))
        save()
    if ACCURACY in chosen:
        for device in devices:
            rows = measure_accuracy(device)
            results["accuracy"].append({"device": device.type, "rows": rows})
            print(accuracy_table(rows), flush=True)
            save()
    with progress(total=plan.steps(options.rounds), description="benchmarks", unit="step") as bar:

        def on_step(name: str) -> None:
            bar.describe(name)
            bar.advance()

        for result in measure_plan(plan, options.rounds, options.clip_norm, on_step):
            results["cases"].append(result)
            print(f"\n{result['title']} ({result['device']}, {result['precision']})")
            print(case_table(result), flush=True)
            save()
    save()
    print(f"\nWrote {options.out}; `python -m benchmarks --table {options.out}` makes {DOCUMENT} of it.")


def write_document(sources: Sequence[Path], target: Path) -> None:
    """Write the Markdown document of the results in ``sources``.

    Raises:
        DataError: a file is missing or none of a run.
    """
    text = document(sources, [read_results(source) for source in sources])
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


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's options."""
    names = ", ".join([*(case.name for case in all_cases()), *PARTS])
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"cases: {names}\n\nvariants: {', '.join(variant.name for variant in all_variants())}",
    )
    add = parser.add_argument
    add("--cases", nargs="+", metavar="NAME", help="names or shell patterns ('block-*-b1'); default all")
    add("--variants", nargs="+", metavar="NAME", help="likewise; the frozen base always takes part")
    add("--rounds", type=int, default=5, help="timed steps of each variant (%(default)s)")
    # One, as everywhere here. With more, PEFT's exact OFT fails where torch's batched LU does.
    add("--threads", type=int, default=CPU_THREADS, help="torch's threads on the processor (%(default)s)")
    add("--device", nargs="+", choices=("cpu", "cuda"), help="default: cpu, and cuda where there is a GPU")
    add(
        "--budget",
        type=float,
        metavar="TFLOP",
        help="leave out what takes more a step; inf for no bound "
        f"(default {CPU_BUDGET_TFLOP} on a processor, inf on a GPU)",
    )
    add(
        "--clip-norm",
        type=float,
        default=1.0,
        help="largest norm of the gradient, 0: no clipping (%(default)s)",
    )
    add("--out", type=Path, default=RESULTS, help="results, as JSON (%(default)s)")
    add("--dry-run", action="store_true", help="say what would be done, and stop")
    add(
        "--table",
        nargs="+",
        type=Path,
        metavar="FILE.json",
        help="measure nothing: write the document of these",
    )
    add("--document", type=Path, default=DOCUMENT, help="where --table writes (%(default)s)")
    return parser


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as fault:
        sys.exit(f"{fault}")
