"""What a measurement was made on, without names of hosts, users or days."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch

from oft.parallel import usable_cores

LIBRARIES = ("torch", "diffusers", "peft")
MATMUL_SIZE = 1024


def describe_machine(device: torch.device) -> dict[str, str | int]:
    """Return the processor, the cores this process may use and, on CUDA, the GPU."""
    machine: dict[str, str | int] = {"cpu": cpu_model(), "cores": usable_cores()}
    if device.type == "cuda":
        machine["gpu"] = torch.cuda.get_device_name(device)
    return machine


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries compared."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name as Linux gives it, else its architecture."""
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def matmul_tflops(device: torch.device) -> float:
    """Return 10¹² multiplications and additions a second of one matrix product, the best of five."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    matrix = torch.ones(MATMUL_SIZE, MATMUL_SIZE, device=device, dtype=dtype)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        product = matrix @ matrix
        product[0, 0].item()  # waits for the device
        seconds.append(time.perf_counter() - start)
    return 2 * MATMUL_SIZE**3 / min(seconds) / 1e12
