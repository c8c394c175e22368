"""The one training loop: accelerate, a schedule, clipping, averages, checkpoints. It knows no task."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from oft.errors import TrainingError
from oft.progress import progress
from oft.settings.training import POLYNOMIAL_END_RATE
from oft.training.averaging import MovingAverage
from oft.training.checkpoint import TrainState, load_state, save_state
from oft.training.distributed import ALONE, Ranks
from oft.training.setup import make_optimizer

if TYPE_CHECKING:
    from accelerate import Accelerator

    from oft.settings.training import Optimization
    from oft.training.objective import Objective

LOG_EVERY_STEPS = 10

LogRow = dict[str, float]


def rate_factor(step: int, settings: Optimization) -> float:
    """Return the learning rate of a step as a share of its peak: linear warm-up, then the schedule's curve.

    Curves are those of ``diffusers.optimization.get_scheduler``. Its warm-up begins with a step at rate 0;
    this one leaves that step out and rises in ``warmup_steps + 1`` equal steps to the peak.
    """
    if step < settings.warmup_steps:
        return (step + 1) / (settings.warmup_steps + 1)
    progressed = (step - settings.warmup_steps) / (settings.max_train_steps - settings.warmup_steps)
    match settings.schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1 - progressed
        case "polynomial":
            end = POLYNOMIAL_END_RATE / settings.peak_learning_rate
            return float(end + (1 - end) * (1 - progressed) ** settings.lr_power)
        case "cosine_with_restarts" if progressed < 1:
            progressed = settings.lr_num_cycles * progressed % 1
    return 0.5 * (1 + math.cos(math.pi * progressed))


@dataclass(frozen=True)
class Hooks:
    """What takes part in a training beside its parameters.

    Attributes:
        after_step: follows each optimizer step, with the gradients there still; it gets how many are done.
        state: returns what a resumed training needs of it.
        load_state: goes on from what ``state`` returned.
    """

    after_step: Callable[[int], None] = lambda step: None
    state: Callable[[], Mapping[str, Tensor]] = dict
    load_state: Callable[[Mapping[str, Tensor]], None] = lambda state: None


NO_HOOKS = Hooks()


class TrainingLoop:
    """Minimises an objective over parameters, in place.

    A run that was interrupted goes on from its last checkpoint in ``scratch`` and ends with the same values
    as one that was not: batches and noise follow from seed and step, everything else is in the checkpoint.
    With ``ema_decay`` the parameters end as, and are validated with, their moving averages.

    Several ``ranks`` average gradients and losses, so that all of them go on alike; the first alone reads and
    writes checkpoints.

    Args:
        parameters: what is trained, by name.
        objective: the losses of a step's micro-batches.
        scratch: where the checkpoint is.
        name: what the progress bar and messages call the training.
        hooks: what takes part in the training beside its parameters.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        parameters: Mapping[str, nn.Parameter],
        objective: Objective,
        settings: Optimization,
        *,
        scratch: Path,
        name: str,
        hooks: Hooks = NO_HOOKS,
        ranks: Ranks = ALONE,
    ) -> None:
        self._accelerator = accelerator
        self._parameters = parameters
        self._objective = objective
        self._settings = settings
        self._scratch = scratch
        self._name = name
        self._hooks = hooks
        self._ranks = ranks
        self._optimizer = accelerator.prepare(make_optimizer(settings, parameters.values()))
        self._average = MovingAverage(parameters, settings.ema_decay) if settings.ema_decay else None
        self._step = 0  # how many are done
        self._log: list[LogRow] = []
        self._losses: list[float] = []  # of the steps since the last row

    def run(
        self,
        on_log: Callable[[LogRow], None],
        on_validate: Callable[[int], None] | None = None,
        validate_every_steps: int = 1,
    ) -> list[LogRow]:
        """Take all steps that are left and return the log.

        Args:
            on_log: gets each row ``{"step", "loss", "learning_rate"}``, also those of before an interruption.
            on_validate: called after every ``validate_every_steps`` steps and after the last, with the step.

        Raises:
            TrainingError: the loss is no finite number any more.
        """
        self._restore()
        for row in self._log:
            on_log(row)
        total = self._settings.max_train_steps
        with progress(total, self._name, "step", initial=self._step) as bar:
            while self._step < total:
                self._take_step()
                if self._is_due(LOG_EVERY_STEPS):
                    row = self._close_row()
                    on_log(row)
                    bar.describe(f"loss {row['loss']:.4f}")
                if on_validate is not None and self._is_due(validate_every_steps):
                    with nullcontext() if self._average is None else self._average.applied():
                        on_validate(self._step)
                if self._step % self._settings.checkpoint_every_steps == 0 and self._step < total:
                    self._save()
                bar.advance(1)
        if self._average is not None:
            self._average.apply()
        return self._log

    def _is_due(self, every_steps: int) -> bool:
        """Return whether what is done every so many steps, and after the last, is to be done now."""
        return self._step % every_steps == 0 or self._step == self._settings.max_train_steps

    def _learning_rate(self, step: int) -> float:
        return self._settings.peak_learning_rate * rate_factor(step, self._settings)

    def _take_step(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(self._step)
        self._losses.append(self._accumulate_gradients())
        self._ranks.average_gradients(self._parameters.values())
        self._accelerator.clip_grad_norm_(list(self._parameters.values()), self._settings.max_grad_norm)
        self._optimizer.step()
        self._step += 1
        self._hooks.after_step(self._step)
        self._optimizer.zero_grad(set_to_none=True)
        if self._average is not None:
            self._average.update(self._step)

    def _accumulate_gradients(self) -> float:
        """Add up the gradients of this rank's micro-batches and return the loss of the whole batch."""
        own = 0.0
        for loss in self._objective(self._step):
            self._accelerator.backward(loss)
            own += float(loss.detach())
        # Before the gradients: if a rank has failed the others learn of it here, whatever carries those.
        loss_of_all = self._ranks.sum(own) / self._ranks.num
        if not math.isfinite(loss_of_all):
            raise TrainingError(
                f"{self._name}: the loss is {loss_of_all} at step {self._step}; "
                f"lower learning_rate ({self._settings.learning_rate}) in params.yaml"
            )
        return loss_of_all

    def _close_row(self) -> LogRow:
        """Log the mean loss of the steps since the last row."""
        row = {
            "step": self._step,
            "loss": round(math.fsum(self._losses) / len(self._losses), 6),
            "learning_rate": self._learning_rate(self._step - 1),
        }
        self._log.append(row)
        self._losses.clear()
        return row

    def _restore(self) -> None:
        """Go on from the first rank's checkpoint, if there is one: other machines need not have it."""
        own = load_state(self._scratch) if self._ranks.first else None
        fields = self._ranks.from_first(None if own is None else vars(own))
        if fields is None:
            return
        state = TrainState(**fields)
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(state.parameters[name])
        self._optimizer.load_state_dict(state.optimizer)
        if self._average is not None and state.averages is not None:
            self._average.load(state.averages)
        if self._accelerator.scaler is not None and state.scaler is not None:
            self._accelerator.scaler.load_state_dict(state.scaler)
        self._hooks.load_state(state.hooks)
        self._log, self._losses, self._step = state.log, state.losses, state.step

    def _save(self) -> None:
        if not self._ranks.first:
            return
        scaler = self._accelerator.scaler
        state = TrainState(
            step=self._step,
            parameters={name: parameter.detach().clone() for name, parameter in self._parameters.items()},
            optimizer=self._optimizer.state_dict(),
            log=self._log,
            losses=self._losses,
            averages=None if self._average is None else self._average.values,
            scaler=None if scaler is None else scaler.state_dict(),
            hooks=dict(self._hooks.state()),
        )
        save_state(self._scratch, state)
