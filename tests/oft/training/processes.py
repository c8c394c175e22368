"""Ranks for tests: processes on this machine that meet as those of a training do."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

from oft.training.distributed import ALONE, LAUNCHER_VARIABLES, Layout, join, leave

# One process that has imported what trainings need, and computed nothing: forks of it start at once and are
# safe, whatever the process of the tests has done with threads or a GPU.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["diffusers.models.unets", "tests.oft.training.rank_jobs"])

Told = dict[str, str]


def run_ranks(
    folder: Path, num_ranks: int, job: Callable[..., Any], *arguments: Any, told: list[Told] | None = None
) -> list[Any]:
    """Return what ``job(ranks, *arguments)`` gave in each process: its result, or the exception it raised.

    Args:
        told: what stands otherwise in each one's environment than torchrun would have put there.
    """
    meeting = Path(mkdtemp(dir=folder))
    processes = [
        _CONTEXT.Process(
            target=_run_rank,
            args=(meeting, num_ranks, place, told[place] if told else {}, job, arguments),
        )
        for place in range(num_ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * num_ranks
    return [torch.load(meeting / f"{place}.pt", weights_only=False) for place in range(num_ranks)]


def _run_rank(
    meeting: Path, num_ranks: int, place: int, told: Told, job: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    os.environ |= {
        "CUDA_VISIBLE_DEVICES": "",
        "GLOO_SOCKET_IFNAME": "lo",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        **dict.fromkeys(LAUNCHER_VARIABLES, "0"),
        "LOCAL_RANK": str(place),
        "WORLD_SIZE": str(num_ranks),
        **told,
    }
    torch.set_num_threads(1)
    result: Any
    try:
        ranks = ALONE if num_ranks == 1 else join(Layout(num_ranks), meeting / "store")
        result = job(ranks, *arguments)
        leave()
    except BaseException as fault:
        result = type(fault)(str(fault))
    torch.save(result, meeting / f"{place}.pt")
