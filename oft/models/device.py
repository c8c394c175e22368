"""Which device a process computes on: hardware is never a setting, it must not change results."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

# How many threads add up a sum decides how it is rounded, so the number is fixed, whatever the machine has.
# One, because the miniature networks gain little from more, and stages run side by side; large ones are not
# trained on processors.
CPU_THREADS = 1


def choose_device() -> str:
    """Return "cuda" where there is one, else "cpu"; CUDA_VISIBLE_DEVICES chooses among several."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def make_deterministic() -> None:
    """Let every operation give the same result each time on one machine; those that cannot raise an error.

    OMP_NUM_THREADS and the number of cores change nothing: torch uses ``CPU_THREADS``.
    """
    import os

    import torch

    # cuBLAS needs a fixed workspace for it.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(CPU_THREADS)


def attention_kernel(device_type: str, attention: str = "auto") -> AbstractContextManager[Any]:
    """Return the context for attention in a training's forward pass; all but "auto" leave PyTorch its choice.

    On processors the backward pass of PyTorch's fused attention in bfloat16 takes a quarter of a step of the
    miniature denoiser, and plain products are faster; elsewhere the choice is PyTorch's.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    plain = attention == "auto" and device_type == "cpu" and torch.is_autocast_enabled("cpu")
    return sdpa_kernel(SDPBackend.MATH) if plain else nullcontext()
