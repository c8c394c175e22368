"""Orthogonal finetuning (OFT, arXiv 2306.07280) of a model's layers: W' = W Rᵀ, R trained, W frozen.

Training needs nothing beyond the usual loop::

    adapter = inject_oft(unet, OFTConfig(UNET_CONTROL_TARGETS, num_blocks=4))
    optimizer = torch.optim.AdamW(adapter.adapter_parameters(), lr=1e-5)
    ...
    loss.backward()          # any number of times: gradient accumulation, gradient checkpointing
    optimizer.step()         # any torch.optim.Optimizer, fused ones and wrapped ones (accelerate) included
    optimizer.zero_grad()

and ``with adapter.merging():`` (or ``merge()``) samples at the base's own speed. ``strength``, ``enable``,
``disable`` and, for several adapters on one base, ``activate`` choose what applies.

What happens underneath:

- R depends on the parameters alone, so it is computed when a forward pass first asks after a change, by
  batched Cayley transforms for all layers of equal block size (one batch, or some where it would be too
  large). All passes until the next change, micro-batches and recomputed checkpoints among them, use that R
  and its one graph; in each backward pass the gradients of all layers meet in one batched step in closed
  form.
- A change is noticed through the optimizer (PyTorch's post-step hook for all optimizers: fused ones write
  behind autograd's version counters) and through the version counter, address and ``requires_grad`` of each
  parameter (``load_state_dict``, ``copy_``, ``.to``). One thing escapes both: writing in place through
  ``parameter.data``. Call ``refresh()`` after that.
- The model's forward pass begins by bringing the rotations up to date, outside what ``torch.compile`` traces:
  compiled code takes them as inputs and is not compiled anew when they change.
- Dropout is multiplicative: while the adapter is in training mode each block is the identity with probability
  ``dropout``, drawn anew for each optimizer step, so that micro-batches and recomputed checkpoints see the
  same blocks. Merged, frozen, or in evaluation mode, all blocks apply. ``seed_dropout`` makes it repeatable.
- COFT's constraint is a projection of the parameters after each optimizer step, made by the same hook. No
  forward pass ever writes a parameter. Parameters changed by other means are projected by ``project()``; a
  forward pass that finds them outside the bound refuses to run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from oft.adapters.attaching import freeze, zeros_beside
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.layer_adapter import DEFAULT_NAME, LayerAdapter
from oft.adapters.oft.layers import weight_of
from oft.adapters.oft.rotation import (
    cayley,
    coft_bound,
    orthogonality_error,
    parameter_scale,
    project_skew,
    scale_packed,
    skew_from_packed,
    skew_norm,
    unscale_packed,
)
from oft.adapters.oft.targets import find_targets

# Parameters in one batch of the Cayley transform, whose workspace is some forty times as many bytes. Fewer
# also let the gradients of later layers, which come first, be done with before those of earlier layers are
# there.
BATCH_ENTRIES = 2**19


class _Cached(NamedTuple):
    rotations: Tensor
    state: tuple[object, ...]


class OFTAdapter(LayerAdapter):
    """The packed skew parameters of a model's adapted layers, and the rotations made from them.

    What is trained, ``named_values``, is S (``named_packed``) divided by the constant that
    ``config.parameter_scale`` gives the layer's blocks. All else is told of S: files, COFT's bound, strength.

    Made by ``inject_oft``; the model's child ``oft_adapter``, or ``oft_adapter_<name>``.

    Attributes:
        scales: what a layer's parameters are multiplied by to give the entries of S.
        dropout_generator: what dropout draws from, on the CPU; see ``seed_dropout``.
    """

    kind = "oft_adapter"
    slot = "rotations"

    def __init__(
        self, model: nn.Module, config: OFTConfig, targets: Mapping[str, nn.Module], name: str = DEFAULT_NAME
    ) -> None:
        shapes = config.packed_shapes(targets)
        initial = {key: zeros_beside(weight_of(layer), shapes[key]) for key, layer in targets.items()}
        super().__init__(model, initial, name)
        for layer in self._layers.values():
            layer.application = config.application
        self.config = config
        self.block_shapes = {key: config.blocks_of(layer, key) for key, layer in targets.items()}
        self.scales = {
            key: parameter_scale(block_size, config.parameter_scale)
            for key, (_, block_size) in self.block_shapes.items()
        }
        self.dropout_generator = torch.Generator().manual_seed(0)
        self._cache: dict[str, _Cached] = {}
        self._hook = model.register_forward_pre_hook(_Updater(self))

    def named_packed(self) -> Iterator[tuple[str, Tensor]]:
        """Yield (layer name, packed entries of S, ``[r, b(b-1)/2]``, one row where blocks are shared).

        Without a scale they are the parameters themselves.
        """
        for name, parameter in self.named_values():
            scale = self.scales[name]
            yield name, parameter if scale == 1.0 else scale_packed(parameter, scale)

    def load_packed(self, packed: Mapping[str, Tensor]) -> None:
        """Take over packed entries of S by layer name; a merged adapter is merged anew.

        Raises:
            CheckpointError: a layer is missing or unexpected, or a shape differs.
        """
        # Names of other layers have no scale; load_values refuses them.
        self.load_values(
            {name: unscale_packed(value, self.scales.get(name, 1.0)) for name, value in packed.items()}
        )

    def layer_value(self, name: str) -> Tensor:
        """Return the rotations of layer ``name``, ``[r, b, b]`` or ``[1, b, b]``, in the autograd graph."""
        if torch.compiler.is_compiling():
            return self._cache[name].rotations  # the model's forward has seen to them
        cached = self._cache.get(name)
        if cached is None or cached.state != self._state(self.parameter_of(name)):
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
        for name, parameter in self.named_values():
            key = parameter.shape[1], parameter.dtype, parameter.device, parameter.requires_grad
            groups.setdefault(key, []).append((name, parameter))
        # The graph is made whatever the caller's mode: a forward pass without gradient (evaluation, the first
        # pass of reentrant checkpointing) must leave rotations that the next one can train through.
        with torch.inference_mode(False), torch.enable_grad():
            for batch in chain.from_iterable(map(_batches, groups.values())):
                together = torch.cat([parameter for _, parameter in batch])
                name, parameter = batch[0]  # blocks of one size have one scale
                in_force = self._in_force(together, self.scales[name], self._drops(parameter))
                rotations = cayley(skew_from_packed(in_force))
                parts = rotations.split([parameter.shape[0] for _, parameter in batch])
                for (name, parameter), part in zip(batch, parts, strict=True):
                    self._cache[name] = _Cached(part, self._state(parameter))

    def update(self) -> None:
        """Compute the rotations anew if a parameter, the strength or the mode has changed since."""
        if not self.enabled or self._folded:
            return
        for name, parameter in self.named_values():
            cached = self._cache.get(name)
            if cached is None or cached.state != self._state(parameter):
                self.refresh()
                return

    @torch.no_grad()
    def project(self) -> None:
        """Bring every block's S within COFT's bound, in place; nothing to do without ``coft``.

        Done after each optimizer step by itself; call it after changing parameters by other means.
        """
        if self.config.coft:
            for name, parameter in self.named_values():
                parameter.copy_(project_skew(parameter, self._bound(name)))

    def after_optimizer_step(self) -> None:
        super().after_optimizer_step()
        self.project()
        self._cache.clear()

    def remove(self, keep_merged: bool = False) -> None:
        super().remove(keep_merged)
        self._hook.remove()

    def __getstate__(self) -> dict[str, Any]:
        # A copy makes its own rotations: tensors inside a graph can be neither copied nor pickled.
        return {**self.__dict__, "_cache": {}}

    def merge(self) -> None:
        super().merge()
        if self._folded:
            self._cache.clear()  # no forward pass asks for the rotations

    @property
    def _folded(self) -> bool:
        return all(part.folded for part in self._parts.values())

    def seed_dropout(self, seed: int) -> None:
        """Let the next draw of dropped blocks, and those after it, follow from ``seed``."""
        self.dropout_generator.manual_seed(seed)
        if self.config.dropout > 0:
            self._cache.clear()

    def _drops(self, parameter: Tensor) -> bool:
        # What no optimizer moves has no steps to draw anew for.
        return self.training and self.config.dropout > 0 and parameter.requires_grad and not self.merged

    def _in_force(self, parameters: Tensor, scale: float, drops: bool) -> Tensor:
        """Return the entries of S that apply: times the strength, those of dropped blocks zero."""
        packed = parameters
        for factor in (scale, self._strength):
            if factor != 1.0:
                packed = scale_packed(packed, factor)
        if drops:
            kept = torch.rand(len(packed), 1, generator=self.dropout_generator) >= self.config.dropout
            packed = scale_packed(packed, kept.to(packed))
        return packed

    def _state(self, parameter: Tensor) -> tuple[object, ...]:
        return (
            parameter._version,
            parameter.data_ptr(),
            parameter.requires_grad,
            self._strength,
            self._drops(parameter),
        )

    def _bound(self, name: str) -> float:
        """Return COFT's bound on the parameters of layer ``name``: that on S, divided by their scale."""
        num_blocks, block_size = self.block_shapes[name]
        config = self.config
        bound = coft_bound(config.eps, block_size, num_blocks, config.block_share, config.eps_convention)
        return bound / self.scales[name]

    @torch.no_grad()
    def _check_bound(self) -> None:
        if not self.config.coft:
            return
        named = list(self.named_values())
        ratios = [skew_norm(parameter).max() / self._bound(name) for name, parameter in named]
        excess = torch.stack([ratio.to(ratios[0].device).float() for ratio in ratios]).max().item()
        # Scaling onto the bound rounds to the parameters' type.
        rounding = max(torch.finfo(parameter.dtype).eps for _, parameter in named)
        if excess > 1 + max(1e-5, 2 * rounding):
            raise RuntimeError(
                f"COFT keeps every block's S within its bound, and one has {excess:.4g} times that norm; "
                "call project() after changing parameters without a torch.optim.Optimizer"
            )


def _batches(group: list[tuple[str, nn.Parameter]]) -> Iterator[list[tuple[str, nn.Parameter]]]:
    """Cut layers of one block size into runs of at most ``BATCH_ENTRIES`` parameters, or one layer."""
    batch: list[tuple[str, nn.Parameter]] = []
    entries = 0
    for name, packed in group:
        if batch and entries + packed.numel() > BATCH_ENTRIES:
            yield batch
            batch, entries = [], 0
        batch.append((name, packed))
        entries += packed.numel()
    yield batch


class _Updater:
    """Brings an adapter's rotations up to date before its model's forward pass; may be copied with it."""

    def __init__(self, adapter: OFTAdapter) -> None:
        self._child_name = adapter.child_name

    @torch.compiler.disable
    def __call__(self, model: nn.Module, inputs: object) -> None:
        adapter = getattr(model, self._child_name)
        assert isinstance(adapter, OFTAdapter)
        adapter.update()


def inject_oft(model: nn.Module, config: OFTConfig, name: str = DEFAULT_NAME) -> OFTAdapter:
    """Adapt the target layers of ``model`` at identity, freeze everything else, and return the adapter.

    Outputs are unchanged to the bit until the first step. Every parameter but the adapter's, and those of an
    attached hint encoder, loses its gradient.

    Args:
        name: sets it apart from other OFT adapters on the model, which go on applying, frozen.

    Raises:
        ParamsError: a pattern matches no layer, blocks do not fit, or there is an OFT adapter of that name.
    """
    adapter = OFTAdapter(model, config, find_targets(model, config.target_modules), name)
    freeze(model, keep=(adapter.child_name, "hint_encoder"))
    return adapter
