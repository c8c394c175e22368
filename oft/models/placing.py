"""Where a base comes from: a folder in diffusers' layout, a file of Latent Diffusion's, or the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from oft.errors import CheckpointError
from oft.models.architectures import CheckpointName, write_configs, write_tokenizers
from oft.models.base import NETWORKS, PARTS, check_parts, place_base, write_card
from oft.models.copying import (
    INDEX_NAME,
    TOKENIZER_FILES,
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
TOKENIZER = tuple(f"tokenizer/{name}" for name in TOKENIZER_FILES)
# The names in the hub's files; transformers 5 itself writes no prefix.
KEY_PREFIXES = {"unet": "", "vae": "", "text_encoder": "text_model."}


def place(settings: BaseSettings, target: Path) -> dict[str, Any]:
    """Write the base that the settings name to ``target``, in diffusers' layout, and return its card.

    Weights stay in the precision they come in; training and sampling load them in float32.

    Raises:
        CheckpointError: there is no such base, it cannot be fetched, or it is no Stable Diffusion 1 or 2.
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
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from safetensors.torch import save_file
    from transformers import CLIPTextConfig, CLIPTextModel

    from oft.models.checkpoints import read_checkpoint
    from oft.models.ldm import StateDict, choose_weights, convert, refuse_other_models
    from oft.models.loading import load_part

    with atomic_folder(target) as partial:
        place_configs(settings, partial)
        remedy = "set base.config in params.yaml to a folder with the configurations of such a checkpoint"
        configs = {
            "unet": UNet2DConditionModel.load_config(partial / "unet"),
            "vae": AutoencoderKL.load_config(partial / "vae"),
            "text_encoder": load_part(CLIPTextConfig, partial / "text_encoder", remedy),
        }
        with torch.device("meta"):
            networks = {
                "unet": UNet2DConditionModel.from_config(configs["unet"]),
                "vae": AutoencoderKL.from_config(configs["vae"]),
                "text_encoder": CLIPTextModel(configs["text_encoder"]),
            }
        state: StateDict = read_checkpoint(source)
        refuse_other_models(source, state)
        state, taken = choose_weights(source, state, settings.use_ema)
        for part in NETWORKS:
            weights = convert(source, state, part, networks[part])
            named = {f"{KEY_PREFIXES[part]}{name}": weight.contiguous() for name, weight in weights.items()}
            file = partial / part / f"{WEIGHTS_NAMES[part]}.safetensors"
            save_file(named, file, metadata={"format": "pt"})
            file.chmod(0o644)  # the library lets nobody else read it
        write_json(partial / INDEX_NAME, model_index(partial))
        check_parts(partial, source)
        return write_card(partial, source.name, source_sha256=sha256_file(source), unet_weights=taken)


def place_configs(settings: BaseSettings, folder: Path) -> None:
    """Write configurations and tokenizer into ``folder``, as base.config and base.tokenizer name them.

    Raises:
        CheckpointError: a folder lacks one of them.
    """
    if settings.config in get_args(CheckpointName):
        write_configs(settings.config, folder)  # type: ignore[arg-type]
        if settings.tokenizer is None:
            write_tokenizers(settings.config, folder)  # type: ignore[arg-type]
            return
    else:
        known = find_folder(
            settings.config, (*CONFIGS, *TOKENIZER), "base.config", instead=get_args(CheckpointName)
        )
        for part in (part for part in PARTS if part != "tokenizer"):
            _copy_files(known, part, folder, "base.config", re.compile(r"(scheduler_)?config\.json"))
    if settings.tokenizer is not None:
        known = find_folder(settings.tokenizer, TOKENIZER, "base.tokenizer")
    what = "base.config" if settings.tokenizer is None else "base.tokenizer"
    _copy_files(known, "tokenizer", folder, what, part_files()["tokenizer"])


def model_index(folder: Path) -> dict[str, Any]:
    """Return diffusers' index of a checkpoint (model_index.json): the class of each part."""
    import diffusers

    scheduler = diffusers.DDIMScheduler.load_config(folder / "scheduler")["_class_name"]
    return {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", scheduler],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
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
