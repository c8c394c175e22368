"""A training stage as several real processes: it ends as one does, with one message, and leaves none."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from oft.errors import TrainingError
from oft.training.distributed import NODE_RANK, NODES, PROCESSES, RENDEZVOUS
from stages.launch import ranks
from tests.conftest import ROOT
from tests.processes import is_running
from tests.stages.conftest import Start, finish, wait_until

TWO = {PROCESSES: "2", "OFT_WARM_LIBRARIES": "torch"}
SETTINGS: Any = SimpleNamespace(batch_size=4, gradient_accumulation_steps=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for all tests here, so that one warm server imports torch for all stages."""
    folder = tmp_path_factory.mktemp("ranks")
    yield folder
    shutil.rmtree(folder / ".warm", ignore_errors=True)


def write_job(folder: Path, body: str) -> None:
    """Write job.py, whose ranks do ``body``."""
    (folder / "job.py").write_text(
        """\
import os, sys, time
from types import SimpleNamespace
from oft.errors import TrainingError
from stages.launch.ranks import join_ranks, run, run_as_ranks
def main(arguments):
    if run_as_ranks(arguments, SimpleNamespace(batch_size=4, gradient_accumulation_steps=1)):
        return
"""
        + textwrap.indent(textwrap.dedent(body), "    ")
        + '\nif __name__ == "__main__":\n    run(main, sys.argv[1:])\n'
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_one_process_imports_and_starts_nothing_more(folder: Path, start: Start) -> None:
    write_job(folder, "print('torch' in sys.modules, join_ranks())")
    for asked in ({}, {PROCESSES: "1"}):
        assert finish(start(OFT_WARM="", **asked)) == (0, "False Ranks(rank=0, num=1, num_here=1)\n", "")


def test_ranks_do_what_the_stage_is_for_and_the_first_speaks(folder: Path, start: Start) -> None:
    write_job(
        folder,
        """
        ranks = join_ranks()
        told = ranks.gather([ranks.rank])
        print(arguments, ranks, told, "WORLD_SIZE" in os.environ, os.environ.get("OFT_WARM"), flush=True)
        """,
    )
    status, output, errors = finish(start("--task", "a b", **TWO))
    expected = "['--task', 'a b'] Ranks(rank={}, num=2, num_here=2) [0, 1] False None\n"
    assert (status, errors) == (0, "")
    assert output == "job@a_b: 2 processes\n" + expected.format(0)
    assert (folder / ".logs" / "job@a_b-rank-1.txt").read_text() == expected.format(1)
    assert [file.name for file in (folder / ".telemetry").glob("*a_b*")] == ["job@a_b.json"]


def test_a_fault_of_one_rank_ends_all_with_one_message(folder: Path, start: Start) -> None:
    write_job(
        folder,
        """
        if arguments[0] == "die":
            ranks = join_ranks()
            ranks.sum(1)
            if ranks.first:
                ranks.sum(1)  # for which the other never comes
            os.kill(os.getpid(), 9)
        if os.environ["RANK"] == "0":
            time.sleep(600)
        if arguments[0] == "refuse":
            raise TrainingError("params.yaml: mend it")
        1 / 0
        """,
    )
    said = "job@refuse: 2 processes\n"
    assert finish(start("refuse", **TWO)) == (1, said, "params.yaml: mend it\n")
    status, _, errors = finish(start("divide", **TWO))
    assert status == 1 and errors.startswith("Traceback") and errors.endswith("division by zero\n")
    assert errors.count("Traceback") == 1
    status, _, errors = finish(start("die", **TWO))
    assert status == -signal.SIGKILL
    assert errors.startswith("job@die: process 1 was ended by SIGKILL") and errors.count("\n") == 1


def none_runs(pids: list[int]) -> bool:
    return not any(map(is_running, pids))


@pytest.mark.parametrize("warm", ["", "1"], ids=["cold", "warm"])
def test_no_rank_is_left_when_the_stage_has_gone(folder: Path, start: Start, warm: str) -> None:
    write_job(
        folder,
        """
        with open(f"pid-{os.environ['RANK']}.part", "w") as file:
            print(os.getpid(), file=file)
        os.rename(file.name, file.name.removesuffix(".part"))
        time.sleep(600)
        """,
    )
    files = [folder / f"pid-{rank}" for rank in range(2)]
    endings = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: -signal.SIGTERM, signal.SIGINT: 130}
    for number, status in list(endings.items())[: 3 if warm else 1]:
        job = start(OFT_WARM=warm, **TWO)
        wait_until(lambda: all(file.exists() for file in files))
        pids = [int(file.read_text()) for file in files]
        assert all(map(is_running, pids))
        job.send_signal(number)
        assert finish(job)[0] == status
        wait_until(partial(none_runs, pids), seconds=2)
        for file in files:
            file.unlink()


DESCENT = """
import torch
from torch import nn
ranks = join_ranks()
weights = nn.Parameter(torch.zeros(3))
optimizer = torch.optim.SGD([weights], lr=0.1)
for step in range(5):
    batch = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))[ranks.mine]
    (batch @ weights - batch.sum(1)).square().mean().backward()
    ranks.average_gradients([weights])
    optimizer.step()
    optimizer.zero_grad()
print(weights.tolist(), flush=True)
"""


def test_two_machines_end_where_one_process_does(folder: Path, start: Start) -> None:
    write_job(folder, DESCENT)
    alone = finish(start(OFT_WARM_LIBRARIES="torch"))
    assert (alone[0], alone[2]) == (0, "")
    meet = {NODES: "2", RENDEZVOUS: f"127.0.0.1:{free_port()}", "OFT_WARM_LIBRARIES": "torch"}
    other, first = (start(**meet, **{NODE_RANK: str(rank)}) for rank in (1, 0))
    status, output, errors = finish(first)
    assert (status, errors) == (0, "")
    head, _, result = output.partition("\n")
    assert head == f"job: 2 processes on 2 machines, meeting at {meet[RENDEZVOUS]}"
    assert json.loads(result) == pytest.approx(json.loads(alone[1]), rel=1e-6)
    assert finish(other) == (0, head + "\n", "")


TORCHRUN = {
    "RANK": "{rank}",
    "WORLD_SIZE": "{size}",
    "LOCAL_RANK": "{rank}",
    "LOCAL_WORLD_SIZE": "{size}",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "{port}",
    "ACCELERATE_MIXED_PRECISION": "fp16",  # accelerate launch says such things too
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4",
}
SRUN = {
    "SLURM_PROCID": "{rank}",
    "SLURM_STEP_NUM_TASKS": "{size}",
    "SLURM_LOCALID": "{rank}",
    "SLURM_STEP_TASKS_PER_NODE": "{size}",
    "SLURM_STEP_NODELIST": "localhost",
    "MASTER_PORT": "{port}",
    "PMI_SIZE": "{size}",
}
UNTOLD = """
told = ("ACCELERATE_", "PMI_", "RANK", "WORLD_SIZE")
left = [name for name in os.environ if name.startswith(told)]
assert not left, left
"""


@pytest.mark.parametrize("told", [TORCHRUN, SRUN], ids=["torchrun", "srun"])
def test_processes_that_others_have_started_end_where_the_stage_s_own_do(
    folder: Path, start: Start, told: dict[str, str]
) -> None:
    write_job(folder, DESCENT + UNTOLD)
    status, output, errors = finish(start(**TWO))
    assert (status, errors) == (0, "")
    port = str(free_port())
    jobs = [
        start(**{name: value.format(rank=rank, size=2, port=port) for name, value in told.items()})
        for rank in range(2)
    ]
    assert [finish(job) for job in jobs] == [(0, output.partition("\n")[2], ""), (0, "", "")]
    assert (folder / ".logs" / "job-rank-1.txt").read_text() == output.partition("\n")[2]


def test_torchrun_itself_starts_a_stage_and_shows_the_fault_of_any_process(folder: Path) -> None:
    write_job(folder, "ranks = join_ranks()\nprint(ranks.gather([ranks.rank]), flush=True)\n" + REFUSING)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "job",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "OFT_WARM": "1"}
    ran = partial(subprocess.run, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    passed = ran(command)
    assert (passed.returncode, passed.stdout) == (0, "[0, 1]\n")
    failed = ran([*command, "refuse"])
    assert failed.returncode == 1
    assert failed.stderr.count("params.yaml: mend it\n") == 1


REFUSING = """
if arguments and not ranks.first:
    raise TrainingError("params.yaml: mend it")
if arguments:
    ranks.sum(1)
"""


def test_machines_that_ask_for_other_numbers_are_refused(folder: Path, start: Start) -> None:
    write_job(folder, DESCENT)
    meet = {NODES: "2", RENDEZVOUS: f"127.0.0.1:{free_port()}", "OFT_WARM_LIBRARIES": "torch"}
    jobs = [start(**meet, **{NODE_RANK: str(rank), PROCESSES: str(1 + rank)}) for rank in range(2)]
    for job, asked in zip(jobs, (2, 4), strict=True):
        status, _, errors = finish(job)
        assert status == 1 and errors.startswith(f"{asked} processes were asked for here")
        assert "and 3 came" in errors and errors.count("\n") == 1


def test_what_does_not_fit_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_start_ranks", lambda *_: pytest.fail("started"))
    monkeypatch.setattr(ranks, "_count_gpus", lambda: 1)
    assert not ranks.run_as_ranks([], SETTINGS)
    with monkeypatch.context() as launched:
        for variable, value in TORCHRUN.items():
            launched.setenv(variable, value.format(rank=0, size=3, port=29400))
        with pytest.raises(TrainingError, match=r"3 processes .* must divide batch_size .4.*: 1, 2, 4"):
            ranks.run_as_ranks([], SETTINGS)
    monkeypatch.setenv(PROCESSES, "3")
    with pytest.raises(TrainingError, match=r"3 processes .* must divide batch_size .4.*: 1, 2, 4"):
        ranks.run_as_ranks([], SETTINGS)
    monkeypatch.setenv(PROCESSES, "2")
    with pytest.raises(TrainingError, match=r"OFT_TRAIN_PROCESSES .2. must be at most .* visible GPUs .1."):
        ranks.run_as_ranks([], SETTINGS)
