"""What a node of a Ray cluster does for a stage; runs in a worker of Ray's, with the head's code."""

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
from flows.executors.pythonpath import program, with_code
from flows.executors.watchdog import leash_command
from flows.process import Finished, run_command
from flows.resources import VISIBLE_GPUS
from oft.errors import UserError
from oft.storage import read_json, write_json

FOLDER = "OFT_RAY_FOLDER"
LINES_SECONDS = 0.2  # how long lines are gathered before they are sent


class Job(NamedTuple):
    """One stage to make.

    Attributes:
        stage: its name.
        revision: the commit whose code makes it.
        project: tells clones of one project from those of others.
        files: text of params.yaml and dvc.lock as the head has them.
        environment: what the head's environment has to say to the stage; never a secret.
    """

    stage: str
    revision: str
    project: str
    files: dict[str, str]
    environment: dict[str, str]


class Made(NamedTuple):
    """How a job ended: as a command does, and, where it passed, the stage's run-cache entry."""

    exit_code: int
    tail: tuple[str, ...]
    entry: dict[str, str] | None


def make_stage(job: Sequence[Any], bundle: Sequence[Any]) -> Iterator[list[str] | tuple[Any, ...]]:
    """Make a stage, a generator task of Ray's.

    Args:
        job: the fields of a ``Job``; plain values, since head and node may differ in everything else.
        bundle: a reference to the revision's git bundle, fetched where it is not here yet.

    Yields:
        Lists of lines as the stage prints them, and last the fields of a ``Made``.
    """
    import ray

    wanted = Job(*job)
    yield [f"{wanted.stage} goes to node {ray.util.get_node_ip_address()}"]
    gpus = [str(gpu) for gpu in ray.get_gpu_ids()]
    try:
        with job_folder(node_folder(os.environ), wanted.project) as folder:
            link_bundle(folder, wanted.revision, lambda: ray.get(bundle[0]))
            yield from run_job(folder, wanted, stage_environment(wanted, gpus))
    except UserError as error:
        yield tuple(Made(1, (f"ERROR: {error}",), None))


def run_job(folder: Path, job: Job, environment: Mapping[str, str]) -> Iterator[list[str] | tuple[Any, ...]]:
    """Make the stage in a free slot; yield its lines in batches, and last the fields of a ``Made``."""
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
    command = leash_command(
        project / "slots", program("flows.executors.remote_protocol", "make", str(file), job.stage)
    )
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(run_command, command, root=folder, log=lines.put, environment=environment)
        yield from batches(lines, future)
        finished = future.result()
    entry = read_json(file) if finished.exit_code == 0 else None
    yield tuple(Made(finished.exit_code, finished.tail, entry))


def batches(lines: queue.SimpleQueue[str], future: Future[Finished]) -> Iterator[list[str]]:
    """Yield what comes into the queue until the future is done, a list each ``LINES_SECONDS`` at most."""
    while True:
        done = future.done()  # asked first: nothing comes after it
        batch = []
        while not lines.empty():
            batch.append(lines.get())
        if batch:
            yield batch
        if done:
            return
        time.sleep(LINES_SECONDS)


def stage_environment(job: Job, gpus: Sequence[str]) -> dict[str, str]:
    """Return the environment of a stage on this node: the node's own, with what the head has to say.

    Ray's own variables stay out: a stage has no business with the cluster, whose token is among them.
    """
    own = {name: value for name, value in dvc_environment().items() if not name.startswith("RAY_")}
    return with_code({**own, **job.environment, VISIBLE_GPUS: ",".join(gpus)})


def node_folder(environment: Mapping[str, str]) -> Path:
    """Return the folder in which this node keeps clones and caches, readable by this user alone.

    Raises:
        UserError: it belongs to somebody else, or others may write into it.
    """
    default = Path(tempfile.gettempdir(), f"oft-ray-{os.getuid()}")
    folder = Path(environment.get(FOLDER) or default).absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid() or found.st_mode & 0o022 or folder.is_symlink():
        raise UserError(
            f"{folder} on the node must be a folder of your own that nobody else may write to; "
            f"`chmod 700` it, or start the node with {FOLDER} naming another"
        )
    return folder


@contextmanager
def job_folder(folder: Path, project: str) -> Iterator[Path]:
    """Yield an empty folder for one job, removed afterwards; so are those that killed workers have left."""
    jobs = folder / project[:16] / "jobs"
    jobs.mkdir(parents=True, exist_ok=True)
    for left in jobs.iterdir():
        if not Path("/proc", left.name.partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=jobs) as name:
        yield Path(name)


def link_bundle(folder: Path, revision: str, fetch: Callable[[], bytes]) -> None:
    """Put the revision's bundle into a job's folder; ``fetch`` gets it where this node has it not yet.

    A node keeps one; a job of another revision may remove it at any time, but not what is linked.
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
