"""Whether the machine can do it: disk, GPU, packages, accounts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from oft.doctor.finding import Finding, Scope
from oft.errors import UserError
from oft.models.hub import is_hub_id
from oft.settings.paths import named_paths

if TYPE_CHECKING:
    from oft.params import Params

LITTLE_BYTES = 2_000_000_000
"""Less room than this on the disk is worth a word: the default run takes about half of it."""


def check_disk(params: Params, root: Path, scope: Scope) -> Iterator[Finding]:
    """Yield how much room the repository's disk has."""
    free = shutil.disk_usage(root).free
    level, remedy = ("warning", "; make room") if free < LITTLE_BYTES else ("ok", "")
    yield Finding(level, "disk", f"{free / 1e9:.1f} GB free{remedy}")  # type: ignore[arg-type]


def check_gpu(params: Params, root: Path, scope: Scope) -> Iterator[Finding]:
    """Yield the GPU, and a fault for each setting of a training to be done that needs one and has none."""
    if not (scope.has("train") or scope.has("fit")):
        return  # importing torch takes seconds
    import torch

    from oft.training.setup import refuse_what_is_missing

    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    yield Finding("ok", "GPU", name)
    for section, script in (("train", "train"), ("train_subject", "train"), ("fit_magnitude", "fit")):
        if scope.has(script):
            try:
                refuse_what_is_missing(getattr(params, section))
            except UserError as fault:
                yield Finding("fault", section, str(fault))


def check_account(params: Params, root: Path, scope: Scope) -> Iterator[Finding]:
    """Yield whether there is a token for the hub, where something comes from it."""
    if not any(is_hub_id(text) for text in named_paths(params.model_dump()).values()):
        return
    from huggingface_hub import get_token

    there = get_token() is not None
    yield Finding(
        "ok",
        "Hugging Face hub",
        "a token is there" if there else "no token; models with a licence to accept need `hf auth login`",
    )
