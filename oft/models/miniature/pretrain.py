"""Make the miniature base and its judges: render, train each network, measure, save.

Each network is kept as soon as it is trained (in ``scratch``), so an interrupted run goes on with the next
one. A network depends on the seed, its recipe and the networks before it, never on which run trained it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oft.models.miniature import architecture, networks, quality
from oft.models.miniature.pool import Pool, render_mixture, render_pool
from oft.models.miniature.training import Recipe
from oft.storage import atomic_folder, read_json, sha256_file, write_json

if TYPE_CHECKING:
    from torch import nn

NUM_PARTS = 25
NUM_ADE_CLASSES = 150
# Pictures the networks never see are rendered from another seed.
HELD_OUT_SEED_OFFSET = 1000


@dataclass(frozen=True)
class PretrainRecipes:
    """Pool size in pictures and the recipe of every network."""

    pool_images: int
    vae: Recipe
    denoiser: Recipe
    segmenter: Recipe
    part_segmenter: Recipe
    clip: Recipe
    extractor: Recipe


def pretrain(folder: Path, scratch: Path, recipes: PretrainRecipes, seed: int) -> dict[str, float]:
    """Write base and judges to ``folder`` and return the quality they reach.

    ``folder`` gets ``base/`` (diffusers layout), ``judges/{segmenter,part_segmenter,clip,extractor}``,
    ``training_log.json``, ``quality.json`` and ``hashes.json`` (SHA-256 of every weight file).
    """
    from oft.data.world.vocabulary import world_words

    tokenizer = architecture.build_tokenizer(world_words())
    mixture = cache(lambda: render_mixture(recipes.pool_images, seed))
    scenes = cache(lambda: _of_kinds(mixture(), "scene", "object"))
    figures = cache(lambda: render_pool("figure", recipes.pool_images // 3, seed))
    toys = cache(lambda: render_pool("toy", recipes.pool_images // 3, seed))

    def vae() -> nn.Module:
        return _load(scratch / "vae")

    def train(name: str, make: Callable[[], tuple[dict[str, Any], networks.Log]]) -> None:
        """Train one network (or one pair) unless an earlier run left it in ``scratch``."""
        if (scratch / name).is_dir():
            return
        modules, log = make()
        with atomic_folder(scratch / name) as partial:
            for part, module in modules.items():
                module.half().save_pretrained(partial / part if part else partial)
            write_json(partial / "log.json", log)

    def one(result: tuple[nn.Module, networks.Log]) -> tuple[dict[str, Any], networks.Log]:
        return {"": result[0]}, result[1]

    def denoiser() -> tuple[dict[str, Any], networks.Log]:
        (unet, text_encoder), log = networks.fit_denoiser(mixture(), vae(), tokenizer, recipes.denoiser, seed)
        return {"unet": unet, "text_encoder": text_encoder}, log

    train("vae", lambda: one(networks.fit_vae(mixture(), recipes.vae, seed)))
    train("denoiser", denoiser)
    train(
        "segmenter",
        lambda: one(
            networks.fit_segmenter(
                scenes(),
                ade_targets(scenes().labels),
                NUM_ADE_CLASSES,
                recipes.segmenter,
                seed,
                name="segmenter",
                mirror=True,
            )
        ),
    )
    train(
        "part_segmenter",
        lambda: one(
            networks.fit_segmenter(
                figures(),
                figures().labels,
                NUM_PARTS,
                recipes.part_segmenter,
                seed,
                name="part_segmenter",
                mirror=False,
            )
        ),
    )
    train("clip", lambda: one(networks.fit_clip(mixture(), tokenizer, recipes.clip, seed)))
    train("extractor", lambda: one(networks.fit_extractor(mixture(), toys(), recipes.extractor, seed)))

    with atomic_folder(folder) as partial:
        _assemble_base(partial / "base", scratch, tokenizer)
        for judge in ("segmenter", "part_segmenter", "clip", "extractor"):
            shutil.copytree(
                scratch / judge, partial / "judges" / judge, ignore=shutil.ignore_patterns("log.json")
            )
            architecture.save_preprocessing(partial / "judges" / judge)
        tokenizer.save_pretrained(partial / "judges" / "clip")
        names = ("vae", "denoiser", "segmenter", "part_segmenter", "clip", "extractor")
        write_json(
            partial / "training_log.json",
            [row for name in names for row in read_json(scratch / name / "log.json")],
        )
        reached = quality.measure(partial, seed + HELD_OUT_SEED_OFFSET)
        write_json(partial / "quality.json", reached)
        weights = sorted(partial.rglob("*.safetensors"))
        write_json(
            partial / "hashes.json",
            {path.relative_to(partial).as_posix(): sha256_file(path) for path in weights},
        )
    return reached


def ade_targets(labels: np.ndarray) -> np.ndarray:
    """Return SegFormer targets from ADE20K ids: class k is id k + 1, and id 0 ("other") is ignored (255)."""
    return np.where(labels == 0, 255, labels - 1).astype(np.uint8)


def _of_kinds(pool: Pool, *kinds: str) -> Pool:
    """Return the part of a mixture made of some kinds."""
    from oft.models.miniature.pool import MIXTURE

    order = list(MIXTURE)
    bounds = np.concatenate([[0], np.cumsum([round(len(pool) * MIXTURE[kind]) for kind in order])])
    chosen = np.concatenate([np.arange(bounds[order.index(k)], bounds[order.index(k) + 1]) for k in kinds])
    return Pool(
        pool.images[chosen],
        pool.labels[chosen],
        [pool.captions[index] for index in chosen],
        [pool.names[index] for index in chosen],
    )


def _load(folder: Path) -> nn.Module:
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(folder).float().eval()


def _assemble_base(folder: Path, scratch: Path, tokenizer: Any) -> None:
    """Write the pipeline that ``StableDiffusionPipeline.from_pretrained`` loads."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(scratch / "vae", dtype=torch.float16),
        text_encoder=CLIPTextModel.from_pretrained(
            scratch / "denoiser" / "text_encoder", dtype=torch.float16
        ),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel.from_pretrained(scratch / "denoiser" / "unet", dtype=torch.float16),
        scheduler=architecture.build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
