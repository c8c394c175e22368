"""One variant of one case, ready to take its step again and again."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.cases import Case, draw_inputs
from benchmarks.variants import Variant, count_adapted_layers, make_adapted, trained_parameters

LEARNING_RATE = 1e-4


class Step:
    """A training step: forward, mean squared error, backward, clipping, AdamW; or a forward pass.

    Inputs and targets are random, equal for all variants. A variant that trains nothing goes backward to its
    input, as every variant does where the network is a part of a larger one. On a GPU the forward pass runs
    under autocast to bfloat16 over float32 weights; on a processor all is float32.
    """

    def __init__(self, case: Case, variant: Variant, frozen: nn.Module, clip_norm: float) -> None:
        """Adapt a copy of ``frozen`` that shares its weights.

        Args:
            clip_norm: largest norm of the gradient, 0 for no clipping.
        """
        self.case, self.clip_norm = case, clip_norm
        self.network = make_adapted(variant, frozen).train(case.training)
        self.layers = count_adapted_layers(self.network)
        self.trained = trained_parameters(self.network)
        self.device = next(frozen.parameters()).device
        if case.checkpointing:
            network: Any = self.network
            network.enable_gradient_checkpointing()
        self.optimizer = None
        if case.training and self.trained:
            self.optimizer = torch.optim.AdamW(self.trained, lr=LEARNING_RATE)
        generator = torch.Generator().manual_seed(0)
        self.micro_batches = [self._draw_micro_batch(generator) for _ in range(case.micro_batches)]
        self.result = torch.zeros(())

    @property
    def num_parameters(self) -> int:
        """Return the number of trained scalars."""
        return sum(parameter.numel() for parameter in self.trained)

    def __call__(self) -> None:
        """Take the step; on a GPU, wait for it."""
        self.result = self._train() if self.case.training else self._infer()
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def check_finite(self) -> None:
        """Refuse steps that have diverged. It is apart from the step, which is timed.

        Raises:
            FloatingPointError: the last loss or output, or a trained parameter, is not finite.
        """
        for what, values in (("result", [self.result]), ("trained parameter", self.trained)):
            if not all(value.isfinite().all() for value in values):
                raise FloatingPointError(f"a {what} is not finite")

    def _train(self) -> Tensor:
        losses = []
        for inputs, target in self.micro_batches:
            with _precision(self.device):
                predicted = self.case.architecture.forward(self.network, inputs)
            loss = (predicted.float() - target).square().mean() / len(self.micro_batches)
            loss.backward()
            losses.append(loss.detach())
            inputs[0].grad = None
        if self.optimizer is not None:
            if self.clip_norm:
                nn.utils.clip_grad_norm_(self.trained, self.clip_norm)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return torch.stack(losses)

    @torch.no_grad()
    def _infer(self) -> Tensor:
        inputs, _ = self.micro_batches[0]
        with _precision(self.device):
            return self.case.architecture.forward(self.network, inputs).sum()

    def _draw_micro_batch(self, generator: torch.Generator) -> tuple[list[Tensor], Tensor]:
        inputs = [value.to(self.device) for value in draw_inputs(self.case, generator)]
        target = torch.randn(self.case.input_shape, generator=generator).to(self.device)
        needs_grad = self.case.architecture.needs_input_grad or not self.trained
        inputs[0].requires_grad_(self.case.training and needs_grad)
        return inputs, target


def precision_name(device: torch.device) -> str:
    """Return what tables call the arithmetic on ``device``."""
    return "bfloat16 autocast over float32 weights" if device.type == "cuda" else "float32"


def _precision(device: torch.device) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, torch.bfloat16) if device.type == "cuda" else nullcontext()
