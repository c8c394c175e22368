"""Which device a process computes on: hardware is never a setting, it must not change results."""

from __future__ import annotations


def choose_device() -> str:
    """Return "cuda" where there is one, else "cpu"; CUDA_VISIBLE_DEVICES chooses among several."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def make_deterministic() -> None:
    """Let every operation give the same result each time on one machine; those that cannot raise an error."""
    import os

    import torch

    # cuBLAS needs a fixed workspace for it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
