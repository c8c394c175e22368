"""Make the miniature base and its judges: render, train each network, measure, save.

Each network is kept as soon as it is trained (in ``scratch``), so an interrupted run goes on with the next
one. A network depends on the seed, its recipe and the networks before it, never on which run trained it.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oft.data.world.vocabulary import world_words
from oft.models.miniature import architecture, networks, quality
from oft.models.miniature.pool import Pool, render_mixture, render_pool
from oft.models.miniature.training import Recipe
from oft.storage import atomic_folder, read_json, sha256_file, write_json

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from torch import nn
    from transformers import CLIPTextModel

NUM_PARTS = 25
NUM_ADE_CLASSES = 150
# Pictures the networks never see are rendered from another seed.
HELD_OUT_SEED_OFFSET = 1000
# Networks that are trained one after the other; the chains side by side, the longest first.
CHAINS = (
    ("vae", "denoiser", "refined_denoiser"),
    ("segmenter",),
    ("part_segmenter",),
    ("clip",),
    ("extractor",),
)


@dataclass(frozen=True)
class PretrainRecipes:
    """Pool size in pictures and the recipe of every network."""

    pool_images: int
    vae: Recipe
    denoiser: Recipe
    refined_denoiser: Recipe
    segmenter: Recipe
    part_segmenter: Recipe
    clip: Recipe
    extractor: Recipe


@dataclass(frozen=True)
class Pools:
    """The pictures every network learns from: the mixture of all kinds, and more figures and toys."""

    mixture: Pool
    figures: Pool
    toys: Pool


def pretrain(folder: Path, scratch: Path, recipes: PretrainRecipes, seed: int) -> dict[str, float]:
    """Write base and judges to ``folder`` and return the quality they reach.

    ``folder`` gets ``base/`` (diffusers layout), ``judges/{segmenter,part_segmenter,clip,extractor}``,
    ``training_log.json``, ``quality.json`` and ``hashes.json`` (SHA-256 of every weight file).
    """
    if missing := [chain for chain in CHAINS if not (scratch / chain[-1]).is_dir()]:
        pools = Pools(
            render_mixture(recipes.pool_images, seed),
            render_pool("figure", recipes.pool_images // 3, seed),
            render_pool("toy", recipes.pool_images // 3, seed),
        )
        with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as workers:
            waiting = [workers.submit(train_chain, chain, scratch, pools, recipes, seed) for chain in missing]
            for chain in as_completed(waiting):
                chain.result()

    tokenizer = architecture.build_tokenizer(world_words())
    with atomic_folder(folder) as partial:
        _assemble_base(partial / "base", scratch, tokenizer)
        for judge in ("segmenter", "part_segmenter", "clip", "extractor"):
            shutil.copytree(
                scratch / judge, partial / "judges" / judge, ignore=shutil.ignore_patterns("log.json")
            )
            architecture.save_preprocessing(partial / "judges" / judge)
        tokenizer.save_pretrained(partial / "judges" / "clip")
        write_json(
            partial / "training_log.json",
            [row for chain in CHAINS for name in chain for row in read_json(scratch / name / "log.json")],
        )
        reached = quality.measure(partial, seed + HELD_OUT_SEED_OFFSET)
        write_json(partial / "quality.json", reached)
        weights = sorted(partial.rglob("*.safetensors"))
        write_json(
            partial / "hashes.json",
            {path.relative_to(partial).as_posix(): sha256_file(path) for path in weights},
        )
    return reached


def train_chain(
    chain: tuple[str, ...], scratch: Path, pools: Pools, recipes: PretrainRecipes, seed: int
) -> None:
    """Train networks that build on each other and keep each in ``scratch`` unless an earlier run has.

    One thread each: chains share the cores without waiting for each other, and the number of cores changes
    nothing.
    """
    import torch

    from oft.models.device import make_deterministic

    make_deterministic(cpu_threads=1)
    for name in chain:
        if (scratch / name).is_dir():
            continue
        torch.manual_seed(seed)
        modules, log = train_network(name, scratch, pools, getattr(recipes, name), seed)
        with atomic_folder(scratch / name) as partial:
            for part, module in modules.items():
                module.half().save_pretrained(partial / part if part else partial)
            write_json(partial / "log.json", log)


def train_network(
    name: str, scratch: Path, pools: Pools, recipe: Recipe, seed: int
) -> tuple[dict[str, Any], networks.Log]:
    """Return a trained network's parts, named by their folder, and its log."""
    if name in ("denoiser", "refined_denoiser"):
        tokenizer = architecture.build_tokenizer(world_words())
        start = None if name == "denoiser" else _load_denoiser(scratch / "denoiser")
        (unet, text_encoder), log = networks.fit_denoiser(
            pools.mixture, _load_vae(scratch / "vae"), tokenizer, recipe, seed, start=start
        )
        return {"unet": unet, "text_encoder": text_encoder}, log
    module: nn.Module
    if name == "vae":
        module, log = networks.fit_vae(pools.mixture, recipe, seed)
    elif name == "segmenter":
        scenes = _of_kinds(pools.mixture, "scene", "object")
        labels = ade_targets(scenes.labels)
        module, log = networks.fit_segmenter(
            scenes, labels, NUM_ADE_CLASSES, recipe, seed, name=name, mirror=True
        )
    elif name == "part_segmenter":
        figures = pools.figures
        module, log = networks.fit_segmenter(
            figures, figures.labels, NUM_PARTS, recipe, seed, name=name, mirror=False
        )
    elif name == "clip":
        tokenizer = architecture.build_tokenizer(world_words())
        module, log = networks.fit_clip(pools.mixture, pools.toys, tokenizer, recipe, seed)
    else:
        module, log = networks.fit_extractor(pools.mixture, pools.toys, recipe, seed)
    return {"": module}, log


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


def _load_vae(folder: Path) -> AutoencoderKL:
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(folder).float().eval()


def _load_denoiser(folder: Path) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    return unet.float(), CLIPTextModel.from_pretrained(folder / "text_encoder").float()


def _assemble_base(folder: Path, scratch: Path, tokenizer: Any) -> None:
    """Write the pipeline that ``StableDiffusionPipeline.from_pretrained`` loads."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(scratch / "vae", dtype=torch.float16),
        text_encoder=CLIPTextModel.from_pretrained(
            scratch / "refined_denoiser" / "text_encoder", dtype=torch.float16
        ),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel.from_pretrained(scratch / "refined_denoiser" / "unet", dtype=torch.float16),
        scheduler=architecture.build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
