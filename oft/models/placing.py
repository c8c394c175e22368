"""Where a base comes from: a folder in diffusers' layout, a file of Latent Diffusion's, or the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from oft.errors import CheckpointError
from oft.models.architectures import CheckpointName, write_configs, write_tokenizers
from oft.models.base import (
    PARTS,
    ZEROES_EMPTY_PROMPTS,
    check_parts,
    networks_of,
    parts_of,
    place_base,
    write_card,
)
from oft.models.copying import (
    INDEX_NAME,
    TOKENIZER_FILES,
    TOKENIZERS,
    WEIGHTS_NAMES,
    copy_plain,
    listed_files,
    part_files,
)
from oft.models.hub import HUB_FORM, download, find_folder, is_hub_id
from oft.storage import atomic_folder, sha256_file, write_json

if TYPE_CHECKING:
    from oft.settings.training import Base as BaseSettings

LDM_SUFFIXES = (".ckpt", ".safetensors")
CONFIGS = ("*/config.json", "scheduler/scheduler_config.json")
TOKENIZER = tuple(f"{part}/{name}" for part in TOKENIZERS for name in TOKENIZER_FILES)
# The names in the hub's files; transformers 5 itself writes no prefix.
KEY_PREFIXES = {"text_encoder": "text_model."}
CONFIG_REMEDY = "set base.config in params.yaml to a folder with the configurations of such a checkpoint"


def place(settings: BaseSettings, target: Path) -> dict[str, Any]:
    """Write the base that the settings name to ``target``, in diffusers' layout, and return its card.

    Weights stay in the precision they come in; training and sampling load them in float32.

    Raises:
        CheckpointError: there is no such base, it cannot be fetched, or it is no Stable Diffusion 1, 2 or XL.
    """
    source = Path(settings.source)
    if source.is_dir():
        return place_base(source, target, source.name, settings.variant)
    if source.is_file() and source.suffix.lower() in LDM_SUFFIXES:
        return convert_ldm(source, target, settings)
    if not source.exists() and is_hub_id(settings.source):
        folder = download(settings.source, weight_patterns(settings.variant), "base.source")
        return place_base(folder, target, settings.source, settings.variant)
    raise CheckpointError(
        f"base.source ({settings.source}): must be miniature, a folder in diffusers' layout, a file "
        f"{' or '.join(LDM_SUFFIXES)}, or {HUB_FORM} on the hub; "
        f"{'the file is neither' if source.exists() else 'there is no such file, and it is no such name'}"
    )


def weight_patterns(variant: str | None) -> list[str]:
    """Return the files of a repository on the hub that make up a base: safetensors, of one variant alone."""
    ending = f".{variant}" if variant else ""
    weights = [f"{part}/{name}{ending}.safetensors" for part, name in WEIGHTS_NAMES.items()]
    return [INDEX_NAME, *CONFIGS, *TOKENIZER, *weights]


def convert_ldm(source: Path, target: Path, settings: BaseSettings) -> dict[str, Any]:
    """Convert a file of Latent Diffusion's to ``target`` and return its card.

    The card says, too, the file's SHA-256 and which of its UNet's weights were taken.

    Raises:
        CheckpointError: the file is damaged, incomplete, of another model, or its configuration or tokenizer
            is not to be had.
    """
    with atomic_folder(target) as partial:
        place_configs(settings, partial)
        taken = _convert_weights(source, partial, settings.use_ema)
        write_json(partial / INDEX_NAME, model_index(partial))
        check_parts(partial, source)
        return write_card(partial, source.name, source_sha256=sha256_file(source), unet_weights=taken)


def _convert_weights(source: Path, folder: Path, use_ema: bool) -> str:
    """Write the weights beside the configurations in ``folder``; return which of the UNet's were taken."""
    from diffusers import DDPMScheduler
    from safetensors.torch import save_file

    from oft.models.checkpoints import read_checkpoint
    from oft.models.ldm import StateDict, choose_weights, convert, refuse_other_models
    from oft.models.loading import load_part

    networks = empty_networks(folder)
    scheduler = load_part(DDPMScheduler, folder / "scheduler", CONFIG_REMEDY)
    state: StateDict = read_checkpoint(source)
    is_xl, predicts = "text_encoder_2" in networks, scheduler.config.prediction_type
    refuse_other_models(source, state, is_xl=is_xl, predicts=predicts)
    state, taken = choose_weights(source, state, use_ema)
    for part, network in networks.items():
        weights = convert(source, state, part, network)
        prefix = KEY_PREFIXES.get(part, "")
        named = {f"{prefix}{name}": weight.contiguous() for name, weight in weights.items()}
        file = folder / part / f"{WEIGHTS_NAMES[part]}.safetensors"
        save_file(named, file, metadata={"format": "pt"})
        file.chmod(0o644)  # the library lets nobody else read it
    return taken


def empty_networks(folder: Path) -> dict[str, Any]:
    """Return the networks that the configurations in a folder describe, on torch's meta device.

    Raises:
        CheckpointError: a configuration is damaged or of another class.
    """
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from oft.models.loading import load_part

    text_encoders = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    text_configs = {
        part: load_part(CLIPTextConfig, folder / part, CONFIG_REMEDY)
        for part in text_encoders
        if part in networks_of(folder)
    }
    with torch.device("meta"):
        return {
            "unet": UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet")),
            "vae": AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae")),
            **{part: text_encoders[part](config) for part, config in text_configs.items()},
        }


def place_configs(settings: BaseSettings, folder: Path) -> None:
    """Write configurations and tokenizers into ``folder``, as base.config and base.tokenizer name them.

    Raises:
        CheckpointError: a folder lacks one of them.
    """
    if settings.config in get_args(CheckpointName):
        write_configs(settings.config, folder)  # type: ignore[arg-type]
        if settings.tokenizer is None:
            write_tokenizers(settings.config, folder)  # type: ignore[arg-type]
            return
        parts = parts_of(folder)
    else:
        known = find_folder(
            settings.config, (*CONFIGS, *TOKENIZER), "base.config", instead=get_args(CheckpointName)
        )
        parts = parts_of(known)
        for part in (part for part in parts if part not in TOKENIZERS):
            _copy_files(known, part, folder, "base.config", re.compile(r"(scheduler_)?config\.json"))
    if settings.tokenizer is not None:
        known = find_folder(settings.tokenizer, TOKENIZER, "base.tokenizer")
    what = "base.config" if settings.tokenizer is None else "base.tokenizer"
    for part in (part for part in parts if part in TOKENIZERS):
        _copy_files(known, part, folder, what, part_files()[part])


def model_index(folder: Path) -> dict[str, Any]:
    """Return diffusers' index of a checkpoint (model_index.json): the class of each part."""
    import diffusers

    scheduler = diffusers.DDIMScheduler.load_config(folder / "scheduler")["_class_name"]
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "scheduler": ["diffusers", scheduler],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    if parts_of(folder) == PARTS:
        return index | {"requires_safety_checker": False, "safety_checker": [None, None]}
    return index | {
        "_class_name": "StableDiffusionXLPipeline",
        ZEROES_EMPTY_PROMPTS: True,
        "image_encoder": [None, None],
        "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
        "tokenizer_2": ["transformers", "CLIPTokenizer"],
    }


def _copy_files(folder: Path, part: str, target: Path, what: str, names: re.Pattern[str]) -> None:
    files = list(listed_files(folder / part, names)) if (folder / part).is_dir() else []
    if not files:
        also = (
            "; or set base.tokenizer to one that has" if (part, what) == ("tokenizer", "base.config") else ""
        )
        raise CheckpointError(
            f"{folder / part}: {what} in params.yaml must name a folder in diffusers' layout, and it has no "
            f"{part}/ with the files that are needed{also}"
        )
    for path in files:
        copy_plain(path, target / part / path.name, folder)
