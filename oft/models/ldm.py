"""A checkpoint of the original Latent Diffusion code, one file for all networks, as diffusers' parts.

Stable Diffusion 1, 2 and XL. The names are translated by diffusers' own converters; here is what they leave
to the caller: which of two sets of weights to take, and whether everything is there, in the right shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.errors import CheckpointError
from oft.models.tasks import other_task
from oft.weights import check_weights, first_names

if TYPE_CHECKING:
    from torch import Tensor, nn

StateDict = Mapping[str, "Tensor"]

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TEXT_PREFIX = "cond_stage_model."
EMA_PREFIX = "model_ema."
XL_PREFIX = "conditioner.embedders."
XL_TEXT_PREFIXES = (f"{XL_PREFIX}0.transformer.", f"{XL_PREFIX}1.model.")
"""Of its two text encoders. The refiner has the second alone, as number 0."""
OPEN_CLIP_PREFIX = "cond_stage_model.model."
DIFFUSERS_PREFIX = "unet."
FIRST_CONVOLUTION = f"{UNET_PREFIX}input_blocks.0.0.weight"
LATENT_CHANNELS = 4
"""Of Stable Diffusion 1, 2 and XL."""
VELOCITY_MARK, EDM_MARK = "v_pred", "edm_"
"""Entries that models made from XL have where they predict velocity, or what Karras et al. 2022 predict."""


def refuse_other_models(
    source: Path, state: StateDict, *, is_xl: bool = False, predicts: str = "epsilon"
) -> None:
    """Refuse what is no whole checkpoint of Stable Diffusion 1 or 2, or of XL.

    Args:
        is_xl: what it must be, as the configuration has it.
        predicts: likewise; the scheduler's ``prediction_type``.

    Raises:
        CheckpointError: it says what the file seems to be.
    """
    wanted = "Stable Diffusion XL" if is_xl else "Stable Diffusion 1 or 2"
    if not is_xl and any(name.startswith(XL_PREFIX) for name in state):
        raise CheckpointError(
            f"{source}: is a checkpoint of Stable Diffusion XL, and base.config names another; set "
            "base.config in params.yaml to sdxl, or to a folder with the configurations of an XL"
        )
    if is_xl and any(name.startswith(TEXT_PREFIX) for name in state):
        raise CheckpointError(
            f"{source}: is a checkpoint of Stable Diffusion 1 or 2, and base.config names an XL; set "
            "base.config in params.yaml to sd15, sd21 or sd21-base"
        )
    if any(name.startswith(EDM_MARK) for name in state):
        raise CheckpointError(
            f"{source}: its UNet is conditioned as in Karras et al. 2022 ({EDM_MARK}*), which is not known "
            "here; set base.source in params.yaml to another"
        )
    if VELOCITY_MARK in state and predicts != "v_prediction":
        raise CheckpointError(
            f"{source}: predicts velocity ({VELOCITY_MARK}), and base.config has a scheduler for {predicts}; "
            "set base.config in params.yaml to a folder whose scheduler/ has prediction_type v_prediction"
        )
    if any(name.startswith(DIFFUSERS_PREFIX) for name in state):
        raise CheckpointError(
            f"{source}: must hold Latent Diffusion's names, and has those of diffusers behind a prefix "
            f"({first_names(name for name in state if name.startswith(DIFFUSERS_PREFIX))}); give the folder "
            "that `save_pretrained` wrote as base.source in params.yaml"
        )
    first = state.get(FIRST_CONVOLUTION)
    in_channels = 0 if first is None or first.dim() < 2 else first.shape[1]
    if other := other_task(in_channels, LATENT_CHANNELS):
        raise CheckpointError(
            f"{source}: its UNet takes {in_channels} channels, so it is {other}; a base must be a "
            "text-to-image model; set base.source in params.yaml to one"
        )
    needed = {
        "UNet": FIRST_CONVOLUTION,
        "autoencoder": f"{VAE_PREFIX}decoder.conv_in.weight",
    }
    missing = [f"{name} ({key})" for name, key in needed.items() if key not in state]
    for prefix in XL_TEXT_PREFIXES if is_xl else (TEXT_PREFIX,):
        if not any(name.startswith(prefix) for name in state):
            missing.append(f"text encoder ({prefix}*)")
    if missing:
        raise CheckpointError(
            f"{source}: must hold UNet, autoencoder and text encoder of {wanted} under Latent "
            f"Diffusion's names, and has no {', no '.join(missing)}; it holds {first_names(sorted(state))}; "
            "set base.source in params.yaml to a whole checkpoint"
        )


def choose_weights(source: Path, state: StateDict, use_ema: bool) -> tuple[StateDict, str]:
    """Return the state with one set of weights of the UNet under its names, and which of them these are.

    Latent Diffusion keeps moving averages under the weight's name without dots:
    ``model_ema.diffusion_modelout0weight``.

    Args:
        use_ema: take the averages, if there are any.

    Raises:
        CheckpointError: averages of some weights are missing.
    """
    # Counters of the averaging are there in pruned files too, which keep the averages as the weights.
    plain = {name: value for name, value in state.items() if not name.startswith(EMA_PREFIX)}
    ema_names = {
        name: EMA_PREFIX + name.removeprefix("model.").replace(".", "")
        for name in plain
        if name.startswith(UNET_PREFIX)
    }
    missing = [name for name, ema_name in ema_names.items() if ema_name not in state]
    if len(missing) == len(ema_names):
        return plain, "the only weights (the file has no moving averages beside them)"
    if not use_ema:
        return plain, "the last weights (base.use_ema is false; the file has moving averages too)"
    if missing:
        raise CheckpointError(
            f"{source}: holds moving averages ({EMA_PREFIX}*) of only some weights of the UNet; "
            f"{len(missing)} have none, {first_names(missing)}; set base.use_ema to false in params.yaml"
        )
    averages = {name: state[ema_name] for name, ema_name in ema_names.items()}
    return {**plain, **averages}, "the moving averages"


def convert_unet(state: StateDict, unet: Any) -> dict[str, Tensor]:
    """Return the UNet's weights under diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    return dict(convert_ldm_unet_checkpoint(dict(state), dict(unet.config)))


def convert_vae(state: StateDict, vae: Any) -> dict[str, Tensor]:
    """Return the autoencoder's weights under diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    return dict(convert_ldm_vae_checkpoint(dict(state), dict(vae.config)))


def convert_text_encoder(state: StateDict, text_encoder: Any) -> dict[str, Tensor]:
    """Return the text encoder's weights under transformers' names: of CLIP (SD 1, XL) or OpenCLIP (SD 2)."""
    from diffusers.loaders.single_file_utils import convert_ldm_clip_checkpoint, convert_open_clip_checkpoint

    if any(name.startswith(OPEN_CLIP_PREFIX) for name in state):
        converted = convert_open_clip_checkpoint(text_encoder, dict(state), OPEN_CLIP_PREFIX)
    else:
        converted = convert_ldm_clip_checkpoint(dict(state))
    # The text encoder of a text-to-image model does not use these.
    unused = ("embeddings.position_ids", "text_projection.weight", "logit_scale")
    named = {name.removeprefix("text_model."): value for name, value in converted.items()}
    return {name: value for name, value in named.items() if name not in unused}


def convert_text_encoder_2(state: StateDict, text_encoder: Any) -> dict[str, Tensor]:
    """Return the weights of XL's second text encoder, OpenCLIP's, and its projection."""
    from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

    return dict(convert_open_clip_checkpoint(text_encoder, dict(state), XL_TEXT_PREFIXES[1]))


CONVERTERS: Mapping[str, Callable[[StateDict, Any], dict[str, Tensor]]] = {
    "unet": convert_unet,
    "vae": convert_vae,
    "text_encoder": convert_text_encoder,
    "text_encoder_2": convert_text_encoder_2,
}


def convert(source: Path, state: StateDict, part: str, network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of one part, by the names that ``network`` has; no value is copied or changed.

    Args:
        source: the file, for messages.
        part: unet, vae, text_encoder or text_encoder_2.
        network: of the part's configuration; it may be on the meta device.

    Raises:
        CheckpointError: weights are missing, too many, of another shape than the configuration says, or no
            finite numbers.
    """
    try:
        weights = CONVERTERS[part](state, network)
    except (KeyError, AttributeError, IndexError) as fault:
        # The converters index and cut what they take to be there.
        raise CheckpointError(
            f"{source}: its {part} is not whole ({type(fault).__name__}: {fault}); fetch it again"
        ) from fault
    check_weights(
        f"{source}: its {part}",
        network.state_dict(),
        weights,
        "set base.config in params.yaml to the checkpoint's own, or fetch it again",
    )
    return weights
