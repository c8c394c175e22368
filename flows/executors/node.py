"""Run a stage on a node of a Ray cluster; this module runs in a Ray worker, with the head's code."""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from flows.commands import dvc_environment
from flows.executors.pythonpath import module_command, with_pythonpath
from flows.executors.watchdog import watchdog_command
from flows.process import CommandResult, run_command
from flows.resources import VISIBLE_GPUS
from oft.errors import UserError
from oft.storage import read_json, write_json
from oft.storage.private import private_folder

FOLDER = "OFT_RAY_FOLDER"
BATCH_SECONDS = 0.2  # how long lines are gathered before they are sent


class StageJob(NamedTuple):
    """One stage to run on a node.

    Attributes:
        stage: its name.
        revision: the commit whose code runs it.
        project: tells clones of one project from those of others.
        files: text of params.yaml and dvc.lock as the head has them.
        environment: the variables of the head that the stage needs; never a secret.
    """

    stage: str
    revision: str
    project: str
    files: dict[str, str]
    environment: dict[str, str]


class NodeResult(NamedTuple):
    """How a job ended: exit status and last lines, and, if it passed, the stage's run-cache entry."""

    exit_code: int
    tail: tuple[str, ...]
    entry: dict[str, str] | None


def run_on_node(job: Sequence[Any], bundle: Sequence[Any]) -> Iterator[list[str] | tuple[Any, ...]]:
    """Run a stage; the body of a Ray generator task.

    Args:
        job: the fields of a ``StageJob``; plain values, since head and node may differ in everything else.
        bundle: a reference to the revision's git bundle, fetched where it is not here yet.

    Yields:
        Lists of lines as the stage prints them, and last the fields of a ``NodeResult``.
    """
    import ray

    stage_job = StageJob(*job)
    yield [f"{stage_job.stage} goes to node {ray.util.get_node_ip_address()}"]
    gpus = [str(gpu) for gpu in ray.get_gpu_ids()]
    try:
        with job_folder(node_folder(os.environ), stage_job.project) as folder:
            link_bundle(folder, stage_job.revision, lambda: ray.get(bundle[0]))
            yield from run_job(folder, stage_job, stage_environment(stage_job, gpus))
    except UserError as error:
        yield tuple(NodeResult(1, (f"ERROR: {error}",), None))


def run_job(
    folder: Path, job: StageJob, environment: Mapping[str, str]
) -> Iterator[list[str] | tuple[Any, ...]]:
    """Run the stage in a free worktree; yield batches of lines, and last the fields of a ``NodeResult``."""
    file = folder / "job.json"
    project = folder.parent.parent
    write_json(
        file,
        {
            "revision": job.revision,
            "bundle": str(folder / "bundle"),
            "files": job.files,
            "cache": str(project / "cache"),
        },
    )
    command = watchdog_command(
        project / "worktrees", module_command("flows.executors.remote_protocol", "make", str(file), job.stage)
    )
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(run_command, command, root=folder, log=lines.put, environment=environment)
        yield from batches(lines, future)
        finished = future.result()
    entry = read_json(file) if finished.exit_code == 0 else None
    yield tuple(NodeResult(finished.exit_code, finished.tail, entry))


def batches(lines: queue.SimpleQueue[str], future: Future[CommandResult]) -> Iterator[list[str]]:
    """Yield the queue's lines until the future is done, a list every ``BATCH_SECONDS`` at most."""
    while True:
        done = future.done()  # asked first: nothing comes after it
        batch = []
        while not lines.empty():
            batch.append(lines.get())
        if batch:
            yield batch
        if done:
            return
        time.sleep(BATCH_SECONDS)


def stage_environment(job: StageJob, gpus: Sequence[str]) -> dict[str, str]:
    """Return the environment of a stage on this node: the node's own, with the head's variables.

    Ray's own variables stay out: a stage has no business with the cluster, whose token is among them.
    """
    own = {name: value for name, value in dvc_environment().items() if not name.startswith("RAY_")}
    return with_pythonpath({**own, **job.environment, VISIBLE_GPUS: ",".join(gpus)})


def node_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder of this node's clones and caches, readable by this user alone.

    Raises:
        UserError: it belongs to somebody else, or others may write into it.
    """
    default = Path(tempfile.gettempdir(), f"oft-ray-{os.getuid()}")
    return private_folder(Path(environment.get(FOLDER) or default), FOLDER)


@contextmanager
def job_folder(folder: Path, project: str) -> Iterator[Path]:
    """Yield an empty folder for one job and remove it afterwards, as well as those of killed workers."""
    jobs = folder / project[:16] / "jobs"
    jobs.mkdir(parents=True, exist_ok=True)
    for left in jobs.iterdir():
        if not Path("/proc", left.name.partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=jobs) as name:
        yield Path(name)


def link_bundle(folder: Path, revision: str, fetch: Callable[[], bytes]) -> None:
    """Put the revision's bundle into a job's folder; ``fetch`` gets it if this node does not have it.

    A node keeps one bundle; a job of another revision may remove that at any time, but not the job's link.
    """
    kept = folder.parent.parent / f"{revision}.bundle"
    try:
        os.link(kept, folder / "bundle")
        return
    except FileNotFoundError:
        (folder / "bundle").write_bytes(fetch())
    for old in kept.parent.glob("*.bundle"):
        old.unlink(missing_ok=True)
    with suppress(FileExistsError):  # another job of this revision was first
        os.link(folder / "bundle", kept)
