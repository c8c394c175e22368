"""Place, hash and load the base checkpoint, in diffusers' layout."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
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
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
XL_PARTS = (*PARTS, "text_encoder_2", "tokenizer_2")
CARD_NAME = "base.json"
ZEROES_EMPTY_PROMPTS = "force_zeros_for_empty_prompt"
"""The entry of model_index.json; diffusers takes true where it is missing."""
NUM_TIME_IDS = 6
"""Sizes that Stable Diffusion XL's UNet is told: the picture's before, where it was cut, and as it is."""


@dataclass(frozen=True)
class Base:
    """The frozen networks training needs, in float32, and the hash that adapters are tied to.

    Attributes:
        hash: of all weights.
        origin: where the checkpoint came from, for people to read.
        text_encoder_2: of Stable Diffusion XL, OpenCLIP's beside CLIP's; None of 1 and 2.
        tokenizer_2: likewise.
        zeroes_empty_prompts: what its UNet sees of no prompt is zeros (as Stable Diffusion XL was trained)
            and not what the text encoders make of an empty one; diffusers' ``force_zeros_for_empty_prompt``.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    noise_scheduler: DDPMScheduler
    hash: str
    origin: str = ""
    text_encoder_2: CLIPTextModelWithProjection | None = None
    tokenizer_2: CLIPTokenizer | None = None
    zeroes_empty_prompts: bool = False

    @property
    def text_encoders(self) -> tuple[Any, ...]:
        """Its text encoder, or both."""
        encoders = (self.text_encoder, self.text_encoder_2)
        return tuple(encoder for encoder in encoders if encoder is not None)

    @property
    def tokenizers(self) -> tuple[Any, ...]:
        """The tokenizer of each of the text encoders."""
        return tuple(each for each in (self.tokenizer, self.tokenizer_2) if each is not None)


def parts_of(folder: Path) -> tuple[str, ...]:
    """Return the folders of a checkpoint in diffusers' layout: those of XL, where it has any that 1 lacks."""
    return XL_PARTS if any((folder / part).is_dir() for part in set(XL_PARTS) - set(PARTS)) else PARTS


def networks_of(folder: Path) -> tuple[str, ...]:
    """Return those of its folders that hold weights."""
    return tuple(part for part in parts_of(folder) if part in WEIGHTS_NAMES)


def place_base(source: Path, target: Path, origin: str, variant: str | None = None) -> dict[str, Any]:
    """Copy a checkpoint in diffusers' layout to ``target`` and return its card (origin, hash, parts).

    Only the files that are used are copied, weights in safetensors alone, and the whole is loaded once.

    Args:
        variant: take only the weights ``*.<variant>.safetensors``, under their plain names.

    Raises:
        CheckpointError: a part is missing, damaged, of another architecture, not in safetensors, or holds
            values that are no numbers; or a file is a link that leads out of the folder.
    """
    parts = parts_of(source)
    for part in parts:
        if not (source / part).is_dir():
            raise CheckpointError(
                f"{source}: a Stable Diffusion{' XL' if parts == XL_PARTS else ''} checkpoint in diffusers' "
                f"layout has the folders {', '.join(parts)}; {part}/ is missing; "
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
        files = part_files(variant)
        for part in parts:
            for path in listed_files(source / part, files[part]):
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
    card = {"origin": origin, "hash": hash_weights(folder), "parts": list(parts_of(folder)), **more}
    write_json(folder / CARD_NAME, card)
    return card


def refuse_pickled(source: Path, variant: str | None = None) -> None:
    """Refuse a checkpoint whose networks have no weights in safetensors, or none of a variant.

    Raises:
        CheckpointError: one has none.
    """
    for part in networks_of(source):
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
            "convert them with the pipeline's `save_pretrained(..., safe_serialization=True)`"
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
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    from oft.models.loading import load_network, load_part, load_tokenizer

    named = named or folder

    def network(model_class: Any, part: str) -> Any:
        loaded = load_network(model_class, folder / part, remedy, named=named / part)
        # Channels last is the layout convolutions are fastest in.
        return loaded.to(device, memory_format=torch.channels_last)

    def tokenizer(part: str) -> Any:
        return load_tokenizer(CLIPTokenizer, folder / part, remedy, named=named / part)

    more: dict[str, Any] = {}
    if parts_of(folder) == XL_PARTS:
        more = {
            "text_encoder_2": network(CLIPTextModelWithProjection, "text_encoder_2"),
            "tokenizer_2": tokenizer("tokenizer_2"),
            "zeroes_empty_prompts": bool(_read_index(folder, named).get(ZEROES_EMPTY_PROMPTS, True)),
        }
    base = Base(
        unet=network(UNet2DConditionModel, "unet"),
        vae=network(AutoencoderKL, "vae"),
        text_encoder=network(CLIPTextModel, "text_encoder"),
        tokenizer=tokenizer("tokenizer"),
        noise_scheduler=load_part(DDPMScheduler, folder / "scheduler", remedy, named=named / "scheduler"),
        hash=card["hash"],
        origin=card["origin"],
        **more,
    )
    check_compatibility(base, named)
    return base


def _read_index(folder: Path, named: Path) -> dict[str, Any]:
    try:
        index = read_json(folder / INDEX_NAME)
    except (OSError, ValueError) as fault:
        index = fault
    if not isinstance(index, dict):
        raise CheckpointError(
            f"{named / INDEX_NAME}: must be JSON that says what the folders hold; copy it again"
        )
    return index


def check_compatibility(base: Base, named: Path) -> None:
    """Refuse networks that do not make up one model; ``named`` is how messages call their folder.

    Raises:
        CheckpointError: it says what does not fit.
    """
    unet, vae = base.unet.config, base.vae.config
    if other := other_task(unet.in_channels, vae.latent_channels):
        raise CheckpointError(
            f"{named}: its UNet takes {unet.in_channels} channels, so it is {other}; a base must be a "
            "text-to-image model; set base.source in params.yaml to one"
        )
    faults = [*_width_faults(base), *_text_faults(base)]
    if faults:
        raise CheckpointError(
            f"{named}: its parts must make up one Stable Diffusion 1, 2 or XL text-to-image model, and "
            f"{'; '.join(faults)}; set base.source in params.yaml to such a checkpoint"
        )


def _width_faults(base: Base) -> Iterator[str]:
    unet, vae = base.unet.config, base.vae.config
    widths = [encoder.config.hidden_size for encoder in base.text_encoders]
    expected = {
        "unet in_channels": (unet.in_channels, "vae latent_channels", vae.latent_channels),
        "unet out_channels": (unet.out_channels, "vae latent_channels", vae.latent_channels),
        "unet cross_attention_dim": (unet.cross_attention_dim, "text encoder hidden_size", sum(widths)),
    }
    for name, (value, other, wanted) in expected.items():
        if value != wanted:
            yield f"{name} is {value}, {other} {wanted}"
    if base.text_encoder_2 is None:
        if unet.addition_embed_type:
            yield (
                f"the unet wants more than a prompt (addition_embed_type {unet.addition_embed_type}; "
                "text_time is Stable Diffusion XL, which has text_encoder_2/ and tokenizer_2/)"
            )
    elif unet.addition_embed_type != "text_time":
        yield f"of two text encoders addition_embed_type must be text_time, and is {unet.addition_embed_type}"
    else:
        pooled = base.text_encoder_2.config.projection_dim
        wanted = pooled + NUM_TIME_IDS * unet.addition_time_embed_dim
        if unet.projection_class_embeddings_input_dim != wanted:
            yield (
                "unet projection_class_embeddings_input_dim is "
                f"{unet.projection_class_embeddings_input_dim}, that of {NUM_TIME_IDS} sizes and the second "
                f"text encoder's projection_dim ({pooled}) {wanted}"
            )
    if getattr(vae, "latents_mean", None) is not None:
        yield "the vae's latents_mean is set, which takes latents of another scale"


def _text_faults(base: Base) -> Iterator[str]:
    for number, (tokenizer, encoder) in enumerate(zip(base.tokenizers, base.text_encoders, strict=True)):
        text, of = encoder.config, " 2" if number else ""
        if len(tokenizer) > text.vocab_size:
            yield f"the tokenizer{of} has {len(tokenizer)} tokens, the text encoder {text.vocab_size}"
        if tokenizer.model_max_length > text.max_position_embeddings:
            yield (
                f"the tokenizer{of}'s model_max_length is {tokenizer.model_max_length}, the text encoder's "
                f"max_position_embeddings {text.max_position_embeddings}"
            )
    if len({tokenizer.model_max_length for tokenizer in base.tokenizers}) > 1:
        yield "the tokenizers' model_max_length differ"
    if base.tokenizer_2 is not None and base.text_encoder_2 is not None:
        # transformers pools at the largest number where the configuration has 2, an old default.
        pooled_at = base.text_encoder_2.config.eos_token_id
        pooled_at = len(base.tokenizer_2) - 1 if pooled_at == 2 else pooled_at
        if pooled_at != base.tokenizer_2.eos_token_id:
            yield (
                f"text encoder 2 pools at token {pooled_at}, and tokenizer 2 ends prompts with "
                f"{base.tokenizer_2.eos_token_id}"
            )


def pixels_per_latent(base: Base) -> int:
    """Return how many pixels of a side one latent stands for, the autoencoder's factor: 8 as a rule."""
    return int(2 ** (len(base.vae.config.block_out_channels) - 1))


def latent_shape(base: Base, resolution_px: int) -> tuple[int, int, int]:
    """Return channels, height and width of the latents of a square picture.

    Raises:
        CheckpointError: the autoencoder's factor does not divide the resolution.
    """
    factor = pixels_per_latent(base)
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
        pipeline_class: one for such a base; None for its text-to-image pipeline.
    """
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    parts = {
        "vae": base.vae,
        "text_encoder": base.text_encoder,
        "tokenizer": base.tokenizer,
        "unet": base.unet,
        "scheduler": base.noise_scheduler,
        "feature_extractor": None,
    }
    if base.text_encoder_2 is None:
        pipeline_class = pipeline_class or StableDiffusionPipeline
        parts |= {"safety_checker": None, "requires_safety_checker": False}
    else:
        pipeline_class = pipeline_class or StableDiffusionXLPipeline
        parts |= {
            "text_encoder_2": base.text_encoder_2,
            "tokenizer_2": base.tokenizer_2,
            ZEROES_EMPTY_PROMPTS: base.zeroes_empty_prompts,
            "add_watermarker": False,
        }
    pipeline = pipeline_class(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
