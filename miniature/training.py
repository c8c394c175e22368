"""One training loop for every miniature network: AdamW, warm-up, cosine decay, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from oft.storage import atomic_file

LOG_EVERY_STEPS = 50
CHECKPOINT_EVERY_STEPS = 500

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class FitSettings:
    """How one network is trained.

    Attributes:
        steps: optimizer steps.
        batch_size: pictures a step.
        learning_rate: peak rate after ``warmup_steps``; decays along a cosine.
        decay_steps: the step at which the cosine reaches zero; None for the last one. A training that ends
            before has almost as small a rate and can be shorter.
        ema_decay: decay of the running average of the weights, which is what is kept.
    """

    steps: int
    batch_size: int
    learning_rate: float
    decay_steps: int | None = None
    warmup_steps: int = 100
    weight_decay: float = 0.01
    ema_decay: float = 0.998


def rate_factor(step: int, settings: FitSettings) -> float:
    """Return the learning rate at ``step`` as a fraction of its peak."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    last = settings.decay_steps or settings.steps
    progress = (step - settings.warmup_steps) / max(1, last - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * progress))


def fit(
    name: str,
    modules: Iterable[Module],
    compute_loss: Callable[[np.ndarray, np.random.Generator, torch.Generator], Tensor],
    num_examples: int,
    settings: FitSettings,
    seed: int,
    checkpoint: Path | None = None,
) -> tuple[list[Module], list[dict[str, Any]]]:
    """Train ``modules`` together and return their averaged copies and the log.

    ``compute_loss(indices, rng, generator)`` gets the step's example indices and two sources of randomness
    that depend on the seed and the step alone. The state goes to the file ``checkpoint`` now and then; where
    it is there, training goes on from it, to the same weights.
    """
    # Channels last is the layout the processor's convolutions are fastest in.
    modules = [module.to(memory_format=torch.channels_last) for module in modules]
    parameters = [parameter for module in modules for parameter in module.parameters()]
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98)
    )
    averaged = [deepcopy(module).requires_grad_(False) for module in modules]
    for module in modules:
        module.train()
    rows: list[dict[str, Any]] = []
    recent: list[float] = []
    first_step = 0
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for module, weights in zip([*modules, *averaged], state["modules"], strict=True):
            module.load_state_dict(weights)
        optimizer.load_state_dict(state["optimizer"])
        rows, first_step = state["rows"], state["step"]
    bar = tqdm(
        range(first_step, settings.steps),
        desc=name,
        initial=first_step,
        total=settings.steps,
        mininterval=10,
        unit="step",
    )
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * rate_factor(step, settings)
        rng = np.random.default_rng(np.random.SeedSequence([seed, step]))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        indices = rng.choice(num_examples, size=min(settings.batch_size, num_examples), replace=False)
        # Dropout draws from the global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator.initial_seed())
            loss = compute_loss(indices, rng, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        update_average(averaged, modules, min(settings.ema_decay, (1 + step) / (10 + step)))
        recent.append(loss.item())
        if (step + 1) % LOG_EVERY_STEPS == 0 or step + 1 == settings.steps:
            rows.append({"network": name, "step": step + 1, "loss": round(float(np.mean(recent)), 6)})
            bar.set_postfix(loss=f"{rows[-1]['loss']:.4f}")
            recent.clear()
        if checkpoint is not None and (step + 1) % CHECKPOINT_EVERY_STEPS == 0:
            _save_state(checkpoint, [*modules, *averaged], optimizer, rows, step + 1)
    return [module.eval() for module in averaged], rows


def _save_state(
    checkpoint: Path,
    modules: Sequence[nn.Module],
    optimizer: torch.optim.Optimizer,
    rows: list[dict[str, Any]],
    step: int,
) -> None:
    state: dict[str, Any] = {
        "modules": [module.state_dict() for module in modules],
        "optimizer": optimizer.state_dict(),
        "rows": rows,
        "step": step,
    }
    with atomic_file(checkpoint) as partial:
        torch.save(state, partial)


@torch.no_grad()
def update_average(averaged: Sequence[nn.Module], modules: Sequence[nn.Module], decay: float) -> None:
    """Move each averaged weight towards the trained one; buffers (batch statistics) are copied."""
    for average, module in zip(averaged, modules, strict=True):
        targets: list[Tensor] = list(average.parameters())
        sources = [parameter.detach() for parameter in module.parameters()]
        torch._foreach_lerp_(targets, sources, 1 - decay)
        for target, source in zip(average.buffers(), module.buffers(), strict=True):
            target.copy_(source)


def to_tensor(images: np.ndarray) -> Tensor:
    """Return pictures uint8 [n, h, w, 3] as floats [n, 3, h, w] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
