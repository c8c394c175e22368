"""PEFT's OFT adapters, every layout that can be converted:

- 0.16 and later: ``<layer>.oft_R.weight`` ``[r, b(b-1)/2]``, this project's own parameter, under the exact
  transform or the truncated one (``use_cayley_neumann``, see ``oft.exchange.neumann``);
- 0.14 and 0.15: ``<layer>.oft_r`` ``[r, b, b]`` with S = (P - Pᵀ) / 2 and magnitudes ``<layer>.oft_s``
  ``[out, 1]``, W' = diag(s) W Rᵀ.

PEFT 0.13 and earlier turned a layer's output, W' = R W: no rotation of inputs equals that, and it is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from oft.adapters.files import CONFIG_FILE
from oft.adapters.oft.rotation import project_skew
from oft.adapters.oft.saving import PEFT_PREFIX
from oft.errors import CheckpointError, ParamsError
from oft.exchange.foreign import (
    ForeignAdapter,
    check_matrices,
    check_packed,
    linear_weights,
    log_scales_from,
    packed_from_matrices,
)
from oft.exchange.neumann import truncated_rotations, truncation_error
from oft.exchange.sources import Cayley
from oft.storage import read_json

PACKED_SUFFIX, MATRIX_SUFFIX, SCALE_SUFFIX = ".oft_R.weight", ".oft_r", ".oft_s"
HALVED_LAST_TERM_SINCE = (0, 18)
# Settings that are numbers, with their kinds and ranges.
NUMBERS: Mapping[str, tuple[type[int] | tuple[type[int], type[float]], float, float]] = {
    "eps": ((int, float), 0, 1e9),
    "num_cayley_neumann_terms": (int, 1, 100),
    "r": (int, 0, 10**6),
}


@dataclass(frozen=True)
class TruncatedAdapter:
    """The products of PEFT's truncated series as they are: not orthogonal, so no adapter of this project.

    Attributes:
        source: the file, for messages.
        rotations: R̃ by layer, ``[r, b, b]``, W' = W R̃ᵀ.
        notes: what the user should know about the conversion.
    """

    source: str
    rotations: Mapping[str, Tensor]
    notes: tuple[str, ...]


def is_peft(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether a state dict's names are those of PEFT's OFT."""
    return any(name.endswith((PACKED_SUFFIX, MATRIX_SUFFIX)) for name in tensors)


def read_peft(
    source: Path, tensors: Mapping[str, Tensor], unet: nn.Module, cayley: Cayley = "exact"
) -> ForeignAdapter | TruncatedAdapter:
    """Read a PEFT adapter from its tensors and the ``adapter_config.json`` beside the file ``source``.

    Args:
        cayley: what to make of a truncated transform: "exact", the rotation it approximates, or "neumann",
            the truncated product itself.

    Raises:
        CheckpointError: the configuration is missing or damaged, or the layout cannot be converted.
        ParamsError: "neumann" is asked of an adapter without truncation.
    """
    config = _read_config(source.parent / CONFIG_FILE)
    tensors = {name.removeprefix(PEFT_PREFIX): value for name, value in tensors.items()}
    old = any(name.endswith(MATRIX_SUFFIX) for name in tensors)
    truncated = not old and bool(config.get("use_cayley_neumann", True))
    if cayley == "neumann" and not truncated:
        raise ParamsError(
            f"--cayley neumann is for adapters with a truncated transform, and {source} was trained with "
            "the exact one; leave it out"
        )
    if old:
        return _read_matrices(source, tensors, config, unet)
    packed = _split(source, tensors, (PACKED_SUFFIX,))[PACKED_SUFFIX]
    check_packed(str(source), packed)
    coft, eps = bool(config.get("coft", False)), config.get("eps", 6e-5)
    if coft:  # PEFT saves what its next forward pass would project
        packed = {
            name: project_skew(value, eps / math.sqrt(value.shape[0])) for name, value in packed.items()
        }
    notes = []
    if truncated:
        terms = config.get("num_cayley_neumann_terms", 5)
        products = truncated_rotations(packed, terms, _halves_last_term(config))
        error = truncation_error(packed, products)
        measured = (
            f"PEFT's Cayley transform of {terms} terms is no rotation: max|R R^T - I| is "
            f"{error.orthogonality:.2g}, and it differs from the rotation it approximates by up to "
            f"{error.rotation:.2g}"
        )
        if cayley == "neumann":
            kept = "the weights are merged with PEFT's product as it is: no adapter, and no rotation"
            return TruncatedAdapter(str(source), products, (f"{measured}; {kept}",))
        notes.append(
            f"{measured}; the exact rotation is taken, and outputs differ from PEFT's accordingly "
            "(--cayley neumann keeps PEFT's own weights)"
        )
        packed = {name: -value for name, value in packed.items()}
    return ForeignAdapter(
        source=str(source),
        packed=packed,
        block_share=bool(config.get("block_share", False)),
        blocks_by="num_blocks" if config.get("r") else "block_size",
        eps=eps if coft else None,
        eps_convention="peft",
        target_modules=_declared_targets(config),
        notes=tuple(notes),
    )


def _read_matrices(
    source: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], unet: nn.Module
) -> ForeignAdapter:
    parts = _split(source, tensors, (MATRIX_SUFFIX, SCALE_SUFFIX))
    matrices, scales = parts[MATRIX_SUFFIX], parts[SCALE_SUFFIX]
    if "oft_block_size" not in config or matrices.keys() != scales.keys():
        raise CheckpointError(
            f"{source}: an adapter of PEFT before 0.14 turns the outputs of layers, which no rotation of "
            "inputs equals; merge it with that version, or train it again"
        )
    weights = linear_weights(str(source), matrices, unet)
    check_matrices(str(source), matrices, weights)
    coft, eps, bounds = bool(config.get("coft", False)), config.get("eps", 6e-5), {}
    for name, weight in weights.items():
        stored, num_blocks = matrices[name].shape[0], weight.shape[1] // matrices[name].shape[-1]
        # PEFT 0.14 scales eps by the block size the layer's output would have.
        bounds[name] = eps * math.ceil(weight.shape[0] / num_blocks) ** 2 / math.sqrt(stored)
    notes = ("PEFT 0.14's bound (coft) goes by a layer's outputs and is not kept",) if coft else ()
    return ForeignAdapter(
        source=str(source),
        packed={
            name: packed_from_matrices(value, bounds[name] if coft else None)
            for name, value in matrices.items()
        },
        block_share=bool(config.get("block_share", False)),
        blocks_by="num_blocks" if config.get("r") else "block_size",
        log_scales=None
        if all((value == 1).all() for value in scales.values())
        else log_scales_from(str(source), scales),
        target_modules=_declared_targets(config),
        notes=notes,
    )


def _read_config(source: Path) -> dict[str, Any]:
    if not source.is_file():
        raise CheckpointError(
            f"{source}: a PEFT adapter needs this file beside its weights, and it is missing; copy both"
        )
    try:
        config = read_json(source)
        peft_type = config["peft_type"]
    except (ValueError, KeyError, TypeError) as fault:
        raise CheckpointError(
            f"{source}: must be PEFT's JSON with peft_type, got {fault!r}; copy it again"
        ) from fault
    if peft_type != "OFT":
        raise CheckpointError(
            f"{source}: peft_type must be OFT, got {peft_type!r}; only OFT adapters can be converted"
        )
    for key, (kinds, low, high) in NUMBERS.items():
        value = config.get(key, low)
        number = value if isinstance(value, kinds) and not isinstance(value, bool) else math.nan
        if not low <= number <= high:
            raise CheckpointError(
                f"{source}: {key} must be a number from {low} to {high}, got {value!r}; copy it again"
            )
    assert isinstance(config, dict)
    return config


def _declared_targets(config: Mapping[str, Any]) -> tuple[str, ...]:
    targets = config.get("target_modules")
    return tuple(map(str, targets)) if isinstance(targets, list) else ()  # otherwise a regular expression


def _split(
    source: Path, tensors: Mapping[str, Tensor], suffixes: tuple[str, ...]
) -> dict[str, dict[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {suffix: {} for suffix in suffixes}
    for key, value in tensors.items():
        suffix = next((suffix for suffix in suffixes if key.endswith(suffix)), None)
        if suffix is None:
            raise CheckpointError(
                f"{source}: every name must end with {' or '.join(suffixes)}, got {key!r}; "
                "adapters that hold more than rotations (bias, modules_to_save) cannot be converted"
            )
        parts[suffix][key.removesuffix(suffix)] = value
    return parts


def _halves_last_term(config: Mapping[str, Any]) -> bool:
    # PEFT records its version since 0.18, which is when it changed the last term.
    version = re.match(r"(\d+)\.(\d+)", str(config.get("peft_version", "")))
    return version is not None and (int(version[1]), int(version[2])) >= HALVED_LAST_TERM_SINCE
