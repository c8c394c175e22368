"""From settings to what trains: the accelerator, the optimizer, how the UNet computes; what each needs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from oft.errors import TrainingError
from oft.models.device import attention_kernel, choose_device
from oft.training.distributed import PROCESSES

if TYPE_CHECKING:
    from accelerate import Accelerator
    from diffusers import UNet2DConditionModel

    from oft.settings.training import Optimization

# Accelerate's names for what params.yaml calls by the type of products.
ACCELERATE_PRECISION = {"fp32": "no", "fp16": "fp16", "bf16": "bf16"}

# By setting, the value that does, and what to take instead.
NEED_A_GPU = {
    "mixed_precision": ("fp16", "bf16 or fp32"),
    "optimizer": ("adamw8bit", "adamw"),
    "attention": ("xformers", "auto"),
}


def make_accelerator(settings: Optimization, logs: Path) -> Accelerator:
    """Return the accelerator of one training in this process.

    Raises:
        TrainingError: a setting needs a GPU, a package is missing, or processes are several.
    """
    from accelerate import Accelerator

    refuse_what_is_missing(settings)
    device = choose_device()
    accelerator = Accelerator(
        cpu=device == "cpu",
        mixed_precision=ACCELERATE_PRECISION[settings.mixed_precision],
        log_with=list(settings.log_to) or None,
        project_dir=str(logs) if settings.log_to else None,
    )
    if accelerator.num_processes > 1:
        raise TrainingError(
            f"this process was started as one of {accelerator.num_processes}, and how to meet the others is "
            f"not known; use torchrun, accelerate launch or srun, or set {PROCESSES} alone"
        )
    return accelerator


def refuse_what_is_missing(settings: Optimization) -> None:
    """Refuse settings that this machine cannot train with.

    Raises:
        TrainingError: a setting needs a GPU, or a package is missing.
    """
    if choose_device() == "cpu":
        _refuse_what_needs_a_gpu(settings)
    for package in settings.log_to:
        require(package, f"log_to: {package}", package)
    if settings.optimizer == "adamw8bit":
        require("bitsandbytes", "optimizer: adamw8bit", "adam8bit")
    if settings.attention == "xformers":
        require("xformers", "attention: xformers", "xformers")


def _refuse_what_needs_a_gpu(settings: Optimization) -> None:
    chosen = settings.model_dump(include=set(NEED_A_GPU))
    for name, (value, instead) in NEED_A_GPU.items():
        if chosen[name] == value:
            raise TrainingError(
                f"{name}: {value} needs a GPU, and there is none; set it to {instead} in params.yaml"
            )


def make_optimizer(settings: Optimization, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov & Hutter 2019), its moments in 32 bits or in 8 (Dettmers et al. 2022).

    Raises:
        TrainingError: bitsandbytes is missing.
    """
    optimizer_class: Any = torch.optim.AdamW
    if settings.optimizer == "adamw8bit":
        require("bitsandbytes", "optimizer: adamw8bit", "adam8bit")
        import bitsandbytes

        optimizer_class = bitsandbytes.optim.AdamW8bit
    made: torch.optim.Optimizer = optimizer_class(
        list(parameters),
        lr=settings.peak_learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        weight_decay=settings.weight_decay,
    )
    return made


def prepare_unet(unet: UNet2DConditionModel, settings: Optimization) -> None:
    """Let the UNet compute as the settings say: attention, and what is kept for the backward pass.

    Adapters are in the linear layers, which every kind of attention calls.

    Raises:
        TrainingError: xformers is missing or built for another torch.
    """
    if settings.attention == "xformers":
        require("xformers", "attention: xformers", "xformers")
        try:
            unet.enable_xformers_memory_efficient_attention()
        except Exception as fault:  # whatever a library built for another torch raises
            raise TrainingError(
                f"attention: xformers does not work here ({type(fault).__name__}: {fault}); "
                "install the release built for this torch, or set attention to auto in params.yaml"
            ) from fault
    if settings.gradient_checkpointing:
        unet.enable_gradient_checkpointing(lambda block, *inputs: _recomputed(block, settings, *inputs))


def _recomputed(block: nn.Module, settings: Optimization, *inputs: Any) -> Any:
    """Return a block's output, keeping its input alone for the backward pass (Chen et al. 2016)."""
    from torch.utils.checkpoint import checkpoint

    device = next(block.parameters()).device.type

    def kernels() -> tuple[Any, Any]:
        # The second pass must attend as the first did: each kernel saves other tensors.
        return attention_kernel(device, settings.attention), attention_kernel(device, settings.attention)

    return checkpoint(block, *inputs, use_reentrant=False, context_fn=kernels)


def require(package: str, setting: str, extra: str) -> None:
    """Refuse a setting whose package is not installed.

    Raises:
        TrainingError: it names the extra that brings it.
    """
    if find_spec(package) is None:
        raise TrainingError(
            f"{setting} needs the package {package}, and it is not installed; install it with "
            f"`.venv/bin/uv pip install '.[{extra}]'`, or change the setting in params.yaml"
        )
