"""Show all runs on one self-contained page, with the comparison grids beside it as PNG."""

from __future__ import annotations

import sys
from pathlib import Path

from oft.params import load_params
from oft.storage import atomic_folder, write_json
from stages.launch import paths
from stages.launch.arguments import parse
from stages.launch.entry import run


def main(arguments: list[str]) -> None:
    """Write report/: index.html, headlines.json, metrics/<task>.json, grids/<task>.png.."""
    from oft.report import collect, edge_reextractor, read_telemetry, render, render_telemetry
    from oft.report.headlines import HEADLINES_NAME, METRICS_FOLDER, headlines, metrics_by_task

    parse(arguments, __doc__)
    params = load_params()
    collected = collect(Path(), params)
    with atomic_folder(paths.REPORT) as partial:
        render(collected, partial, reextract=edge_reextractor(params))
        rows = headlines(collected)
        write_json(partial / HEADLINES_NAME, rows)
        (partial / METRICS_FOLDER).mkdir()
        for task, values in metrics_by_task(rows).items():
            write_json(partial / METRICS_FOLDER / f"{task}.json", values)
    render_telemetry(read_telemetry(Path()), paths.TELEMETRY / "index.html")
    print(f"open {paths.REPORT / 'index.html'}")
    print(f"seconds and memory of each stage: {paths.TELEMETRY / 'index.html'}")


if __name__ == "__main__":
    run(main, sys.argv[1:])
