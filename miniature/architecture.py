"""The miniature networks, all built from the libraries' own classes, and their tokenizer.

The base has Stable Diffusion 1.5's shape (AutoencoderKL with factor 8, CLIP text encoder, a UNet with
cross-attention and GEGLU feed-forwards), so whatever is written for SD 1.5 runs on it. Sizes are chosen so
that a training step costs a fraction of a second on two CPU cores and all weights together stay under 40 MB
in half precision.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from oft.datasets.landmarks import NUM_LANDMARKS

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import (
        CLIPModel,
        CLIPTextModel,
        CLIPTokenizer,
        ResNetModel,
        SegformerForSemanticSegmentation,
    )

SIZE_PX = 64
LATENT_CHANNELS = 16
LATENT_FACTOR = 8
TEXT_WIDTH = 128
TOKEN_LENGTH = 32

BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def build_tokenizer(words: Iterable[str]) -> CLIPTokenizer:
    """Return a CLIP tokenizer whose byte-pair vocabulary holds every word of ``words`` as one token.

    Words it has never seen are still spelt out in bytes, as CLIP does. It depends on the set of words alone.
    """
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    # No unknown words are possible: the alphabet has all bytes, alone and at the end of a word.
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = whole_word_merges(words)
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *("".join(merge) for merge in merges)]
    vocabulary = {token: index for index, token in enumerate([*dict.fromkeys(tokens), BOS, EOS])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TOKEN_LENGTH)


def whole_word_merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Return byte-pair merges, first ones first, that make one token of each word (of letters a to z).

    Unlike merges learned from counts they have no ties to break. A word adds merges of the pieces that those
    before it leave; later merges rank lower, so they cannot split a word that is whole already.
    """
    ranks: dict[tuple[str, str], int] = {}
    for word in sorted(set(words), key=lambda word: (len(word), word)):
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        while len(pieces) > 1:
            # The best known pair, else the first two pieces as a new one.
            pairs = list(pairwise(pieces))
            at = min(range(len(pairs)), key=lambda index: ranks.get(pairs[index], len(ranks)))
            ranks.setdefault(pairs[at], len(ranks))
            pieces[at : at + 2] = ["".join(pairs[at])]
    return list(ranks)


def build_vae() -> AutoencoderKL:
    """Return an untrained autoencoder: pictures [n, 3, 64, 64] in [-1, 1] to latents [n, 16, 8, 8]."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(32, 48, 64, 96),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=SIZE_PX,
        mid_block_add_attention=False,
    )


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Return an untrained CLIP text encoder: token ids [n, 32] to hidden states [n, 32, 128]."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(**text_settings(tokenizer), hidden_size=TEXT_WIDTH, num_hidden_layers=3)
    )


def text_settings(tokenizer: CLIPTokenizer) -> dict[str, int]:
    """Return what the base's text encoder and the image-text judge's have in common."""
    return {
        "vocab_size": len(tokenizer),
        "intermediate_size": 256,
        "num_attention_heads": 4,
        "max_position_embeddings": TOKEN_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def build_unet() -> UNet2DConditionModel:
    """Return an untrained denoiser: two levels (8x8 and 4x4), cross-attention at both and in the middle.

    As in Stable Diffusion the lower level is the wider one: at 4x4 width costs little time.
    """
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=SIZE_PX // LATENT_FACTOR,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        layers_per_block=1,
        block_out_channels=(128, 192),
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    """Return Stable Diffusion's noise schedule; the prediction is the velocity, as in Stable Diffusion 2.

    Noise as the target tells little of a picture where there is most of it, and that is where shapes are
    decided; a velocity is the picture there (Salimans and Ho 2022).
    """
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def build_segmenter(num_labels: int) -> SegformerForSemanticSegmentation:
    """Return an untrained SegFormer whose logits [n, num_labels, 32, 32] are half the picture's size."""
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig(
        num_labels=num_labels,
        hidden_sizes=[24, 48, 72, 96],
        depths=[1, 1, 2, 1],
        strides=[2, 2, 2, 2],
        patch_sizes=[5, 3, 3, 3],
        num_attention_heads=[1, 2, 4, 4],
        sr_ratios=[8, 4, 2, 1],
        mlp_ratios=[2, 2, 2, 2],
        decoder_hidden_size=96,
    )
    return SegformerForSemanticSegmentation(config)


def build_landmark_judge() -> SegformerForSemanticSegmentation:
    """Return an untrained judge of landmarks: a map of each of the 68 points, and one of "a face is there".

    `oft.evaluation.landmarks.extract_landmarks` says how its logits [n, 69, 32, 32] are read.
    """
    return build_segmenter(NUM_LANDMARKS + 1)


def build_depth_judge() -> SegformerForSemanticSegmentation:
    """Return an untrained judge of depth, a SegFormer of one map: inverse depth [n, 1, 32, 32].

    It learns faster than a DPT of this size: after 60 steps of 8 scenes its error on held-out ones was 34
    grey levels against 45.
    """
    return build_segmenter(1)


def build_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Return an untrained image-text model: pictures and captions to unit vectors of width 64."""
    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig(
        text_config={**text_settings(tokenizer), "hidden_size": 96, "num_hidden_layers": 2},
        vision_config={
            "hidden_size": 96,
            "intermediate_size": 192,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": SIZE_PX,
            "patch_size": 8,
        },
        projection_dim=64,
    )
    return CLIPModel(config)


def build_extractor() -> ResNetModel:
    """Return an untrained residual network: pictures [n, 3, 64, 64] to pooled features [n, 96]."""
    from transformers import ResNetConfig, ResNetModel

    return ResNetModel(
        ResNetConfig(
            embedding_size=24, hidden_sizes=[24, 48, 96, 96], depths=[1, 1, 1, 1], layer_type="basic"
        )
    )


def save_preprocessing(folder: Path) -> None:
    """Write how pictures are prepared for the network in ``folder``: size in pixels, mean and deviation."""
    from oft.storage import write_json

    write_json(
        folder / "preprocessor_config.json",
        {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": SIZE_PX, "width": SIZE_PX}},
    )
