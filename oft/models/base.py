"""Place, hash and load the base checkpoint, in diffusers' layout."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oft.errors import CheckpointError
from oft.models.copying import INDEX_NAME, WEIGHTS_NAMES, copy_plain, listed_files, part_files
from oft.models.tasks import other_task
from oft.storage import atomic_folder, read_json, sha256_file, write_json

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
NETWORKS = ("unet", "vae", "text_encoder")
CARD_NAME = "base.json"


@dataclass(frozen=True)
class Base:
    """The frozen networks training needs, in float32, and the hash that adapters are tied to.

    ``origin`` says where the checkpoint came from, for people to read.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    noise_scheduler: DDPMScheduler
    hash: str
    origin: str = ""


def place_base(source: Path, target: Path, origin: str, variant: str | None = None) -> dict[str, Any]:
    """Copy a checkpoint in diffusers' layout to ``target`` and return its card (origin, hash, parts).

    Only the files that are used are copied, weights in safetensors alone, and the whole is loaded once.

    Args:
        variant: take only the weights ``*.<variant>.safetensors``, under their plain names.

    Raises:
        CheckpointError: a part is missing, damaged, of another architecture, not in safetensors, or holds
            values that are no numbers; or a file is a link that leads out of the folder.
    """
    for part in PARTS:
        if not (source / part).is_dir():
            raise CheckpointError(
                f"{source}: a Stable Diffusion checkpoint in diffusers' layout has the folders "
                f"{', '.join(PARTS)}; {part}/ is missing; "
                "set base.source in params.yaml to the folder that holds model_index.json"
            )
    if not (source / INDEX_NAME).is_file():
        raise CheckpointError(
            f"{source}: {INDEX_NAME} is missing, which says what the folders hold; "
            "set base.source in params.yaml to the folder that has it"
        )
    refuse_pickled(source, variant)
    with atomic_folder(target) as partial:
        copy_plain(source / INDEX_NAME, partial / INDEX_NAME, source)
        for part, names in part_files(variant).items():
            for path in listed_files(source / part, names):
                name = path.name.replace(f".{variant}.", ".") if variant else path.name
                copy_plain(path, partial / part / name, source)
        check_parts(partial, source)
        return write_card(partial, origin)


def check_parts(folder: Path, named: Path) -> None:
    """Refuse what would not load as a base; ``named`` is how messages call the folder.

    Raises:
        CheckpointError: a part is missing, damaged, of another architecture, or holds no numbers.
    """
    load_parts(
        folder, {"hash": "", "origin": ""}, "set base.source in params.yaml to a whole one", named=named
    )


def write_card(folder: Path, origin: str, **more: str) -> dict[str, Any]:
    """Record in a placed base where it came from, with its hash; return what was recorded."""
    card = {"origin": origin, "hash": hash_weights(folder), "parts": list(PARTS), **more}
    write_json(folder / CARD_NAME, card)
    return card


def refuse_pickled(source: Path, variant: str | None = None) -> None:
    """Refuse a checkpoint whose networks have no weights in safetensors, or none of a variant.

    Raises:
        CheckpointError: one has none.
    """
    for part in NETWORKS:
        if any(
            path.suffix == ".safetensors" for path in listed_files(source / part, part_files(variant)[part])
        ):
            continue
        others = sorted(path.name for path in (source / part).glob("*.safetensors"))
        if variant:
            raise CheckpointError(
                f"{source / part}: base.variant is {variant}, and no weights *.{variant}.safetensors are "
                "there; set base.variant to null in params.yaml"
            )
        if others:
            raise CheckpointError(
                f"{source / part}: weights must be {WEIGHTS_NAMES[part]}.safetensors, and there are "
                f"{', '.join(others[:3])}; set base.variant in params.yaml (fp16) or rename them"
            )
        raise CheckpointError(
            f"{source / part}: weights must be in safetensors (pickled ones can run code when loaded); "
            "none is there; "
            "convert them with `StableDiffusionPipeline.save_pretrained(..., safe_serialization=True)`"
        )


def hash_weights(folder: Path, parts: Sequence[str] | None = None) -> str:
    """Return one SHA-256 over the names and hashes of all weight files of a checkpoint, or of some parts."""
    digest = hashlib.sha256()
    within = [folder] if parts is None else [folder / part for part in parts]
    for path in sorted(path for top in within for path in top.rglob("*.safetensors")):
        digest.update(f"{path.relative_to(folder).as_posix()} {sha256_file(path)}\n".encode())
    return digest.hexdigest()


def read_card(folder: Path) -> dict[str, Any]:
    """Return what was recorded when the base was placed: origin, hash, parts.

    Raises:
        CheckpointError: the card is missing or damaged.
    """
    card = folder / CARD_NAME
    if not card.is_file():
        raise CheckpointError(f"{card} is missing; place the base checkpoint with `dvc repro base`")
    try:
        values = read_json(card)
        known = isinstance(values["hash"], str) and isinstance(values["origin"], str)
    except (ValueError, LookupError, TypeError):
        known = False
    if not known:
        raise CheckpointError(
            f"{card}: must be JSON with the base's hash and origin, and is not; "
            "place the base again with `dvc repro --force base`"
        )
    card_values: dict[str, Any] = values
    return card_values


def load_base(folder: Path, device: str | torch.device = "cpu") -> Base:
    """Load the networks of a placed base, frozen, in float32.

    Raises:
        CheckpointError: a part is missing, damaged or of another architecture, or holds no numbers.
    """
    remedy = "restore it with `dvc checkout` or place it again with `dvc repro --force base`"
    return load_parts(folder, read_card(folder), remedy, device)


def load_parts(
    folder: Path,
    card: Mapping[str, str],
    remedy: str,
    device: str | torch.device = "cpu",
    *,
    named: Path | None = None,
) -> Base:
    """Load what ``folder`` holds in diffusers' layout as one base, under the hash and origin of ``card``.

    Args:
        named: how messages call the folder; None for its path.

    Raises:
        CheckpointError: a part is missing, damaged or of another architecture, or holds no numbers; the
            message ends with ``remedy``.
    """
    import torch
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    from oft.models.loading import load_network, load_part, load_tokenizer

    named = named or folder

    def network(model_class: Any, part: str) -> Any:
        loaded = load_network(model_class, folder / part, remedy, named=named / part)
        # Channels last is the layout convolutions are fastest in.
        return loaded.to(device, memory_format=torch.channels_last)

    base = Base(
        unet=network(UNet2DConditionModel, "unet"),
        vae=network(AutoencoderKL, "vae"),
        text_encoder=network(CLIPTextModel, "text_encoder"),
        tokenizer=load_tokenizer(CLIPTokenizer, folder / "tokenizer", remedy, named=named / "tokenizer"),
        noise_scheduler=load_part(DDPMScheduler, folder / "scheduler", remedy, named=named / "scheduler"),
        hash=card["hash"],
        origin=card["origin"],
    )
    _check_compatibility(base, named)
    return base


def _check_compatibility(base: Base, named: Path) -> None:
    unet, vae, text = base.unet.config, base.vae.config, base.text_encoder.config
    if other := other_task(unet.in_channels, vae.latent_channels):
        raise CheckpointError(
            f"{named}: its UNet takes {unet.in_channels} channels, so it is {other}; a base must be a "
            "text-to-image model; set base.source in params.yaml to one"
        )
    widths = {
        "unet in_channels": (unet.in_channels, "vae latent_channels", vae.latent_channels),
        "unet out_channels": (unet.out_channels, "vae latent_channels", vae.latent_channels),
        "unet cross_attention_dim": (unet.cross_attention_dim, "text encoder hidden_size", text.hidden_size),
    }
    faults = [
        f"{name} is {value}, {other} {expected}"
        for name, (value, other, expected) in widths.items()
        if value != expected
    ]
    if unet.addition_embed_type:
        faults.append(f"the unet wants more than a prompt (addition_embed_type {unet.addition_embed_type})")
    if len(base.tokenizer) > text.vocab_size:
        faults.append(f"the tokenizer has {len(base.tokenizer)} tokens, the text encoder {text.vocab_size}")
    if base.tokenizer.model_max_length > text.max_position_embeddings:
        faults.append(
            f"the tokenizer's model_max_length is {base.tokenizer.model_max_length}, the text encoder's "
            f"max_position_embeddings {text.max_position_embeddings}"
        )
    if faults:
        raise CheckpointError(
            f"{named}: its parts must make up one Stable Diffusion 1 or 2 text-to-image model, and "
            f"{'; '.join(faults)}; set base.source in params.yaml to such a checkpoint"
        )


def latent_shape(base: Base, resolution_px: int) -> tuple[int, int, int]:
    """Return channels, height and width of the latents of a square picture.

    Raises:
        CheckpointError: the autoencoder's factor does not divide the resolution.
    """
    factor = 2 ** (len(base.vae.config.block_out_channels) - 1)
    if resolution_px % factor:
        raise CheckpointError(
            f"resolution_px ({resolution_px}) must be a multiple of the autoencoder's factor {factor}; "
            f"nearest is {max(1, round(resolution_px / factor)) * factor}"
        )
    side = resolution_px // factor
    return int(base.unet.config.in_channels), side, side


def make_pipeline(base: Base, pipeline_class: Any = None) -> Any:
    """Return a pipeline of diffusers' over the loaded networks (shared, not copied).

    Args:
        pipeline_class: None for its text-to-image pipeline.
    """
    from diffusers import StableDiffusionPipeline

    pipeline = (pipeline_class or StableDiffusionPipeline)(
        vae=base.vae,
        text_encoder=base.text_encoder,
        tokenizer=base.tokenizer,
        unet=base.unet,
        scheduler=base.noise_scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
