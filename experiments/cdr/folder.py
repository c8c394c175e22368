"""The folder of a run: what was made stays and is not made again, under settings that do not change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments.cdr.adaptation import pretrain
from experiments.cdr.protocol import Protocol
from oft.adapters.tensors import read_tensors, write_tensors
from oft.errors import UserError
from oft.storage import flatten, read_json, write_json

SETTINGS_FILE = "settings.json"
TELEMETRY_FOLDER = "telemetry"
"""Seconds, which differ from run to run: git ignores the folder wherever it lies."""


class RunFolder:
    """Results in files by key, each written whole or not at all."""

    def __init__(self, root: Path, settings: Mapping[str, Any]) -> None:
        """Take a folder that is new or holds results of the same settings.

        Raises:
            UserError: it holds results of other settings.
        """
        self.root = Path(root)
        self._settings = settings
        target = self.root / SETTINGS_FILE
        if target.exists():
            _refuse_other_settings(target, settings)

    def has(self, *key: str) -> bool:
        """Return whether the result is there."""
        return self._path(*key).exists()

    def result(self, *key: str, make: Callable[[], Any]) -> Any:
        """Return a result, plain values, from its file; if there is none, make it and write it.

        Raises:
            UserError: the file is damaged.
        """
        path = self._path(*key)
        if not path.exists():
            with self._making("/".join(key)):
                made = make()
            write_json(path, made)
        try:
            return read_json(path)
        except (OSError, ValueError) as fault:
            raise UserError(
                f"{path}: must be a result that this run wrote, as JSON, and is not ({fault}); remove the "
                "file and run again"
            ) from fault

    def pretrained(self, protocol: Protocol, seed: int) -> dict[str, Tensor]:
        """Return the pretrained weights of a seed, from their file or trained now.

        Raises:
            CheckpointError: the file is damaged.
        """
        path = self.root / "pretrained" / f"seed-{seed}.safetensors"
        if not path.exists():
            with self._making(f"pretrained/{seed}"):
                weights = pretrain(protocol, seed)
            write_tensors(path, weights, {})
        return read_tensors(path)[0]

    def _path(self, *key: str) -> Path:
        return self.root.joinpath(*key[:-1], f"{key[-1]}.json")

    @contextmanager
    def _making(self, what: str) -> Iterator[None]:
        """Say first what the folder's results are of, and afterwards how long one of them took."""
        if not (self.root / SETTINGS_FILE).exists():
            write_json(self.root / SETTINGS_FILE, self._settings)
        start = time.monotonic()
        yield
        folder = self.root / TELEMETRY_FOLDER
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        with (folder / "seconds.tsv").open("a", encoding="utf-8") as stream:
            stream.write(f"{what}\t{time.monotonic() - start:.2f}\n")


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch add in one order inside the block: how many threads share a sum changes its last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _refuse_other_settings(target: Path, settings: Mapping[str, Any]) -> None:
    try:
        found = flatten(read_json(target))
    except (OSError, ValueError, AttributeError) as fault:
        raise UserError(
            f"{target}: must be the settings of the results beside it, as JSON, and is not ({fault}); give "
            "another folder"
        ) from fault
    wanted = flatten(settings)
    for key in sorted(found.keys() | wanted.keys()):
        if found.get(key) != wanted.get(key):
            raise UserError(
                f"{target}: results of one folder must have the same settings, and {key} is "
                f"{found.get(key)!r} there and {wanted.get(key)!r} now; give another folder"
            )
