"""Time one training step of the miniature UNet under each adapter, all in one run, interleaved.

A step is forward, backward and AdamW; the frozen base, which trains nothing, goes backward to its input.
Machines are noisy: compare minima, and ratios rather than seconds.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from oft.adapters import UNET_CONTROL_TARGETS, OFTConfig, inject_oft
from oft.models.device import choose_device
from oft.models.loading import hide_loading_bars
from oft.progress import progress
from oft.storage import write_json

UNET = Path("data/models/miniature/base/unet")
NUM_BLOCKS = 4
LORA_RANK = 16
Parameters = list[nn.Parameter]


def add_ours(unet: nn.Module, num_blocks: int) -> Parameters:
    """Adapt with this project's OFT."""
    return inject_oft(unet, OFTConfig(UNET_CONTROL_TARGETS, num_blocks=num_blocks)).adapter_parameters()


def add_peft(unet: Any, config: Any) -> Parameters:
    """Adapt with a PEFT config, through diffusers."""
    unet.add_adapter(config)
    return [parameter for parameter in unet.parameters() if parameter.requires_grad]


def variants() -> dict[str, Callable[[Any], Parameters]]:
    """Return what is compared: each takes a frozen UNet, adapts it and returns what is trained."""
    from peft import LoraConfig
    from peft import OFTConfig as PeftOFTConfig

    targets = list(UNET_CONTROL_TARGETS)

    def peft_oft(neumann: bool) -> Any:
        return PeftOFTConfig(
            r=NUM_BLOCKS,
            oft_block_size=0,
            target_modules=targets,
            use_cayley_neumann=neumann,
            num_cayley_neumann_terms=5,
        )

    return {
        "frozen base": lambda unet: [],
        f"OFT, {NUM_BLOCKS} blocks": lambda unet: add_ours(unet, NUM_BLOCKS),
        "OFT, 1 block": lambda unet: add_ours(unet, 1),
        f"PEFT OFT exact, {NUM_BLOCKS} blocks": lambda unet: add_peft(unet, peft_oft(neumann=False)),
        f"PEFT OFT Neumann 5, {NUM_BLOCKS} blocks": lambda unet: add_peft(unet, peft_oft(neumann=True)),
        f"PEFT LoRA, rank {LORA_RANK}": lambda unet: add_peft(
            unet, LoraConfig(r=LORA_RANK, lora_alpha=LORA_RANK, target_modules=targets)
        ),
    }


class Step:
    """One variant, ready to take a training step on fixed random inputs."""

    def __init__(self, adapt: Callable[[Any], Parameters], batch_size: int, device: str) -> None:
        from diffusers import UNet2DConditionModel

        unet = UNet2DConditionModel.from_pretrained(UNET, use_safetensors=True).float()
        self.unet = unet.requires_grad_(False).to(device, memory_format=torch.channels_last)
        trained = adapt(self.unet)
        self.unet.to(device)
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4) if trained else None
        generator = torch.Generator().manual_seed(0)
        config = self.unet.config
        size = int(config.sample_size)
        self.noisy = torch.randn(batch_size, config.in_channels, size, size, generator=generator).to(device)
        self.noise = torch.randn(self.noisy.shape, generator=generator).to(device)
        self.timesteps = torch.randint(1000, (batch_size,), generator=generator).to(device)
        self.hidden = torch.randn(batch_size, 32, config.cross_attention_dim, generator=generator).to(device)
        self.noisy.requires_grad_(self.optimizer is None)

    def take(self) -> float:
        """Take a step and return its seconds."""
        start = time.perf_counter()
        predicted = self.unet(self.noisy, self.timesteps, self.hidden).sample
        (predicted - self.noise).square().mean().backward()
        if self.optimizer is not None:
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self.noisy.grad = None
        if self.noisy.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start


def main(arguments: list[str]) -> None:
    """Print a table and write the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="steps of each variant that are timed")
    parser.add_argument("--batch-size", type=int, default=16, help="pictures a step")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch, on a processor")
    parser.add_argument("--out", type=Path, default=Path(".benchmarks/training_step.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    hide_loading_bars()
    device = choose_device()
    steps = {name: Step(adapt, options.batch_size, device) for name, adapt in variants().items()}
    for step in steps.values():
        step.take()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    with progress(total=options.rounds, initial=0, description="rounds", unit="round") as bar:
        for _ in range(options.rounds):
            for name, step in steps.items():
                seconds[name].append(step.take())
            bar.advance(1)
    fastest = min(seconds["frozen base"])
    rows = {
        name: {
            "min_ms": round(1000 * min(taken), 2),
            "median_ms": round(1000 * statistics.median(taken), 2),
            "times_frozen": round(min(taken) / fastest, 3),
        }
        for name, taken in seconds.items()
    }
    machine = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    print(json.dumps({"machine": machine, "threads": options.threads, "batch_size": options.batch_size}))
    print(f"{'variant':34}{'min ms':>10}{'median ms':>12}{'x frozen':>10}")
    for name, row in rows.items():
        print(f"{name:34}{row['min_ms']:10.1f}{row['median_ms']:12.1f}{row['times_frozen']:10.2f}")
    write_json(
        options.out,
        {
            "machine": machine,
            "torch": torch.__version__,
            "threads": options.threads,
            "batch_size": options.batch_size,
            "variants": rows,
        },
    )


if __name__ == "__main__":
    main(sys.argv[1:])
