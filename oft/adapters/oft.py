"""Orthogonal finetuning (OFT, arXiv 2306.07280) of a model's linear layers: W' = W Rᵀ, R trained, W frozen.

Training needs nothing beyond the usual loop::

    adapter = inject_oft(unet, OFTConfig(UNET_CONTROL_TARGETS, num_blocks=4))
    optimizer = torch.optim.AdamW(adapter.adapter_parameters(), lr=1e-5)
    ...
    loss.backward()          # any number of times: gradient accumulation, gradient checkpointing
    optimizer.step()         # any torch.optim.Optimizer, fused ones and wrapped ones (accelerate) included
    optimizer.zero_grad()

and ``with adapter.merging():`` (or ``merge()``) samples at the base's own speed.

What happens underneath:

- R depends on the parameters alone, so it is computed when a forward pass first asks after a change, by one
  batched Cayley transform for all layers of equal block size. All passes until the next change, micro-batches
  and recomputed checkpoints among them, use that R and its one graph; in each backward pass the gradients of
  all layers meet in one batched step in closed form.
- A change is noticed through the optimizer (PyTorch's post-step hook for all optimizers: fused ones write
  behind autograd's version counters) and through the version counter, address and ``requires_grad`` of each
  parameter (``load_state_dict``, ``copy_``, ``.to``). One thing escapes both: writing in place through
  ``parameter.data``. Call ``refresh()`` after that.
- COFT's constraint is a projection of the parameters after each optimizer step, made by the same hook. No
  forward pass ever writes a parameter. Parameters changed by other means are projected by ``project()``; a
  forward pass that finds them outside the bound refuses to run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from oft.adapters.adapter import LinearAdapter, find_targets, freeze, zeros_beside
from oft.adapters.rotation import (
    cayley,
    coft_bound,
    orthogonality_error,
    project_skew,
    skew_from_packed,
    skew_norm,
)
from oft.errors import ParamsError

# Subject-driven generation: the eight attention linears of each transformer block.
UNET_SUBJECT_TARGETS = (
    "attn1.to_q",
    "attn1.to_k",
    "attn1.to_v",
    "attn1.to_out.0",
    "attn2.to_q",
    "attn2.to_k",
    "attn2.to_v",
    "attn2.to_out.0",
)
# Controllable generation: the first linear of the feed-forward (GEGLU) as well, nine in each block.
UNET_CONTROL_TARGETS = (*UNET_SUBJECT_TARGETS, "ff.net.0.proj")


@dataclass(frozen=True)
class OFTConfig:
    """What is rotated and how.

    Attributes:
        target_modules: endings of the names of the linear layers to adapt (see ``find_targets``).
        num_blocks: blocks on R's diagonal, the paper's r; must divide every target's in_features.
        block_size: size of a block instead of their number; exactly one of the two is given.
        block_share: one block serves a layer's whole diagonal.
        coft: keep S within ``coft_bound(eps, ...)`` of zero (constrained OFT).
        eps: COFT's freedom of rotation, in the reference implementation's convention.

    Raises:
        ParamsError: a value breaks its rule.
    """

    target_modules: tuple[str, ...]
    num_blocks: int | None = None
    block_size: int | None = None
    block_share: bool = False
    coft: bool = False
    eps: float = 1e-3

    def __post_init__(self) -> None:
        if not isinstance(self.target_modules, tuple) or not self.target_modules:
            raise ParamsError(
                f"target_modules must be a non-empty tuple of name endings, got {self.target_modules!r}; "
                "give for example UNET_CONTROL_TARGETS"
            )
        if (self.num_blocks is None) == (self.block_size is None):
            raise ParamsError(
                f"exactly one of num_blocks ({self.num_blocks}) and block_size ({self.block_size}) must be "
                "given; leave the other None"
            )
        if self.num_blocks is not None and self.num_blocks < 1:
            raise ParamsError(f"num_blocks must be at least 1, got {self.num_blocks}; the paper uses 2 to 16")
        if self.block_size is not None and self.block_size < 2:
            raise ParamsError(f"block_size must be at least 2 to rotate anything, got {self.block_size}")
        if self.coft and not self.eps > 0:
            raise ParamsError(f"eps must be positive for coft, got {self.eps}; the paper uses 1e-3 and 6e-5")

    def blocks_of(self, in_features: int, name: str) -> tuple[int, int]:
        """Return (number of blocks, block size) for the layer ``name``.

        Raises:
            ParamsError: the layer's in_features cannot be cut into such blocks.
        """
        value = self.num_blocks or self.block_size
        assert value is not None
        quotient, remainder = divmod(in_features, value)
        num_blocks, block_size = (value, quotient) if self.num_blocks else (quotient, value)
        if remainder or block_size < 2:
            key = "num_blocks" if self.num_blocks else "block_size"
            divisors = [divisor for divisor in range(1, in_features + 1) if in_features % divisor == 0]
            fitting = divisors[:-1] if self.num_blocks else divisors[1:]
            near = sorted(sorted(fitting, key=lambda divisor: abs(divisor - value))[:3])
            raise ParamsError(
                f"{key} ({value}) must cut in_features ({in_features}) of {name!r} into equal blocks of 2 or "
                f"more; divisors near it: {', '.join(map(str, near)) or 'none'}"
            )
        return num_blocks, block_size

    def packed_shapes(self, targets: Mapping[str, nn.Linear]) -> dict[str, tuple[int, int]]:
        """Return the shape of each layer's packed parameter, (stored blocks, b(b-1)/2).

        Raises:
            ParamsError: a layer's in_features cannot be cut into such blocks.
        """
        shapes = {}
        for name, linear in targets.items():
            num_blocks, block_size = self.blocks_of(linear.in_features, name)
            shapes[name] = (1 if self.block_share else num_blocks, block_size * (block_size - 1) // 2)
        return shapes


class _Cached(NamedTuple):
    rotations: Tensor
    state: tuple[object, ...]


class OFTAdapter(LinearAdapter):
    """The packed skew parameters of a model's adapted layers, and the rotations made from them.

    Made by ``inject_oft``; the model's child ``oft_adapter``.
    """

    child_name = "oft_adapter"
    slot = "rotation"

    def __init__(self, model: nn.Module, config: OFTConfig, targets: Mapping[str, nn.Linear]) -> None:
        shapes = config.packed_shapes(targets)
        super().__init__(model, {name: zeros_beside(targets[name].weight, shapes[name]) for name in targets})
        self.config = config
        self.block_shapes = {
            name: config.blocks_of(linear.in_features, name) for name, linear in targets.items()
        }
        self._cache: dict[str, _Cached] = {}

    def named_packed(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield (layer name, packed parameter ``[r, b(b-1)/2]``, one row where blocks are shared)."""
        return self.named_values()

    def load_packed(self, packed: Mapping[str, Tensor]) -> None:
        """Take over packed parameters by layer name; a merged adapter is merged anew.

        Raises:
            CheckpointError: a layer is missing or unexpected, or a shape differs.
        """
        self.load_values(packed)

    def layer_value(self, name: str) -> Tensor:
        """Return the rotations of layer ``name``, ``[r, b, b]`` or ``[1, b, b]``, in the autograd graph."""
        cached = self._cache.get(name)
        if cached is None or cached.state != _state(super().layer_value(name)):
            self.refresh()
            cached = self._cache[name]
        return cached.rotations

    def rotations(self) -> dict[str, Tensor]:
        """Return all layers' rotations by name."""
        return {name: self.layer_value(name) for name in self.block_shapes}

    def orthogonality_error(self) -> float:
        """Return max|R Rᵀ - I| over all layers."""
        return max(orthogonality_error(rotations) for rotations in self.rotations().values())

    def refresh(self) -> None:
        """Compute all rotations anew; needed by hand only after in-place writes through ``parameter.data``.

        Raises:
            RuntimeError: a parameter is outside COFT's bound.
        """
        self._check_bound()
        groups: dict[tuple[object, ...], list[tuple[str, nn.Parameter]]] = {}
        for name, packed in self.named_packed():
            key = packed.shape[1], packed.dtype, packed.device, packed.requires_grad
            groups.setdefault(key, []).append((name, packed))
        # The graph is made whatever the caller's mode: a forward pass without gradient (evaluation, the first
        # pass of reentrant checkpointing) must leave rotations that the next one can train through.
        with torch.inference_mode(False), torch.enable_grad():
            for group in groups.values():
                rotations = cayley(skew_from_packed(torch.cat([packed for _, packed in group])))
                parts = rotations.split([packed.shape[0] for _, packed in group])
                for (name, packed), part in zip(group, parts, strict=True):
                    self._cache[name] = _Cached(part, _state(packed))

    @torch.no_grad()
    def project(self) -> None:
        """Bring every block's S within COFT's bound, in place; nothing to do without ``coft``.

        Done after each optimizer step by itself; call it after changing parameters by other means.
        """
        if self.config.coft:
            for name, packed in self.named_packed():
                packed.copy_(project_skew(packed, self._bound(name)))

    def after_optimizer_step(self) -> None:
        super().after_optimizer_step()
        self.project()
        self._cache.clear()

    def __getstate__(self) -> dict[str, Any]:
        # A copy makes its own rotations: tensors inside a graph can be neither copied nor pickled.
        return {**self.__dict__, "_cache": {}}

    def _bound(self, name: str) -> float:
        num_blocks, block_size = self.block_shapes[name]
        return coft_bound(self.config.eps, block_size, num_blocks, self.config.block_share)

    @torch.no_grad()
    def _check_bound(self) -> None:
        if not self.config.coft:
            return
        ratios = [skew_norm(packed).max() / self._bound(name) for name, packed in self.named_packed()]
        excess = torch.stack([ratio.to(ratios[0].device) for ratio in ratios]).max().item()
        if excess > 1 + 1e-5:
            raise RuntimeError(
                f"COFT keeps every block's S within its bound, and one has {excess:.4g} times that norm; "
                "call project() after changing parameters without a torch.optim.Optimizer"
            )


def inject_oft(model: nn.Module, config: OFTConfig) -> OFTAdapter:
    """Adapt the target layers of ``model`` at identity, freeze everything else, and return the adapter.

    Outputs are unchanged to the bit until the first step. Every parameter but the adapter's, and those of an
    attached hint encoder, loses its gradient.

    Raises:
        ParamsError: a pattern matches no linear layer, blocks do not fit, or there is an OFT adapter already.
    """
    adapter = OFTAdapter(model, config, find_targets(model, config.target_modules))
    freeze(model, keep=(adapter.child_name, "hint_encoder"))
    return adapter


def _state(parameter: Tensor) -> tuple[object, ...]:
    return parameter._version, parameter.data_ptr(), parameter.requires_grad
