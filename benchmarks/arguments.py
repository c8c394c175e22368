"""The options of ``python -m benchmarks``; nothing here imports torch, which takes seconds."""

from __future__ import annotations

import argparse
from pathlib import Path

DESCRIPTION = """\
Compare speed, memory and accuracy of this project's OFT with the frozen base and with PEFT's adapters, and
the speed of its data stages with a plain loop; on a GPU, measure how Stable Diffusion 1.5 is finetuned.

All variants of a case run in one process, interleaved. Machines are noisy: compare minima and ratios rather
than seconds, and leave the machine alone meanwhile.
"""
ACCURACY = "accuracy"
DATA = "data"
LOADING = "loading"
FINETUNING = "finetuning"
PARTS = (ACCURACY, DATA, LOADING, FINETUNING)
"""What ``--cases`` takes beside the cases."""
CASES = ("miniature", "block-*", "sd15-*")
VARIANTS = ("frozen", "oft-*", "peft-*", "lora-*")
"""Patterns of names for the help, which every case and every variant matches."""
RESULTS = Path(".benchmarks/results.json")
DOCUMENT = Path("docs/benchmarks.md")
CPU_BUDGET_TFLOP = 0.09
"""What a step may take on a processor unless ``--budget`` says otherwise: a run should end in ten minutes."""


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"cases: {', '.join((*CASES, *PARTS))}\n\nvariants: {', '.join(VARIANTS)}\n\n"
        "A name that matches nothing is answered with all that there are.",
    )
    add = parser.add_argument
    add("--cases", nargs="+", metavar="NAME", help="names or shell patterns ('block-*-b1'); default all")
    add("--variants", nargs="+", metavar="NAME", help="likewise; the frozen base always takes part")
    add("--rounds", type=int, default=5, help="timed steps of each variant (%(default)s)")
    add("--threads", type=int, help="torch's threads on the processor; one if left out")
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
