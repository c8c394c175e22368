"""Adapters on disk: the rotations in PEFT's layout, magnitudes and the hint encoder in files beside them.

    adapter_config.json         PEFT's configuration
    adapter_model.safetensors   base_model.model.<layer>.oft_R.weight  [r, b(b-1)/2]
    magnitude.safetensors       <layer>.log_scale  [out]
    hint_encoder.safetensors    convs.<i>.weight, convs.<i>.bias

``PeftModel.from_pretrained(unet, folder)`` reproduces the rotations, and so does a UNet of diffusers after
``unet.add_adapter(PeftConfig.from_pretrained(folder))`` and ``set_peft_model_state_dict`` (names without
``base_model.model.``). The rotations' file holds the entries of S, whatever multiple of them was trained.
Each tensor file's metadata names the base it belongs to, by origin and hash, and the version that wrote it.
Equal adapters give equal bytes. Nothing is pickled.

What other programs write is read and written by ``oft.exchange``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from oft.adapters.attaching import BASE_REMEDY, refuse_second
from oft.adapters.bases import hub_reference
from oft.adapters.files import CONFIG_FILE, MAGNITUDE_FILE, ROTATION_FILE
from oft.adapters.hint.adapter import read_encoder, save_encoder
from oft.adapters.hint.encoder import CHILD_NAME as HINT_ENCODER_CHILD
from oft.adapters.hint.encoder import HintEncoder
from oft.adapters.oft.adapting import is_adaptable
from oft.adapters.oft.config import OFTConfig
from oft.adapters.oft.layers import Application, is_pointwise, num_outputs
from oft.adapters.oft.magnitude import MagnitudeAdapter
from oft.adapters.oft.module import OFTAdapter
from oft.adapters.oft.rotation import EpsConvention, ParameterScale
from oft.adapters.oft.targets import find_targets
from oft.adapters.tensors import file_metadata, read_tensors, write_tensors
from oft.errors import CheckpointError, ParamsError
from oft.storage import read_json, write_json
from oft.weights import check_weights, meta_weights

CONVENTION = "x R with R = (I - S)(I + S)^-1, S = U - U^T, U the packed upper triangle row by row"
PEFT_PREFIX, PEFT_SUFFIX = "base_model.model.", ".oft_R.weight"


@dataclass(frozen=True)
class Saved:
    """The contents of an adapter's folder, checked against a model that does not carry them yet.

    Attributes:
        packed: entries of S, ``[r, b(b-1)/2]``, by layer name, whatever was trained.
        log_scales: log-magnitudes ``[out]`` by layer name; None for none.
        encoder: the hint encoder, not yet attached; None for none.
        metadata: of the rotations' file.
    """

    config: OFTConfig
    packed: dict[str, Tensor]
    log_scales: dict[str, Tensor] | None
    encoder: HintEncoder | None
    metadata: dict[str, str]

    @property
    def by_peft(self) -> bool:
        """Whether PEFT wrote the folder, and not this project."""
        return "convention" not in self.metadata


def save_adapter(
    folder: Path,
    adapter: OFTAdapter,
    magnitude: MagnitudeAdapter | None = None,
    hint_encoder: HintEncoder | None = None,
    *,
    base_hash: str,
    base_name: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write an adapter to ``folder``, in place of the one there; files of other names are left alone.

    Args:
        base_hash: hash of the base's weights; ``load_adapter`` compares it.
        base_name: where the base came from, for people to read; None records nothing.
        metadata: further entries for each file's metadata.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    common = {**(metadata or {}), **file_metadata(base_hash, base_name)}
    config = adapter.config
    write_json(folder / CONFIG_FILE, peft_config(adapter) | hub_reference(base_name))
    write_tensors(
        folder / ROTATION_FILE,
        {f"{PEFT_PREFIX}{name}{PEFT_SUFFIX}": packed for name, packed in adapter.named_packed()},
        {
            **common,
            "convention": CONVENTION,
            "num_blocks": str(config.num_blocks or ""),
            "block_size": str(config.block_size or ""),
            "block_share": str(config.block_share).lower(),
            "coft": str(config.coft).lower(),
            "eps": repr(config.eps),
            "eps_convention": config.eps_convention,
            "parameter_scale": config.parameter_scale,
            "application": config.application,
        },
    )
    if magnitude is None:
        (folder / MAGNITUDE_FILE).unlink(missing_ok=True)
    else:
        scales = {f"{name}.log_scale": log_scale for name, log_scale in magnitude.named_values()}
        write_tensors(folder / MAGNITUDE_FILE, scales, common)
    save_encoder(folder, hint_encoder, common)


def read_adapter(folder: Path, unet: nn.Module, base_hash: str | None = None) -> Saved:
    """Read the adapter saved in ``folder`` and check it against ``unet``, which stays as it is.

    Also reads what PEFT's exact path saved for linear layers and pointwise convolutions.

    Args:
        base_hash: hash of the base's weights; None skips the comparison.

    Raises:
        CheckpointError: a file is missing or damaged, or the adapter belongs to another base, architecture or
            Cayley convention.
        ParamsError: the model has an adapter already.
    """
    folder = Path(folder)
    for child_name in (OFTAdapter.kind, MagnitudeAdapter.kind, HINT_ENCODER_CHILD):
        refuse_second(unet, child_name)
    packed, metadata = _read_rotations(folder / ROTATION_FILE, base_hash)
    try:
        config = _config_from_peft(folder / CONFIG_FILE, metadata, packed)
        targets = find_targets(unet, config.target_modules)
        shapes = config.packed_shapes(targets)
    except (ParamsError, ValueError, TypeError, KeyError) as fault:
        reason = fault if isinstance(fault, ParamsError) else f"a value is none of its kind: {fault!r}"
        raise CheckpointError(f"{folder / CONFIG_FILE}: {reason}") from fault
    if "convention" not in metadata:
        _refuse_pefts_convolutions(folder / CONFIG_FILE, targets)
    check_weights(str(folder / ROTATION_FILE), meta_weights(shapes), packed, BASE_REMEDY)
    log_scales = _read_magnitudes(folder / MAGNITUDE_FILE, base_hash, unet)
    encoder = read_encoder(folder, base_hash, unet)
    return Saved(config, packed, log_scales, encoder, metadata)


def peft_config(adapter: OFTAdapter) -> dict[str, Any]:
    """Return the contents of PEFT's adapter_config.json for an adapter."""
    config = adapter.config
    return {
        "base_model_name_or_path": None,
        "bias": "none",
        "block_share": config.block_share,
        "coft": config.coft,
        "eps": _pefts_eps(adapter),
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_weights": True,
        "module_dropout": config.dropout,
        "oft_block_size": config.block_size or 0,
        "peft_type": "OFT",
        "r": config.num_blocks or 0,
        "target_modules": _listed(config.target_modules),
        "task_type": None,
        "use_cayley_neumann": False,
    }


def _pefts_eps(adapter: OFTAdapter) -> float:
    """Return eps in PEFT's convention: it bounds S by eps / √r, the reference by eps b² / √r.

    PEFT has one eps for all layers, so take the widest: our parameters are within their own bounds already,
    and PEFT leaves them alone.
    """
    if adapter.config.eps_convention == "peft":
        return adapter.config.eps
    return adapter.config.eps * max(block_size for _, block_size in adapter.block_shapes.values()) ** 2


def _listed(target_modules: tuple[str, ...] | str) -> list[str] | str:
    return target_modules if isinstance(target_modules, str) else list(target_modules)


def _refuse_pefts_convolutions(source: Path, targets: Mapping[str, nn.Module]) -> None:
    for name, layer in targets.items():
        if isinstance(layer, nn.Conv2d) and not is_pointwise(layer):
            raise CheckpointError(
                f"{source}: PEFT's OFT of a convolution larger than 1x1 is no rotation of its weight "
                f"(overlapping patches are summed), and {name!r} is one; train it again here"
            )


def _config_from_peft(source: Path, metadata: Mapping[str, str], packed: Mapping[str, Tensor]) -> OFTConfig:
    if not source.is_file():
        raise CheckpointError(
            f"{source}: an adapter needs this file, and it is missing; train or copy the adapter again"
        )
    try:
        values = read_json(source)
        peft_type, targets = values["peft_type"], values["target_modules"]
    except (ValueError, KeyError, TypeError, RecursionError) as fault:
        raise CheckpointError(
            f"{source}: must be PEFT's JSON with peft_type and target_modules, got {fault!r}; copy it again"
        ) from fault
    if peft_type != "OFT" or not isinstance(targets, list | str):
        raise CheckpointError(
            f"{source}: must be of an OFT adapter with target_modules in it, got peft_type {peft_type!r} "
            f"and target_modules {targets!r}; give an OFT adapter"
        )
    if values.get("use_cayley_neumann", True):
        raise CheckpointError(
            f"{source}: use_cayley_neumann must be false, and is not: its truncated series approximates the "
            "inverse rotation; convert the adapter with `oft import`"
        )
    # An adapter of this project says more than PEFT's configuration has a place for.
    ours = "convention" in metadata
    coft = read_flag(source, "coft", values.get("coft", False))
    eps = metadata["eps"] if ours else values.get("eps", 6e-5)
    return OFTConfig(
        target_modules=targets if isinstance(targets, str) else tuple(targets),
        num_blocks=values.get("r") or None,
        block_size=values.get("oft_block_size") or None,
        block_share=read_flag(source, "block_share", values.get("block_share", False)),
        coft=coft,
        eps=read_eps(source, eps) if coft else OFTConfig.eps,
        eps_convention=cast("EpsConvention", metadata.get("eps_convention", "reference") if ours else "peft"),
        dropout=float(values.get("module_dropout", 0.0)),
        # PEFT trains the entries of S, and so did this project before it recorded what it trains.
        parameter_scale=cast("ParameterScale", metadata.get("parameter_scale", "none")),
        application=cast("Application", metadata.get("application", "auto")),
    )


def read_flag(source: Path, name: str, value: object) -> bool:
    """Return a setting of a configuration that is true or false.

    Raises:
        CheckpointError: it is something else, such as the text "false".
    """
    if not isinstance(value, bool):
        raise CheckpointError(
            f"{source}: {name} must be true or false, got {value!r:.80}; copy the adapter again"
        )
    return value


def read_eps(source: Path, value: object) -> float:
    """Return COFT's eps, which a configuration has as a number and metadata as text.

    Raises:
        CheckpointError: it is no finite number above 0.
    """
    try:
        eps = math.nan if isinstance(value, bool) else float(cast("float | str", value))
    except (TypeError, ValueError, OverflowError):
        eps = math.nan
    if not 0 < eps < math.inf:
        raise CheckpointError(
            f"{source}: eps must be a finite number above 0, got {value!r:.80}; copy the adapter again"
        )
    return eps


def _read_rotations(source: Path, base_hash: str | None) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors, metadata = read_tensors(source, base_hash)
    packed = {}
    for key, value in tensors.items():
        if not (key.startswith(PEFT_PREFIX) and key.endswith(PEFT_SUFFIX)):
            raise CheckpointError(
                f"{source}: every name must be {PEFT_PREFIX}<layer>{PEFT_SUFFIX}, got {key!r}; "
                "give an OFT adapter in PEFT's layout"
            )
        packed[key.removeprefix(PEFT_PREFIX).removesuffix(PEFT_SUFFIX)] = value
    return packed, metadata


def _read_magnitudes(source: Path, base_hash: str | None, unet: nn.Module) -> dict[str, Tensor] | None:
    if not source.exists():
        return None
    tensors, _ = read_tensors(source, base_hash)
    log_scales = {key.removesuffix(".log_scale"): value for key, value in tensors.items()}
    check_magnitudes(str(source), log_scales, unet)
    return log_scales


def check_magnitudes(what: str, log_scales: Mapping[str, Tensor], unet: nn.Module) -> None:
    """Refuse log-magnitudes of layers ``unet`` does not have; ``what`` names them in the message.

    Raises:
        CheckpointError: a layer is unknown or cannot be adapted, or a length differs.
    """
    layers = {name: layer for name, layer in unet.named_modules() if is_adaptable(layer)}
    expected = {name: (num_outputs(layers[name]),) for name in log_scales if name in layers}
    check_weights(what, meta_weights(expected), log_scales, BASE_REMEDY)
