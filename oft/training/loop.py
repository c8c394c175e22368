"""The one training loop: accelerate, a schedule, clipping, averages, checkpoints. It knows no task."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from oft.errors import TrainingError
from oft.progress import progress
from oft.training.averaging import MovingAverage
from oft.training.checkpoint import TrainState, load_state, save_state
from oft.training.distributed import ALONE, Ranks
from oft.training.setup import make_optimizer

if TYPE_CHECKING:
    from accelerate import Accelerator

    from oft.settings.training import Optimization
    from oft.training.objective import Objective

LOG_EVERY_STEPS = 10


def rate_factor(step: int, settings: Optimization) -> float:
    """Return the learning rate of a step as a share of its peak: linear warm-up, then constant or cosine."""
    if step < settings.warmup_steps:
        return (step + 1) / (settings.warmup_steps + 1)
    if settings.schedule == "constant":
        return 1.0
    progressed = (step - settings.warmup_steps) / (settings.max_train_steps - settings.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * progressed))


def shared_state(state: TrainState | None, ranks: Ranks) -> TrainState | None:
    """Return the first rank's checkpoint: the machines of the others need not have it."""
    shared = ranks.from_first(None if state is None else vars(state))
    return None if shared is None else TrainState(**shared)


def run_training(
    accelerator: Accelerator,
    parameters: Mapping[str, nn.Parameter],
    objective: Objective,
    settings: Optimization,
    *,
    scratch: Path,
    name: str,
    on_log: Callable[[dict[str, float]], None],
    on_validate: Callable[[int], None] | None = None,
    validate_every_steps: int = 1,
    ranks: Ranks = ALONE,
) -> list[dict[str, float]]:
    """Minimise ``objective`` over ``parameters`` in place and return the log.

    A run that was interrupted goes on from its last checkpoint in ``scratch`` and ends with the same values
    as one that was not: batches and noise follow from seed and step, everything else is in the checkpoint.
    With ``ema_decay`` the parameters end as, and are validated with, their moving averages.

    Several ``ranks`` average gradients and losses, so that all of them go on alike; the first alone reads and
    writes checkpoints.

    Args:
        objective: the losses of a step's micro-batches.
        on_log: gets each row ``{"step", "loss", "learning_rate"}``, also those of before an interruption.
        on_validate: called after every ``validate_every_steps`` steps and after the last, with the step.
    """
    optimizer = accelerator.prepare(make_optimizer(settings, parameters.values()))
    average = MovingAverage(parameters, settings.ema_decay) if settings.ema_decay else None
    state = shared_state(load_state(scratch) if ranks.first else None, ranks)
    log: list[dict[str, float]] = []
    losses: list[float] = []
    first = 0
    if state is not None:
        with torch.no_grad():
            for key, parameter in parameters.items():
                parameter.copy_(state.parameters[key])
        optimizer.load_state_dict(state.optimizer)
        if average is not None and state.averages is not None:
            average.load(state.averages)
        if accelerator.scaler is not None and state.scaler is not None:
            accelerator.scaler.load_state_dict(state.scaler)
        log, losses, first = state.log, state.losses, state.step
        for row in log:
            on_log(row)

    with progress(total=settings.max_train_steps, initial=first, description=name, unit="step") as bar:
        for step in range(first, settings.max_train_steps):
            rate = settings.learning_rate * rate_factor(step, settings)
            for group in optimizer.param_groups:
                group["lr"] = rate
            step_loss = 0.0
            for loss in objective(step):
                accelerator.backward(loss)
                step_loss += float(loss.detach())
            # Before the gradients: if a rank has failed the others learn of it here, whatever carries those.
            step_loss = ranks.sum(step_loss) / ranks.num
            if not math.isfinite(step_loss):
                raise TrainingError(
                    f"{name}: the loss is {step_loss} at step {step}; "
                    f"lower learning_rate ({settings.learning_rate}) in params.yaml"
                )
            ranks.average_gradients(parameters.values())
            accelerator.clip_grad_norm_(list(parameters.values()), settings.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(step_loss)
            done = step + 1
            if average is not None:
                average.update(done)
            last = done == settings.max_train_steps
            if done % LOG_EVERY_STEPS == 0 or last:
                row = {
                    "step": done,
                    "loss": round(math.fsum(losses) / len(losses), 6),
                    "learning_rate": rate,
                }
                log.append(row)
                losses.clear()
                on_log(row)
                bar.describe(f"loss {row['loss']:.4f}")
            if on_validate is not None and (done % validate_every_steps == 0 or last):
                with nullcontext() if average is None else average.applied():
                    on_validate(done)
            if ranks.first and done % settings.checkpoint_every_steps == 0 and not last:
                values = {key: parameter.detach().clone() for key, parameter in parameters.items()}
                averages = None if average is None else average.values
                scaler = None if accelerator.scaler is None else accelerator.scaler.state_dict()
                state = TrainState(done, values, optimizer.state_dict(), log, losses, averages, scaler)
                save_state(scratch, state)
            bar.advance(1)
    if average is not None:
        average.apply()
    return log
