"""A checkpoint of the original Latent Diffusion code, one file for all networks, as diffusers' parts.

Stable Diffusion 1 and 2. The names are translated by diffusers' own converters; here is what they leave to
the caller: which of two sets of weights to take, and whether everything is there, in the right shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor, nn

StateDict = Mapping[str, "Tensor"]

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
TEXT_PREFIX = "cond_stage_model."
EMA_PREFIX = "model_ema."
SDXL_PREFIX = "conditioner.embedders."
OPEN_CLIP_PREFIX = "cond_stage_model.model."
MAX_SHOWN = 3


def refuse_other_models(source: Path, state: StateDict) -> None:
    """Refuse what is no whole checkpoint of Stable Diffusion 1 or 2.

    Raises:
        CheckpointError: it says what the file seems to be.
    """
    if any(name.startswith(SDXL_PREFIX) for name in state):
        raise CheckpointError(
            f"{source}: must be a checkpoint of Stable Diffusion 1 or 2, and is one of Stable Diffusion XL, "
            "whose UNet wants more than a prompt; set base.source in params.yaml to another"
        )
    needed = {
        "UNet": f"{UNET_PREFIX}input_blocks.0.0.weight",
        "autoencoder": f"{VAE_PREFIX}decoder.conv_in.weight",
    }
    missing = [f"{name} ({key})" for name, key in needed.items() if key not in state]
    if not any(name.startswith(TEXT_PREFIX) for name in state):
        missing.append(f"text encoder ({TEXT_PREFIX}*)")
    if missing:
        raise CheckpointError(
            f"{source}: must hold UNet, autoencoder and text encoder of Stable Diffusion 1 or 2 under Latent "
            f"Diffusion's names, and has no {', no '.join(missing)}; it holds {first_names(sorted(state))}; "
            "set base.source in params.yaml to a whole checkpoint"
        )


def with_ema_weights(source: Path, state: StateDict) -> StateDict:
    """Return the state with the UNet's moving averages in place of its weights; as it is if it has none.

    Latent Diffusion keeps them under the weight's name without dots: ``model_ema.diffusion_modelout0weight``.

    Raises:
        CheckpointError: averages of some weights are missing.
    """
    ema_names = {
        name: EMA_PREFIX + name.removeprefix("model.").replace(".", "")
        for name in state
        if name.startswith(UNET_PREFIX)
    }
    missing = [name for name, ema_name in ema_names.items() if ema_name not in state]
    if len(missing) == len(ema_names):  # pruned files keep the averages under the weights' own names
        return state
    if missing:
        raise CheckpointError(
            f"{source}: holds moving averages ({EMA_PREFIX}*) of only some weights of the UNet; "
            f"{len(missing)} have none, {first_names(missing)}; set base.use_ema to false in params.yaml"
        )
    return {**state, **{name: state[ema_name] for name, ema_name in ema_names.items()}}


def convert_unet(state: StateDict, unet: Any) -> dict[str, Tensor]:
    """Return the UNet's weights under diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    return dict(convert_ldm_unet_checkpoint(dict(state), dict(unet.config)))


def convert_vae(state: StateDict, vae: Any) -> dict[str, Tensor]:
    """Return the autoencoder's weights under diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    return dict(convert_ldm_vae_checkpoint(dict(state), dict(vae.config)))


def convert_text_encoder(state: StateDict, text_encoder: Any) -> dict[str, Tensor]:
    """Return the text encoder's weights under transformers' names, of CLIP (SD 1) or of OpenCLIP (SD 2)."""
    from diffusers.loaders.single_file_utils import convert_ldm_clip_checkpoint, convert_open_clip_checkpoint

    if any(name.startswith(OPEN_CLIP_PREFIX) for name in state):
        converted = convert_open_clip_checkpoint(text_encoder, dict(state), OPEN_CLIP_PREFIX)
    else:
        converted = convert_ldm_clip_checkpoint(dict(state))
    # The text encoder of a text-to-image model does not use these.
    unused = ("embeddings.position_ids", "text_projection.weight", "logit_scale")
    named = {name.removeprefix("text_model."): value for name, value in converted.items()}
    return {name: value for name, value in named.items() if name not in unused}


CONVERTERS: Mapping[str, Callable[[StateDict, Any], dict[str, Tensor]]] = {
    "unet": convert_unet,
    "vae": convert_vae,
    "text_encoder": convert_text_encoder,
}


def convert(source: Path, state: StateDict, part: str, network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of one part, by the names that ``network`` has; no value is copied or changed.

    Args:
        source: the file, for messages.
        part: unet, vae or text_encoder.
        network: of the part's configuration; it may be on the meta device.

    Raises:
        CheckpointError: weights are missing, too many or of another shape than the configuration says.
    """
    try:
        weights = CONVERTERS[part](state, network)
    except (KeyError, AttributeError, IndexError) as fault:
        # The converters index and cut what they take to be there.
        raise CheckpointError(
            f"{source}: its {part} is not whole ({type(fault).__name__}: {fault}); fetch it again"
        ) from fault
    expected = {name: value.shape for name, value in network.state_dict().items()}
    missing = [name for name in expected if name not in weights]
    unknown = [name for name in weights if name not in expected]
    others = [
        f"{name} is {list(weights[name].shape)}, not {list(shape)}"
        for name, shape in expected.items()
        if name in weights and weights[name].shape != shape
    ]
    faults = [
        f"{len(names)} {what}: {first_names(names)}"
        for names, what in ((missing, "missing"), (unknown, "unknown"), (others, "of another shape"))
        if names
    ]
    if faults:
        raise CheckpointError(
            f"{source}: its {part} must have the {len(expected)} weights of base.config, and has "
            f"{'; '.join(faults)}; set base.config in params.yaml to the checkpoint's own, or fetch it again"
        )
    return weights


def first_names(names: list[str]) -> str:
    """Return the first few names, and that there are more."""
    return ", ".join(names[:MAX_SHOWN]) + (", ..." if len(names) > MAX_SHOWN else "")
