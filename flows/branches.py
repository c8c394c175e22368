"""``python -m flows.branches``: bring the whole pipeline up to date, independent branches side by side.

Every branch is one ``dvc repro``, so a plain ``dvc repro`` afterwards has nothing to do, and the results are
the same whichever of the two was used. Needs neither Prefect nor a server.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from flows.commands import dvc_command, dvc_environment
from flows.faults import explain_faults
from flows.graph import StageGraph, open_repository, plan_stages, read_graph
from flows.process import POLL_SECONDS, TAIL_LINES, end_group, leave_on_signals, start_command
from flows.redaction import hide_secrets
from oft.errors import UserError

# A stage that this share of all stages leads to, or comes from, belongs to no branch.
SHARED = 0.5
# What DVC says of every stage and every run.
UNSAID = (
    "Updating lock file",
    "Verifying outputs in frozen",
    "WARNING: stage:",
    "To track the changes with git",
    "To enable auto staging",
    "\tgit add",
    "\tdvc config",
    "Use `dvc push`",
)
GPUS = Path("/proc/driver/nvidia/gpus")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Branches at a time. Default: one a core, or one where there is a GPU."),
    ] = None,
) -> None:
    """Bring the whole pipeline of dvc.yaml up to date, branches that do not need each other side by side.

    The lines of a branch begin with its name. Where one fails no other is started, and those that run end in
    peace; run it again to go on. `dvc repro` does the same, one stage after the other.
    """
    leave_on_signals()
    root = Path.cwd()
    try:
        if up_to_date(root):
            typer.echo("Data and pipelines are up to date.")
            return
        trunk, branches = split(read_graph(root))
        # Last comes the whole: what joins the branches.
        steps: list[tuple[list[list[str]], int]] = [
            ([trunk] if trunk else [], 1),
            (branches, jobs or default_jobs()),
            ([[]], 1),
        ]
        status = next((status for part, slots in steps if (status := run_all(part, slots, root))), 0)
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(code=1) from None
    except KeyboardInterrupt:
        raise typer.Exit(code=130) from None
    raise typer.Exit(code=status)


def up_to_date(root: Path) -> bool:
    """Return whether no stage has anything to do.

    Raises:
        UserError: ``root`` holds no DVC repository, or DVC refuses dvc.yaml or params.yaml.
    """
    with open_repository(root) as repo:
        return not repo.status()


def split(graph: StageGraph) -> tuple[list[str], list[list[str]]]:
    """Return the trunk, which most stages need, and the branches, which share nothing but it; longest first.

    What needs most stages, such as a report, is in neither.
    """
    needs = {stage: set(plan_stages(graph, [stage])) - {stage} for stage in graph}
    most = SHARED * len(graph)
    joins = {stage for stage in graph if len(needs[stage]) >= most}
    trunk = {stage for stage in graph if sum(stage in needed for needed in needs.values()) >= most}
    ordered = plan_stages(graph)
    branch_of: dict[str, set[str]] = {}
    for stage in ordered:
        if stage in joins | trunk:
            continue
        branch = {stage}.union(*(branch_of[producer] for producer in graph[stage] if producer in branch_of))
        for member in branch:
            branch_of[member] = branch
    unique = {id(branch): branch for branch in branch_of.values()}
    branches = [[stage for stage in ordered if stage in branch] for branch in unique.values()]
    return [stage for stage in ordered if stage in trunk], sorted(branches, key=len, reverse=True)


def default_jobs() -> int:
    """Return how many branches run at a time: one a core; a GPU is not shared."""
    return 1 if GPUS.is_dir() and any(GPUS.iterdir()) else os.cpu_count() or 1


def command(stages: Sequence[str]) -> list[str]:
    """Return the DVC command that brings ``stages`` up to date in this order; all there are if none is named.

    Single items: to look at what they share, another branch's DVC would want it for itself and fail.
    """
    return dvc_command(["repro", *(["--single-item", *stages] if stages else [])])


def run_all(branches: Sequence[Sequence[str]], jobs: int, root: Path) -> int:
    """Bring branches up to date, at most ``jobs`` at a time, and return the first exit status that is not 0.

    Whatever interrupts it ends every process it has started, with their children.
    """
    waiting, status = deque(branches), 0
    running: dict[subprocess.Popen[str], threading.Thread] = {}
    try:
        while running or (waiting and not status):
            while waiting and len(running) < jobs and not status:
                stages = waiting.popleft()
                process = start_command(command(stages), root=root, environment=dvc_environment())
                reader = threading.Thread(target=show, args=(process, name_branch(stages)), daemon=True)
                reader.start()
                running[process] = reader
            for process in [process for process in running if process.poll() is not None]:
                running.pop(process).join()
                status = status or process.returncode
            time.sleep(POLL_SECONDS)
    except BaseException:
        for process in running:
            end_group(process)
        raise
    return status


def name_branch(stages: Sequence[str]) -> str:
    """Return what a branch's last stage is about: ``evaluate@canny_coco-oft`` is ``canny_coco``."""
    if not stages:
        return ""
    return stages[-1].partition("@")[2].rpartition("-")[0] or stages[-1].partition("@")[2] or stages[-1]


def show(process: subprocess.Popen[str], name: str) -> None:
    """Print what a process says, each line under its branch's name, without what all branches say alike.

    Where it fails by a fault of the disk or of S3, the last line says what that means.
    """

    def say(text: str) -> None:
        print(f"[{name}] {text}" if name else text, flush=True)

    assert process.stdout is not None
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    for line in process.stdout:
        text = hide_secrets(line.rstrip())
        tail.append(text)
        if text and not text.startswith(UNSAID) and not text.endswith("didn't change, skipping"):
            say(text)
    if process.wait():
        for meaning in explain_faults(tail):
            say(meaning)


if __name__ == "__main__":
    app()
