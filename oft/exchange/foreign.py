"""An adapter from another program's file, in this project's terms, and its injection into a model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from oft.adapters.hint.adapter import build_encoder
from oft.adapters.oft.adapter import OrthogonalAdapter
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.layers import is_pointwise, weight_of
from oft.adapters.oft.rotation import EpsConvention, block_size_of, packed_from_skew
from oft.adapters.oft.saving import check_magnitudes
from oft.adapters.oft.targets import find_targets
from oft.adapters.targets import UNET_CONTROL_TARGETS, UNET_SUBJECT_TARGETS
from oft.errors import CheckpointError, ParamsError
from oft.weights import check_numbers


@dataclass(frozen=True)
class ForeignAdapter:
    """Values by the names of the UNet's layers in diffusers.

    Attributes:
        source: the file, for messages.
        packed: parameters ``[r, b(b-1)/2]`` in the convention of ``oft.adapters.oft.rotation``; one row where
            a block is shared.
        block_share: one block serves a layer's whole diagonal.
        blocks_by: what is the same in all layers, the blocks' number or their size; of several answers, this.
        eps: COFT's, in ``eps_convention``; None where training goes on unconstrained.
        log_scales: logarithms of magnitudes, ``[out]``; None for none.
        hint_encoder: a ``HintEncoder``'s state; None for none.
        target_modules: endings of the layers' names, as far as the file says.
        kernels: convolutions of any window are among the layers, their weights turned as here.
        notes: what the user should know about the conversion.
    """

    source: str
    packed: Mapping[str, Tensor]
    block_share: bool
    blocks_by: Literal["num_blocks", "block_size"] = "num_blocks"
    eps: float | None = None
    eps_convention: EpsConvention = "reference"
    log_scales: Mapping[str, Tensor] | None = None
    hint_encoder: Mapping[str, Tensor] | None = None
    target_modules: tuple[str, ...] = ()
    kernels: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForeignWeights:
    """What a file makes of the base's weights, where that is no adapter of this project.

    Attributes:
        weights: adapted ones by parameter name.
        what: what they are of, for people to read.
        notes: what the user should know about the conversion.
    """

    weights: Mapping[str, Tensor]
    what: str
    notes: tuple[str, ...]


def inject_foreign(unet: nn.Module, foreign: ForeignAdapter) -> OrthogonalAdapter:
    """Put a foreign adapter on ``unet``, after checking everything.

    Raises:
        CheckpointError: a layer is unknown, a shape differs, or a value is no number.
        ParamsError: the model has an adapter already.
    """
    check_numbers(foreign.source, {**foreign.packed, **(foreign.log_scales or {})})
    config = infer_config(foreign, unet)
    if foreign.log_scales is not None:
        check_magnitudes(foreign.source, foreign.log_scales, unet)
    encoder = None
    if foreign.hint_encoder is not None:
        encoder = build_encoder(foreign.source, foreign.hint_encoder, unet)
    return OrthogonalAdapter.put_on(unet, config, foreign.packed, foreign.log_scales, encoder)


def infer_config(foreign: ForeignAdapter, unet: nn.Module) -> OFTConfig:
    """Return the configuration under which ``unet``'s layers have the parameters of a foreign adapter.

    Raises:
        CheckpointError: a layer is unknown, or its blocks do not make up its input.
    """
    counts, sizes = set(), set()
    weights = linear_weights(foreign.source, foreign.packed, unet, kernels=foreign.kernels)
    for name, weight in weights.items():
        in_features = weight.shape[1]
        stored, block_size = foreign.packed[name].shape[0], block_size_of(foreign.packed[name])
        num_blocks, remainder = divmod(in_features, block_size)
        if remainder or stored != (1 if foreign.block_share else num_blocks):
            raise CheckpointError(
                f"{foreign.source}: the blocks of {name!r} must make up its {in_features} inputs, got "
                f"{stored} of {block_size}{', shared' * foreign.block_share}; use the base it was trained on"
            )
        counts.add(num_blocks)
        sizes.add(block_size)
    same = {"num_blocks": counts, "block_size": sizes}
    fitting = [key for key in (foreign.blocks_by, "num_blocks", "block_size") if len(same[key]) == 1]
    if not fitting:
        raise CheckpointError(
            f"{foreign.source}: all layers must have equally many blocks or blocks of one size, got numbers "
            f"{sorted(counts)} and sizes {sorted(sizes)}; train again with such blocks"
        )
    value = same[fitting[0]].pop()
    try:
        return OFTConfig(
            target_patterns(unet, foreign.packed, foreign.target_modules),
            num_blocks=value if fitting[0] == "num_blocks" else None,
            block_size=value if fitting[0] == "block_size" else None,
            block_share=foreign.block_share,
            coft=foreign.eps is not None,
            eps=OFTConfig.eps if foreign.eps is None else foreign.eps,
            eps_convention="reference" if foreign.eps is None else foreign.eps_convention,
        )
    except ParamsError as fault:
        raise CheckpointError(f"{foreign.source}: {fault}") from fault


def linear_weights(
    source: str, names: Iterable[str], unet: nn.Module, *, kernels: bool = False
) -> dict[str, Tensor]:
    """Return the weights ``[out, in]`` of the layers ``names`` of ``unet``: linear ones, pointwise
    convolutions.

    Args:
        kernels: convolutions of larger windows too, as ``[out, in k k]``.

    Raises:
        CheckpointError: a name is unknown, or that of another layer.
    """
    modules, names = dict(unet.named_modules()), list(names)
    unknown = [name for name in names if name not in modules]
    if unknown:
        raise CheckpointError(
            f"{source}: its layers must be those of the base's UNet, and {len(unknown)} of {len(names)} are "
            f"not ({', '.join(unknown[:3])}); use the base it was trained on"
        )
    weights = {}
    for name in names:
        layer = modules[name]
        is_kernel = kernels and isinstance(layer, nn.Conv2d)
        if not (isinstance(layer, nn.Linear) or is_pointwise(layer) or is_kernel):
            raise CheckpointError(
                f"{source}: adapted layers must be linear, and {name!r} is a {type(layer).__name__}: "
                "what is done to a convolution there is no rotation of its weight (patches overlap, axes are "
                "mixed); train it again here"
            )
        weights[name] = weight_of(layer).detach().flatten(1)
    return weights


def target_patterns(
    model: nn.Module, names: Collection[str], declared: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return endings that match the layers ``names`` and no others: those ``declared``, or short ones."""
    wanted = set(names)
    in_order = [name for name, _ in model.named_modules() if name in wanted]
    short = (dict.fromkeys(".".join(name.split(".")[-parts:]) for name in in_order) for parts in range(1, 5))
    for endings in (declared, UNET_CONTROL_TARGETS, UNET_SUBJECT_TARGETS, *short):
        try:
            if endings and set(find_targets(model, list(endings))) == wanted:
                return tuple(endings)
        except ParamsError:  # an ending matches nothing, or what cannot be adapted
            continue
    return tuple(in_order)


def check_packed(source: str, packed: Mapping[str, Tensor]) -> None:
    """Refuse parameters that are not ``[r, b(b-1)/2]``.

    Raises:
        CheckpointError: there are none, or one has another shape.
    """
    if not packed:
        raise CheckpointError(f"{source}: must hold at least one rotation, and holds none; copy it again")
    check_numbers(source, packed)
    for name, value in packed.items():
        try:
            fits = value.dim() == 2 and len(value) > 0 and block_size_of(value) >= 2
        except ValueError:
            fits = False
        if not fits:
            raise CheckpointError(
                f"{source}: every rotation must be [r, b(b-1)/2] numbers, got {tuple(value.shape)} of "
                f"{value.dtype} for {name!r}; give an OFT adapter as its program saved it"
            )


def check_matrices(source: str, matrices: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Refuse full parameters that are not, all of them, ``[r, b, b]`` or ``[b, b]`` for b dividing the input.

    Args:
        weights: ``[out, in]`` of the same layers.

    Raises:
        CheckpointError: one has another shape.
    """
    check_numbers(source, matrices)
    dimensions = next(iter(matrices.values())).dim()
    for name, value in matrices.items():
        square = value.dim() == dimensions in (2, 3) and 2 <= value.shape[-1] == value.shape[-2]
        square = square and value.numel() > 0
        if not square or weights[name].shape[1] % value.shape[-1]:
            raise CheckpointError(
                f"{source}: every R must be [r, b, b], or every one [b, b], b dividing the layer's inputs, "
                f"got {tuple(value.shape)} for the {weights[name].shape[1]} of {name!r}; "
                "use the base it was trained on, and the checkpoint as it was saved"
            )


def packed_from_matrices(matrices: Tensor, bound: float | None) -> Tensor:
    """Return the packed form of full parameters P, ``[r, b, b]`` or ``[b, b]``, with S = (P - Pᵀ) / 2.

    With a ``bound``, P is first projected onto the ball of that Frobenius norm, as its program does on each
    forward pass (COFT).
    """
    matrices = matrices.float().reshape(-1, *matrices.shape[-2:])
    if bound is not None:
        norms = torch.linalg.matrix_norm(matrices, keepdim=True)
        matrices = torch.where(norms <= bound, matrices, matrices * (bound / norms))
    return packed_from_skew((matrices - matrices.mT) / 2)


def log_scales_from(source: str, scales: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the logarithms of magnitudes ``[out, 1]``, as ``[out]``.

    Raises:
        CheckpointError: a magnitude is not positive.
    """
    for name, value in scales.items():
        if not (value > 0).all():
            raise CheckpointError(
                f"{source}: magnitudes must be positive, and {name!r} has {value.min().item():.4g}; "
                "merge the adapter into its base with the program that made it"
            )
    return {name: value.float().reshape(-1).log() for name, value in scales.items()}
