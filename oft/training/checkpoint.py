"""Checkpoints a training resumes from. They live outside DVC's outs, in a folder named by all that shapes the
result (settings, inputs, code), so an interrupted run goes on and a changed one starts anew."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oft.storage import atomic_file, sha256_file

FILE_NAME = "state.pt"


@dataclass
class TrainState:
    """Everything a resumed training needs; randomness needs nothing, it is a function of seed and step.

    Attributes:
        step: steps done.
        parameters: trained values by name.
        optimizer: the optimizer's state dict.
        log: rows of logged values so far.
        losses: of the steps since the last row.
        averages: moving averages of the parameters, where they are kept.
        scaler: the state of the loss's scale, in fp16.
        hooks: what an adapter remembers from step to step, beside its parameters.
    """

    step: int
    parameters: dict[str, Tensor]
    optimizer: dict[str, Any]
    log: list[dict[str, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    averages: dict[str, Tensor] | None = None
    scaler: dict[str, Any] | None = None
    hooks: dict[str, Tensor] = field(default_factory=dict)


def run_key(settings: Mapping[str, Any], inputs: Iterable[Path], code: Iterable[Path]) -> str:
    """Return a short hash of settings, input files and source files; order of files does not matter."""
    described = {
        "settings": settings,
        "inputs": sorted(f"{path.as_posix()} {sha256_file(path)}" for path in _files(inputs)),
        "code": sorted(f"{path.name} {sha256_file(path)}" for path in _files(code)),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:20]


def _files(paths: Iterable[Path]) -> list[Path]:
    return [
        file
        for path in paths
        for file in ([path] if path.is_file() else sorted(path.rglob("*")))
        if file.is_file() and "__pycache__" not in file.parts
    ]


def save_state(folder: Path, state: TrainState) -> None:
    """Write a checkpoint in place of the one before it; a kill leaves one of the two."""
    with atomic_file(folder / FILE_NAME) as partial:
        torch.save(vars(state), partial)


def load_state(folder: Path) -> TrainState | None:
    """Return the checkpoint in ``folder``, or None where there is none that can be read."""
    try:
        return TrainState(**torch.load(folder / FILE_NAME, weights_only=True))
    except FileNotFoundError:
        return None
    except (RuntimeError, EOFError, pickle.UnpicklingError, TypeError) as fault:
        print(
            f"{folder / FILE_NAME}: unreadable ({type(fault).__name__}); training starts from the beginning"
        )
        return None
