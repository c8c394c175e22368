"""Markdown from results: every figure in the document comes out of a file that a run wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.plan import LeftOut, describe_left_out
from oft.errors import DataError
from oft.storage import read_json

Result = dict[str, Any]

METHOD = """\
Within a case all variants adapt the same layers of one network with random weights, in one process. Each
round takes one step of every variant, in alternating order, so that all meet the same machine. A training
step is forward, mean squared error, backward, clipping of the gradient's norm, AdamW and the reset of
gradients. The frozen base trains nothing and goes backward to its input; so does every variant of a
transformer block, as inside a network.

"× frozen" is the ratio of minima to the frozen base of the same case. Peak memory is the highest sum of what
torch's allocator had handed out during a separate, untimed step, above the base's weights: adapter,
optimizer, activations, gradients, workspace. BOFT is PEFT's with one butterfly factor."""

DATA_METHOD = """\
From files to finished shards: cropped and resized to 512 × 512 (Lanczos), Canny edges, JPEG of quality 95
without chroma subsampling, PNG. The plain loop does it with PIL and OpenCV, one picture after the other. Work
alone is what the stages do to each picture, in as many processes, and nothing kept; below it each file is
decoded and one prepared picture and its edges are encoded, again and again. Each run is a process of its own.
CPU seconds are the least that all its processes took together, which another program on the machine changes
little; peak memory is that of the largest of them."""

LOADING_METHOD = """\
picture (JPEG, 512 × 512) and condition (PNG) decoded to tensors of bytes, worker processes started anew each
time: from shards as training reads them, and from a folder of the same files by torch's DataLoader and PIL.
Below, the memory of a process that reads shards of 50,000 small pictures in shuffled order."""


FINETUNING_METHOD = """\
By the code of the stages, operations deterministic as there. Peak memory is the highest sum of what torch had
handed out, the weights of all networks included (4.3 GB)."""


def read_results(source: Path) -> Result:
    """Return the results a run wrote.

    Raises:
        DataError: the file is missing or none of a run.
    """
    try:
        results = read_json(source)
    except (OSError, ValueError) as fault:
        raise DataError(
            f"{source}: must be the JSON of a run of benchmarks, got {fault!r}; run it again"
        ) from fault
    missing = {"command", "machines", "versions", "settings", "cases", "left_out", "accuracy"} - (
        results.keys() if isinstance(results, dict) else set()
    )
    if missing:
        raise DataError(
            f"{source}: must be the JSON of a run of benchmarks, lacks {sorted(missing)}; run it again"
        )
    checked: Result = results
    return checked


def render(sources: Sequence[Path], results: Sequence[Result]) -> str:
    """Return the whole document for the results of one or more runs, read from ``sources``."""
    names = " ".join(source.as_posix() for source in sources)
    parts = [
        "# Benchmarks",
        f"Written by `python -m benchmarks --table {names}`; do not edit.",
        METHOD,
        *(part for result in results for part in _run_parts(result)),
    ]
    return "\n\n".join(parts) + "\n"


def case_table(case: Result) -> str:
    """Return the table of one case."""
    rows = [_case_cells(row) for row in case["rows"]]
    header = ["variant", "layers", "parameters", "min ms", "median ms", "× frozen", "peak MiB"]
    return markdown_table(header, rows)


def accuracy_table(rows: Sequence[Result]) -> str:
    """Return the table of orthogonality errors."""
    keys = ("ours", "peft_exact", "peft_neumann", "ours_deviation")
    header = ["block", "std", "OFT", "PEFT exact", "PEFT Neumann 5", "OFT against float64"]
    return markdown_table(
        header,
        [
            [str(row["block_size"]), f"{row['std']:g}", *(_format_error(row[key]) for key in keys)]
            for row in rows
        ],
    )


def data_table(data: Result) -> str:
    """Return the table of how fast pictures become shards."""
    header = ["variant", "min s", "median s", "pictures/s", "× plain loop", "CPU s", "peak MiB"]
    rows = [
        [
            row["title"],
            f"{row['min_seconds']:.2f}",
            f"{row['median_seconds']:.2f}",
            f"{row['pictures_per_second']:.0f}",
            f"{row['times_plain']:.2f}",
            f"{row['cpu_seconds']:.2f}",
            f"{row['peak_mib']:.0f}",
        ]
        for row in data["rows"]
    ]
    return markdown_table(header, rows)


def loading_table(loading: Result) -> str:
    """Return the tables of how fast batches are read, and of the memory it takes."""
    speed = markdown_table(
        ["source", "workers", "samples/s, best", "samples/s, median"],
        [
            [
                row["source"],
                str(row["workers"]),
                f"{row['samples_per_second']:.0f}",
                f"{row['median_samples_per_second']:.0f}",
            ]
            for row in loading["rows"]
        ],
    )
    memory = markdown_table(
        ["samples read", "resident MiB"],
        [[f"{entry['num_samples']:,}", f"{entry['resident_mib']:.1f}"] for entry in loading["memory"]],
    )
    return f"{speed}\n\n{memory}"


def finetuning_table(finetuning: Result) -> str:
    """Return the table of a training and a sampling on Stable Diffusion 1.5's networks."""
    rows = [
        [
            row["title"],
            milliseconds(1000 * row["min_seconds"]),
            milliseconds(1000 * row["median_seconds"]),
            f"{row['pictures_per_second']:.2f}",
            "" if row["peak_mib"] is None else f"{row['peak_mib']:,.0f}",
        ]
        for row in finetuning["rows"]
    ]
    return markdown_table(["what", "min ms", "median ms", "pictures/s", "peak MiB"], rows)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, columns padded to one width, the first to the left and others to the right."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[index]) for row in escaped)) for index in range(len(header))]
    lines = [_table_line(row, widths) for row in escaped]
    rule = "| " + " | ".join(["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]) + " |"
    return "\n".join([lines[0], rule, *lines[1:]])


def _table_line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        row[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
    ]
    return "| " + " | ".join(cells) + " |"


def _run_parts(result: Result) -> list[str]:
    machines = [
        f"- {device}: {', '.join(f'{key} {value}' for key, value in machine.items())}"
        for device, machine in result["machines"].items()
    ]
    versions = ", ".join(f"{name} {value}" for name, value in result["versions"].items())
    rounds, clip_norm = result["settings"]["rounds"], result["settings"]["clip_norm"]
    facts = [
        *machines,
        f"- {versions}",
        f"- timed steps of each variant: {rounds}; norm of the gradient clipped to: {clip_norm or 'nothing'}",
        f"- `{result['command']}`",
    ]
    parts = [f"## {_run_title(result)}", "\n".join(facts)]
    for case in result["cases"]:
        parts += [f"### {_capital(case['title'])} ({case['device']}, {case['precision']})", case_table(case)]
        parts += _failure_notes(case)
    for accuracy in result["accuracy"]:
        parts += [
            f"### Orthogonality ({accuracy['device']})",
            "max|R Rᵀ - I| of R made in float32 from parameters of the given standard deviation. Last "
            "column: largest difference of this project's R from an independent computation in float64.",
            accuracy_table(accuracy["rows"]),
        ]
    for data in result.get("data", []):
        parts += [
            f"### Pictures to shards ({data['num_workers']} processes)",
            f"{data['num_pictures']} JPEG photographs of 640 × 480.\n{DATA_METHOD}",
            data_table(data),
        ]
    for loading in result.get("loading", []):
        parts += [
            "### Batches from shards",
            f"{loading['num_samples']} samples in batches of {loading['batch_size']}, {LOADING_METHOD}",
            loading_table(loading),
        ]
    for finetuning in result.get("finetuning", []):
        parts += [
            f"### Finetuning Stable Diffusion 1.5 ({finetuning['device']})",
            f"Random weights, {finetuning['resolution_px']} px, batches of {finetuning['batch_size']}; "
            f"training in {finetuning['mixed_precision']}, sampling with {finetuning['scheduler']}, "
            f"{finetuning['num_inference_steps']} steps and guidance, in fp32. {FINETUNING_METHOD}",
            finetuning_table(finetuning),
        ]
    if result["left_out"]:
        notes = [
            f"- {entry['device']}: {describe_left_out(LeftOut(**entry))}" for entry in result["left_out"]
        ]
        parts += ["### Left out", "\n".join(notes)]
    return parts


def _run_title(result: Result) -> str:
    names = [str(machine.get("gpu") or machine["cpu"]) for machine in result["machines"].values()]
    return " and ".join(dict.fromkeys(names))


def _case_cells(row: Result) -> list[str]:
    if "failed" in row:
        return [row["title"], "", "", "failed", "", "", ""]
    ratio = row["times_frozen"]
    return [
        row["title"],
        str(row["adapted_layers"]),
        f"{row['trained_parameters']:,}",
        milliseconds(row["min_ms"]),
        milliseconds(row["median_ms"]),
        "" if ratio is None else f"{ratio:.2f}",
        f"{row['peak_mib']:,.1f}",
    ]


def _failure_notes(case: Result) -> list[str]:
    notes = [f"- {row['title']} failed: `{row['failed']}`" for row in case["rows"] if "failed" in row]
    return ["\n".join(notes)] if notes else []


def milliseconds(value: float) -> str:
    """Return milliseconds with three significant digits, whole from a hundred on."""
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{decimals}f}"


def _format_error(value: float | str) -> str:
    return f"{value:.1e}" if isinstance(value, float) else "failed"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
